"""Two hosts over one directory, with real processes: names and process numbers of their own, and a file system between.

    unshare --uts --pid --mount    each host has its own name, its own process numbers, its own mounts
    locks="shared"                 one local directory: flock excludes, as on a file server that has locks
    locks="apart"                  a bindfs mount on each host: locks stay on the host, and what it knows of files is
                                   a second old, as on NFS with nolock

What runs is the real dispatcher with the real batch system "Shell", whose jobs outlive it. Root, /dev/fuse, bindfs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dispatcher.kept import kept_journals, read_history
from dispatcher.lifecycle import State
from journal import Open, frames, verify

pytestmark = pytest.mark.cluster

CHILD = Path(__file__).with_name("child.py")
REPOSITORY = CHILD.parents[2]


class Host:
    """A machine: what is started on it has its name and its process numbers, and outlives who started it."""

    def __init__(self, name: str, work: Path, mount: str) -> None:
        make = f"hostname {name} && {mount}echo ready && exec sleep 1000"
        namespaces = ["--uts", "--pid", "--mount", "--propagation", "private", "--fork", "--kill-child", "--mount-proc"]
        self.name, self.work = name, work
        self.unshare = subprocess.Popen(["unshare", *namespaces, "sh", "-c", make], stdout=subprocess.PIPE, text=True)
        assert self.unshare.stdout
        assert self.unshare.stdout.readline() == "ready\n"
        [self.init] = children(self.unshare.pid)

    def run(self, *command: str) -> subprocess.Popen[str]:
        """Start a command there; what to signal is its child."""
        enter = ["nsenter", "--target", str(self.init), "--uts", "--pid", "--mount", "--"]
        return subprocess.Popen([*enter, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def dispatcher(self) -> subprocess.Popen[str]:
        """Run the submission, or go on with it."""
        return self.run(sys.executable, str(CHILD), str(self.work), "LazyLocal")

    def unlock(self, journal: Path) -> str:
        """What an operator types who cannot reach the holder."""
        told, _ = self.run(sys.executable, "-m", "journal", "unlock", str(journal)).communicate(timeout=300)
        return told

    def down(self) -> None:
        """Everything on it ends."""
        self.unshare.kill()
        self.unshare.wait()


def children(pid: int) -> list[int]:
    """The processes that this one has started, as numbers of the machine itself."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def send(process: subprocess.Popen[str], signum: signal.Signals) -> None:
    """A signal for the dispatcher, not for nsenter, which waits for it, and stops when that one stops."""
    [pid] = children(process.pid)
    os.kill(pid, signum)
    if signum == signal.SIGCONT:
        process.send_signal(signum)


Hosts = Callable[[str], tuple[Host, Host]]


@pytest.fixture
def hosts(tmp_path: Path, child: Any) -> Iterator[Hosts]:
    """Two hosts that see the same directory as `work`; no task ends before `let_go(disk)`."""
    work, disk, up = tmp_path / "work", tmp_path / "disk", list[Host]()
    work.mkdir()
    disk.mkdir()

    def start(locks: str) -> tuple[Host, Host]:
        known = "attr_timeout=1,entry_timeout=1,negative_timeout=1"
        mount = f"bindfs -o {known} {disk} {work} && " if locks == "apart" else f"mount --bind {disk} {work} && "
        up.extend(Host(name, work, mount) for name in ("host-a", "host-b"))
        child.lay_out(disk)
        (disk / "hold").touch()
        return up[0], up[1]

    yield start
    for host in up:
        host.down()


def began(disk: Path) -> Path:
    """Wait until tasks run; the journal."""
    until = time.monotonic() + 300
    while not (disk / "log").exists() and time.monotonic() < until:
        time.sleep(0.02)
    [journal] = kept_journals(disk / "near" / "w")
    return journal


def let_go(disk: Path) -> None:
    """Tasks may end."""
    (disk / "hold").unlink()


def ended(process: subprocess.Popen[str]) -> str:
    """What it said; it must have ended well."""
    told, _ = process.communicate(timeout=300)
    assert process.returncode == 0, told
    return told


def check(disk: Path, child: Any) -> None:
    """Every task ran once, every result is home, the journal is whole and says so."""
    assert Counter((disk / "log").read_text().split()) == Counter(str(number) for number in range(child.TASKS))
    for number in range(child.TASKS):
        assert (disk / "near" / "w" / f"t{number}" / "out").read_text() == f"input {number}\n"
    [journal] = kept_journals(disk / "near" / "w")
    assert verify(journal).status in ("clean", "torn", "foreign")
    assert {job.state for job in read_history(journal).jobs.values()} == {State.finished}


def writers(journal: Path) -> list[str]:
    """The hosts that have written the journal, segment by segment."""
    opened = (record for frame in frames(journal, Open) for record in frame.records if isinstance(record, Open))
    return [opening.host for opening in opened]


def test_the_second_is_refused_and_told_who_holds_it(tmp_path: Path, child: Any, hosts: Hosts) -> None:
    a, b = hosts("shared")
    first = a.dispatcher()
    journal = began(tmp_path / "disk")
    told, _ = (second := b.dispatcher()).communicate(timeout=300)
    assert second.returncode != 0, told
    [pid] = children(first.pid)
    inside = (Path("/proc") / str(pid) / "status").read_text().split("NSpid:")[1].splitlines()[0].split()[-1]
    assert f"SubmissionBusy: {tmp_path / 'work'}" in told
    assert f"is being written by process {inside} on host-a since" in told
    assert "python -m journal unlock" in told, "it is on another host, perhaps out of reach"
    let_go(tmp_path / "disk")
    ended(first)
    check(tmp_path / "disk", child)
    assert set(writers(journal)) == {"host-a"}


@pytest.mark.parametrize("locks", ["shared", "apart"])
def test_a_holder_is_killed_and_the_other_host_takes_over(tmp_path: Path, child: Any, hosts: Hosts, locks: str) -> None:
    a, b = hosts(locks)
    first = a.dispatcher()
    journal = began(tmp_path / "disk")
    send(first, signal.SIGKILL)
    first.wait()
    let_go(tmp_path / "disk")
    ended(b.dispatcher())
    check(tmp_path / "disk", child)
    assert writers(journal)[0] == "host-a"
    assert writers(journal)[-1] == "host-b"


def test_a_holder_that_hangs_is_shut_out_and_wakes_up_to_nothing(tmp_path: Path, child: Any, hosts: Hosts) -> None:
    """flock excludes: the other host is refused until an operator takes the lock away."""
    a, b = hosts("shared")
    first = a.dispatcher()
    journal = began(tmp_path / "disk")
    send(first, signal.SIGSTOP)
    let_go(tmp_path / "disk")
    told, _ = (refused := b.dispatcher()).communicate(timeout=300)
    assert refused.returncode != 0, told
    assert "on host-a since" in b.unlock(tmp_path / "work" / journal.relative_to(tmp_path / "disk"))
    ended(b.dispatcher())
    woken(first, tmp_path / "disk", journal)
    check(tmp_path / "disk", child)


def test_a_holder_that_hangs_where_locks_stay_on_the_host(tmp_path: Path, child: Any, hosts: Hosts) -> None:
    """flock does not exclude: the other host is warned, and takes over by freezing what is there."""
    a, b = hosts("apart")
    first = a.dispatcher()
    journal = began(tmp_path / "disk")
    send(first, signal.SIGSTOP)
    let_go(tmp_path / "disk")
    told = ended(b.dispatcher())
    assert f"warning: locks on {tmp_path / 'work'} (fuse) exclude only processes of one node" in told, told
    woken(first, tmp_path / "disk", journal)
    check(tmp_path / "disk", child)


def woken(first: subprocess.Popen[str], disk: Path, journal: Path) -> None:
    """It can neither write nor submit any more: the journal and what has run are as the other host left them."""
    before = {path.name: path.read_bytes() for path in journal.iterdir() if path.suffix == ".jsonl"}
    ran = (disk / "log").read_text()
    send(first, signal.SIGCONT)
    told, _ = first.communicate(timeout=300)
    assert first.returncode != 0
    assert "another writer" in told, told
    assert (disk / "log").read_text() == ran
    after = {path.name: path.read_bytes() for path in journal.iterdir() if path.suffix == ".jsonl"}
    assert after.keys() == before.keys()
    grown = {name for name in after if after[name] != before[name]}
    assert all(after[name].startswith(before[name]) and (journal / f"{name[:8]}.frozen").exists() for name in grown)


@pytest.mark.parametrize("locks", ["shared", "apart"])
def test_two_hosts_at_once(tmp_path: Path, child: Any, hosts: Hosts, locks: str) -> None:
    """Started together: one is refused or shut out, at whatever moment, or each by the other; nothing runs twice."""
    up = hosts(locks)
    let_go(tmp_path / "disk")
    both = [host.dispatcher() for host in up]
    told = [process.communicate(timeout=300)[0] for process in both]
    for process, said in zip(both, told, strict=True):
        assert process.returncode == 0 or "SubmissionBusy" in said, said
    ended(up[1].dispatcher())  # whoever comes next goes on, or has nothing to do
    check(tmp_path / "disk", child)

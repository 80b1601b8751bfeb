"""Transfers over SSH beside `tar | ssh tar` and `rsync -a`: the same files, one run, ratios.

    python tests/benchmarks/ssh_bench.py [--small 10000] [--mib 1024] [--rounds 3]

Starts the servers of fixtures/clusters/ssh on ports of its own. The others do
not verify what they sent; we do, on both sides. A poll round of 1,000 jobs is
counted in channels.
"""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dispatcher.contexts.ssh.context import SSHConnection
from dispatcher.core.model import MachineSpec
from dispatcher.core.ports import Item, Query
from dispatcher.files.local import digest
from dispatcher.schedulers import load

FOLDER = Path(__file__).parents[2] / "fixtures" / "clusters" / "ssh"


@contextmanager
def servers(top: Path) -> Iterator[dict[str, str]]:
    knobs = {**os.environ, "SSH_RUN": str(top / "run"), "SSH_PORT": str(20000 + os.getpid() % 1200 * 10)}
    up = subprocess.run([FOLDER / "up"], env=knobs, capture_output=True, text=True, check=True).stdout
    words = [shlex.split(line)[1] for line in up.splitlines() if line.startswith("export ")]
    try:
        yield dict(word.split("=", 1) for word in words)
    finally:
        subprocess.run([FOLDER / "down", "--wipe"], env=knobs, capture_output=True, check=False)


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def shell(command: str) -> None:
    subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], check=True, capture_output=True)


class Case:
    """One set of files, sent and fetched by three programs."""

    def __init__(self, name: str, top: Path, env: Mapping[str, str], sizes: Mapping[str, int]) -> None:
        self.name, self.top, self.local = name, top, top / name
        for path, size in sizes.items():
            file = self.local / path
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("wb") as out:
                for start in range(0, size, 1 << 20):
                    out.write(os.urandom(min(1 << 20, size - start)))
        # as in a real run, the digests are known before: they are part of the submission's identity
        self.items = [
            Item(str(self.local / path), path, size, digest(self.local / path)) for path, size in sizes.items()
        ]
        config = shlex.quote(env["SSH_CONFIG"])
        self.ssh = f"ssh -F {config} -o Compression=no"
        self.profile: dict[str, Any] = {
            "hostname": env["SSH_HOST"],
            "port": int(env["SSH_PORT_MAIN"]),
            "username": env["SSH_USER"],
            "key_filename": env["SSH_KEY_ED25519"],
            "known_hosts": env["SSH_KNOWN_HOSTS"],
        }

    def ours(self) -> tuple[float, float]:
        back = self.top / "back"
        machine = MachineSpec("Shell", "SSHContext", str(back), "~/dispatcher-bench")
        back.mkdir()
        context = SSHConnection.open(machine, self.profile, "bench", ".")
        up = timed(lambda: context.put(self.items, True))
        wanted = [Item(item.target, item.target, item.size) for item in self.items]
        down = timed(lambda: context.get(wanted))
        context.remove()
        shutil.rmtree(back)
        return up, down

    def tar(self) -> tuple[float, float]:
        here, back = shlex.quote(str(self.local)), shlex.quote(str(self.top / "back"))
        there = "dispatcher-bench-tar"
        up = timed(lambda: shell(f"tar -C {here} -cf - . | {self.ssh} dp-main 'mkdir {there}; tar -C {there} -xf -'"))
        down = timed(lambda: shell(f"mkdir {back}; {self.ssh} dp-main 'tar -C {there} -cf - .' | tar -C {back} -xf -"))
        shell(f"rm -r {back}; {self.ssh} dp-main rm -r {there}")
        return up, down

    def rsync(self) -> tuple[float, float]:
        here, back = shlex.quote(str(self.local)), shlex.quote(str(self.top / "back"))
        there = "dispatcher-bench-rsync"
        up = timed(lambda: shell(f"rsync -a -e '{self.ssh}' {here}/ dp-main:{there}/"))
        down = timed(lambda: shell(f"rsync -a -e '{self.ssh}' dp-main:{there}/ {back}/"))
        shell(f"rm -r {back}; {self.ssh} dp-main rm -r {there}")
        return up, down

    def run(self, rounds: int) -> None:
        ways = {"ours": self.ours, "tar": self.tar, "rsync": self.rsync}
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                times[name].append(way())
        for nth, direction in enumerate(("up", "down")):
            middle = {name: statistics.median(pair[nth] for pair in pairs) for name, pairs in times.items()}
            best = min(middle["tar"], middle["rsync"])
            seconds = "  ".join(f"{name} {value:6.2f} s" for name, value in middle.items())
            print(f"{self.name:>12} {direction:<4} {seconds}  ours / better of the two = {middle['ours'] / best:.2f}")
        shutil.rmtree(self.local)


def poll_round(case: Case) -> None:
    """A look at 1,000 jobs: one scheduler text, one channel."""
    machine = MachineSpec("Shell", "SSHContext", str(case.top), "~/dispatcher-bench")
    context = SSHConnection.open(machine, case.profile, "poll", ".")
    opened, before = [0], context._link.session

    def session() -> Any:
        opened[0] += 1
        return before()

    context._link.session = session  # type: ignore[method-assign]
    queue = load("Shell")
    queries = [Query(f"dbench{n:06d}", f"host:{n + 100000}:1:x") for n in range(1000)]
    spent = timed(lambda: context.run(queue.observe(queries, context.place)))
    print(f"poll round of 1000 jobs: {opened[0]} channel, {context._link.logins} login(s) so far, {spent:.2f} s")
    context.remove()
    context.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    requested = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dispatcher-ssh-bench-") as name:
        top = Path(name)
        top.chmod(0o755)
        with servers(top) as env:
            sizes = {f"t{n // 10}/f{n % 10}": 4096 for n in range(requested.small)}
            case = Case("small", top, env, sizes)
            poll_round(case)
            case.run(requested.rounds)
            Case("large", top, env, {"big": requested.mib << 20}).run(requested.rounds)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB")


if __name__ == "__main__":
    main()

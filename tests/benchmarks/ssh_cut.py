"""One large file whose connection is cut half-way, up and down: what the second try carries, and the peak of memory.

    python tests/benchmarks/ssh_cut.py [--mib 3072]

    up    cut after 1537 MiB, carried 1541 MiB more, of 3072 MiB      memory +31 MiB      sha256 equal
    down  …

Needs three times the size on the disk.
"""

from __future__ import annotations

import argparse
import json
import resource
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ssh_bench import FOLDER, Case, servers

from dispatcher.contexts.ssh.context import SSHConnection
from dispatcher.core.model import MachineSpec
from dispatcher.core.ports import Item
from dispatcher.files.local import digest

_PROXY = FOLDER / "faultproxy.py"


class Proxy:
    """The line, which can be cut."""

    def __init__(self, port: int, top: Path) -> None:
        self._control = top / "control"
        command = [sys.executable, _PROXY, "run", str(port), "--control", self._control]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(shlex.split(self.process.stdout.readline())[1].partition("=")[2])

    def tell(self, word: str) -> dict[str, int]:
        with socket.socket(socket.AF_UNIX) as talk:
            talk.connect(str(self._control))
            talk.sendall(f"{word}\n".encode())
            answer: dict[str, int] = json.loads(talk.makefile().readline())
        return answer

    def halves(self, direction: str, half: int, work: Callable[[], object]) -> tuple[int, int]:
        """Bytes before the cut, and after it."""
        begin = self.tell("stats")[direction]
        at: list[int] = []

        def cut() -> None:
            while self.tell("stats")[direction] - begin < half:
                time.sleep(0.005)
            at.append(self.tell("cut")[direction])

        threading.Thread(target=cut, daemon=True).start()
        work()
        return at[0] - begin, self.tell("stats")[direction] - at[0]


@contextmanager
def line(case: Case) -> Iterator[tuple[Proxy, SSHConnection]]:
    """A context whose connection goes through a proxy."""
    proxy = Proxy(case.profile["port"], case.top)
    key = (case.top / "run/keys/host_main.pub").read_text()
    (case.top / "known").write_text(f"[127.0.0.1]:{proxy.port} {key}")
    profile = {**case.profile, "port": proxy.port, "known_hosts": str(case.top / "known")}
    context = SSHConnection.open(
        MachineSpec("Shell", "SSHContext", str(case.top), "~/dispatcher-cut"), profile, "cut", "."
    )
    try:
        yield proxy, context
    finally:
        context.remove()
        context.close()
        proxy.process.terminate()
        proxy.process.wait(10)


@contextmanager
def opened(top: Path) -> Iterator[dict[str, str]]:
    """The servers, in a directory that ordinary users can enter."""
    top.chmod(0o755)
    with servers(top) as env:
        yield env


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mib", type=int, default=3072)
    mib = parser.parse_args().mib
    with tempfile.TemporaryDirectory(prefix="dispatcher-ssh-cut-") as name, opened(Path(name)) as env:
        case = Case("cut", Path(name), env, {"big": mib << 20})
        (item,) = case.items
        with line(case) as (proxy, context):
            ways: dict[str, Callable[[], object]] = {
                "to_target": lambda: context.put([item], True),
                "to_client": lambda: context.get([Item("big", "back/big", item.size)]),
            }
            for direction, way in ways.items():
                before, begin = peak(), time.perf_counter()
                first, second = proxy.halves(direction, mib << 19, way)
                spent = time.perf_counter() - begin
                print(
                    f"{direction}: cut after {first >> 20} MiB, {second >> 20} MiB after the cut, of {mib} MiB;",
                    end=" ",
                )
                print(f"peak memory {before} -> {peak()} MiB; {spent:.0f} s", flush=True)
        assert digest(case.top / "back/big") == item.digest
        print("what came back is the same, byte for byte")
        shutil.rmtree(case.top / "back")


if __name__ == "__main__":
    main()

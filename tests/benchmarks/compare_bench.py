"""The same workload on this package and on DPDispatcher, one after the other and over again; ratios, counts, growth.

    python tests/benchmarks/compare_bench.py build/bench/results.json [--quick]

DPDispatcher (newest on PyPI) is installed in a throw-away environment, and only run. Each figure is the median of
three, the packages in turns, so that other work on the machine hits both alike. With strace on PATH a run of its own
counts execs, processes and syncs, children included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

WORKLOAD = Path(__file__).with_name("workload.py")
ROOT = Path(__file__).parents[2]
#: What is counted: word of the results, system calls.
CALLS = {
    "execs": ("execve",),
    "processes": ("clone", "clone3", "fork", "vfork"),
    "syncs": ("fsync", "fdatasync", "sync", "syncfs"),
    "opens": ("open", "openat"),
}
_COUNTED = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", re.MULTILINE)
Figures = dict[str, float]


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def environment(top: Path) -> str:
    """A throw-away environment with DPDispatcher; its Python."""
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, top / "peer"], check=True)
    subprocess.run([uv, "pip", "install", "-q", "--python", top / "peer", "dpdispatcher"], check=True)
    return str(top / "peer/bin/python")


def once(python: str, package: str, what: str, jobs: int, place: Path, *wrap: str) -> Figures:
    """The workload in a process of its own."""
    command = [*wrap, python, str(WORKLOAD), package, what, str(jobs), str(place)]
    env = {**os.environ, "PYTHONPATH": str(ROOT) if package == "dispatcher" else ""}
    done = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    lines = done.stdout.strip().splitlines()
    found: Figures = json.loads(lines[-1]) if lines else {}
    return found


def counts(python: str, package: str, what: str, jobs: int, place: Path) -> Figures:
    """System calls of the workload and of all it starts; none without strace."""
    if not shutil.which("strace"):
        return {}
    out = place / "strace.txt"
    traced = ",".join(call for calls in CALLS.values() for call in calls)
    once(
        python,
        package,
        what,
        jobs,
        place,
        "strace",
        "-f",
        "-qq",
        "-c",
        "-e",
        f"trace=?{traced.replace(',', ',?')}",
        "-o",
        str(out),
    )
    seen = {name: int(number) for number, name in _COUNTED.findall(out.read_text())}
    return {word: sum(seen.get(call, 0) for call in calls) for word, calls in CALLS.items()}


def median(found: list[Figures]) -> Figures:
    """Of each figure."""
    return {name: round(statistics.median(one[name] for one in found), 3) for name in found[0]}


def both(pythons: dict[str, str], what: str, jobs: int, top: Path, times: int) -> dict[str, Figures]:
    """A workload on both packages, in turns, each time in a new place."""
    found: dict[str, list[Figures]] = {package: [] for package in pythons}
    counted: dict[str, Figures] = {}
    for nth in range(times + 1):
        for package, python in pythons.items():
            with tempfile.TemporaryDirectory(dir=top) as place:
                if nth < times:
                    found[package].append(once(python, package, what, jobs, Path(place)))
                else:
                    counted[package] = counts(python, package, what, jobs, Path(place))
    result = {package: {**median(each), **counted[package]} for package, each in found.items()}
    ours, theirs = result["dispatcher"], result["dpdispatcher"]
    cpu = [one["cpu"] + one["children"] for one in (ours, theirs)]
    ratios = cpu[0] / max(cpu[1], 1e-3), ours["wall"] / max(theirs["wall"], 1e-3)
    say(
        f"{what} {jobs:>6}: CPU with children {cpu[0]:.2f} s, {ratios[0]:.2f} x DPDispatcher; "
        f"wall {ours['wall']:.1f} s, {ratios[1]:.2f} x"
    )
    for word in CALLS:
        if word in ours:
            say(f"    {word:<10} {ours[word]:>8.0f}   DPDispatcher {theirs[word]:>8.0f}")
    return result


def resumed(jobs: int, top: Path, times: int) -> Figures:
    """A run of so many jobs, all running, resumed up to the first question to the batch system."""
    with tempfile.TemporaryDirectory(dir=top) as place:
        once(sys.executable, "dispatcher", "begin", jobs, Path(place))
        once(sys.executable, "dispatcher", "resume", jobs, Path(place))  # inputs that were made just now are read again
        found = median([once(sys.executable, "dispatcher", "resume", jobs, Path(place)) for _ in range(times)])
    say(
        f"resume {jobs:>6}: {found['cpu']:.2f} CPU s, peak {found['peak_mib']:.0f} MiB, "
        f"{found['read'] / 1e6:.1f} MB read"
    )
    return found


def main() -> None:
    """Run all, print ratios, write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("results", type=Path, help="the JSON file to write")
    parser.add_argument("--quick", action="store_true", help="a tenth of the sizes, each once")
    args = parser.parse_args()
    scale, times = (10, 1) if args.quick else (1, 3)
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        top = Path(folder)
        pythons = {"dispatcher": sys.executable, "dpdispatcher": environment(top)}
        results: dict[str, Any] = {"machine": machine(pythons)}
        for what, sizes in (("hash", (1_000, 10_000)), ("run", (10, 100))):
            results[what] = {
                str(jobs): both(pythons, what, jobs, top, times) for jobs in (s // scale or 1 for s in sizes)
            }
        results["resume"] = {str(jobs): resumed(jobs, top, times) for jobs in (10_000 // scale, 100_000 // scale)}
    for what in ("hash", "run", "resume"):
        growth(what, results[what])
    args.results.parent.mkdir(parents=True, exist_ok=True)
    args.results.write_text(json.dumps(results, indent=1) + "\n")
    say(f"written to {args.results}")


def growth(what: str, results: dict[str, Any]) -> None:
    """How much ten times as many jobs cost."""
    small, large = (one.get("dispatcher", one) for one in results.values())
    cost = [max(one["cpu"] + one["children"], 1e-3) for one in (small, large)]
    say(f"growth of {what}: {cost[1] / cost[0]:.1f} x the CPU for 10 x the jobs")


def machine(pythons: dict[str, str]) -> dict[str, str]:
    """What this was measured on."""
    version = "import importlib.metadata as m; print(m.version('dpdispatcher'))"
    peer = subprocess.run([pythons["dpdispatcher"], "-c", version], capture_output=True, text=True, check=True)
    return {
        "system": f"{platform.system()} {platform.release()}",
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "dpdispatcher": peer.stdout.strip(),
    }


if __name__ == "__main__":
    main()

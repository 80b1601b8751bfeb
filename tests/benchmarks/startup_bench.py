"""What it costs to ask: CPU of whole processes, user and system, the least of several runs.

python tests/benchmarks/startup_bench.py [SUBMISSIONS]

dispatcher --help                          aim 100 ms
status, logs, list of a small run          aim 150 ms
list over 500 submissions                  aim 1 s
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

RUNS = 7


def cost(words: list[str], where: Path) -> float:
    """Milliseconds of CPU of one command, the least of RUNS."""
    found = []
    for _ in range(RUNS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "dispatcher", *words], cwd=where, capture_output=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found) * 1000


def a_run(where: Path) -> Path:
    """Seven tasks, of which one fails; the directory of its submission."""
    tasks = [{"command": "exit 3" if nth == 6 else "true", "task_work_path": f"t{nth}"} for nth in range(7)]
    for task in tasks:
        (where / "runs" / task["task_work_path"]).mkdir(parents=True)
    machine = {"batch_type": "Shell", "context_type": "LazyLocal", "local_root": "./", "retry_count": 0}
    asked = {"work_base": "runs", "machine": machine, "resources": {"group_size": 7}, "task_list": tasks}
    (where / "submission.json").write_text(json.dumps(asked))
    command = [sys.executable, "-m", "dispatcher", "submit", "submission.json", "--check-interval", "1"]
    subprocess.run(command, cwd=where, capture_output=True, check=False)
    return next((where / "runs" / ".dispatcher").glob("*/journal")).parent


def main(many: int) -> None:
    """Print a line for each."""
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        (top / "one").mkdir()
        submission = a_run(top / "one")
        print(f"{cost(['--help'], top):6.0f} ms  --help (aim 100)")
        for verb in ("status", "logs", "list", "tasks"):
            print(f"{cost([verb, 'runs'], top / 'one'):6.0f} ms  {verb} (aim 150)")
        for nth in range(many):
            copy = top / "many" / f"p{nth}" / "runs" / ".dispatcher" / f"{nth:040x}"
            copy.parent.mkdir(parents=True)
            shutil.copytree(submission, copy)
        print(f"{cost(['list'], top / 'many'):6.0f} ms  list over {many} submissions (aim 1000)")


if __name__ == "__main__":
    os.environ["PYTHONDONTWRITEBYTECODE"] = ""
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)

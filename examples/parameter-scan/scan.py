"""A scan over two parameters: a directory for each pair, a table of what came out."""

import csv
from itertools import product
from pathlib import Path

from dispatcher import Machine, Resources, Submission, Task

WORK = Path("scan")
COMMAND = "awk '{print $1 * $1 + $2}' parameters > energy"

pairs = list(product([1.0, 2.0, 3.0], [0.5, 1.5]))
tasks = []
for a, b in pairs:
    folder = WORK / f"a{a}-b{b}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "parameters").write_text(f"{a} {b}\n")
    tasks.append(Task(COMMAND, folder.name, forward_files=["parameters"], backward_files=["energy"]))

machine = Machine(batch_type="Shell", context_type="LazyLocal", local_root="./", max_running=2)
resources = Resources(number_node=1, cpu_per_node=1, gpu_per_node=0, queue_name="", group_size=3)
Submission(str(WORK), machine, resources, task_list=tasks).run_submission(check_interval=1)

with Path("scan.csv").open("w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["a", "b", "energy"])
    table.writerows([a, b, (WORK / f"a{a}-b{b}" / "energy").read_text().strip()] for a, b in pairs)

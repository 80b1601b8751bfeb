"""Batch systems and a context as programs write them for DPDispatcher. Importing this registers them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from dispatcher import JobStatus, LocalContext, Machine, Resources, Shell, Submission, Task


class Spool(Machine):
    """A batch system as programs write one: a script by gen_script, an id from a command, a tag that tells success."""

    def gen_script_header(self, job: Any) -> str:
        return f"\n#!/bin/bash -l\n#SPOOL -q {job.resources.queue_name}"

    def do_submit(self, job: Any) -> str:
        name, noted = job.script_file_name, job.job_hash + "_job_id"
        self.context.write_file(fname=name, write_str=self.gen_script(job))
        command = f"cd {shlex.quote(self.context.remote_root)} && (setsid bash {name} > {name}.out 2>&1 & echo $!)"
        code, _, out, err = self.context.block_call(command)
        if code != 0:
            raise RuntimeError(err.read().decode())
        job_id = out.readlines()[0].strip()
        self.context.write_file(noted, job_id)
        return job_id

    def check_status(self, job: Any) -> JobStatus:
        if job.job_id == "":
            return JobStatus.unsubmitted
        code, *_ = self.context.block_call(f"kill -0 {job.job_id}")
        if code == 0:
            return JobStatus.running
        return JobStatus.finished if self.check_finish_tag(job) else JobStatus.terminated

    def check_finish_tag(self, job: Any) -> bool:
        return self.context.check_file_exists(job.job_hash + "_job_tag_finished")

    def kill(self, job: Any) -> None:
        self.context.block_call(f"kill -s KILL -- -{job.job_id}")

    def default_resources(self, resources: Any) -> None:
        pass


class Bare(Spool):
    """One whose script is its own: only its tag and its status tell of a job."""

    def gen_script(self, job: Any) -> str:
        lines = [f"(cd {task.task_work_path} && {task.command}) || exit 3" for task in job.job_task_list]
        return "\n".join(
            [f"cd {shlex.quote(self.context.remote_root)}", *lines, f": > {job.job_hash}_job_tag_finished"]
        )

    def get_exit_code(self, job: Any) -> int:
        return 3


class Flagged(Shell):
    """Ours, with another header, and a log of what it is asked."""

    asked: list[str] = []

    def gen_script_header(self, job: Any) -> str:
        return super().gen_script_header(job) + "#FLAG mine\n"

    def do_submit(self, job: Any) -> str:
        self.asked.append("do_submit")
        return super().do_submit(job)

    def check_status(self, job: Any) -> JobStatus:
        found = super().check_status(job)
        self.asked.append(found.name)
        return found


class Headed(Shell):
    """Ours, with another header only."""

    def gen_script_header(self, job: Any) -> str:
        return super().gen_script_header(job) + "#FLAG mine"


class Told(LocalContext):
    """A context that tells what it is asked."""

    told: list[str] = []

    def block_call(self, cmd: str) -> Any:
        self.told.append("block_call")
        return super().block_call(cmd)

    def upload(self, submission: Any, dereference: bool = True) -> None:
        self.told.append("upload")
        super().upload(submission, dereference)

    def download(self, *args: Any, **kwargs: Any) -> None:
        self.told.append("download")
        super().download(*args, **kwargs)


def asked(top: Path, machine: Machine, *commands: str, **how: Any) -> Submission:
    """A submission of these commands, a job each; every task leaves a line in `count`."""
    tasks = []
    for nth, command in enumerate(commands):
        (top / f"t{nth}").mkdir(exist_ok=True)
        count = f"echo {nth} >> {top / 'count'}; {command}; echo {nth} > out"
        tasks.append(Task(count, f"t{nth}", backward_files=["out"]))
    return Submission(".", machine, Resources(1, 1, 0, "short", 1), task_list=tasks, **how)

"""sbatch, squeue, sacct, scancel and scontrol of Slurm; their texts are those of fixtures/transcripts. No arrays.

sbatch --parsable --job-name=relax job.sh                   1001
squeue -h -a -t all -u 1000 -o '%i|%t|%N|%r|%j'             1001|R|batchhost|None|relax
sacct -n -P -D -S 2026-11-22 -o JobID,State,JobName -j 1001 1001|COMPLETED|relax
"""

from __future__ import annotations

import shlex
from pathlib import Path

from .queue import Call, JobOrder, Queue, Said, StandInJob, directives, seconds

_SHORT = {"COMPLETED": "CD", "FAILED": "F", "CANCELLED": "CA", "TIMEOUT": "TO", "OUT_OF_MEMORY": "OOM",
          "NODE_FAIL": "NF"}  # fmt: skip
_ENDS = {"deleted": "CANCELLED", "walltime": "TIMEOUT", "memory": "OUT_OF_MEMORY", "node": "NODE_FAIL"}
_FULL = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"


class SlurmStandIn:
    """The controller and its accounting."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue

    def down(self, command: str) -> Said:
        """Nobody answers."""
        why = "Unable to contact slurm controller (connect failure)"
        words = {
            "squeue": f"slurm_load_jobs error: {why}",
            "sbatch": f"sbatch: error: Batch job submission failed: {why}",
        }
        return Said(1, "", f"{words.get(command, f'{command}: error: {why}')}\n")

    def answer(self, call: Call) -> Said:
        """One command."""
        commands = {"sbatch": self.sbatch, "squeue": self.squeue, "sacct": self.sacct, "scancel": self.scancel}
        return {**commands, "scontrol": self.scontrol}[call.command](call)

    def sbatch(self, call: Call) -> Said:
        """The options of the command win over those of the script, which is named last."""
        script = (Path(call.cwd) / call.args[-1]).read_text()
        words = [word for line in directives(script, "#SBATCH") for word in shlex.split(" ".join(line))]
        found = _options([*words, *call.args[:-1]])
        if found.get("--partition", "").startswith("nosuch"):
            why = f"invalid partition specified: {found['--partition']}"
            failed = "Batch job submission failed: Invalid partition name specified"
            return Said(1, "", f"sbatch: error: {why}\nsbatch: error: {failed}\n")
        name = found.get("--job-name", Path(call.args[-1]).name)
        env = {"SLURM_JOB_ID": "{id}", "SLURM_JOB_NAME": name, "SLURM_SUBMIT_DIR": call.cwd}
        log = found.get("--output", "").replace("%%", "%")
        order = JobOrder(name, found.get("--partition", "main"), script, call.cwd, log, env, held="--hold" in found)
        order.walltime = _limit(found["--time"]) if "--time" in found else None
        taken = self.queue.submit(order)
        if taken is None:
            limit = "sbatch: error: QOSMaxSubmitJobPerUserLimit"
            return Said(1, "", f"{limit}\nsbatch: error: Batch job submission failed: {_FULL}\n")
        if not taken.answered:
            why = "Socket timed out on send/recv operation"
            return Said(1, "", f"sbatch: error: Batch job submission failed: {why}\n")
        return Said(0, f"{taken.number}\n" if "--parsable" in found else f"Submitted batch job {taken.number}\n")

    def _state(self, job: StandInJob) -> str:
        if job.state != "F":
            return {"Q": "PENDING", "H": "PENDING", "R": "RUNNING", "E": "COMPLETING"}[job.state]
        return _ENDS.get(job.why, "FAILED" if job.code or job.signal else "COMPLETED")

    def squeue(self, call: Call) -> Said:
        """In the format that is asked for; what has ended only with -t all."""
        past = call.option("-t") == "all" and not self.queue.wrong("history_off")
        short = {"PENDING": "PD", "RUNNING": "R", "COMPLETING": "CG"} | _SHORT
        lines = []
        for job in (job for job in self.queue.jobs() if past or job.state != "F"):
            node = self.queue.host if job.started else ""
            why = "JobHeldUser" if job.state == "H" else "Priority" if job.state == "Q" else "None"
            facts = {"%i": str(job.number), "%F": str(job.number), "%t": short[self._state(job)], "%N": node, "%r": why}
            line = call.option("-o") or "%i|%t|%N|%r|%j"
            for sign, text in [*facts.items(), ("%j", job.name)]:
                line = line.replace(sign, text)
            lines.append(f"{line}\n")
        return Said(0, "".join(lines))

    def sacct(self, call: Call) -> Said:
        """By id, or all of a user."""
        if self.queue.wrong("history_off"):
            return Said(0, "", "Slurm accounting storage is disabled\n")
        ids = (call.option("-j") or "").split(",")
        fields = (call.option("-o") or "JobID,State,ExitCode,JobName").split(",")
        jobs = [job for job in self.queue.jobs() if "-j" not in call.args or str(job.number) in ids]
        return Said(0, "".join("|".join(self._fact(job, field) for field in fields) + "\n" for job in jobs))

    def _fact(self, job: StandInJob, field: str) -> str:
        ended = job.state == "F"
        by = " by 1000" if job.why == "deleted" else ""
        return {
            "JobID": str(job.number), "State": self._state(job) + by, "JobName": job.name, "User": job.user,
            "ExitCode": f"{job.code}:{job.signal}" if ended else "0:0", "DerivedExitCode": "0:0" if ended else "",
            "ElapsedRaw": str(job.elapsed), "NodeList": self.queue.host if job.started else "None assigned",
        }.get(field, "")  # fmt: skip

    def scontrol(self, call: Call) -> Said:
        """hold and release, of ids with commas."""
        what, ids = call.args[-2:]
        known, said = {str(job.number): job for job in self.queue.jobs()}, Said()
        for id in ids.split(","):
            if id in known and known[id].state in "QH":
                self.queue.hold(known[id].number, held=what == "hold")
            else:
                said = Said(1, "", f"{said.err}Invalid job id specified for job {id}\n")
        return said

    def scancel(self, call: Call) -> Said:
        """Each of these ids; what is over is passed over."""
        known, said = {str(job.number): job for job in self.queue.jobs()}, Said()
        for id in (word for word in call.args if word[:1].isdigit()):
            if id not in known:
                said.code, said.err = (
                    1,
                    f"{said.err}scancel: error: Kill job error on job id {id}: Invalid job id specified\n",
                )
            elif known[id].state != "F":
                self.queue.end(known[id].number)
        return said


def _options(words: list[str]) -> dict[str, str]:
    """--name value, --name=value and flags, by name."""
    found: dict[str, str] = {}
    for nth, word in enumerate(words):
        if word.startswith("-"):
            name, sign, value = word.partition("=")
            following = words[nth + 1] if nth + 1 < len(words) and not words[nth + 1].startswith("-") else ""
            found[name] = value if sign else following
    return found


def _limit(text: str) -> float:
    """minutes, minutes:seconds, [days-]hours:minutes:seconds"""
    days, _, rest = text.rpartition("-")
    return int(days or 0) * 86400 + (seconds(rest) if ":" in rest else float(rest) * (3600 if days else 60))

"""bsub, bjobs, bhist and bkill of LSF; jsub, jjobs, jhist and jctrl of JH_UniScheduler; by their command references.

bsub -J relax < job.sh                                     Job <1001> is submitted to queue <normal>.
bjobs -a -u jane -noheader -o "jobid stat delimiter='|'"   1001|RUN
bhist -l 1001                                              Job <1001>, Job Name <relax>, …
"""

from __future__ import annotations

import shlex
from typing import ClassVar

from .queue import Call, JobOrder, Queue, Said, StandInJob, directives

_KNOWN = frozenset(
    [
        "-J",
        "-n",
        "-R",
        "-W",
        "-M",
        "-q",
        "-P",
        "-o",
        "-e",
        "-gpu",
        "-gpgpu",
        "-x",
        "-m",
        "-w",
        "-E",
        "-sp",
        "-B",
        "-N",
        "-r",
        "-H",
        "-i",
        "-cwd",
        "-L",
        "-app",
        "-G",
        "-U",
    ]
)
_FLAGS = {"-x", "-B", "-N", "-r", "-H"}


class LSFStandIn:
    """LSF."""

    MARK: ClassVar[str] = "#BSUB"
    PREFIX: ClassVar[str] = "LSB"
    SUBMITTED: ClassVar[str] = "Job <{number}> is submitted to {kind} queue <{queue}>.\n"
    ASKS: ClassVar[dict[str, str]] = {"bsub": "sub", "bjobs": "jobs", "bhist": "hist", "bkill": "kill"}
    ASKS |= {"bstop": "stop", "bresume": "resume"}
    HEADER: ClassVar[bool] = False
    REASONS: ClassVar[bool] = True

    def __init__(self, queue: Queue) -> None:
        self.queue = queue

    def down(self, command: str) -> Said:
        """Nobody answers."""
        return Said(255, "", "Failed in an LSF library call: Slave LIM configuration is not ready yet: LSF is down\n")

    def answer(self, call: Call) -> Said:
        """One command."""
        requests = {"sub": self.sub, "jobs": self.jobs, "hist": self.hist, "kill": self.kill}
        return {**requests, "stop": self.stop, "resume": self.stop}[self.ASKS[call.command]](call)

    # -- submitting ---------------------------------------------------------------------------------------------

    def sub(self, call: Call) -> Said:
        """The script comes on standard input; the options of the command win."""
        script = call.stdin()
        words = [word for line in directives(script, self.MARK) for word in shlex.split(" ".join(line))] + call.args
        found: dict[str, str] = {}
        while words:
            option = words.pop(0)
            if option not in _KNOWN or (option not in _FLAGS and not words):
                return Said(255, "", f"{option[1:]}: Illegal option. Job not submitted.\n")
            found[option] = "" if option in _FLAGS else words.pop(0)
        if wrong := self._refused(found):
            return Said(255, "", wrong)
        name, queue = found.get("-J", "NONAME"), found.get("-q", "normal")
        env = {f"{self.PREFIX}_JOBID": "{id}", f"{self.PREFIX}_JOBNAME": name, f"{self.PREFIX}_QUEUE": queue}
        order = JobOrder(
            name, queue, script, call.cwd, found.get("-o", "").replace("%J", "{id}"), env, held="-H" in found
        )
        order.walltime = _minutes(found["-W"]) * 60 if "-W" in found else None
        taken = self.queue.submit(order)
        if taken is None:
            return Said(255, "", "User <u>: Pending job threshold reached. Job not submitted.\n")
        if not taken.answered:
            return Said(255, "", "Failed in receiving the reply: Connection reset by peer\n")
        kind = "queue" if "-q" in found else "default"
        return Said(
            0, self.SUBMITTED.format(number=taken.number, kind=kind, queue=queue).replace("queue queue", "queue")
        )

    def _refused(self, found: dict[str, str]) -> str:
        if found.get("-q", "").startswith("nosuch"):
            return f"{found['-q']}: No such queue. Job not submitted.\n"
        if not found.get("-n", "1").isdigit():
            return f"{found['-n']}: Bad processor number. Job not submitted.\n"
        if not found.get("-W", "1").replace(":", "").isdigit():
            return f"{found['-W']}: Bad RUNLIMIT specification. Job not submitted.\n"
        return ""

    # -- looking ------------------------------------------------------------------------------------------------

    def jobs(self, call: Call) -> Said:
        """Those of a user in the fields that are asked for; that there is none is an error."""
        if "-o" not in call.args:
            return self._wide(call)
        fields = (call.option("-o") or "").split()
        fields, sign = [field for field in fields if "=" not in field], "|"
        listed = self._listed(call)
        if not listed:
            return Said(255, "", "No job found\n" if "-a" in call.args else "No unfinished job found\n")
        head = [] if "-noheader" in call.args and not self.HEADER else [sign.join(field.upper() for field in fields)]
        rows = [sign.join(self._field(job, field) for field in fields) for job in listed]
        return Said(0, "".join(f"{line}\n" for line in [*head, *rows]))

    def _listed(self, call: Call) -> list[StandInJob]:
        past = "-a" in call.args and not self.queue.wrong("history_off")
        user = call.option("-u")
        return [job for job in self.queue.jobs() if user in (None, "all", job.user) and (past or job.state != "F")]

    def _wide(self, call: Call) -> Said:
        """The list as it was before fields could be chosen (`-w`: names are whole)."""
        lines = ["JOBID   USER    STAT  QUEUE      FROM_HOST   EXEC_HOST   JOB_NAME   SUBMIT_TIME"]
        for job in self._listed(call):
            host = f"4*{self.queue.host}" if job.started else "-"
            words = (job.number, job.user, self._stat(job), job.queue, self.queue.host, host, job.name, "Nov 22 10:00")
            lines.append("   ".join(map(str, words)))
        return Said(0, "".join(f"{line}\n" for line in lines)) if lines[1:] else Said(255, "", "No job found\n")

    def _stat(self, job: StandInJob) -> str:
        if job.state != "F":
            return "UNKWN" if job.lost else {"Q": "PEND", "R": "RUN", "E": "RUN", "H": "PSUSP"}[job.state]
        return "DONE" if not (job.code or job.signal or job.why) else "EXIT"

    def _status(self, job: StandInJob) -> int:
        return 130 if job.why in ("deleted", "walltime", "memory") else 128 + job.signal if job.signal else job.code

    def _reason(self, job: StandInJob) -> str:
        return {
            "deleted": "TERM_OWNER: job killed by owner",
            "walltime": "TERM_RUNLIMIT: job killed after reaching LSF run time limit",
            "memory": "TERM_MEMLIMIT: job killed after reaching LSF memory usage limit",
            "node": "TERM_ZOMBIE: job exited while LSF is not available",
        }.get(job.why, "")

    def _field(self, job: StandInJob, name: str) -> str:
        exited = self._stat(job) == "EXIT"
        return {
            "jobid": str(job.number), "stat": self._stat(job), "job_name": job.name, "user": job.user,
            "queue": job.queue, "from_host": self.queue.host, "pend_reason": "-",
            "exec_host": f"4*{self.queue.host}" if job.started else "-",
            "exit_code": str(self._status(job)) if exited else "-",
            "exit_reason": (self._reason(job) or "-") if exited else "-",
            "run_time": f"{job.elapsed} second(s)", "max_mem": "12 Mbytes",
        }.get(name, "-")  # fmt: skip

    def hist(self, call: Call) -> Said:
        """The life of each job that is asked for, in lines of at most eighty letters."""
        reported = [self._life(job) for job in self.queue.jobs() if str(job.number) in call.args]
        return Said(0, "".join(reported)) if reported else Said(255, "", "No matching job found\n")

    def _life(self, job: StandInJob) -> str:
        head = f"Job <{job.number}>, Job Name <{job.name}>, User <{job.user}>, Project <default>"
        lines = [head[:70], f"{'':21}{head[70:]}", f"Sun Nov 22 10:00:00: Submitted from host <{self.queue.host}>;"]
        if self._stat(job) == "DONE":
            lines.append("Sun Nov 22 10:00:02: Done successfully. The CPU time used is 0.1 seconds;")
        elif self._stat(job) == "EXIT":
            reported = (
                f"with exit code {self._status(job)}"
                if self._status(job) < 128
                else f"by signal {self._status(job) - 128}"
            )
            why = f"; Completed <exit>; {self._reason(job)}" if self._reason(job) and self.REASONS else ""
            lines.append(f"Sun Nov 22 10:00:02: Exited {reported}. The CPU time used is 0.1 seconds{why};")
        return "\n".join([*lines, "", ""])

    def stop(self, call: Call) -> Said:
        """bstop and bresume of what waits."""
        said = Said()
        for id in call.args:
            self.queue.hold(int(id), held=call.command == "bstop")
            said.out += f"Job <{id}> is being {'stopped' if call.command == 'bstop' else 'resumed'}\n"
        return said

    def kill(self, call: Call) -> Said:
        """Each of these ids."""
        known, said = {str(job.number): job for job in self.queue.jobs()}, Said()
        for id in (word for word in call.args if word[:1].isdigit()):
            if id not in known:
                said.code, said.err = 255, f"{said.err}Job <{id}>: No matching job found\n"
            elif known[id].state == "F":
                said.code, said.err = 255, f"{said.err}Job <{id}>: Job has already finished\n"
            else:
                self.queue.end(known[id].number)
                said.out += f"Job <{id}> is being terminated\n"
        return said


class JHStandIn(LSFStandIn):
    """JH_UniScheduler: the same in other words; of what has ended it tells an exit code only."""

    MARK: ClassVar[str] = "#JSUB"
    PREFIX: ClassVar[str] = "JH"
    SUBMITTED: ClassVar[str] = "Job <{number}> has been submitted to {kind} queue <{queue}>.\n"
    ASKS: ClassVar[dict[str, str]] = {"jsub": "sub", "jjobs": "jobs", "jhist": "hist", "jctrl": "kill"}
    HEADER: ClassVar[bool] = True
    REASONS: ClassVar[bool] = False


def _minutes(text: str) -> float:
    """[hours:]minutes"""
    hours, _, minutes = text.rpartition(":")
    return int(hours or 0) * 60 + int(minutes)

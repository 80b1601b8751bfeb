"""qsub, qstat, qdel and qselect of OpenPBS and of Torque; their texts are those of fixtures/transcripts.

    qsub -N relax job.sh                 1001.batchhost
    qstat -u jane -s -w                  1001.batchhost  jane  workq  relax  --  1  1  --  --  R  00:00
    qstat -x -f 1001.batchhost           Job Id: 1001.batchhost … Exit_status = 0

OpenPBS forgets nothing unless history is off, asks for a privileged port for
each id (500 in a minute, then it fails), and dies of a qdel that names a queued
and then an unknown job.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from .queue import Call, JobOrder, Queue, Said, StandInJob, clock, directives, seconds

#: Privileged ports in a minute (71-measure-ports).
PORTS = 500

_FLAGS = {"-h", "-V", "-z", "-I", "-X", "-f"}
_VALUES = frozenset(
    [
        "-a",
        "-A",
        "-c",
        "-C",
        "-e",
        "-j",
        "-J",
        "-k",
        "-l",
        "-m",
        "-M",
        "-N",
        "-o",
        "-p",
        "-P",
        "-q",
        "-r",
        "-R",
        "-S",
        "-u",
        "-W",
        "-v",
        "-d",
    ]
)
_NO_HISTORY = "PBS is not configured to maintain job history\n"
_TOO_MANY = (
    "qsub: submit error (Maximum number of jobs already in queue for user MSG=total number of current user's jobs "
    "exceeds the queue limit: user u@batchhost, queue workq)\n"
)
_USAGE = "usage: qsub [-a date_time] [-A account_string] [-c interval] … [script | -- command [arg1 ...]]\n"


class PBSStandIn:
    """OpenPBS."""

    DOWN: ClassVar[str] = "Connection refused\n{command}: cannot connect to server {host} (errno=15010)\n"
    DOWN_CODES: ClassVar[tuple[int, int]] = (255, 162)  # qstat; qsub and qdel
    UNKNOWN: ClassVar[str] = "qstat: Unknown Job Id {id}\n"
    GONE: ClassVar[str] = "qdel: Unknown Job Id {id}\n"
    OVER: ClassVar[tuple[int, str]] = (35, "qdel: Job has finished {id}\n")
    FULL: ClassVar[tuple[int, str]] = (38, "qsub: would exceed queue generic's per-user limit\n")
    QUEUES: ClassVar[tuple[int, str]] = (170, "qsub: Unknown queue\n")
    LIMIT: ClassVar[tuple[int, str]] = (166, "qsub: Illegal attribute or resource value Resource_List.{name}\n")
    OVER_STATE: ClassVar[str] = "F"
    STATUS: ClassVar[str] = "Exit_status"
    COUNT: ClassVar[str] = "run_count"
    CHUNKS: ClassVar[tuple[str, ...]] = ("nodes", "ncpus", "mem")

    def __init__(self, queue: Queue) -> None:
        self.queue = queue

    def down(self, command: str) -> Said:
        """Nobody answers."""
        code = self.DOWN_CODES[command in ("qsub", "qdel")]
        return Said(code, "", self.DOWN.format(command=command, host=self.queue.host))

    def answer(self, call: Call) -> Said:
        """One command."""
        commands = {"qsub": self.qsub, "qstat": self.qstat, "qdel": self.qdel, "qselect": self.qselect}
        return commands[call.command](call)

    def _id(self, job: StandInJob) -> str:
        return f"{job.number}.{self.queue.host}"

    def _whole(self, id: str) -> str:
        return id if "." in id else f"{id}.{self.queue.host}"

    # -- qsub ---------------------------------------------------------------------------------------------------

    def qsub(self, call: Call) -> Said:
        """Options of the command win over those of the script; the first wrong one is complained of."""
        words, file = _options(call.args)
        script = call.stdin() if file in ("", "-") else (Path(call.cwd) / file).read_text()
        found: dict[str, list[str]] = {}
        for option, value in [*(pair for line in directives(script, "#PBS") for pair in _options(line)[0]), *words]:
            if complaint := _unfit(option, value):
                return complaint
            found.setdefault(option, []).append(value)
        limits = dict(part.partition("=")[::2] for text in found.get("-l", []) for part in text.split(","))
        if wrong := self._refused(limits, found.get("-q", [""])[-1]):
            return wrong
        name, queue = found.get("-N", [Path(file).name or "STDIN"])[-1], found.get("-q", ["workq"])[-1]
        order = JobOrder(name, queue, script, str(Path.home()), _path(found), self._env(call, name, queue))
        order.walltime = seconds(limits["walltime"]) if "walltime" in limits else None
        order.held = "-h" in found
        taken = self.queue.submit(order)
        if taken is None:
            return Said(self.FULL[0], "", self.FULL[1])
        if not taken.answered:
            return Said(1, "", "qsub: Premature end of message\n")
        return Said(0, f"{taken.number}.{self.queue.host}\n")

    def _env(self, call: Call, name: str, queue: str) -> dict[str, str]:
        return {
            "PBS_JOBID": f"{{id}}.{self.queue.host}", "PBS_JOBNAME": name, "PBS_O_WORKDIR": call.cwd,
            "PBS_ENVIRONMENT": "PBS_BATCH", "PBS_QUEUE": queue, "PBS_O_HOST": self.queue.host,
        }  # fmt: skip

    def _refused(self, limits: dict[str, str], queue: str) -> Said | None:
        if queue.startswith("nosuch"):
            return Said(self.QUEUES[0], "", self.QUEUES[1])
        beside = [name for name in limits if name in self.CHUNKS and "select" in limits]
        if beside:
            why = f'"-lresource=" cannot be used with "select" or "place", resource is: {beside[0]}'
            return Said(5, "", f"qsub: {why}\n")
        if not re.fullmatch(r"[\d:.]+", limits.get("walltime", "0")):
            return Said(self.LIMIT[0], "", self.LIMIT[1].format(name="walltime"))
        return None

    # -- qstat --------------------------------------------------------------------------------------------------

    def _listed(self, past: bool) -> list[StandInJob]:
        past = past and not self.queue.wrong("history_off")
        return [job for job in self.queue.jobs() if past or job.state != "F"]

    def qstat(self, call: Call) -> Said:
        """The list, the list of a user, or full records."""
        flags = "".join(word[1:] for word in call.args if word.startswith("-"))
        ids = [word for word in _words(call.args, ("-u", "-F")) if word[:1].isdigit()]
        if "x" in flags and self.queue.wrong("history_off"):
            return Said(0, "", _NO_HISTORY)
        if ids and self.queue.spent("ports", len(ids)) > PORTS:
            return Said(255, "", "pbs_iff: all reserved ports in use\npbs_iff: cannot connect to host\n")
        said, jobs = self._found(ids, "x" in flags) if ids else (Said(), self._listed("x" in flags))
        user = call.option("-u")
        jobs = [job for job in jobs if user in (None, job.user)]
        if jobs and "f" in flags:
            said.out = "\n".join(map(self._record, jobs))
        elif jobs:
            said.out = (
                self._list(jobs, "s" in flags, "w" in flags) if {"u", "s", "a"} & set(flags) else self._short(jobs)
            )
        return said

    def _found(self, ids: Sequence[str], past: bool) -> tuple[Said, list[StandInJob]]:
        """The jobs of these ids, and what is said of the others."""
        known, said, jobs = {self._id(job): job for job in self._listed(past=True)}, Said(), []
        for id in map(self._whole, ids):
            if id not in known:
                said = Said(153, "", said.err + self.UNKNOWN.format(id=id))
            elif known[id].state == "F" and not past and self.OVER_STATE == "F":
                why = f"{id} Job has finished, use -x or -H to obtain historical job information"
                said = Said(said.code or 35, "", f"{said.err}qstat: {why}\n")
            else:
                jobs.append(known[id])
        return said, jobs

    def _code(self, job: StandInJob) -> str:
        return self.OVER_STATE if job.state == "F" else job.state

    def _short(self, jobs: Sequence[StandInJob]) -> str:
        head = "Job id            Name             User              Time Use S Queue\n"
        rule = "----------------  ---------------- ----------------  -------- - -----\n"
        return head + rule + "".join(
            f"{self._id(job)[:16]:16}  {job.name[:16]:16} {job.user[:16]:16}  {clock(job.elapsed):>8} "
            f"{self._code(job)} {job.queue:16}\n" for job in jobs
        )  # fmt: skip

    def _list(self, jobs: Sequence[StandInJob], comments: bool, wide: bool) -> str:
        most = 15 if wide else 10
        lines = [
            f"\n{self.queue.host}: ",
            f"{'':60}Req'd  Req'd   Elap",
            "Job ID          Username Queue    Jobname    SessID NDS TSK Memory Time  S Time",
            "--------------- -------- -------- ---------- ------ --- --- ------ ----- - -----",
        ]
        for job in jobs:
            name = job.name if len(job.name) <= most else f"{job.name[: most - 1]}*"
            shown = f"{self._id(job):15} {job.user[:most]:8} {job.queue[:most]:8} {name:{most}}"
            lines.append(f"{shown}    --    1   1    --    --  {self._code(job)}   -- ")
            lines += [f"   {self._comment(job)}"] * comments
        return "\n".join([*lines, ""])

    def _comment(self, job: StandInJob) -> str:
        if job.started is None:
            return "Not Running: Not enough free nodes available"
        end = {
            "deleted": f" and terminated by {job.user}@{self.queue.host}",
            "walltime": " and exceeded resource walltime",
        }
        return f"Job run at Sun Nov 22 at 10:25 on ({self.queue.host}:ncpus=1){end.get(job.why, '')}"

    # -- records ------------------------------------------------------------------------------------------------

    def _record(self, job: StandInJob) -> str:
        lines = [f"Job_Name = {job.name}", f"Job_Owner = {job.user}@{self.queue.host}"]
        if job.state == "F" and job.started:
            lines += [f"resources_used.walltime = {clock(job.elapsed)}", "resources_used.mem = 7344kb"]
        lines += [f"job_state = {self._code(job)}", f"queue = {job.queue}", f"server = {self.queue.host}"]
        lines += [f"exec_host = {self.queue.host}/0"] * (job.started is not None)
        lines.append("Variable_List = PBS_O_HOME=/home/u,PBS_O_LANG=C.UTF-8,\n\tPBS_O_SHELL=/bin/bash")
        lines += [f"{self.COUNT} = {job.runs}"] * (job.runs > 0)
        lines += self._ending(job) if job.state == "F" else []
        return "\n".join([f"Job Id: {self._id(job)}", *(f"    {line}" for line in lines), ""])

    def _ending(self, job: StandInJob) -> list[str]:
        comment = self._comment(job).replace(" exceeded resource", " exceeded\n\tresource")
        status = self._status(job)
        reported = [f"{self.STATUS} = {status}"] if status is not None else []
        substate = 91 if job.why == "deleted" else 92 if status == 0 else 93
        return [f"comment = {comment}", f"substate = {substate}", *reported]

    def _status(self, job: StandInJob) -> int | None:
        """Exit_status alone is not enough: that of a deleted job is one of many."""
        if job.why == "deleted":
            return (271, 143, 265, 0)[job.number % 4] if job.started else None
        own = {"walltime": -29, "memory": -27, "node": -4}
        return own.get(job.why, 128 + job.signal if job.signal else job.code)

    # -- qdel and qselect ---------------------------------------------------------------------------------------

    def qdel(self, call: Call) -> Said:
        """One by one; a queued one and then an unknown one are the end of the server."""
        known, said = {self._id(job): job for job in self._listed(past=True)}, Said()
        queued = False
        for id in map(self._whole, (word for word in call.args if not word.startswith("-"))):
            job = known.get(id)
            if job is None and queued and self.OVER_STATE == "F":
                self.queue.crash(f"qdel of a queued and an unknown job: {' '.join(call.args)}")
                return Said()
            if job is None:
                said = Said(153, "", said.err + self.GONE.format(id=id))
            elif job.state == "F":
                said = Said(self.OVER[0], "", said.err + self.OVER[1].format(id=id))
            elif not self.queue.end(job.number):
                said = Said(222, "", f"{said.err}qdel: Server could not connect to MOM {id}\n")
            queued = queued or (job is not None and job.state == "Q")
        return said

    def qselect(self, call: Call) -> Said:
        """Ids by user, name and states."""
        user, name, states = call.option("-u"), call.option("-N"), call.option("-s")
        jobs = self._listed("-x" in call.args or self.OVER_STATE == "C")
        found = [job for job in jobs if user in (None, job.user) and name in (None, job.name)]
        return Said(0, "".join(f"{self._id(job)}\n" for job in found if states is None or self._code(job) in states))


class TorqueStandIn(PBSStandIn):
    """Torque: other words, and what has ended is listed as C for keep_completed seconds."""

    DOWN: ClassVar[str] = (
        "Error communicating with {host}(127.0.0.1)\n"
        "Unable to communicate with {host}(127.0.0.1)\nCannot connect to specified server host '{host}'.\n"
        "{command}: cannot connect to server {host} (errno=111) Connection refused\n"
    )
    DOWN_CODES: ClassVar[tuple[int, int]] = (111, 111)
    UNKNOWN: ClassVar[str] = "qstat: Unknown Job Id Error {id}\n"
    GONE: ClassVar[str] = "qdel: nonexistent job id: {id}\n"
    OVER: ClassVar[tuple[int, str]] = (
        170, "qdel: Request invalid for state of job MSG=invalid state for job - COMPLETE {id}\n"
    )  # fmt: skip
    FULL: ClassVar[tuple[int, str]] = (
        228,
        _TOO_MANY,
    )
    QUEUES: ClassVar[tuple[int, str]] = (172, "qsub: submit error (Unknown queue MSG=requested queue not found)\n")
    LIMIT: ClassVar[tuple[int, str]] = (168, "qsub: submit error (Illegal attribute or resource value {name})\n")
    OVER_STATE: ClassVar[str] = "C"
    STATUS: ClassVar[str] = "exit_status"
    COUNT: ClassVar[str] = "start_count"
    CHUNKS: ClassVar[tuple[str, ...]] = ()  # a select beside anything is taken without a word, and without effect

    def _listed(self, past: bool) -> list[StandInJob]:
        return super()._listed(past=True)

    def _list(self, jobs: Sequence[StandInJob], comments: bool, wide: bool) -> str:
        lines = [
            f"\n{self.queue.host}: ",
            f"{'':78}Req'd       Req'd       Elap",
            f"{'Job ID':23} {'Username':11} {'Queue':8} {'Jobname':16} SessID  NDS   TSK   Memory      Time    S",
            " ".join("-" * width for width in (23, 11, 8, 16, 6, 5, 6, 9, 9, 1, 9)),
        ]
        for job in jobs:
            shown = f"{self._id(job)[:23]:23} {job.user[:11]:11} {job.queue[:8]:8} {job.name[:16]:16}"
            lines.append(f"{shown}     --      1      1       --        --  {self._code(job)}       -- ")
            lines += [f"   {self._comment(job)}"] * comments
        return "\n".join([*lines, ""])

    def _comment(self, job: StandInJob) -> str:
        return "Not Running: Draining system" if job.started is None else "Job started on Sun Nov 22 at 11:26"

    def _ending(self, job: StandInJob) -> list[str]:
        status = self._status(job)
        return [f"{self.STATUS} = {status}"] if status is not None else []

    def _status(self, job: StandInJob) -> int | None:
        own = {"walltime": -11, "memory": -10, "deleted": 271 if job.started else None}
        return own[job.why] if job.why in own else super()._status(job)


def _options(words: Sequence[str]) -> tuple[list[tuple[str, str]], str]:
    """Options with their values ("" where one is missing), and the script behind them."""
    found, rest = [], list(words)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        option = rest.pop(0)
        option, value = option[:2], option[2:]
        if option in _VALUES and not value:
            value = rest.pop(0) if rest else ""
        found.append((option, value))
    return found, rest[0] if rest else ""


def _unfit(option: str, value: str) -> Said | None:
    """What qsub says of an option it cannot take."""
    if option not in _VALUES | _FLAGS:
        return Said(2, "", f"qsub: invalid option -- '{option[1:]}'\n{_USAGE}")
    if option in _VALUES and not value:
        return Said(1, "", f"qsub: option requires an argument -- '{option[1:]}'\n{_USAGE}")
    if option == "-N" and not re.fullmatch(r"[\w+.-]{1,236}", value, re.ASCII):
        return Said(2, "", f"qsub: illegal -N value\n{_USAGE}")
    return None


def _path(found: dict[str, list[str]]) -> str:
    return found.get("-o", [""])[-1].rpartition(":")[2]


def _words(args: Sequence[str], valued: tuple[str, ...]) -> list[str]:
    """What is neither an option nor the value of one."""
    return [
        word
        for before, word in zip(["", *args], args, strict=False)
        if not word.startswith("-") and before not in valued
    ]

"""qsub, qstat, qdel and qselect of OpenPBS and of Torque; their texts are those of fixtures/transcripts.

    qsub -N relax job.sh                 1001.batchhost
    qstat -u jane -s -w                  1001.batchhost  jane  workq  relax  --  1  1  --  --  R  00:00
    qstat -x -f 1001.batchhost           Job Id: 1001.batchhost … Exit_status = 0

OpenPBS forgets nothing unless history is off, asks for a privileged port for
each id (500 in a minute, then it fails), and dies of a qdel that names a queued
and then an unknown job. Torque lists what has ended as C. A job of a queue
`batch@other` is known to the server `other` alone: 1001.other.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from . import arrays
from .qsub import QsubOptions, RefusedError, Request, TorqueOptions
from .queue import Call, JobOrder, Queue, Said, StandInJob, clock, directives, seconds

#: Privileged ports in a minute (71-measure-ports).
PORTS = 500

_ID = re.compile(r"\d+(?:\[\d*\])?(?:\.[\w.-]+)?", re.ASCII)
_QDEL_USAGE = "usage:\n\tqdel [-W force|suppress_email=X] [-x] job_identifier...\n\tqdel --version\n"
_CANNOT_RESOLVE = (
    "Can not resolve name for server {asked}. (rc = -1 - )\nCannot resolve specified server host '{asked}'.\n"
    "qsub: cannot connect to server {asked} (errno=15010) Access from host not allowed, or unknown host\n"
)
#: What the log of a job is told when its run time is over.
_KILLED = "=>> PBS: job killed: walltime {ran} exceeded limit {limit}\n"
_NO_HISTORY = "PBS is not configured to maintain job history\n"
_TOO_MANY = (
    "qsub: submit error (Maximum number of jobs already in queue for user MSG=total number of current user's jobs "
    "exceeds the queue limit: user u@batchhost, queue workq)\n"
)


class PBSStandIn:
    """OpenPBS."""

    DOWN: ClassVar[str] = "Connection refused\n{command}: cannot connect to server {host} (errno=15010)\n"
    DOWN_CODES: ClassVar[tuple[int, int]] = (255, 162)  # qstat; qsub and qdel
    UNKNOWN: ClassVar[str] = "qstat: Unknown Job Id {id}\n"
    GONE: ClassVar[str] = "qdel: Unknown Job Id {id}\n"
    OVER: ClassVar[tuple[int, str]] = (35, "qdel: Job has finished {id}\n")
    FULL: ClassVar[tuple[int, str]] = (38, "qsub: would exceed queue generic's per-user limit\n")
    QUEUES: ClassVar[tuple[int, str]] = (170, "qsub: Unknown queue\n")
    UNKNOWN_SERVER: ClassVar[tuple[int, str]] = (
        160, "Unknown Host.\nqsub: cannot connect to server {host} (errno=15008)\n"
    )  # fmt: skip
    DISABLED: ClassVar[tuple[int, str]] = (173, "qsub: Queue is not enabled\n")
    OPTIONS: ClassVar[type[QsubOptions]] = QsubOptions
    INDEX: ClassVar[str] = "PBS_ARRAY_INDEX"
    BEGUN: ClassVar[str] = "B"
    OVER_STATE: ClassVar[str] = "F"
    STATUS: ClassVar[str] = "Exit_status"
    COUNT: ClassVar[str] = "run_count"

    def __init__(self, queue: Queue) -> None:
        self.queue = queue

    def down(self, command: str) -> Said:
        """Nobody answers."""
        code = self.DOWN_CODES[command in ("qsub", "qdel")]
        return Said(code, "", self.DOWN.format(command=command, host=self.queue.host))

    def answer(self, call: Call) -> Said:
        """One command."""
        commands = {"qsub": self.qsub, "qstat": self.qstat, "qdel": self.qdel, "qselect": self.qselect}
        return {**commands, "qhold": self.qhold, "qrls": self.qhold}[call.command](call)

    def _id(self, job: StandInJob) -> str:
        return f"{job.number}{'[]' * bool(job.elements)}.{self._server(job)}"

    def _server(self, job: StandInJob) -> str:
        return job.queue.partition("@")[2] or self.queue.host

    def _whole(self, id: str) -> str:
        return id if "." in id else f"{id}.{self.queue.host}"

    # -- qsub ---------------------------------------------------------------------------------------------------

    def qsub(self, call: Call) -> Said:
        """Options of the command win over those of the script; the first wrong one is complained of."""
        try:
            requested, file, script = self._read(call)
        except RefusedError as refused:
            return refused.said
        queue = requested.words.get("q", "workq")
        if wrong := self._closed(queue):
            return wrong
        name = requested.words.get("N") or Path(file).name or "STDIN"
        log = requested.words.get("o", "").rpartition(":")[2]
        text = arrays.script(script, requested, self.INDEX, log) if requested.elements else script
        order = JobOrder(name, queue, text, str(Path.home()), log, self._env(call, requested, name, queue))
        order.elements, order.told, order.killed = len(requested.elements), True, _KILLED
        order.walltime = seconds(requested.resources["walltime"]) if "walltime" in requested.resources else None
        order.held = "h" in requested.words
        taken = self.queue.submit(order)
        if taken is None:
            return Said(self.FULL[0], "", self.FULL[1])
        if not taken.answered:
            return Said(1, "", "qsub: Premature end of message\n")
        return Said(0, f"{taken.number}{'[]' * bool(order.elements)}.{queue.partition('@')[2] or self.queue.host}\n")

    def _read(self, call: Call) -> tuple[Request, str, str]:
        """The request, the name of the script and its text."""
        options = self.OPTIONS()
        _, rest = options.read([], call.args)
        file = rest[0] if rest else ""
        script = call.stdin() if file in ("", "-") else options.script(Path(call.cwd), file)
        requested, _ = options.read([" ".join(words) for words in directives(script, "#PBS")], call.args)
        return requested, file, script

    def _env(self, call: Call, requested: Request, name: str, queue: str) -> dict[str, str]:
        id = f"{{id}}{'[]' * bool(requested.elements)}.{queue.partition('@')[2] or self.queue.host}"
        return {
            "PBS_JOBID": id, "PBS_JOBNAME": name, "PBS_O_WORKDIR": call.cwd, "PBS_ENVIRONMENT": "PBS_BATCH",
            "PBS_QUEUE": queue.partition("@")[0], "PBS_O_HOST": self.queue.host,
        }  # fmt: skip

    def _closed(self, queue: str) -> Said | None:
        name, _, server = queue.partition("@")
        if server.startswith("nosuch"):
            return Said(self.UNKNOWN_SERVER[0], "", self.UNKNOWN_SERVER[1].format(host=self.queue.host, asked=server))
        if name.startswith("nosuch"):
            return Said(self.QUEUES[0], "", self.QUEUES[1])
        if self.queue.wrong("disabled"):
            return Said(self.DISABLED[0], "", self.DISABLED[1].format(host=self.queue.host, queue=name))
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
        server = next((word[1:] for word in call.args if word.startswith("@")), self.queue.host)
        jobs = [job for job in jobs if user in (None, job.user) and (ids or self._server(job) == server)]
        if jobs and "f" in flags:
            said.out = "\n".join(record for job in jobs for record in self._records(job, "t" in flags))
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
        if job.elements and job.state in "RE":
            return self.BEGUN
        return self.OVER_STATE if job.state == "F" else job.state

    def _short(self, jobs: Sequence[StandInJob]) -> str:
        head = "Job id            Name             User              Time Use S Queue\n"
        rule = "----------------  ---------------- ----------------  -------- - -----\n"
        return head + rule + "".join(
            f"{self._id(job)[:16]:16}  {job.name[:16]:16} {job.user[:16]:16}  {clock(job.elapsed):>8} "
            f"{self._code(job)} {job.queue.partition('@')[0]:16}\n" for job in jobs
        )  # fmt: skip

    def _list(self, jobs: Sequence[StandInJob], comments: bool, wide: bool) -> str:
        id, user, queue, name, rest = (30, 15, 15, 15, 42) if wide else (15, 8, 8, 10, 34)
        session = f"{'SessID':8} {'NDS':4} {'TSK':5}" if wide else "SessID NDS TSK"
        rules = (id, user, queue, name, *((8, 4, 5) if wide else (6, 3, 3)), 6, 5, 1, 5)
        lines = [
            f"\n{self.queue.host}: ",
            f"{'':{id + user + queue + name + rest - 18}}Req'd  Req'd   Elap",
            f"{'Job ID':{id}} {'Username':{user}} {'Queue':{queue}} {'Jobname':{name}} {session} Memory Time  S Time",
            " ".join("-" * width for width in rules),
        ]
        for job in jobs:
            words = ((self._id(job), id), (job.user, user), (job.queue.partition("@")[0], queue), (job.name, name))
            shown = " ".join(f"{_cut(word, width):{width}}" for word, width in words)
            lines.append(f"{shown}    --    1   1    --    --  {self._code(job)}   -- ")
            lines += [f"   {self._comment(job)}"] * comments
        return "\n".join([*lines, ""])

    def _comment(self, job: StandInJob) -> str:
        if job.started is None:
            why = "Queue not started." if self.queue.wrong("stopped") else "Not enough free nodes available"
            return f"Not Running: {why}"
        if job.elements:
            return "Job Array Began at Sun Nov 22 at 10:25"
        end = {
            "deleted": f" and terminated by {job.user}@{self.queue.host}",
            "walltime": " and exceeded resource walltime",
        }
        return f"Job run at Sun Nov 22 at 10:25 on ({self.queue.host}:ncpus=1){end.get(job.why, '')}"

    # -- records ------------------------------------------------------------------------------------------------

    def _records(self, job: StandInJob, elements: bool) -> list[str]:
        """Its record, and those of the elements that have ended, if they are wanted."""
        ended = [arrays.element(job, index, code) for index, code in job.codes.items()] if elements else []
        shown = [self._record(each, self._id(each).replace("[]", f"[{index}]")) for index, each in ended]
        return [self._record(job, self._id(job)), *shown]

    def _record(self, job: StandInJob, id: str) -> str:
        lines = [f"Job_Name = {job.name}", f"Job_Owner = {job.user}@{self.queue.host}"]
        if job.state == "F" and job.started:
            lines += [f"resources_used.walltime = {clock(job.elapsed)}", "resources_used.mem = 7344kb"]
        lines += [
            f"job_state = {self._code(job)}",
            f"queue = {job.queue.partition('@')[0]}",
            f"server = {self._server(job)}",
        ]
        lines += [f"exec_host = {self.queue.host}/0"] * (job.started is not None)
        lines.append("Variable_List = PBS_O_HOME=/home/u,PBS_O_LANG=C.UTF-8,\n\tPBS_O_SHELL=/bin/bash")
        lines += [f"{self.COUNT} = {job.runs}"] * (job.runs > 0)
        lines += self._ending(job) if job.state == "F" else []
        return "\n".join([f"Job Id: {id}", *(f"    {line}" for line in lines), ""])

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
        queued, ids = False, [word for word in call.args if not word.startswith("-")]
        if not ids:
            return Said(2, "", _QDEL_USAGE)
        for id in map(self._whole, ids):
            job = known.get(id)
            if not _ID.fullmatch(id):
                said = Said(1, "", f"{said.err}qdel: illegally formed job identifier: {id}\n")
                continue
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

    def qhold(self, call: Call) -> Said:
        """qhold and qrls, one by one."""
        known, said = {self._id(job): job for job in self._listed(past=False)}, Said()
        for id in map(self._whole, call.args):
            if id in known:
                self.queue.hold(known[id].number, held=call.command == "qhold")
            else:
                said = Said(153, "", f"{said.err}{call.command}: Unknown Job Id {id}\n")
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
    UNKNOWN_SERVER: ClassVar[tuple[int, str]] = (162, _CANNOT_RESOLVE)
    DISABLED: ClassVar[tuple[int, str]] = (
        175,
        "qsub: submit error (Queue is not enabled MSG=queue is disabled: user u@{host}, queue {queue})\n",
    )
    OPTIONS: ClassVar[type[QsubOptions]] = TorqueOptions
    INDEX: ClassVar[str] = "PBS_ARRAYID"
    BEGUN: ClassVar[str] = "R"
    OVER_STATE: ClassVar[str] = "C"
    STATUS: ClassVar[str] = "exit_status"
    COUNT: ClassVar[str] = "start_count"

    def _listed(self, past: bool) -> list[StandInJob]:
        """What has ended stays for keep_completed seconds; without history that is no time."""
        kept = self.queue.wrong("keep_completed")
        return [
            job for job in super()._listed(past=True) if not (kept and job.ended and time.time() - job.ended > kept)
        ]

    def _list(self, jobs: Sequence[StandInJob], comments: bool, wide: bool) -> str:
        lines = [
            f"\n{self.queue.host}: ",
            f"{'':78}Req'd       Req'd       Elap",
            f"{'Job ID':23} {'Username':11} {'Queue':8} {'Jobname':16} SessID  NDS   TSK   Memory      Time    S",
            " ".join("-" * width for width in (23, 11, 8, 16, 6, 5, 6, 9, 9, 1, 9)),
        ]
        for job in jobs:
            queue = job.queue.partition("@")[0]
            shown = f"{self._id(job)[:23]:23} {job.user[:11]:11} {queue[:8]:8} {job.name[:16]:16}"
            lines.append(f"{shown}     --      1      1       --        --  {self._code(job)}       -- ")
            lines += [f"   {self._comment(job)}"] * comments
        return "\n".join([*lines, ""])

    def _comment(self, job: StandInJob) -> str:
        why = "Queue not started." if self.queue.wrong("stopped") else "Draining system"
        return f"Not Running: {why}" if job.started is None else "Job started on Sun Nov 22 at 11:26"

    def _ending(self, job: StandInJob) -> list[str]:
        status = self._status(job)
        return [f"{self.STATUS} = {status}"] if status is not None else []

    def _status(self, job: StandInJob) -> int | None:
        own = {"walltime": -11, "memory": -10, "deleted": 271 if job.started else None}
        return own[job.why] if job.why in own else super()._status(job)


def _cut(word: str, width: int) -> str:
    """A word that is too long for its column ends in a star."""
    return word if len(word) <= width else f"{word[: width - 1]}*"


def _words(args: Sequence[str], valued: tuple[str, ...]) -> list[str]:
    """What is neither an option nor the value of one."""
    return [
        word
        for before, word in zip(["", *args], args, strict=False)
        if not word.startswith("-") and before not in valued
    ]

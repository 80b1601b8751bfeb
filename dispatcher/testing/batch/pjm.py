"""pjsub, pjstat and pjdel of PJM (Fugaku and other machines of Fujitsu), by its manuals.

pjsub -N relax job.sh                              [INFO] PJM 0000 pjsub Job 1001 submitted.
pjstat -v --data --choose=jid,jnam,st              H,JOB_ID,JOB_NAME,ST
                                                   ,1001,relax,RUN
pjstat -v --data -H day=2 --choose=jid,st,ec,sn,pc ,1001,EXT,0,-,0
"""

from __future__ import annotations

import shlex
from pathlib import Path

from .queue import Call, JobOrder, Queue, Said, StandInJob, directives, seconds

TITLES = {"jid": "JOB_ID", "jnam": "JOB_NAME", "st": "ST", "ec": "EC", "sn": "SN", "pc": "PC", "usr": "USER"}
_VALUES = {"-N", "-L", "--mpi", "-g", "-o", "-e", "--rsc-list", "--name", "--out", "--err", "-m", "--mail-list", "-p"}
_FLAGS = {"-j", "-S", "-s", "-w", "--norestart", "--restart", "-X"}
_RESOURCES = {"rscgrp", "rscunit", "node", "elapse", "node-mem", "freq", "proc-core", "rg", "ru"}


class PJMStandIn:
    """The job manager."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue

    def down(self, command: str) -> Said:
        """Nobody answers."""
        return Said(1, "", f"[ERR.] PJM 0083 {command} Cannot connect to the job manager.\n")

    def answer(self, call: Call) -> Said:
        """One command."""
        return {"pjsub": self.pjsub, "pjstat": self.pjstat, "pjdel": self.pjdel}[call.command](call)

    def pjsub(self, call: Call) -> Said:
        """The options of the command win over those of the script, which is named last."""
        script = (Path(call.cwd) / call.args[-1]).read_text()
        words = [word for line in directives(script, "#PJM") for word in shlex.split(" ".join(line))] + call.args[:-1]
        found, limits = {"-N": Path(call.args[-1]).name}, dict[str, str]()
        while words:
            option = words.pop(0)
            if option not in _VALUES | _FLAGS or (option in _VALUES and not words):
                return Said(1, "", f"[ERR.] PJM 0013 pjsub Invalid option is specified: {option}.\n")
            found[option] = words.pop(0) if option in _VALUES else ""
            if option in ("-L", "--rsc-list"):
                limits |= dict(part.partition("=")[::2] for part in found[option].split(","))
        if wrong := _refused(limits):
            return Said(1, "", wrong)
        return self._submit(call, script, found, limits)

    def _submit(self, call: Call, script: str, found: dict[str, str], limits: dict[str, str]) -> Said:
        env = {"PJM_JOBID": "{id}", "PJM_JOBNAME": found["-N"], "PJM_O_WORKDIR": call.cwd}
        order = JobOrder(found["-N"], limits.get("rscgrp", "small"), script, call.cwd, found.get("-o", ""), env)
        order.walltime = seconds(limits["elapse"]) if "elapse" in limits else None
        taken = self.queue.submit(order)
        if taken is None:
            return Said(1, "", "[ERR.] PJM 0090 pjsub The number of accepted jobs exceeds the limit.\n")
        if not taken.answered:
            return Said(1, "", "[ERR.] PJM 0099 pjsub Communication error.\n")
        return Said(0, f"[INFO] PJM 0000 pjsub Job {taken.number} submitted.\n")

    def pjstat(self, call: Call) -> Said:
        """The caller's jobs in the fields that are asked for: those that go on, or with -H those that are over."""
        chosen = [word.partition("=")[2].split(",") for word in call.args if word.startswith("--choose=")]
        if not chosen or "--data" not in call.args:
            return Said(1, "", "[ERR.] PJM 0011 pjstat this stand-in knows --data and --choose only.\n")
        past, off = "-H" in call.args, self.queue.wrong("history_off")
        jobs = [job for job in self.queue.jobs() if (job.state == "F") is past and not (past and off)]
        lines = [["H", *(TITLES[field] for field in chosen[0])]]
        lines += [["", *(self._field(job, field) for field in chosen[0])] for job in jobs]
        return Said(0, "".join(f"{','.join(line)}\n" for line in lines))

    def _state(self, job: StandInJob) -> str:
        if job.state != "F":
            return {"Q": "QUE", "R": "RUN", "H": "HLD", "E": "RNO"}[job.state]
        return "CCL" if job.why == "deleted" else "EXT"

    def _field(self, job: StandInJob, name: str) -> str:
        return {
            "jid": str(job.number), "jnam": job.name, "st": self._state(job), "usr": job.user,
            "pc": {"deleted": "1", "walltime": "11", "memory": "12", "node": "20"}.get(job.why, "0"),
            "ec": "-" if job.signal else str(job.code), "sn": str(job.signal) if job.signal else "-",
        }[name]  # fmt: skip

    def pjdel(self, call: Call) -> Said:
        """Each of these ids."""
        known, said = {str(job.number): job for job in self.queue.jobs() if job.state != "F"}, Said()
        for id in call.args:
            if id in known:
                self.queue.end(known[id].number)
                said.out += f"[INFO] PJM 0100 pjdel Accepted job {id}.\n"
            else:
                said.code, said.err = 1, f"{said.err}[ERR.] PJM 0112 pjdel Job {id} does not exist.\n"
        return said


def _refused(limits: dict[str, str]) -> str:
    for name, value in limits.items():
        if name not in _RESOURCES or not value:
            return f"[ERR.] PJM 0032 pjsub Invalid resource is specified: {name}={value}.\n"
    if limits.get("rscgrp", "").startswith("nosuch"):
        return f"[ERR.] PJM 0057 pjsub Resource group does not exist: {limits['rscgrp']}.\n"
    return ""

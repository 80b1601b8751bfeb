"""qsub, qstat, qdel and qacct of Grid Engine; their texts are those of fixtures/transcripts. No arrays.

qsub -terse -N relax job.sh         1001
qstat -u jane -xml                  <job_info …><job_list state="running"> … </job_info>
qacct -o jane -j                    ===== … jobname relax … failed 0 … exit_status 0
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from xml.sax.saxutils import escape

from .queue import Call, JobOrder, Queue, Said, StandInJob, directives, seconds

_VALUES = frozenset(
    ("-N", "-S", "-pe", "-l", "-q", "-A", "-j", "-o", "-e", "-P", "-p", "-m", "-M", "-hold_jid", "-v", "-wd", "-r")
) | {"-b", "-sync", "-now"}
_FLAGS = {"-terse", "-cwd", "-V", "-h", "-R"}
_REJECTED = "Unable to run job: {why}.\nExiting.\n"
_LOST = "failed receiving gdi request response for mid=1 (got syncron message receive timeout error)"
_FULL = "job rejected: Only 2 jobs are allowed per user (current job count: 2)"
#: `failed` of a record, by what ended the job.
_FAILED = {
    "deleted": "100 : assumedly after job",
    "walltime": "37  : qmaster enforced h_rt, h_cpu, or h_vmem limit",
    "memory": "37  : qmaster enforced h_rt, h_cpu, or h_vmem limit",
    "node": "21  : in recognizing job",
}
_JOB = """\
    <job_list state="{state}">
      <JB_job_number>{job.number}</JB_job_number>
      <JAT_prio>0.50000</JAT_prio>
      <JB_name>{name}</JB_name>
      <JB_owner>{job.user}</JB_owner>
      <state>{code}</state>
      <queue_name>{queue}</queue_name>
      <slots>1</slots>
    </job_list>
"""


class SGEStandIn:
    """The queue master."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue

    def down(self, command: str) -> Said:
        """Nobody answers."""
        why = f'unable to send message to qmaster using port 6444 on host "{self.queue.host}": got send error'
        if command == "qsub":
            return Said(1, "", _REJECTED.format(why=why))
        return Said(1, "", f"error: commlib error: got select error (Connection refused)\nerror: {why}\n")

    def answer(self, call: Call) -> Said:
        """One command."""
        commands = {"qsub": self.qsub, "qstat": self.qstat, "qdel": self.qdel, "qacct": self.qacct}
        return {**commands, "qhold": self.qhold, "qrls": self.qhold}[call.command](call)

    def qsub(self, call: Call) -> Said:
        """The options of the command win over those of the script, which is named last."""
        script = (Path(call.cwd) / call.args[-1]).read_text()
        words = [word for line in directives(script, "#$") for word in line] + call.args[:-1]
        found, limits = {"-N": Path(call.args[-1]).name, "-q": "all.q"}, dict[str, str]()
        while words:
            option = words.pop(0)
            if option not in _VALUES | _FLAGS or (option in _VALUES and not words):
                return Said(1, "", f"qsub: Unknown option {option}\n")
            found[option] = words.pop(0) if option in _VALUES else ""
            if option == "-pe":
                words.pop(0)
            if option == "-l":
                limits |= dict(part.partition("=")[::2] for part in found[option].split(","))
        return self._submit(call, script, found, limits.get("h_rt"))

    def _submit(self, call: Call, script: str, found: dict[str, str], limit: str | None) -> Said:
        name, queue = found["-N"], found["-q"]
        if queue.startswith("nosuch"):
            why = f'Job was rejected because job requests unknown queue "{queue}"'
            return Said(1, "", _REJECTED.format(why=why))
        env = {"JOB_ID": "{id}", "JOB_NAME": name, "SGE_TASK_ID": "undefined", "QUEUE": queue}
        order = JobOrder(name, queue, script, call.cwd, found.get("-o", ""), env, seconds(limit) if limit else None)
        order.held = "-h" in found
        taken = self.queue.submit(order)
        if taken is None or not taken.answered:
            return Said(1, "", _REJECTED.format(why=_FULL if taken is None else _LOST))
        reported = f'Your job {taken.number} ("{name}") has been submitted\n'
        return Said(0, f"{taken.number}\n" if "-terse" in found else reported)

    def qstat(self, call: Call) -> Said:
        """The list of a user as XML, or what is known of jobs by id."""
        user, live = call.option("-u"), [job for job in self.queue.jobs() if job.state != "F"]
        if "-j" in call.args:
            return _details([job for job in live if str(job.number) in (call.option("-j") or "").split(",")])
        if "-xml" not in call.args:
            return Said(1, "", "this stand-in knows qstat -xml and qstat -j only\n")
        mine = [job for job in live if user in (None, job.user)]
        running = "".join(self._shown(job) for job in mine if job.started is not None)
        pending = "".join(self._shown(job) for job in mine if job.started is None)
        lists = f"  <queue_info>\n{running}  </queue_info>\n  <job_info>\n{pending}  </job_info>\n"
        return Said(0, f"<?xml version='1.0'?>\n<job_info>\n{lists}</job_info>\n")

    def _shown(self, job: StandInJob) -> str:
        code = {"Q": "qw", "H": "hqw", "R": "r", "E": "r"}[job.state]
        state, queue = ("running", f"all.q@{self.queue.host}") if job.started is not None else ("pending", "")
        deleted = "d" if job.why == "deleted" else ""
        return _JOB.format(job=job, name=escape(job.name), state=state, code=f"{deleted}{code}", queue=queue)

    def qdel(self, call: Call) -> Said:
        """By ids or by names, in which * stands for anything."""
        said = Said()
        live = [job for job in self.queue.jobs() if job.state != "F"]
        for word in (word for word in ",".join(call.args).split(",") if not word.startswith("-")):
            mine = [job for job in live if str(job.number) == word or fnmatchcase(job.name, word)]
            for job in mine:
                self.queue.end(job.number)
                running = f"{job.user} has registered the job {job.number} for deletion\n"
                said.out += running if job.started else f"{job.user} has deleted job {job.number}\n"
            if not mine:
                said = Said(1, said.out + f'denied: job "{word}" does not exist\n')
        return said

    def qhold(self, call: Call) -> Said:
        """qhold and qrls, by ids or by names."""
        said = Said()
        for word in call.args:
            for job in self.queue.jobs():
                if job.state in "QH" and (str(job.number) == word or fnmatchcase(job.name, word)):
                    self.queue.hold(job.number, held=call.command == "qhold")
                    said.out += f"modified hold of job {job.number}\n"
        return said

    def qacct(self, call: Call) -> Said:
        """The records of what has run; a job that was deleted before has none."""
        id = call.option("-j") or ""
        past = [] if self.queue.wrong("history_off") else [job for job in self.queue.jobs() if job.state == "F"]
        mine = [job for job in past if job.started and id in ("", str(job.number))]
        if id and not mine:
            return Said(1, "", f"error: job id {id} not found\n")
        return Said(0, "".join(map(self._record, mine)))

    def _record(self, job: StandInJob) -> str:
        status = 137 if job.why else 128 + job.signal if job.signal else job.code
        facts = {
            "qname": "all.q", "hostname": self.queue.host, "owner": job.user, "jobname": job.name,
            "jobnumber": job.number, "taskid": "undefined", "failed": _FAILED.get(job.why, "0"),
            "exit_status": status, "ru_wallclock": f"{job.elapsed}s", "ru_maxrss": "4.551KB",
        }  # fmt: skip
        return "=" * 62 + "\n" + "".join(f"{key:12} {value!s:20}\n" for key, value in facts.items())


def _details(jobs: list[StandInJob]) -> Said:
    lines = [
        f"{'=' * 62}\njob_number:                 {job.number}\njob_name:                   {job.name}" for job in jobs
    ]
    return Said(0, "\n".join([*lines, ""])) if jobs else Said(1, "", "Following jobs do not exist: \n")

"""The place of a run with classes of the program's own: it calls them, and hands on all else.

    run(Driven("do_submit", …))     prepare ─▶ machine.do_submit(job) ─▶ what it said, written down there
    run(ShellText(…))               by the context's block_call, when the program has written one
    put, get, remove                upload, download, clean of the context first, when the program has written them

While it is open, the machine's context works on this very connection, and `super().do_submit(job)` and the like mean
the dialect of the class of ours: for this one job.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec

from ...core.errors import ConfigError, DispatcherError, Unreachable
from ...core.ports import (
    Accepted,
    Call,
    Context,
    Deferral,
    Driven,
    FileEntry,
    Guarded,
    Item,
    Native,
    Observation,
    Query,
    Rejection,
    Reply,
    Scheduler,
    ShellText,
    SubmitRequest,
)
from ...core.possession import Possession
from ...schedulers import chosen, framing
from ...scripts import bash
from ...scripts.render import Script, quoted, render
from .. import own
from ..status import JobStatus
from .dialect import LATER, NEVER, Repeated, Repeats, dialect, receipt

if TYPE_CHECKING:
    from ..job import Job
    from ..machine import Machine


class DrivenContext:
    """A context, and the classes that a run on it asks. One run at a time: they hold what they work on themselves."""

    def __init__(self, inner: Context, machine: Machine, submission: Any, jobs: Mapping[str, Job]) -> None:
        if machine.driven is not None:
            raise ConfigError(f"{machine!r} is at work on another submission: give each run a machine of its own")
        self.place, self._inner, self._machine, self._jobs = inner.place, inner, machine, jobs
        self._submission, self._confirm = submission, _nothing
        self._requests: dict[str, SubmitRequest] = {}
        self._nonces: dict[str, str] = {}
        self._own = own.own(type(machine.context), own.PLACES)
        self._known = dialect(type(machine), submission.spec().resources)
        self._context().work_on(submission, inner)
        if isinstance(self._known, Repeats):
            machine.driven = self

    def guard(self, confirm: Callable[[], None]) -> None:
        """Called before each method of the program's."""
        self._confirm = confirm
        if isinstance(self._inner, Guarded):
            self._inner.guard(confirm)

    # -- the verbs of a context -------------------------------------------------------------------------------------

    def own(self, record: str) -> Possession:
        """See Context.own."""
        return self._inner.own(record)

    def run(self, call: Call) -> Reply:
        """See Context.run."""
        if isinstance(call, ShellText):
            return self._run(call)
        if not isinstance(call, Driven):
            return self._inner.run(call)
        if call.verb == "do_submit":
            return self._submit([one for one in call.jobs if isinstance(one, SubmitRequest)])
        queries = [one for one in call.jobs if isinstance(one, Query)]
        if call.verb == "check_status":
            said = {query.nonce: self._asked(self._status, query) for query in queries if query.id}
            return self._run(self._dialect().telling(said).observing(queries, self.place))
        said = {query.nonce: self._asked(self._kill, query) for query in queries if query.id}
        return self._run(self._dialect().telling(said).killing(queries, self.place))

    def put(self, items: Sequence[Item], replace: bool) -> None:
        """See Context.put."""
        if "upload" in self._own:
            self._context().upload(self._submission)
        self._inner.put(items, replace)

    def tree(self, paths: Sequence[str]) -> list[FileEntry]:
        """See Context.tree."""
        return self._inner.tree(paths)

    def get(self, items: Sequence[Item]) -> list[Item]:
        """See Context.get."""
        if "download" in self._own:
            self._context().download(self._submission)
        return self._inner.get(items)

    def remove(self) -> None:
        """See Context.remove."""
        if "clean" in self._own:
            self._context().clean()
        self._inner.remove()

    def close(self) -> None:
        """See Context.close."""
        self._machine.driven = None
        self._context().work_on(self._submission, None)
        self._inner.close()

    def _context(self) -> Any:
        return self._machine.context

    def _run(self, call: ShellText) -> Reply:
        if "block_call" not in self._own:
            return self._inner.run(call)
        code, _, out, err = self._context().block_call(call.text)
        return Reply(code, _text(out), _text(err))

    # -- what the class is asked ------------------------------------------------------------------------------------

    def _submit(self, requests: Sequence[SubmitRequest]) -> Reply:
        known = self._dialect()
        for request in requests:
            job = self._job(request.of.job if request.of else "", request.nonce)
            self._requests[job.job_hash] = request
        if "do_submit" not in known.asks:
            made = [self._scripted(request, known) for request in requests]
            return self._run(known.submitting(made, self.place))
        (request,) = requests
        prepared = self._run(known.prepare(request, self.place))
        told = framing.framed(prepared.out, f"@@{request.nonce}")
        if "done" not in told or "earlier" in told:
            return prepared
        said = {}
        if "ask" in told:
            said = {request.nonce: self._asked_to_submit(request)}
            self._keep(request.nonce, said[request.nonce])
        elif "again" in told:
            words = (
                f"{known.who}.do_submit was called before and did not come to its end: whether the job was taken, only "
                "its queue can tell. If it is not there, run the same command again"
            )
            said = {request.nonce: Repeated(str(NEVER), words=words)}
        bare = msgspec.structs.replace(request, files={}, withdrawals=())
        return self._run(known.telling(said or {request.nonce: Repeated("1")}).submitting([bare], self.place))

    def _asked_to_submit(self, request: SubmitRequest) -> Repeated:
        """What do_submit says: an id; nothing, when it is to be asked later; or what it raised."""
        job = self._job(request.of.job if request.of else "", request.nonce)
        job.job_id = ""
        self._confirm()
        try:
            self._refuse_silent(job)
            id = self._machine.do_submit(job)
        except ConfigError as error:
            return Repeated(str(NEVER), words=str(error))
        except Exception as error:
            return Repeated("1", words=_words(f"{self._dialect().who}.do_submit", error))
        if id in ("", None):
            return Repeated(str(LATER), words=f"{self._dialect().who}.do_submit gave no id: asked again later")
        return Repeated("0", id=str(id))

    def _keep(self, nonce: str, said: Repeated) -> None:
        """The receipt, first of all: a job that has begun already is not asked for, and its id would not be told."""
        if said.id:
            name = quoted(f"{self.place.control}/{nonce}.id")
            write = f"echo {quoted(receipt(said.id))} > {name}.tmp && mv -f -- {name}.tmp {name}"
            text = f"umask 077\n[ -s {name} ] || {{ {write}; }}\n"
            self._run(ShellText(text))

    def _refuse_silent(self, job: Job) -> None:
        """Nobody would say how a job ended whose script is not ours, and whose status is not asked of its class."""
        script = self._requests[job.job_hash]
        if "check_status" not in self._dialect().asks and self.script(job).claim not in self._machine.gen_script(job):
            raise ConfigError(
                f"{own.described(type(self._machine))}.gen_script must hold what super().gen_script(job) gives "
                f"(job {script.nonce}), or the class needs a check_status of its own"
            )

    def _scripted(self, request: SubmitRequest, known: Repeats) -> SubmitRequest:
        """The request with the script that the class makes."""
        job = self._job(request.of.job if request.of else "", request.nonce)
        text = self._machine.gen_script(job)
        if self.script(job).claim not in text or "dsp_finish" not in text:
            raise ConfigError(
                f"{known.who}.gen_script must hold what super().gen_script(job) gives: tasks tell by it how they end"
            )
        files = {name: text for name, text in request.files.items() if name == bash.NAME}
        return msgspec.structs.replace(request, files={**files, request.script: text})

    def _asked(self, ask: Callable[[Job], Repeated], query: Query) -> Repeated:
        """What the class says of a job; what it raises is no news."""
        if query.id == query.nonce:  # found by its claim: the class was never heard to name it
            return Repeated("unknown", query.id)
        job = self._job(query.job, query.nonce)
        job.job_id = unquote(query.id)
        self._confirm()
        try:
            return msgspec.structs.replace(ask(job), id=query.id)
        except Exception as error:
            return Repeated("raised", query.id, _words(f"{self._dialect().who}, job {job.job_id}", error))

    def _status(self, job: Job) -> Repeated:
        found = JobStatus(self._machine.check_status(job))
        ended = found in (JobStatus.terminated, JobStatus.failed)
        code = self._machine.get_exit_code(job) if ended and own.own(type(self._machine), ("get_exit_code",)) else None
        return Repeated(found.name, size=len(job.job_task_list), exit=code)

    def _kill(self, job: Job) -> Repeated:
        self._machine.kill(job)
        return Repeated("0")

    def _job(self, name: str, nonce: str) -> Job:
        job = self._jobs[name]
        self._nonces[name] = nonce
        return job

    # -- what the class may ask: one job, by the dialect of the class of ours ---------------------------------------

    def script(self, job: Any) -> Script:
        """The script that is being submitted, as it would be without the class."""
        request = self._requests[job.job_hash]
        assert request.of is not None
        return render(request.of, self._dialect())

    def made(self, job: Any) -> None:
        """Our script was asked for: from here on copies of the attempt turn each other away."""
        if "do_submit" in self._dialect().asks and job.job_hash in self._requests:
            name = quoted(f"{self.place.control}/{self._nonces[job.job_hash]}.ours")
            self._run(ShellText(f"umask 077\necho yes > {name}\n"))

    def submit(self, job: Any) -> str:
        """Submit it; "" when that is not possible now. ConfigError when it is refused."""
        behind, request = self._behind("do_submit"), self._requests[job.job_hash]
        one = msgspec.structs.replace(self._scripted(request, self._dialect()), withdrawals=())
        answer = behind.submitted(self._run(_shell(behind.submit([one], self.place))), [one]).get(one.nonce)
        if isinstance(answer, Accepted):
            return answer.id
        if isinstance(answer, Deferral):
            return ""
        if isinstance(answer, Rejection):
            raise ConfigError(answer.why)
        raise Unreachable(getattr(answer, "why", "") or "the submit command gave no answer")

    def status(self, job: Any) -> JobStatus:
        """How it stands in the queue; by its exit marker, once it has ended."""
        seen = self._seen(job, self._behind("check_status"))
        if seen.claim and seen.claim.ended is not None:
            return JobStatus.terminated if seen.claim.ended else JobStatus.finished
        names = {Native.ended: "terminated", Native.absent: "terminated"}
        return JobStatus[names.get(seen.native, seen.native.value)]

    def finished(self, job: Any) -> bool:
        """Its exit marker says that all went well."""
        name = quoted(f"{self.place.control}/{self._nonces[job.job_hash]}.claim")
        return self._run(ShellText(f"grep -q '^end 0 ' {name}")).code == 0

    def kill(self, job: Any) -> None:
        """End it. DispatcherError with the complaints of the batch system."""
        behind, queries = self._behind("kill"), [self._query(job)]
        if wrong := behind.killed(self._run(_shell(behind.kill(queries, self.place))), queries):
            raise DispatcherError(wrong)

    def _seen(self, job: Any, behind: Scheduler) -> Observation:
        queries = [self._query(job)]
        found = behind.observed(self._run(_shell(behind.observe(queries, self.place))), queries)
        return found.jobs[queries[0].nonce]

    def _query(self, job: Any) -> Query:
        return Query(self._nonces[job.job_hash], str(job.job_id), 0.0, job.job_hash)

    def _behind(self, verb: str) -> Scheduler:
        above = own.nearest(type(self._machine))
        if above.__name__ == "Machine":
            raise NotImplementedError(f"Machine.{verb} is for the classes below it")
        return chosen(above.__name__, self._submission.spec().resources)

    def _dialect(self) -> Repeats:
        assert isinstance(self._known, Repeats)
        return self._known


def _nothing() -> None:
    """No other process to be asked for."""


def _shell(call: Any) -> ShellText:
    assert isinstance(call, ShellText)
    return call


def _text(stream: Any) -> str:
    found = stream.read()
    return found if isinstance(found, str) else bytes(found).decode(errors="surrogateescape")


def _words(who: str, error: Exception) -> str:
    return f"{who} raised {type(error).__name__}: {' '.join(str(error).split())[-500:]}"

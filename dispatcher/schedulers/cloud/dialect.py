"""What both APIs of the cloud have in common as batch systems: questions are plain data, answers are JSON.

    submit([SubmitRequest(…)])   ->  CloudSubmit((CloudJob("dq3v…", command="bash .dispatcher/jobs/dq3v….sub", …),), …)
    submitted(reply)   <-  [["dq3v…", "accepted", "4211:job_group_id:87"]]
    looked(reply)      <-  {"jobs": {"dq3v…": {"id": …, "status": 2, "exit": 0, "claim": ["claim cloud 0 …", …]}}, …}

Each job runs in a container with a file system of its own. Its claim is a file
in there: it keeps two lives of one container apart, not two containers. That
one attempt is one job is up to the listing (docs/cloud.md); the marker comes
home in the result archive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from ...core.errors import Unreachable
from ...core.events import Cause, CauseKind
from ...core.keys import Key
from ...core.model import ResourcesSpec
from ...core.names import CONTROL
from ...core.ports import (
    Accepted,
    Answer,
    Claim,
    CloudDetail,
    CloudJob,
    CloudKill,
    CloudQuery,
    CloudSubmit,
    Deferral,
    EarlierAttempt,
    JobScript,
    Native,
    Observation,
    Observations,
    Place,
    Query,
    Rejection,
    Reply,
    SubmitRequest,
)
from ...scripts import bash
from ...scripts.render import quoted
from ...scripts.shared_directory import shared_closing
from ..claims import read_claim
from ..directives import directive
from ..limits import JOB_NAME

#: Where our files lie in a container, below the directory that the job starts in.
HOME = f"{CONTROL}/jobs"
CLAIM = f"{HOME}/{{nonce}}.claim"


class CloudDialect:
    """A cloud that is asked by API. `STATES` are its numbers; one that nobody knows is no news."""

    name = ""
    absence_timeout = 60.0
    min_poll_interval = 5.0
    max_submit_batch = 20
    kwargs: ClassVar[tuple[Key, ...]] = (JOB_NAME,)
    kwargs_needed: ClassVar[bool] = False
    native_id = "cloud"
    restarts = "$dsp_life"
    element = ""
    context = ""
    #: Source: the behaviour of DPDispatcher 1.0 (both APIs have the same numbers).
    STATES: ClassVar[Mapping[int, Native]] = {
        -1: Native.ended,
        0: Native.waiting,
        1: Native.running,
        2: Native.ended,
        3: Native.waiting,
        4: Native.running,
        5: Native.ended,
        6: Native.running,
        9: Native.waiting,
    }
    live: ClassVar[tuple[int, ...]] = tuple(number for number, native in STATES.items() if native is not Native.ended)
    ended: ClassVar[tuple[int, ...]] = tuple(number for number, native in STATES.items() if native is Native.ended)

    # -- scripts ----------------------------------------------------------------------------------------------------

    def header(self, resources: ResourcesSpec, name: str, log: str, elements: int) -> list[str]:
        """No directives: what a job needs is told in `input_data`."""
        return []

    def elements(self, resources: ResourcesSpec, tasks: int) -> int:
        """No arrays."""
        return 0

    def fence(self, job: JobScript, elements: int) -> str:
        """R is where the job starts; a container that is started again takes its own claim over."""
        tasks = " ".join(quoted(task.task_work_path) for _, task in job.tasks)
        return (
            "REMOTE_ROOT=$(pwd -P) || exit 93\n"
            f'dsp_control="$REMOTE_ROOT"/{HOME}\n'
            f'mkdir -p -- "$dsp_control" {tasks} || exit 93\n'
            f'dsp_claim="$dsp_control/{job.nonce}.claim"\n'
            "dsp_node=$(uname -n)\n"
            "dsp_life=0\n"
            'while [ -e "$dsp_claim.life-$dsp_life" ]; do dsp_life=$((dsp_life + 1)); done\n'
            ': > "$dsp_claim.life-$dsp_life" || exit 93\n'
            f"dsp_native={self.native_id}\n"
            f"dsp_restarts={self.restarts}\n"
            f"{bash.FUNCTIONS}dsp_begin\n"
            'builtin cd -- "$REMOTE_ROOT" || exit 93\n'
        )

    def closing(self, job: JobScript) -> str:
        """In the claim, before the cloud packs what the job leaves."""
        return shared_closing(0)

    def check(self, resources: ResourcesSpec) -> None:
        """Everything goes: there are no queues, and queue_name reaches the tasks as DPDISPATCHER_QUEUE_NAME only."""

    # -- submitting -------------------------------------------------------------------------------------------------

    def directive(self, line: str, key: str) -> str:
        """There are none: a line is shell, and an option would be run as a command."""
        return directive(line, key, "", frozenset(), self.name)

    def submit(self, requests: Sequence[SubmitRequest], place: Place) -> CloudSubmit:
        """Every job with its files, as patterns, and what is to come back."""
        return CloudSubmit(tuple(map(self._job, requests)), CLAIM, self.live, self.ended)

    def _job(self, request: SubmitRequest) -> CloudJob:
        return CloudJob(
            nonce=request.nonce,
            name=request.name,
            command=f"bash {HOME}/{request.script}",
            files={f"{HOME}/{name}": text for name, text in request.files.items()},
            forward=request.forward,
            common=request.common,
            outputs=(*dict.fromkeys(pattern or "." for pattern in request.backward), CLAIM.format(nonce=request.nonce)),
            log=request.log,
            withdrawals=request.withdrawals,
            pause=request.resources.wait_time,
        )

    def submitted(self, reply: Reply, requests: Sequence[SubmitRequest]) -> dict[str, Answer]:
        """By nonce; a job of which nothing certain was said has no entry."""
        words: Mapping[str, type] = {
            "accepted": Accepted,
            "later": Deferral,
            "never": Rejection,
            "earlier": EarlierAttempt,
        }
        requested = {request.nonce for request in requests}
        reported = msgspec.json.decode(reply.out, type=list[tuple[str, str, str]])
        return {nonce: words[word](text) for nonce, word, text in reported if nonce in requested}

    # -- looking ----------------------------------------------------------------------------------------------------

    def observe(self, queries: Sequence[Query], place: Place) -> CloudQuery:
        """The listing, and the archives of those that have ended."""
        return CloudQuery(tuple(queries), CLAIM, self.live, self.ended)

    def observed(self, reply: Reply, queries: Sequence[Query]) -> Observations:
        """By nonce; one that is not listed is absent."""
        try:
            reported = msgspec.json.decode(reply.out, type=dict[str, Any])
            ignore = bool(reported["ignore_exit_code"])
        except (ValueError, KeyError) as error:
            raise Unreachable(f"{self.name}: the answer is not whole ({type(error).__name__})") from error
        return Observations(
            {query.nonce: self._observation(reported["jobs"].get(query.nonce), ignore) for query in queries}
        )

    def _observation(self, reported: Mapping[str, Any] | None, ignore: bool) -> Observation:
        if reported is None:
            return Observation(Native.absent)
        hint = str(reported.get("note", ""))
        if "status" not in reported:
            return Observation(Native.absent, id=reported["id"], how=reported["how"], hint=hint)
        found = Observation(
            self._native(reported["status"]), str(reported["status"]), reported["id"], reported["how"], hint=hint
        )
        if others := reported.get("others"):
            return msgspec.structs.replace(found, native=Native.unknown, hint=_doubled(others))
        if "open" in reported:
            return msgspec.structs.replace(found, native=Native.unknown, hint=f"its results: {reported['open']}")
        if "bad" in reported:
            return msgspec.structs.replace(found, cause=Cause(CauseKind.lost, reported["bad"], native=found.code))
        claim = _owned(read_claim(reported.get("claim", [])), reported["id"])
        if found.native is Native.ended:
            found = msgspec.structs.replace(found, cause=_cause(reported))
        if claim and ignore:
            claim, said = _forgiven(claim)
            return msgspec.structs.replace(found, claim=claim, hint=said or hint)
        return msgspec.structs.replace(found, claim=claim)

    def _native(self, status: int | None) -> Native:
        return Native.unknown if status is None else self.STATES.get(status, Native.unknown)

    # -- other questions --------------------------------------------------------------------------------------------

    def account(self, queries: Sequence[Query], place: Place) -> CloudDetail:
        """Each by its own question: the listing may lag, and it tells no exit code of what it does not list."""
        return CloudDetail(tuple(queries), self.live, self.ended)

    def accounted(self, reply: Reply, queries: Sequence[Query]) -> Observations:
        """What is still there, or how it ended; nothing of what nobody knows."""
        reported = msgspec.json.decode(reply.out, type=dict[str, Any])
        observations = {}
        for nonce, row in reported.items():
            native = self._native(row["status"])
            cause = _cause(row) if native is Native.ended else None
            observations[nonce] = Observation(native, str(row["status"]), row["id"], "accounting", cause=cause)
        return Observations(observations)

    def kill(self, queries: Sequence[Query], place: Place) -> CloudKill:
        """Each by its id, or by its name in the listing."""
        return CloudKill(tuple(queries), self.live)

    def killed(self, reply: Reply, queries: Sequence[Query]) -> str:
        """Each is asked about before and after: those that live on are ended again."""
        return ""


def _cause(reported: Mapping[str, Any]) -> Cause:
    """Why a job ended, as far as the cloud says: its own exit code, and the end of its log."""
    code = reported.get("exit")
    reason = "the container ended without an exit marker"
    return Cause(
        CauseKind.lost,
        reason,
        code,
        native=str(reported["status"]),
        stderr=reported.get("log", ""),
        source="accounting",
    )


def _owned(claim: Claim | None, id: str) -> Claim | None:
    """The claim of the job in whose archive it lay."""
    return msgspec.structs.replace(claim, owner=id) if claim and claim.owner else claim


def _doubled(others: Sequence[str]) -> str:
    return f"a second job of the same attempt is listed ({', '.join(others)}); it is killed before this one counts"


def _forgiven(claim: Claim) -> tuple[Claim, str]:
    """Tasks that ended with another code than 0 count as finished (`ignore_exit_code`); and what to say of them."""
    failed = [f"task {index} ended with code {code}" for index, code, _ in claim.tasks if code]
    if claim.ended is None or not failed:
        return claim, ""
    tasks = tuple((index, 0, at) for index, _, at in claim.tasks)
    tails = "; ".join(text for text in claim.stderr.values() if text)[-500:]
    said = f"{', '.join(failed)}: taken as finished (ignore_exit_code){': ' + tails if tails else ''}"
    return msgspec.structs.replace(claim, tasks=tasks, ended=0), said

"""What both APIs of the cloud have in common as batch systems: questions are plain data, answers are JSON.

    submit([Ask(…)])   ->  CloudSubmit((CloudJob("dq3v…", command="bash .dispatcher/jobs/dq3v….sub", …),), …)
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
from ...core.events import Cause
from ...core.model import ResourcesSpec
from ...core.ports import (
    Accepted,
    Answer,
    Ask,
    Claim,
    CloudDetail,
    CloudJob,
    CloudKill,
    CloudLook,
    CloudSubmit,
    JobScript,
    Later,
    Look,
    Looks,
    Native,
    Never,
    Place,
    Reply,
    TurnedUp,
    Watch,
)
from ...scripts import bash as runtime
from ...scripts.render import quoted
from ..command_line import read_claim

#: Where our files lie in a container, below the directory that the job starts in.
HOME = ".dispatcher/jobs"
CLAIM = f"{HOME}/{{nonce}}.claim"


class CloudQueue:
    """A cloud that is asked by API. `STATES` are its numbers; one that nobody knows is no news."""

    name = ""
    grace = 60.0
    pace = 5.0
    batch = 20
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
            f'dsp_home="$REMOTE_ROOT"/{HOME}\n'
            f'mkdir -p -- "$dsp_home" {tasks} || exit 93\n'
            f'dsp_claim="$dsp_home/{job.nonce}.claim"\n'
            "dsp_node=$(uname -n)\n"
            "dsp_life=0\n"
            'while [ -e "$dsp_claim.life-$dsp_life" ]; do dsp_life=$((dsp_life + 1)); done\n'
            ': > "$dsp_claim.life-$dsp_life" || exit 93\n'
            f"dsp_native={self.native_id}\n"
            f"dsp_restarts={self.restarts}\n"
            f"{runtime.CLAIM}"
            'cd -- "$REMOTE_ROOT" || exit 93\n'
        )

    def closing(self, job: JobScript) -> str:
        """By a rename, before the cloud packs what the job leaves."""
        return runtime.END

    def check(self, resources: ResourcesSpec) -> None:
        """Everything goes: there are no queues, and queue_name reaches the tasks as DPDISPATCHER_QUEUE_NAME only."""

    # -- submitting -------------------------------------------------------------------------------------------------

    def submit(self, asks: Sequence[Ask], place: Place) -> CloudSubmit:
        """Every job with its files, as patterns, and what is to come back."""
        return CloudSubmit(tuple(map(self._job, asks)), CLAIM, self.live, self.ended)

    def _job(self, ask: Ask) -> CloudJob:
        return CloudJob(
            nonce=ask.nonce,
            name=ask.name,
            command=f"bash {HOME}/{ask.script}",
            files={f"{HOME}/{name}": text for name, text in ask.files.items()},
            forward=ask.forward,
            common=ask.common,
            outputs=(*dict.fromkeys(pattern or "." for pattern in ask.backward), CLAIM.format(nonce=ask.nonce)),
            log=ask.log,
            revoke=ask.revoke,
            pause=ask.resources.wait_time,
        )

    def submitted(self, reply: Reply, asks: Sequence[Ask]) -> dict[str, Answer]:
        """By nonce; a job of which nothing certain was said has no entry."""
        words: Mapping[str, type] = {"accepted": Accepted, "later": Later, "never": Never, "turned": TurnedUp}
        asked = {ask.nonce for ask in asks}
        told = msgspec.json.decode(reply.out, type=list[tuple[str, str, str]])
        return {nonce: words[word](text) for nonce, word, text in told if nonce in asked}

    # -- looking ----------------------------------------------------------------------------------------------------

    def look(self, watches: Sequence[Watch], place: Place) -> CloudLook:
        """The listing, and the archives of those that have ended."""
        return CloudLook(tuple(watches), CLAIM, self.live, self.ended)

    def looked(self, reply: Reply, watches: Sequence[Watch]) -> Looks:
        """By nonce; one that is not listed is absent."""
        try:
            told = msgspec.json.decode(reply.out, type=dict[str, Any])
            ignore = bool(told["ignore_exit_code"])
        except (ValueError, KeyError) as error:
            raise Unreachable(f"{self.name}: the answer is not whole ({type(error).__name__})") from error
        return Looks({watch.nonce: self._look(told["jobs"].get(watch.nonce), ignore) for watch in watches})

    def _look(self, told: Mapping[str, Any] | None, ignore: bool) -> Look:
        if told is None:
            return Look(Native.absent)
        hint = str(told.get("note", ""))
        if "status" not in told:
            return Look(Native.absent, id=told["id"], how=told["how"], hint=hint)
        found = Look(self._native(told["status"]), str(told["status"]), told["id"], told["how"], hint=hint)
        if others := told.get("others"):
            return msgspec.structs.replace(found, native=Native.unknown, hint=_doubled(others))
        if "open" in told:
            return msgspec.structs.replace(found, native=Native.unknown, hint=f"its results: {told['open']}")
        if "bad" in told:
            return msgspec.structs.replace(found, cause=Cause("lost", told["bad"], native=found.code))
        claim = _owned(read_claim(told.get("claim", [])), told["id"])
        if found.native is Native.ended:
            found = msgspec.structs.replace(found, cause=_cause(told))
        if claim and ignore:
            claim, said = _forgiven(claim)
            return msgspec.structs.replace(found, claim=claim, hint=said or hint)
        return msgspec.structs.replace(found, claim=claim)

    def _native(self, status: int | None) -> Native:
        return Native.unknown if status is None else self.STATES.get(status, Native.unknown)

    # -- other questions --------------------------------------------------------------------------------------------

    def account(self, watches: Sequence[Watch], place: Place) -> CloudDetail:
        """Each by its own question: the listing may lag, and it tells no exit code of what it does not list."""
        return CloudDetail(tuple(watches), self.live, self.ended)

    def accounted(self, reply: Reply, watches: Sequence[Watch]) -> Looks:
        """What is still there, or how it ended; nothing of what nobody knows."""
        told = msgspec.json.decode(reply.out, type=dict[str, Any])
        looks = {}
        for nonce, row in told.items():
            native = self._native(row["status"])
            cause = _cause(row) if native is Native.ended else None
            looks[nonce] = Look(native, str(row["status"]), row["id"], "accounting", cause=cause)
        return Looks(looks)

    def kill(self, watches: Sequence[Watch], place: Place) -> CloudKill:
        """Each by its id, or by its name in the listing."""
        return CloudKill(tuple(watches), self.live)


def _cause(told: Mapping[str, Any]) -> Cause:
    """Why a job ended, as far as the cloud says: its own exit code, and the end of its log."""
    code = told.get("exit")
    reason = "the container ended without an exit marker"
    return Cause("lost", reason, code, native=str(told["status"]), stderr=told.get("log", ""), source="accounting")


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

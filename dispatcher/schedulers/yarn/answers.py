"""What YARN, its clients and HDFS say, and what it means.

rows('{"apps":{"app":[{"id":"application_1795579057306_0001","name":"dq3v81kx0mza-re", …}]}}', 0)
rows("… Total number of applications … :1 …\\napplication_1795579057306_0001\\t dq3v81kx0mza-re\\t YARN …", 0)
refusal("… QueuePath … Unknown queue: lba")  ->  Rejection(…)   refusal("… Name node is in safe mode.")  ->  Deferral(…)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from ...core.errors import Unreachable
from ...core.events import Cause, CauseKind
from ...core.ports import Answer, Deferral, Native, Observation, Rejection, Unclear
from ..command_line import QueueRow, nonce_of

STATES = {
    "NEW": Native.waiting,
    "NEW_SAVING": Native.waiting,
    "SUBMITTED": Native.waiting,
    "ACCEPTED": Native.waiting,
    "RUNNING": Native.running,
    "FINISHED": Native.ended,
    "FAILED": Native.ended,
    "KILLED": Native.ended,
}
#: Not now: HDFS is closed or full, YARN is away or has enough for the moment.
DEFERRED = re.compile(
    r"safe ?mode|quota|Quota|ConnectException|Connection refused|ConnectTimeout|SocketTimeout|NoRouteToHost|Standby|"
    r"could only be (?:written|replicated)|maximum.*applications|cannot accept submission|already has \d+ applications|"
    r"RetriableException|UnknownHost|Connection reset|No space left"
)
#: Not as it is: it would be refused again.
REJECTED = re.compile(
    r"[Uu]nknown queue|not present in scheduler configuration|"
    r"queue .*(?:not exist|not found|STOPPED|DRAINING)|\"queueInfo\" is null|InvalidResourceRequest|"
    r"Unknown resource|AccessControlException|Permission denied|cannot submit applications|no distributed-shell jar|"
    r"no hadoop command|ClassNotFound|Could not find or load main class|UnrecognizedOption|is not a leaf queue|non-leaf"
)
_BEGUN = "Submitting application to ASM"
_SETTLED = re.compile(r"Failed to submit application")
_TELLING = re.compile(r"^Caused by: |Exception: | ERROR ")
_LINE = re.compile(r"(application_\d+_\d+)\t *(.*?)\t *[^\t]*\t *[^\t]*\t *[^\t]*\t *([A-Z_]+)\t *([A-Z_]+)\t")


class App(QueueRow, frozen=True, gc=False):
    """An application as YARN lists it: also how it ended, in YARN's word."""

    final: str = ""


def refusal(said: str) -> Answer | None:
    """What a client that ended without an id has said; None when YARN may have the application all the same."""
    if _BEGUN in said and not _SETTLED.search(said):
        return None
    if REJECTED.search(said):
        return Rejection(_reason(said))
    return Deferral(_reason(said)) if DEFERRED.search(said) else Unclear(_reason(said) if said else "without a word")


def _reason(said: str) -> str:
    """The line of a page of Java's logging that says why: the last cause, at most 300 characters of it."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if _TELLING.search(line)] or lines
    where = [line for line in telling if " Call From " in line]  # it names the address that did not answer
    return (where or telling)[-1].removeprefix("Caused by: ").partition("; For more details")[0][:300]


def rows(text: str, code: int) -> list[QueueRow]:
    """The applications that the ResourceManager lists; Unreachable when that is no good answer."""
    if code == 0 and text.lstrip().startswith("{"):
        try:
            reported = msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise Unreachable(f"YARN: the ResourceManager's answer cannot be read: {error}") from None
        if "apps" not in reported:  # null when there is none: what says neither is no answer
            raise Unreachable(f"YARN: the ResourceManager's answer names no applications: {text.strip()[:200]}")
        return [_of(app) for app in ((reported["apps"] or {}).get("app") or [])]
    if code == 0 and "Total number of applications" in text:
        found = map(_LINE.match, text.split("\n"))
        return [App(line[1], nonce_of(line[2]), line[3], final=line[4]) for line in found if line]
    raise Unreachable(f"YARN: {short(text.splitlines())} (exit {code})")


def _of(app: dict[str, Any]) -> App:
    node = str(app.get("amHostHttpAddress") or "").partition(":")[0]
    return App(
        str(app["id"]),
        nonce_of(str(app["name"])),
        str(app["state"]),
        node,
        _said(app),
        str(app.get("finalStatus") or ""),
    )


def _said(app: dict[str, Any]) -> str:
    return " ".join(str(app.get("diagnostics") or "").split())[:500]


def short(lines: Sequence[str]) -> str:
    """The lines of an answer that say what is wrong, shortened."""
    telling = [
        line.strip() for line in lines if re.search(r"xception|rror|refused|denied|mode|curl|ailed|[Nn]o ", line)
    ]
    return " / ".join(telling or [line.strip() for line in lines if line.strip()])[-300:] or "no answer"


def observation_of(listed: Sequence[QueueRow]) -> Observation:
    """What the applications of one name say: one that has not ended counts before one that has."""
    row = min(listed, key=lambda row: STATES.get(row.code, Native.unknown) is Native.ended)
    native = STATES.get(row.code, Native.unknown)
    final = row.final if isinstance(row, App) else ""
    cause = None
    if native is Native.ended and final != "SUCCEEDED":
        # also of a killed one: who wants it ended for good cancels it here, and a site that kills may let it run later
        why = row.reason or f"the application {row.code.lower()}"
        cause = Cause(CauseKind.scheduler, why, native=row.code, source="queue")
    word = row.code if final in ("", "UNDEFINED", row.code) else f"{row.code} {final}"
    return Observation(native, word, row.id, "queue", row.node, cause=cause)

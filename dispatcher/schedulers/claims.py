"""What a job wrote itself, as a value: lines of `<nonce>.claim`, see `scripts.bash` and docs/control-files.md.

    beating(queries, "@@da…")   ->  a shell text that prints, for each claim (of an element, too):
    @@da… file dq3v81kx0mza.beat:-rw------- 1 1000 1000 42 2026-09-21 14:15:23.125 +0000 dq3v81kx0mza.claim

A job touches its claim every 30 seconds. That what is printed of a file has changed between two looks is a sign of life
that no clock is needed for: that of the job, of the file server and ours may all differ.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..core.ports import Claim, Query

# Bounded: what stands in a file may be anything, and a position becomes a bit of a number.
_TASK = re.compile(r"task ([0-9]{1,7}) ([0-9]{1,5}) ([0-9]{1,12}) \.")
_END = re.compile(r"end ([0-9]{1,5}) ([0-9]{1,12}) \.")
_ERR = re.compile(r"err ([0-9]{1,7}) (.*)")
_SIGNAL = re.compile(r"signal [A-Z0-9]{1,9} ([0-9]{1,12}) \.")
#: Seconds before a signal in which a task that ended well may have been cut short by it (`scripts.bash` has the same).
_CUT_SHORT = 5
#: Most notes of a job, and characters of each, that are taken in.
_NOTES, _NOTE = 20, 500

_BEATS = """\
{{
while read -r dsp_nonce; do
  for dsp_file in "$dsp_nonce.claim" "$dsp_nonce".*.claim; do [ ! -e "$dsp_file" ] || echo "$dsp_file"; done
done << '@@'
{nonces}
@@
}} | LC_ALL=C xargs sh -c 'ls -ln --full-time "$@" 2> /dev/null || ls -ln "$@"' sh /dev/null |
  awk '$NF ~ /claim$/ {{ split($NF, dsp, "."); print "{mark} file " dsp[1] ".beat:" $0 }}'
"""


def beating(queries: Sequence[Query], mark: str) -> str:
    """Shell text that tells the signs of life that are wanted; "" when none is."""
    nonces = "\n".join(query.nonce for query in queries if query.beat)
    return _BEATS.format(mark=mark, nonces=nonces) if nonces else ""


def read_claim(lines: Sequence[str], fenced: Sequence[str] = ()) -> Claim | None:
    """A claim file as a value; None when there is none yet. Lines that were torn do not count."""
    if not lines:
        return None
    first = lines[0].split()
    if len(first) != 6 or first[0] != "claim":
        return Claim(owner="")
    results = [_TASK.fullmatch(line) for line in lines[1:]]
    ended = [_END.fullmatch(line) for line in lines[1:]]
    stderr: dict[int, list[str]] = {}
    for tail in filter(None, map(_ERR.fullmatch, lines[1:])):
        stderr.setdefault(int(tail[1]), []).append(tail[2])
    known = [result for result in (*results, *ended) if result]
    signals = [int(signal[1]) for signal in map(_SIGNAL.fullmatch, lines[1:]) if signal]
    before = min(signals, default=10**12) - _CUT_SHORT
    notes = [line[5:][:_NOTE] for line in lines[1:] if line.startswith("note ")]
    return Claim(
        owner=first[1],
        lines=1 + len(known),
        restarts=int(first[2]) if re.fullmatch("[0-9]{1,9}", first[2]) else 0,
        node=first[3],
        tasks=tuple(
            (int(task[1]), int(task[2]), float(task[3]))
            for task in results
            if task and (int(task[2]) or int(task[3]) < before)
        ),
        ended=next((int(end[1]) for end in ended if end), None),
        stderr={index: "\n".join(text) for index, text in stderr.items()},
        fenced=tuple(line.split()[1] for line in fenced if line.startswith("fenced ") and len(line.split()) == 2),
        notes=tuple(notes[:_NOTES]),
        log="\n".join(line[4:] for line in lines[1:] if line.startswith("log ")),
    )

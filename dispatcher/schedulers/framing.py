"""Shell texts with many answers in one, and how these are told apart.

    @@dq3v81kx0mza queue-code 0
    @@dq3v81kx0mza queue 4211|R|node7|None|dq3v81kx0mza-relax
    @@dq3v81kx0mza file dq3v81kx0mza.claim:task 0 0 1790000123 .
    @@dq3v81kx0mza done                     without this line the answer is not whole, and counts as none

Lines that are meant for us start with a mark that no banner of a site can contain.

No command is told more words than fit at any number of jobs: what grows with
that number stands in here-documents, and is told in portions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..core.errors import Unreachable
from ..core.ports import Query, Reply, SubmitRequest
from ..scripts.render import quoted
from .preamble import refuse_purged

#: Most ids that one command is told.
PORTION = 500

#: What is listed, behind the nonces that are asked for: `known` of awk has the id behind each nonce.
_OURS = """\
dsp_all=$({listing}) || {{ dsp_code=$?; printf '%s\\n' "$dsp_all"; return "$dsp_code"; }}
{{
cat << '@@'
{nonces}
@@
printf '%s\\n' "$dsp_all"
}} | awk -F '{separator}' '$1 == "@" {{ known[$2] = $3; short[substr($2, 1, 10)] = $2; next }}
{program}'"""

#: Words from a pipe, so many a line, each line told to one command; a command that hangs is the last one.
_TOLD = """\
awk '{{ printf "%s%s", $0, ++n % {most} ? " " : "\\n" }} END {{ if (n % {most}) print "" }}' | {{
  set -f
  dsp_code=0
  while read -r dsp_words; do
    {command} < /dev/null || {{ dsp_code=$?; [ "$dsp_code" -ne 124 ] || break; }}
  done
  exit "$dsp_code"
}}"""

_CODE = re.compile(r"[0-9]{1,3}")


class Heard(NamedTuple):
    """One framed answer: its lines as a text, the exit code, and PATH over there when a command was not found."""

    text: str
    code: int
    path: str = ""

    def why(self, tool: str) -> str:
        """What is wrong with an answer that is not good, in one line."""
        if self.code in (126, 127):
            return f"{last_lines(self.text)}; {advice(tool, self.path)}"
        return "no answer in time" if self.code == 124 else last_lines(self.text) or f"exit code {self.code}"


def preamble(text: str, control: str, prologue: Sequence[str] = ()) -> str:
    """What each call begins with, and the user's own lines, which must not read what follows them, nor lead away."""
    own, control = "\n".join(prologue), quoted(control)
    return text.format(control=control) + (
        f"{{\n{own}\n}} < /dev/null >&2\nset +eu\ncd -- {control} || exit 90\n" if own else ""
    )


def heredoc(name: str, text: str, mark: str) -> str:
    """Shell text that writes a file, by dsp_put."""
    return f"dsp_put {name} << '{mark}'\n{text.rstrip(chr(10))}\n{mark}\n"


def framed_call(word: str, mark: str) -> str:
    """Shell text: call dsp_WORD, tell its exit code and each line of what it said, complaints included."""
    return (
        f"dsp_said=$(dsp_{word} 2>&1 < /dev/null)\n"
        "dsp_code=$?\n"
        f'echo "{mark} {word}-code $dsp_code"\n'
        f'case $dsp_code in 126 | 127) echo "{mark} {word}-path $PATH" ;; esac\n'
        f"printf '%s\\n' \"$dsp_said\" | sed 's/^/{mark} {word} /'\n"
    )


def question(word: str, lines: str, mark: str) -> str:
    """Shell text: run these lines as dsp_WORD, framed."""
    return f"dsp_{word}() {{\n{lines}\n}}\n{framed_call(word, mark)}"


def framed(text: str, mark: str) -> dict[str, list[str]]:
    """Our lines of an answer by their first word, in order; banners and noise are passed over."""
    said: dict[str, list[str]] = {}
    for line in text.split("\n"):
        # A banner without a line end may stand before the mark on the same line.
        _, found, rest = line.partition(f"{mark} ")
        word, _, value = rest.partition(" ")
        # an exit code that is not a number was not told by us, and counts as not told
        if found and (not word.endswith("-code") or _CODE.fullmatch(value)):
            said.setdefault(word, []).append(value)
    return said


def whole(reply: Reply, mark: str, who: str) -> dict[str, list[str]]:
    """As `framed`; Unreachable when the answer breaks off."""
    said = framed(reply.out, mark)
    refuse_purged(reply, said)
    if "done" not in said:
        raise Unreachable(f"{who}: the answer is not whole (exit {reply.code}): {reply.err.strip()[-300:]}")
    return said


def heard(said: Mapping[str, list[str]], word: str) -> Heard:
    """What dsp_WORD said."""
    code = int((said.get(f"{word}-code") or ["255"])[0])
    return Heard("\n".join(said.get(word, [])), code, "".join(said.get(f"{word}-path", [])[:1]))


def ours(listing: str, queries: Iterable[Query], program: str, separator: str = " ", ids: bool = False) -> str:
    """Shell text: list, and tell awk first which nonces (with their ids, if wanted) we ask for, then what is listed."""
    rows = (("@", query.nonce, query.id or "-") if ids else ("@", query.nonce) for query in queries)
    nonces = "\n".join(map(separator.join, rows))
    return _OURS.format(listing=listing, nonces=nonces, separator=separator, program=program)


def told(command: str, most: int = PORTION) -> str:
    """Shell text for the end of a pipe: the words of its lines to `command`, as $dsp_words, `most` of them at once."""
    return _TOLD.format(command=command, most=most)


def portions(words: Sequence[str], most: int = PORTION, between: str = " ") -> str:
    """The same words, so many a line."""
    return "\n".join(between.join(words[first : first + most]) for first in range(0, len(words), most))


def each_portion(words: str, command: str) -> str:
    """Shell text: for each of these lines the command, with the line as $dsp_words; the first that fails ends it."""
    return f"while read -r dsp_words; do\n{command} < /dev/null || return\ndone << '@@'\n{words}\n@@"


def by_nonce(lines: Iterable[str]) -> dict[str, str]:
    """Lines that begin with a nonce, put together by it."""
    texts: dict[str, list[str]] = {}
    for line in lines:
        nonce, _, text = line.partition(" ")
        texts.setdefault(nonce, []).append(text)
    return {nonce: "\n".join(part for part in parts if part) for nonce, parts in texts.items()}


def files(lines: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    """The lines of each file, by nonce and by what follows it in the file's name."""
    found: dict[str, dict[str, list[str]]] = {}
    for line in lines:
        name, _, text = line.partition(":")
        nonce, _, rest = name.partition(".")
        found.setdefault(nonce, {}).setdefault(rest, []).append(text)
    return found


def last_lines(text: str, rows: re.Pattern[str] | None = None) -> str:
    """The last two lines of a complaint, in one; `rows` are those of a list or a record, and do not complain."""
    lines = [line.strip() for line in text.split("\n") if line.strip() and not (rows and rows.match(line))]
    return "; ".join(dict.fromkeys(lines[-2:]))[:300]


def advice(tool: str, path: str) -> str:
    """What to do when a command is not found, or may not be run."""
    return (
        f"{tool} cannot be run there: PATH is {path or 'not known'}. If it comes with a module or a login shell, write "
        "the lines that bring it into resources/kwargs/scheduler_prologue; otherwise check machine/batch_type"
    )


def mark_of(asked: Sequence[SubmitRequest] | Sequence[Query]) -> str:
    """What begins our own lines in the answer to a call about these."""
    return f"@@{asked[0].nonce}"

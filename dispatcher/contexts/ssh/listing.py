"""What is there, asked in one round trip however many files there are.

    tree(far, ["t1", "pot.json"])         find -L … -printf '%Y %s %p\\0'       ->  [FileEntry("t1/out.nc", 4096), …]
    digests(far, ["t1/out.nc"])           xargs -0 sha256sum                   ->  Sums({"t1/out.nc": "9f86d0…"}, …)

Names travel between NULs. In the answers of sha256sum and its like, a name with
a line break or a backslash cannot be told apart; such files are asked for one
by one, by number. Where nothing can compute SHA-256, sizes are compared.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from shlex import quote
from typing import NamedTuple, TypeVar

from ...core.errors import TransferFailed, Unreachable
from ...core.ports import FileEntry
from ...files.gate import below
from .link import MINUTE, Link
from .shell import Stream, all_of, run

_log = logging.getLogger(__name__)
_Done = TypeVar("_Done")

#: Seconds without progress after which a transfer gives up; at first, nobody waits for a machine that may not exist.
PATIENCE, AT_FIRST = 900.0, 4.0

#: Sets $s to a command that prints a digest and a name for each file; `wc -c` when there is none.
TOOLS = r"""LC_ALL=C; export LC_ALL; set -f
P='import hashlib,sys
for n in sys.argv[1:] or [0]:
    h=hashlib.sha256()
    with open(n,"rb") as f:
        for b in iter(lambda: f.read(1<<20), b""): h.update(b)
    print(h.hexdigest()+"  "+str(n))'; export P
has() { command -v "$1" > /dev/null 2>&1; }
# openssl first: it uses what the processor has for SHA-256, up to seven times faster than sha256sum
if has openssl && case $(: | openssl dgst -sha256 -r 2> /dev/null) in e3b0c44298fc1c14*) ;; *) false ;; esac
then s='openssl dgst -sha256 -r'
elif has sha256sum; then s=sha256sum; elif has shasum; then s='shasum -a 256'
elif has python3; then s='python3 -c exec(__import__("os").environ["P"])'
else s='wc -c'; fi
t=; ! has tar || t=tar; z=; ! has gzip || z=gzip
printf '%s,%s,%s\n' "${s%% *}" "$t" "$z"
"""
_SUM = re.compile(r"\s*(\\?)(\w+)\s+\*?(\./.*)")
_SIZE = re.compile("[0-9]{1,18}")
_NUMBERED = re.compile(r"=([0-9]{1,9})\s+(\w+)")
_ESCAPED = re.compile(r"\\(.)")
_ADVICE = (
    ("no space left", "free some space there, then run the same command again"),
    ("wrote only", "the disk there is full, or your quota used up: free some space, then run again"),
    ("quota", "your quota there is used up: free some space, then run the same command again"),
    (
        "permission denied",
        "check its permissions and those of the directories above it, then run the same command again",
    ),
    ("read-only", "choose a remote_root that can be written"),
    ("file exists", "a file has the name of a directory: rename one of them"),
    ("not a directory", "a file has the name of a directory: rename one of them"),
)
_PROGRAM = re.compile(r"(?m)^\S*(tar|sh|mv|mkdir|cat|xargs): ")
_HARMLESS = re.compile(r"No such file|Not a directory|loop|Too many levels|File name too long", re.IGNORECASE)


class Far(NamedTuple):
    """A directory on the other side of a link."""

    link: Link
    root: str

    def __str__(self) -> str:
        return f"{self.link}:{self.root}"

    def run(self, script: str, take: Callable[[Iterator[bytes]], object], feed: Iterable[bytes] = ()) -> Stream:
        """Run a script there, in the directory."""
        stream = run(self.link, f"cd {quote(self.root)} || exit 97\n{script}", take, feed)
        if stream.code > 128:  # somebody who ends sessions may end the programs first
            raise Unreachable(f"a program on {self.link} was killed by signal {stream.code - 128}; started again later")
        return stream


class Sums(NamedTuple):
    """Digests by path (sizes when `sized`, "there" when only that was asked), and which programs are there."""

    files: dict[str, str]
    staged: dict[str, str]
    sizes: dict[str, int]
    tools: tuple[str, ...]

    @property
    def sized(self) -> bool:
        """Whether nothing there can compute SHA-256."""
        return self.tools[0] == "wc"


def patiently(
    link: Link, step: Callable[[], _Done], progress: Callable[[], object] = lambda: None, longest: float | None = None
) -> _Done:
    """Do something that may be done twice, again and again while the link breaks, until nothing moves for long."""
    patience = PATIENCE if longest is None else longest
    began, before, pause = time.monotonic(), progress(), 0.05
    while True:
        try:
            return step()
        except Unreachable:
            if progress() != before:
                began, before, pause = time.monotonic(), progress(), 0.05
            wait = max(link.early(), pause)
            if time.monotonic() - began + wait > patience:
                raise
            link.sleep(wait)
            pause = min(2 * pause, MINUTE)


def failed(far: Far, doing: str, said: str) -> TransferFailed:
    """The error for what a command there complained about: what, where, why, what to do."""
    # the last line of tar is its summary, the first is the reason
    line = next((line.strip() for line in _PROGRAM.sub("", said).splitlines() if line.strip()), "no reason given")[:400]
    advice = next((advice for sign, advice in _ADVICE if sign in said.lower()), "")
    return TransferFailed(f"cannot {doing} {far}: {line}" + (f"; {advice}" if advice else ""))


def nul(names: Iterable[str]) -> list[bytes]:
    """Names, each closed by a NUL and unable to be taken for an option."""
    return [b"".join(f"./{name}\0".encode(errors="surrogateescape") for name in names)]


# -- digests --------------------------------------------------------------------------------------------------------


def digests(
    far: Far, paths: Sequence[str], compare: bool = True, patterns: str = "", expected: Iterable[str] = ()
) -> Sums:
    """SHA-256 of each path that is a file there (links followed), and of what lies below `staging`.

    `expected` names what may be there: without it, files with odd names are not found.
    """
    odd = [path for path in paths if _is_odd(path)]
    plain = nul(path for path in paths if not _is_odd(path))
    awaited = [path for path in expected if _is_odd(path)]
    below = f"{_staged(patterns)}\n{_ONE}\n{_numbered(awaited, patterns + '/')}" if patterns else ""
    script = f"{TOOLS}{below}\necho '@'\n{_ONE if compare else _THERE}\n{_numbered(odd)}\n{_ALL[compare]}"
    out: list[bytes] = []
    stream = far.run(script, all_of(out), plain)
    lines = b"".join(out).decode(errors="surrogateescape").split("\n")
    if "@" not in lines:
        raise failed(far, "look at", stream.err)
    sums = sums_in(lines, odd, awaited)
    if sums.sized and compare:
        _log.warning("%s has no sha256sum, shasum, openssl or python3: only sizes are compared, all is sent", far)
    return sums


_ONE = r"""one() { [ ! -f "$2" ] || printf '=%s %s\n' "$1" "$($s < "$2")"; }"""
_THERE = r"""one() { [ ! -f "$2" ] || printf '=%s there\n' "$1"; }"""
_ALL = {
    True: r"""xargs -0 sh -c 'for f do [ ! -f "$f" ] || printf "%s\0" "$f"; done' sh | xargs -0 $s""",
    False: r"""xargs -0 sh -c 'for f do [ ! -f "$f" ] || printf "there  %s\n" "$f"; done' sh""",
}


def _staged(patterns: str) -> str:
    place = quote(patterns)
    plain = r"find . -type f ! -path '*\\*' ! -path '*" + "\n*' ! -path '*\r*'"
    return (
        f"if [ -d {place} ]; then (cd {place} && {plain} -print0 | xargs -0 $s\n"
        f"echo '#'; {plain} -size +2047 -exec wc -c {{}} +); else echo '#'; fi"
    )


def _is_odd(path: str) -> bool:
    return "\n" in path or "\\" in path or "\r" in path


def _numbered(odd: Sequence[str], before: str = "") -> str:
    return "\n".join(f"one {number} {quote(f'./{before}{path}')}" for number, path in enumerate(odd))


def sums_in(lines: Sequence[str], odd: Sequence[str], awaited: Sequence[str]) -> Sums:
    """What `digests` printed, line by line."""
    at = lines.index("@")
    half = lines.index("#") if "#" in lines[:at] else at
    files = dict(_parsed(lines[at + 1 :], odd))
    numbered = (line for line in lines[half:at] if line.startswith("="))
    staged = dict(_parsed([*lines[1:half], *numbered], awaited))
    sizes = {path: int(size) for path, size in _parsed(lines[half:at], ()) if _SIZE.fullmatch(size)}
    return Sums(files, staged, sizes, tuple(lines[0].split(",")))


def _parsed(lines: Iterable[str], odd: Sequence[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        if match := _NUMBERED.match(line):
            if int(match[1]) < len(odd):
                yield odd[int(match[1])], match[2]
        elif match := _SUM.fullmatch(line):
            name = match[3][2:]
            # GNU writes a backslash before a line whose name it had to escape
            yield (_ESCAPED.sub(lambda m: {"n": "\n", "r": "\r"}.get(m[1], m[1]), name) if match[1] else name), match[2]


# -- trees ----------------------------------------------------------------------------------------------------------

_FIND = r"""LC_ALL=C; export LC_ALL
if find . -prune -printf '' > /dev/null 2>&1; then
  xargs -0 sh -c 'find -L "$@" -name ".dispatcher*" -prune -o -printf "%Y %s - %p\0"; :' sh
else
  xargs -0 sh -c 'find "$@" -name ".dispatcher*" -prune -o -exec stat -L -c "|@%F %s %d:%i %n" "{}" +; :' sh
fi"""
#: What `stat` calls what `find` calls d and f.
_WORDS = re.compile(r"^(directory|regular(?: empty)? file) ")

_ENTRY = re.compile(r"(.*?) ([0-9]{1,18}) (-|[0-9a-f]+:[0-9]+) (.*)", re.DOTALL)


class _Found(NamedTuple):
    """Something there; `me` says which directory it is where `find` cannot follow links by itself, "-" elsewhere."""

    kind: str
    size: int
    me: str
    path: str


def tree(far: Far, paths: Sequence[str]) -> list[FileEntry]:
    """Each path as a file, or everything below it as a directory; see `local.tree`.

    GNU find does it in one go. Others would follow links in circles: there, directories that look empty are asked
    again, as they may be links, unless they lead back to one above them.
    """
    seen: dict[str, _Found] = {}
    requested = list(dict.fromkeys(paths))
    while requested:
        before = set(seen)
        seen.update((entry.path, entry) for entry in _listed(far, requested, paths))
        full = {path.rpartition("/")[0] for path in seen}
        requested = [
            f"{path}/."
            for path, entry in seen.items()
            if path not in before | full and entry.kind == "d" and entry.me != "-" and not _is_loop(entry, seen)
        ]
    loops = {path for path, entry in seen.items() if entry.me != "-" and _is_loop(entry, seen)}
    files = {path: entry.size for path, entry in seen.items() if entry.kind == "f"}
    empty = {path: -1 for path, entry in seen.items() if entry.kind == "d" and path and path not in full | loops}
    return [FileEntry(path, size) for path, size in sorted((files | empty).items())]


def _is_loop(entry: _Found, seen: dict[str, _Found]) -> bool:
    path = entry.path
    while path:
        path = path.rpartition("/")[0]
        if path in seen and seen[path].me == entry.me:
            return True
    return False


def _listed(far: Far, paths: Sequence[str], tops: Sequence[str]) -> Iterator[_Found]:
    """Everything there; TransferFailed when the answer names what is not below `tops`."""
    out: list[bytes] = []
    stream = far.run(_FIND, all_of(out), nul(path or "." for path in paths))
    wrong = [line for line in stream.err.splitlines() if "find" in line and not _HARMLESS.search(line)]
    if wrong or stream.code:
        raise failed(far, "list", wrong[0] if wrong else stream.err)
    yield from found_in(b"".join(out).decode(errors="surrogateescape"), tops, str(far))


def found_in(text: str, tops: Sequence[str], source: str) -> Iterator[_Found]:
    """The entries of a listing; TransferFailed for one that cannot be read, or that is not below `tops`."""
    records = text[2:-1].split("\n|@") if text.startswith("|@") else text.split("\0")[:-1]
    for record in records:
        found = _ENTRY.fullmatch(_WORDS.sub(lambda word: f"{word[1][0].replace('r', 'f')} ", record))
        if found is None:
            raise TransferFailed(f"{source}: its listing cannot be read: {record[:80]!r}; look what `find` is there")
        kind, size, me, path = found.groups()
        yield _Found(kind, int(size), me, below(path, tops, source) if set(path.split("/")) - {"."} else "")

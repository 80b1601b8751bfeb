"""What qsub reads from its command line and from the directives of a script, and what it says of a wrong one.

    -N relax  #PBS -l select=1:ncpus=4      Request(name="relax", resources={"select": "1:ncpus=4"}, …)
    #PBS -l select=1:nosuch=1               qsub: Unknown resource: nosuch                         187
    #PBS -N (300 letters)                   qsub: Job name is too long                             2

OpenPBS reads a directive like a command line, and names the line; Torque shows its usage for all that it cannot read.
The texts are those of fixtures/transcripts (02-qsub-bad, 90-directives).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from .queue import Said

_MOST = 10000


@dataclass
class Request:
    """What was asked for; `elements` of an array, `at_once` of them."""

    words: dict[str, str] = field(default_factory=dict)
    resources: dict[str, str] = field(default_factory=dict)
    elements: tuple[int, ...] = ()
    at_once: int = 0


class RefusedError(Exception):
    """It cannot be read, or is not taken."""

    def __init__(self, code: int, err: str) -> None:
        super().__init__(err)
        self.said = Said(code, "", err)


class QsubOptions:
    """Those of OpenPBS."""

    VALUED: ClassVar[frozenset[str]] = frozenset("aACcejJklmMNopPqrRSuvW")
    FLAGS: ClassVar[frozenset[str]] = frozenset("fhIVXz")
    ARRAY: ClassVar[str] = "J"
    LONGEST: ClassVar[int] = 230
    NAME: ClassVar[re.Pattern[str]] = re.compile(r"[\w+.-]+", re.ASCII)
    CHUNK: ClassVar[frozenset[str]] = frozenset(
        ("ncpus", "ngpus", "mem", "vmem", "mpiprocs", "ompthreads", "host", "arch", "vnode")
    )
    KNOWN: ClassVar[frozenset[str]] = CHUNK | {
        "select", "place", "walltime", "cput", "pcput", "pmem", "pvmem", "nodes", "nodect", "software", "file",
    }  # fmt: skip
    MISSING: ClassVar[str] = "qsub: script file:: No such file or directory\n"
    WINDOWS: ClassVar[str] = "qsub: script contains cr, lf\n"
    USAGE: ClassVar[str] = """\
usage: qsub [-a date_time] [-A account_string] [-c interval]
\t[-C directive_prefix] [-e path] [-f ] [-h ] [-I [-X]] [-j oe|eo] [-J X-Y[:Z]]
\t[-k keep] [-l resource_list] [-m mail_options] [-M user_list]
\t[-N jobname] [-o path] [-p priority] [-P project] [-q queue] [-r y|n]
\t[-R o|e|oe] [-S path] [-u user_list] [-W otherattributes=value...]
\t[-v variable_list] [-V ] [-z] [script | -- command [arg1 ...]]
       qsub --version
"""
    _CLOCK = re.compile(r"(?:\d+:){0,2}\d+(?:\.\d+)?")
    _SIZE = re.compile(r"\d+[kmgtp]?[bw]?", re.IGNORECASE)
    _PLACE = re.compile(r"(?:free|pack|scatter|vscatter|excl|exclhost|shared|group=\w+)(?::(?:excl|exclhost|shared))?")

    def read(self, lines: Sequence[str], args: Sequence[str]) -> tuple[Request, list[str]]:
        """The request, and the words behind the options of the command line, which win; Refused for what is wrong."""
        found = Request()
        for line in lines:
            rest = self._options(found, line.split(), line)
            if rest:
                raise self._directive("", line)
        rest = self._options(found, args, "")
        self._check(found.resources)
        return found, rest

    def script(self, folder: Path, file: str) -> str:
        """The text of the script; Refused for one that cannot be read, or has the line ends of Windows."""
        path = folder / file
        if path.is_dir():
            raise RefusedError(1, "qsub: script not a file\n")
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            raise RefusedError(1, self.MISSING.format(file=file)) from None
        except PermissionError:
            raise RefusedError(8, "qsub: opening script file:: Permission denied\n") from None
        if b"\r\n" in text:
            raise RefusedError(1, self.WINDOWS)
        return text.decode(errors="replace")

    def _options(self, found: Request, given: Sequence[str], line: str) -> list[str]:
        rest = list(given)
        while rest and rest[0].startswith("-") and rest[0] != "-":
            word = rest.pop(0)
            letter, value = word[1:2], word[2:]
            if letter not in self.VALUED | self.FLAGS:
                raise self.unknown(word, line)
            if letter in self.VALUED and not value:
                if not rest:
                    raise self._getopt(f"option requires an argument -- '{letter}'", line)
                value = rest.pop(0)
            self._take(found, letter, value, line)
        return rest

    def _take(self, found: Request, letter: str, value: str, line: str) -> None:
        if letter == "N":
            self.name(value, line)
        if letter == self.ARRAY:
            found.elements, found.at_once = self.array(value)
        if letter == "l":
            found.resources |= dict(part.partition("=")[::2] for part in value.split(","))
        found.words[letter] = value

    # -- what is wrong ------------------------------------------------------------------------------------------

    def illegal(self, letter: str) -> RefusedError:
        """A value that cannot be read."""
        return RefusedError(2, f"qsub: illegal -{letter} value\n{self.USAGE}")

    def unknown(self, word: str, line: str) -> RefusedError:
        """An option that there is not."""
        if not word.startswith("--"):
            return self._getopt(f"invalid option -- '{word[1:2]}'", line)
        return self._getopt(f"invalid option -- '-'\nqsub: invalid option -- '{word[2:3]}'", line)

    def _getopt(self, why: str, line: str) -> RefusedError:
        return self._directive(f"qsub: {why}\n", line) if line else RefusedError(2, f"qsub: {why}\n{self.USAGE}")

    def _directive(self, why: str, line: str) -> RefusedError:
        return RefusedError(1, f"{why}qsub: directive error: {line} \n")

    def name(self, value: str, line: str) -> None:
        """Raise for a job name that is not one."""
        if not self.NAME.fullmatch(value):
            raise self.illegal("N")
        if len(value) > self.LONGEST:
            raise RefusedError(2, "qsub: Job name is too long \n")

    def array(self, value: str) -> tuple[tuple[int, ...], int]:
        """X-Y[:Z][%N]: the elements, and how many run at once (0: any)."""
        read = re.fullmatch(r"(\d{1,9})-(\d{1,9})(?::(\d{1,9}))?(?:%(\d{1,9}))?", value)
        if read is None or int(read[1]) >= int(read[2]):
            raise self.illegal("J")
        elements = range(int(read[1]), int(read[2]) + 1, int(read[3] or 1))
        if len(elements) > _MOST:
            raise RefusedError(3, "qsub: Array job exceeds server or queue size limit\n")
        return tuple(elements), int(read[4] or 0)

    def wrong(self, name: str) -> RefusedError:
        """A resource whose value is not one."""
        return RefusedError(166, f"qsub: Illegal attribute or resource value Resource_List.{name}\n")

    def _check(self, resources: dict[str, str]) -> None:
        for name, value in resources.items():
            if name not in self.KNOWN:
                raise self.unknown_resource(name)
            if not self._fits(name, value):
                raise self.wrong(name)
        self.together(resources)

    def unknown_resource(self, name: str) -> RefusedError:
        """A resource that the server does not have."""
        return RefusedError(187, f"qsub: Unknown resource Resource_List.{name}\n")

    def _fits(self, name: str, value: str) -> bool:
        if name in ("walltime", "cput", "pcput"):
            return bool(self._CLOCK.fullmatch(value))
        if name in ("ncpus", "ngpus"):
            return value.isdecimal()
        if "mem" in name:
            return bool(self._SIZE.fullmatch(value))
        return name != "place" or bool(self._PLACE.fullmatch(value))

    def together(self, resources: dict[str, str]) -> None:
        """Raise for a select that is wrong, and for what may not stand beside one."""
        if "select" not in resources:
            return
        for chunk in resources["select"].split("+"):
            many, *parts = chunk.split(":")
            if not many.isdecimal() or any("=" not in part for part in parts):
                raise self.wrong("select")
            if int(many) == 0:
                raise RefusedError(166, "qsub: Illegal attribute or resource value\n")
            for name in (part.partition("=")[0] for part in parts):
                if name not in self.CHUNK:
                    raise RefusedError(187, f"qsub: Unknown resource: {name}\n")
        for name in resources:
            if name == "nodes":
                raise RefusedError(6, "qsub: Cannot be used with select or place: nodes\n")
            if name in self.CHUNK:
                why = f'"-lresource=" cannot be used with "select" or "place", resource is: {name}'
                raise RefusedError(5, f"qsub: {why}\n")


class TorqueOptions(QsubOptions):
    """Those of Torque: a select is taken without a word, and without effect."""

    VALUED = frozenset("aAbcCdDejKklmMNopPqrSTtuvwWJ")
    FLAGS = frozenset("EFfhInVxXz")
    ARRAY = "t"
    LONGEST = 236
    NAME = re.compile(r"[!-~]*", re.ASCII)
    KNOWN = (QsubOptions.KNOWN | {"procs", "gpus", "feature", "nice", "opsys"}) - {"place"}
    MISSING = "qsub: script file '{file}' cannot be loaded - No such file or directory\n"
    WINDOWS = "qsub:  script is written in DOS/Windows text format\n"
    USAGE = """\

usage: qsub [-a date_time] [-A account_string] [-b secs]
    [-c [ none | { enabled | periodic | shutdown |
    depth=<int> | dir=<path> | interval=<minutes>}... ]
    [-C directive_prefix] [-d path] [-D path]
    [-e path] [-h] [-I] [-j oe|eo|n] [-k {oe}] [-K <kill delay seconds>] 
    [-l resource_list] [-m n|{abe}] [-M user_list] [-N jobname] [-o path] 
    [-p priority] [-P proxy_user [-J <jobid]] [-q queue] [-r y|n] 
    [-S path] [-t number_to_submit] [-T type]  [-u user_list] [-w] path
    [-W additional_attributes] [-v variable_list] [-V ] [-x] [-X] [-z] [script]

"""  # noqa: W291  (as it prints it)
    _CLOCK = re.compile(r"(?:\d+:)*\d+(?:\.\d+)?")
    _NOWHERE = (
        "cannot locate feasible nodes (nodes file is empty, all systems are busy, or no nodes have the requested "
        "feature)"
    )

    def _take(self, found: Request, letter: str, value: str, line: str) -> None:
        if letter == "J":
            raise RefusedError(2, f"[The -J option can only be used in conjunction with -P]\n{self.USAGE}")
        super()._take(found, letter, value, line)

    def illegal(self, letter: str) -> RefusedError:
        """In brackets, as all that the usage follows."""
        return RefusedError(2, f"[qsub: illegal -{letter} value]\n{self.USAGE}")

    def unknown(self, word: str, line: str) -> RefusedError:
        """An option that there is not."""
        if word.startswith("--"):
            return RefusedError(2, f"[a single - is not a valid option]\n{self.USAGE}")
        return self._getopt(f"invalid option -- '{word[1:2]}'", line)

    def _getopt(self, why: str, line: str) -> RefusedError:
        return RefusedError(2, f"qsub: {why}\n[exiting]\n{self.USAGE}")

    def _directive(self, why: str, line: str) -> RefusedError:
        """What stands behind a value is passed over there."""
        raise AssertionError(line)

    def read(self, lines: Sequence[str], args: Sequence[str]) -> tuple[Request, list[str]]:
        """As for OpenPBS; what stands behind a value of a directive is passed over."""
        found = Request()
        for line in lines:
            self._options(found, line.split(), line)
        rest = self._options(found, args, "")
        self._check(found.resources)
        return found, rest

    def name(self, value: str, line: str) -> None:
        """Directives are not looked at."""
        if not line and (not self.NAME.fullmatch(value) or len(value) > self.LONGEST):
            raise self.illegal("N")

    def array(self, value: str) -> tuple[tuple[int, ...], int]:
        """X, X-Y or a list of these, then %N."""
        text, _, most = value.partition("%")
        parts = [re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", part) for part in text.split(",")]
        if not all(parts) or not re.fullmatch(r"\d{0,9}", most):
            raise self._submit_error(235, "Bad Job Array Request")
        ranges = [range(int(part[1]), int(part[2] or part[1]) + 1) for part in parts if part]
        elements = [index for each in ranges for index in each[: _MOST + 1]]
        if not all(ranges):
            raise self._submit_error(235, "Bad Job Array Request")
        if len(elements) > _MOST:
            raise self._submit_error(235, f"Bad Job Array Request MSG=Requested array size too large, limit is {_MOST}")
        return tuple(elements), int(most or 0)

    def _submit_error(self, code: int, why: str) -> RefusedError:
        return RefusedError(code, f"qsub: submit error ({why})\n")

    def wrong(self, name: str) -> RefusedError:
        """A resource whose value is not one."""
        return self._submit_error(168, f"Illegal attribute or resource value for Resource_List.{name}")

    def unknown_resource(self, name: str) -> RefusedError:
        """A resource that the server does not have."""
        return self._submit_error(189, f"Unknown resource type  Resource_List.{name}")

    def together(self, resources: dict[str, str]) -> None:
        """Raise for nodes that cannot be read, or are not there."""
        parts = resources.get("nodes", "1").split(":")
        if any(re.fullmatch(r"ppn=\D*", part) for part in parts):
            raise self._submit_error(27, "Command syntax invalid MSG=Invalid Syntax")
        if not parts[0].isdecimal() or int(parts[0]) > 16:
            raise self._submit_error(190, f"Job exceeds queue resource limits MSG={self._NOWHERE}")

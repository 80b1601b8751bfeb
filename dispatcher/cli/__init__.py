"""The command line: a verb a file, loaded when it is asked for.

    dispatcher submit submission.json      ->  dispatcher.cli.submit:   arguments(parser), run(args) -> exit code
    dispatcher: error: submission/resources/gpu_per_nod: unknown key; did you mean 'gpu_per_node'?

Every mistake is one message on stderr and an exit code; a traceback is shown
only with --debug.
"""

from __future__ import annotations

import io
import locale
import logging
import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

from .. import __version__
from ..core import companion
from ..core.errors import ConfigError, DispatcherError
from .say import OutputLost, complain, flush, say, say_json, warn

#: Every verb and what it does, in the order of a first acquaintance. Its module has the same name, and declares its
#: options; help, completion and suggestions are made from both.
VERBS = {
    "init": "write a first submission file",
    "check": "see whether a machine works: login, directories, programs, queue, account, clock",
    "submit": "run a submission to its end; the same command resumes it",
    "run": "run a Python script that says in its head how (PEP 723)",
    "list": "all submissions below a directory",
    "status": "where submissions stand, and what to type next",
    "top": "submissions, jobs and failures on the whole terminal (extra dispatcher-hpc[top])",
    "tasks": "the tasks of a submission: how far each is, why it failed",
    "info": "everything that is known of a task or job",
    "logs": "what tasks wrote to stdout and stderr, wherever the files lie",
    "files": "what lies in the directory of a task",
    "open": "a shell in the directory where a task ran",
    "retry": "try failed jobs again, with other resources if need be",
    "cancel": "end the jobs of a submission",
    "hold": "keep waiting jobs from starting",
    "release": "let jobs go that were held",
    "adopt": "begin a journal anew beside the jobs of one that was deleted or is damaged",
    "download": "bring results and logs to this side now",
    "clean": "remove what is ours on the execution side",
    "diff": "where two submissions differ, or a journal and the batch system",
    "replay": "tell everything that happened, from the journal",
    "verify": "check that a journal is whole and legal",
    "report": "a run as one page for the browser (extra dispatcher-hpc[report])",
    "metrics": "submissions as OpenMetrics text, for a collector",
    "submission": "fetch logs and results, clean, or reset, after a run",
    "schedulers": "the batch systems, and how their states are read",
    "gui": "fill in machine, resources and submission files in the browser (extra dispatcher-hpc[gui])",
    "compat": "run programs that import dpdispatcher, unchanged; install or remove that name",
    "selftest": "try a cluster with small tasks: nothing twice, nothing lost, whatever is killed",
    "help": "a page of the documentation, or a section of it",
    "explain": "what a key of a configuration means",
    "schema": "JSON Schema of the files that you write, and of what --json prints",
    "completion": "verbs and options for the Tab key of bash, zsh or fish",
}

_EXITS = """\
exit codes:
  0  done   1  jobs or transfers failed, or results are missing   2  not valid as asked
  3  another dispatcher is at it   4  the journal is damaged   70  a bug   141  nobody reads the output
  130, 143, 129  interrupted by Ctrl-C, SIGTERM, SIGHUP: the same command resumes
"""

_BUG = 70
#: The option of the interpreter that names the encoding of the terminal, once everything else is UTF-8.
_TERMINAL = "dispatcher_terminal"
_PIPE = 141


class Parser(ArgumentParser):
    """Reports its mistakes as every other one is reported."""

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError instead of printing a usage that hides the message."""
        raise ConfigError(f"{message} (see {self.prog} --help)")


class _Warnings(logging.Handler):
    """What modules log, to stderr as everything else."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say it."""
        warn(f"{self.format(record)}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Obey the command line; the exit code. Raises nothing."""
    if argv is None:
        _speak_utf8()
    given = [*(sys.argv[1:] if argv is None else argv)]  # not list(): a verb of that name may be loaded here
    _stand_in_for_closed_streams()
    # what the journal warns of is told once, as the error that follows from it
    logging.lastResort = _Warnings() if "--debug" in given else logging.NullHandler()
    try:
        code = _obey(given)
        flush()
    except BaseException as error:
        return _report_error(error, debug="--debug" in given, json="--json" in given)
    return code


def _obey(given: Sequence[str]) -> int:
    companion.require()
    chosen = next((word for word in given if not word.startswith("-")), "")
    if chosen and chosen not in VERBS:
        raise ConfigError(f"invalid choice: {chosen!r} is not a verb{_nearest(chosen, VERBS)} (see dispatcher --help)")
    parser = _parser(chosen)
    args, unknown = parser.parse_known_args(given)
    if unknown:
        raise ConfigError(_unknown(unknown[0], chosen))
    if args.version:
        say(f"dispatcher {__version__}\n")
        return 0
    if args.run is None:
        say(parser.format_help())
        return 0
    code: int = args.run(args)
    return code


def _nearest(word: str, known: Iterable[str]) -> str:
    from ..schema.rules import nearest

    return nearest(word, known)


def _unknown(word: str, verb: str) -> str:
    """An argument that nothing takes."""
    about = f"(see {' '.join(filter(None, ('dispatcher', verb)))} --help)"
    if not word.startswith("-"):
        return f"{word}: one argument too many {about}"
    name = word.partition("=")[0]
    options = [option for action in parser_of(verb)._actions for option in action.option_strings] if verb else []
    return f"{name}: not an option{_nearest(name, options)} {about}"


def _parser(chosen: str) -> Parser:
    """The parser; only the chosen verb's own arguments are filled in, so that the others need not be loaded."""
    parser = Parser(
        "dispatcher",
        description="Turn tasks into jobs on a batch system; every step journalled, no task twice, none lost.",
        epilog=_EXITS,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    parser.set_defaults(run=None)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", parser_class=Parser)
    for name, about in VERBS.items():
        verb = verbs.add_parser(
            name, help=about, description=about, formatter_class=RawDescriptionHelpFormatter, allow_abbrev=False
        )
        if name == chosen:
            _fill(verb, name)
    return parser


def _speak_utf8() -> None:
    """Begin again in UTF-8 where the locale has another encoding, which is then that of the terminal alone.

    A name in a submission is text, a name of a file is bytes: under GB18030 or ISO-8859-1 Python would look for other
    bytes than those that are there and on the execution side.
    """
    if terminal := sys._xoptions.get(_TERMINAL):
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(encoding=str(terminal), errors="replace")
    elif sys.getfilesystemencoding() != "utf-8" and sys.executable:
        started = ["-m", "dispatcher"] if sys.argv[0].endswith("__main__.py") else [sys.argv[0]]
        options = ["-X", "utf8", "-X", f"{_TERMINAL}={locale.nl_langinfo(locale.CODESET)}"]
        os.execv(sys.executable, [sys.executable, *options, *started, *sys.argv[1:]])


def parser_of(verb: str) -> Parser:
    """The parser of one verb, with all its options."""
    parser = Parser(f"dispatcher {verb}", allow_abbrev=False)
    _fill(parser, verb)
    return parser


def _fill(parser: ArgumentParser, verb: str) -> None:
    module = import_module(f".{verb}", __name__)
    parser.epilog = module.EXAMPLES
    parser.add_argument("--debug", action="store_true", default=False, help="show tracebacks")
    module.arguments(parser)
    parser.set_defaults(run=module.run)


def _stand_in_for_closed_streams() -> None:
    """Open /dev/null in the place of a standard stream that is closed, or the journal might become stdout."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _report_error(error: BaseException, debug: bool, json: bool) -> int:
    """One message for people, one object for programs that read JSON, and the exit code."""
    if isinstance(error, SystemExit):  # argparse, after it printed a help text
        return error.code if isinstance(error.code, int) else 0
    if isinstance(error, OutputLost):
        _forget_output()
        if error.pipe:
            return _PIPE
    if debug:
        import traceback

        warn("".join(traceback.format_exception(error)))
    message, code = _judged(error)
    complain(message)
    if topic := getattr(error, "topic", ""):
        warn(f"more: dispatcher help {topic}\n")
    if json and not isinstance(error, OutputLost) and not getattr(error, "told", False):
        with suppress(OutputLost):
            say_json({"error": {"type": type(error).__name__, "message": message, "exit_code": code}})
    return code


def _judged(error: BaseException) -> tuple[str, int]:
    if isinstance(error, DispatcherError):
        return str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", 130
    journal = sys.modules.get("journal")
    if journal is not None and isinstance(error, journal.JournalError):
        return str(error), _journal_code(journal, error)
    if isinstance(error, FileNotFoundError) and error.filename is None and _nowhere():
        return "the directory this was started in is not there any more; change into one that is, and try again", 2
    if isinstance(error, (OSError, OutputLost)):
        return str(error), 1
    return f"this is a bug in dispatcher: {type(error).__name__}: {error} (--debug shows where)", _BUG


def _nowhere() -> bool:
    """Whether the working directory was removed."""
    try:
        os.getcwd()  # noqa: PTH109 (pathlib is not loaded here)
    except OSError:
        return True
    return False


def _journal_code(journal: Any, error: BaseException) -> int:
    """As the errors of this package that stand for them."""
    codes = {journal.JournalBusy: 3, journal.JournalMissing: 2, journal.JournalNotOurs: 2, journal.JournalCorrupt: 4}
    return codes.get(type(error), 1)


def _forget_output() -> None:
    """Nobody reads stdout any more: the interpreter must not try to flush it when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

"""`dlog`: what the runs of this process tell, on stdout and in ./dpdispatcher.log, as programs expect it.

2026-11-29 06:27:14,411 - INFO : job 5f1c…: submitted, id 4211

The library itself logs to the logger `dispatcher`, and opens no file. Only the import of `dpdispatcher` brings this.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TextIO

from ..core.printable import harmless


class _Printable(logging.Formatter):
    """What is told may repeat what a job or a site has said."""

    def format(self, record: logging.LogRecord) -> str:
        return harmless(super().format(record))


FORMAT = _Printable("%(asctime)s - %(levelname)s : %(message)s")


class _LogFile(logging.FileHandler):
    """./dpdispatcher.log, made when something is first said; where that cannot be, in the home directory."""

    def _open(self) -> TextIO:  # type: ignore[override]
        try:
            return super()._open()
        except OSError:
            self.baseFilename = str(Path.home() / "dpdispatcher.log")
            return super()._open()


class _Stdout(logging.StreamHandler[TextIO]):
    """Whatever stdout is at that moment: programs and tests exchange it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stdout


class _Forward(logging.Handler):
    """What `dispatcher` logs, to `dlog`."""

    def emit(self, record: logging.LogRecord) -> None:
        if dlog.isEnabledFor(record.levelno):
            dlog.handle(record)


dlog = logging.getLogger("dpdispatcher")
dlog_stdout = _Stdout()


def _set_up() -> None:
    file = _LogFile("dpdispatcher.log", delay=True)
    for handler in (file, dlog_stdout):
        handler.setFormatter(FORMAT)
        dlog.addHandler(handler)
    dlog.setLevel(logging.INFO)
    dlog.propagate = False
    told = logging.getLogger("dispatcher")
    told.addHandler(_Forward())
    told.setLevel(logging.DEBUG)


_set_up()

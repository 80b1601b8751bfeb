"""Run a scheduler's text on this machine: all of it or nothing, and never longer than its time-out.

    ask(ShellText("echo hello"), Path("/scratch/R"))  ->  Reply(code=0, out="hello\n", err="")
    wrapped("echo hello")                         ->  "{ :\necho hello\n}\n"

A shell runs what it reads as it reads it, so a text that breaks off half-way
would submit half of the jobs. Inside braces it is one command, of which
nothing runs before the closing brace has arrived; here-documents stay what
they are.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from ...core.errors import ConfigError, Purged, Unreachable
from ...core.limits import MAX_ANSWER
from ...core.ports import Call, Reply, ShellText

#: Seconds between looks at a shell that does not close its output.
_SLICE = 0.5


def wrapped(text: str) -> str:
    """The text as one compound command, which a shell runs whole or not at all."""
    return f"{{ :\n{text}\n}}\n"


def as_shell(call: Call, where: str) -> ShellText:
    """The call, if it is shell text; ConfigError for one that only another kind of place can answer."""
    if not isinstance(call, ShellText):
        raise ConfigError(f"{where} runs shell commands; {type(call).__name__} is for a cloud: correct batch_type")
    return call


def first_line(text: str) -> str:
    """The first line of a command that says something, cut to 100 characters, for messages."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")[:100]


def run(call: ShellText, directory: Path) -> Reply:
    """Run a text with `sh` in a directory and wait for it.

    It runs in a session of its own: Ctrl-C, meant for the dispatcher, does not stop a submission half-way.
    Unreachable after `call.timeout` seconds (the shell and what it started are killed) or when it cannot start;
    Purged when the directory is not there.
    """
    try:
        process = _started(wrapped(call.text), directory)
    except OSError as why:
        if not os.path.lexists(directory):
            gone = "it was removed on the execution side, and is made again if it stays so"
            raise Purged(f"cannot start sh in {directory}: {why.strerror or why}; {gone}") from why
        raise Unreachable(f"cannot start sh in {directory}: {why.strerror or why}; asked again later") from why
    with process:
        out, err = _printed(process, call)
    return Reply(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))


def _started(text: str, directory: Path) -> subprocess.Popen[bytes]:
    # a file and no pipe: nobody has to stay alive to feed it
    with TemporaryFile() as file:
        file.write(text.encode(errors="surrogateescape"))
        file.seek(0)
        pipe = subprocess.PIPE
        return subprocess.Popen(["sh"], stdin=file, stdout=pipe, stderr=pipe, cwd=directory, start_new_session=True)


def _printed(process: subprocess.Popen[bytes], call: ShellText) -> tuple[bytes, bytes]:
    """What it printed; a background child that keeps the output open is not waited for once the shell is over."""
    said = {process.stdout: bytearray(), process.stderr: bytearray()}
    end, over = time.monotonic() + call.timeout, float("inf")
    with selectors.DefaultSelector() as open_ends:
        for stream in filter(None, said):
            open_ends.register(stream, selectors.EVENT_READ)
        while time.monotonic() < over + _SLICE:  # one slice more than the shell, for what is still in the pipe
            for key, _ in open_ends.select(0.05) if open_ends.get_map() else ():
                _take(process, key.fileobj, said[key.fileobj], open_ends, call)  # type: ignore[index]
            if process.poll() is not None:
                over = min(over, time.monotonic())
                if not open_ends.get_map():
                    break
            elif time.monotonic() >= end:
                _kill(process)
                text = first_line(call.text)
                raise Unreachable(
                    f"no answer within {call.timeout:g} s from: {text}; what it did is unknown, asked again"
                )
            elif not open_ends.get_map():
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.05)
    return bytes(said[process.stdout]), bytes(said[process.stderr])


def _take(
    process: subprocess.Popen[bytes],
    stream: Any,
    said: bytearray,
    open_ends: selectors.BaseSelector,
    call: ShellText,
) -> None:
    """One piece of an output, within the limit."""
    if not (piece := os.read(stream.fileno(), 1 << 16)):
        open_ends.unregister(stream)
    said += piece
    if len(said) > MAX_ANSWER:
        _kill(process)
        raise Unreachable(
            f"more than {MAX_ANSWER} bytes, the limit of an answer, came from: {first_line(call.text)}; look what it "
            "prints there; what it did is unknown, asked again"
        )


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)

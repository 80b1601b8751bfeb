"""The `hadoop fs` command: argument vectors in, bytes out, and its complaints as errors.

    Hadoop(env).fs("-cat", "hdfs://nn/R/.dispatcher/in/index")     ->  b"9f86d0… 8192 t1\\n"

Each call starts a Java machine, so one call does as much as it can.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from ...core import limits
from ...core.errors import TransferFailed, Unreachable

#: Seconds after which a call counts as lost.
_PATIENCE = 1800.0
_AWAY = re.compile(
    r"safe mode|ConnectException|Connection refused|Connection reset|SocketTimeout|NoRouteToHost|UnknownHost|Standby|"
    r"RetriableException|EOFException|could only be (?:written|replicated)"
)
_FULL = re.compile(r"quota .* is exceeded|QuotaExceeded")
_NOISE = re.compile(r"^(?:\S+ \S+ )?(?:INFO|WARN|DEBUG)\b|^SLF4J|^\s+at |^NOTE: Picked up|^Picked up ")


class Hadoop:
    """The command of one site, with its configuration. `env` are variables beside those of this process."""

    def __init__(self, env: Mapping[str, str]) -> None:
        # names of files on this machine are UTF-8 for Java, whatever the locale says
        self.env = {"LC_ALL": "C.UTF-8", **env}

    def exports(self) -> str:
        """The same for shell text."""
        return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in self.env.items())

    def fs(self, *words: str, here: Path | None = None) -> bytes:
        """Run `hadoop fs WORDS…` in a directory; Unreachable while HDFS is away or closed, else TransferFailed."""
        done = self.tried(*words, here=here)
        if done.returncode:
            raise complaint(words, done.stderr)
        return done.stdout

    def tried(self, *words: str, here: Path | None = None) -> subprocess.CompletedProcess[bytes]:
        """The same without a judgement. Unreachable when there is no answer.

        Names of files here are best relative to `here`: Hadoop reads an absolute one as a URI.
        """
        command, env = ["hadoop", "fs", *words], {**os.environ, **self.env}
        try:
            # into files, and not into memory: how much there is, is for the other side to say
            with TemporaryFile() as out, TemporaryFile() as err:
                done = subprocess.run(
                    command,
                    cwd=here,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    timeout=_PATIENCE,
                    start_new_session=True,
                    check=False,
                )
                return subprocess.CompletedProcess(command, done.returncode, _answer(out, words), _answer(err, words))
        except FileNotFoundError:
            raise TransferFailed(
                "no hadoop command on this machine: install Hadoop's client, or say in "
                "machine/remote_profile/hadoop_home where it is"
            ) from None
        except OSError as why:
            raise TransferFailed(f"cannot start hadoop: {why}; check machine/remote_profile/hadoop_home") from why
        except subprocess.TimeoutExpired:
            raise Unreachable(f"HDFS: no answer within {_PATIENCE:g} s from hadoop fs {words[0]}") from None


def _answer(file: IO[bytes], words: tuple[str, ...]) -> bytes:
    """What was printed; TransferFailed when it is more than an answer may be."""
    file.seek(0)
    data = file.read(limits.MAX_ANSWER + 1)
    if len(data) > limits.MAX_ANSWER:
        raise TransferFailed(f"hadoop fs {words[0]}: an answer of more than {limits.MAX_ANSWER} bytes, the limit")
    return data


def complaint(words: tuple[str, ...], said: bytes) -> TransferFailed | Unreachable:
    """The error that fits what a failed call said."""
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if not _NOISE.search(line)]
    text = " / ".join(line for line in lines if line)[-500:] or "no reason given"
    if _AWAY.search(text):
        return Unreachable(f"HDFS: {text}; run the same command again when it answers")
    advice = "run the same command again when that is repaired"
    if _FULL.search(text):
        advice = "the quota is used up: make room there or have it raised, then run the same command again"
    return TransferFailed(f"hadoop fs {words[0]}: {text}; {advice}")

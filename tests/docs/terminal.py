"""A reader at a terminal, who follows a page from top to bottom."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.docs.pages import Read, Type, Write, agrees, steps

_ENDED = "--- the command has ended with"


class Terminal:
    """A shell in which one command is typed after the other; directories and variables stay."""

    def __init__(self, home: Path, env: dict[str, str]) -> None:
        self.home = home
        self.process = subprocess.Popen(
            ["bash"], cwd=home, env=env, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def type(self, command: str) -> tuple[str, int]:
        """What it prints, and its exit code."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{{ {command}\n}} < /dev/null; printf '\\n{_ENDED} %s\\n' $?\n")
        printed = []
        for line in self.process.stdout:
            if line.startswith(_ENDED):
                return "".join(printed).removesuffix("\n"), int(line.split()[-1])
            printed.append(line)
        raise AssertionError(f"the shell has ended: {''.join(printed)}")

    def follow(self, page: str) -> None:
        """Write each file and type each command of the page; AssertionError where it is not as the page says."""
        for step in steps(page):
            match step:
                case Write(name, body):
                    path = self.home / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(body)
                case Type(command, expected, code):
                    printed, ended = self.type(command)
                    said = f"$ {command}\nended with {ended}, not {code}, and printed\n{printed}"
                    assert ended == code, said
                    assert not expected or agrees(expected, printed), "\n".join([said, "not", *expected])
                case Read():
                    pass

    def close(self) -> None:
        """Leave."""
        self.process.kill()
        self.process.communicate()

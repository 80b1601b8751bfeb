"""The script of a job, made of the parts that a machine gives.

    composed(machine, job, script)  ->  Script        header, flags, environment, tasks and end as its class wants them

The claim stands before the environment, and the exit marker at the end, whatever a class gives: by them one copy of
an attempt runs, and tells how it ended.
"""

from __future__ import annotations

from typing import Any

from ..core.errors import ConfigError
from ..scripts.render import Script
from .own import described


def composed(machine: Any, job: Any, script: Script) -> Script:
    """Of `script`, what the machine's methods give in its place. ConfigError when they leave out the tasks."""
    if machine.driven is not None:
        machine.driven.made(job)
    command = machine.gen_script_command(job)
    if script.command not in command:
        raise ConfigError(
            f"{described(type(machine))}.gen_script_command must hold what super().gen_script_command(job) gives: "
            "these lines run the tasks and tell how each has ended"
        )
    env, end = machine.gen_script_env(job), machine.gen_script_end(job)
    return Script(
        header=_line(_headed(machine.gen_script_header(job))),
        custom_flags=_line(machine.gen_script_custom_flags_lines(job)),
        claim=script.claim,
        env=_line(env.replace(script.claim, "", 1)),
        command=_line(command),
        end=_line(end) if script.end in end else _line(end) + script.end,
    )


def _headed(text: str) -> str:
    """`#!` counts in the first line only."""
    return text.lstrip("\n") if text.lstrip("\n").startswith("#!") else text


def _line(text: str) -> str:
    return text if text.endswith("\n") or not text else f"{text}\n"

"""A job into the text that the scheduler runs.

    #!/bin/bash -l
    #SBATCH --nodes 1                              header of the dialect, or the user's template; custom_flags
    . "$dsp_control/pool-5f1c0a2b.bash"            what all scripts use (`bash`), one file for all jobs
    dsp_begin                                      the claim: a second copy of this attempt exits here
    dsp_module module_list load deepmd/3.0         modules, source, exports, prepend_script (`environment`)
    dsp_pool 2 0                                   two tasks at once
    dsp_task 0 bct-0 log err 'lmp -i input.lammps'
    dsp_drain                                      then append_script, then the exit marker
    dsp_finish

A line a task: bash reads them as it goes, so that a job of a hundred thousand tasks stays small in memory.
Rendering is a function of frozen values: twice the same job, twice the same text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Any

import msgspec

from ..core.errors import ConfigError
from ..core.model import ResourcesSpec, SubmissionSpec, TaskSpec
from ..core.ports import JobScript, Place, Scheduler
from ..files.patterns import common, left, output, sources
from . import bash
from .environment import check as check_environment
from .environment import expanded as expanded
from .environment import quoted as quoted
from .environment import script_lines, word

#: Larger scripts are cut in two, because schedulers refuse big ones (Slurm: max_script_size, 4 MiB).
LIMIT = 1 << 20


class Script(msgspec.Struct, frozen=True):
    """The parts of a script, in their order."""

    header: str
    custom_flags: str
    claim: str
    env: str
    command: str
    end: str

    @property
    def head(self) -> str:
        """Everything before the tasks."""
        return self.header + self.custom_flags + self.claim + self.env

    def text(self) -> str:
        """The whole script as one text."""
        return self.head + self.command + self.end

    def files(self, name: str) -> dict[str, str]:
        """Texts by file name: `name`.sub, what it sources, and for very large jobs the tasks apart in `name`.run."""
        beside = {bash.NAME: bash.FUNCTIONS} if bash.NAME in self.claim else {}
        if len(self.text()) <= LIMIT:
            return {**beside, f"{name}.sub": self.text()}
        run = f'\n# shellcheck disable=SC1091\nsource "$dsp_control"/{name}.run || exit 93\n'
        return {**beside, f"{name}.sub": self.head + run + self.end, f"{name}.run": self.command}


def job_script(
    spec: SubmissionSpec,
    job: str,
    nonce: str,
    name: str,
    tasks: Mapping[int, int],
    place: Place,
    template: str | None = None,
) -> JobScript:
    """What the script of a job is made of; `tasks` maps positions in the job to positions in the submission."""
    positions = list(tasks.values())
    return JobScript(
        job=job,
        nonce=nonce,
        name=name,
        place=place,
        resources=spec.resources,
        tasks=tuple((index, spec.tasks[position]) for index, position in tasks.items()),
        template=template,
        forward=tuple(sources(spec, positions)),
        backward=tuple(left(spec, positions)),
        common=tuple(common(spec)),
        log=output(spec.tasks[positions[0]]) if positions else "",
    )


def render(job: JobScript, dialect: Scheduler) -> Script:
    """The script of a job in a scheduler's dialect. Raises ConfigError for a template that does not fit."""
    elements = dialect.elements(job.resources, len(job.tasks))
    marked, below = _custom(job.resources, dialect)
    inside = job.template is not None  # the directives go in before the template's own shell
    return Script(
        header=_header(job, dialect, elements, marked if inside else []),
        custom_flags="".join(f"{flag}\n" for flag in (below if inside else [*marked, *below])),
        claim=f"\n# job {job.job}: {len(job.tasks)} task(s)\n" + dialect.fence(job, elements),
        env=script_lines(job.resources),
        command=_command(job, dialect, elements),
        end=_end(job.resources) + dialect.closing(job),
    )


def _header(job: JobScript, dialect: Scheduler, elements: int, marked: Sequence[str]) -> str:
    if job.template is not None:
        lines = _filled(job.template, job.resources).rstrip("\n").split("\n")
        shell = next((nth for nth, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines))
        return "\n".join([*lines[:shell], *marked, *lines[shell:]]) + "\n"
    log = f"{job.place.control}/{job.nonce}.log"
    return "\n".join(["#!/bin/bash -l", *_directives(job.resources, dialect, job.name, log, elements)]) + "\n"


def check_header(resources: ResourcesSpec, dialect: Scheduler, template: str | None = None) -> None:
    """Refuse what would add a line to the header or break one, and what the script would not do as it was meant."""
    check_environment(resources)
    if template is not None:
        _filled(template, resources)
    _custom(resources, dialect)
    _directives(resources, dialect, "dsp", "dsp.log", dialect.elements(resources, 1))


def _custom(resources: ResourcesSpec, dialect: Scheduler) -> tuple[list[str], list[str]]:
    """The lines of custom_flags: directives, and what has to stand below all of them, because it would end them."""
    marked: list[str] = []
    below: list[str] = []
    for nth, flag in enumerate(resources.custom_flags):
        for line in flag.split("\n"):
            found = dialect.directive(line, f"resources/custom_flags/{nth}")
            (marked if found else below).append(found or line)
    return marked, below


def _directives(resources: ResourcesSpec, dialect: Scheduler, name: str, log: str, elements: int) -> list[str]:
    lines = dialect.header(resources, name, log, elements)
    for line in lines:
        if "\n" in line:
            raise ConfigError(
                f"resources, or machine/remote_root: a line break in a directive would be a new line: {line!r}"
            )
    return lines


class _PlainFormatter(Formatter):
    """`{queue_name}`, `{kwargs[qos]}`: keys and items only, never attributes of the objects behind them."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, str]:
        if "." in field_name:
            raise ConfigError(f"the script header template names {{{field_name}}}: only keys and [items] are allowed")
        found, first = super().get_field(field_name, args, kwargs)
        return found, str(first)

    def format_field(self, value: Any, format_spec: str) -> str:
        text = str(super().format_field(value, format_spec))
        if "\n" in text:
            raise ConfigError(f"the script header template would get a new line from the value {text!r}")
        return text


def _filled(template: str, resources: ResourcesSpec) -> str:
    try:
        return _PlainFormatter().vformat(template, (), msgspec.to_builtins(resources))
    except (KeyError, IndexError, ValueError, TypeError) as error:
        keys = ", ".join(resources.__struct_fields__)
        raise ConfigError(f"the script header template does not fit: {error}; its keys are {keys}") from None


def _command(job: JobScript, dialect: Scheduler, elements: int) -> str:
    """The pool, and a line for each task; an element of an array runs those lines that are its own."""
    gpus = job.resources.gpu_per_node if job.resources.strategy.if_cuda_multi_devices else 0
    chosen = ""
    if elements:
        size = -(-len(job.tasks) // elements)
        chosen = f'dsp_size={size}\n[ "$dsp_element" -lt {elements} ] || {{ dsp_over=yes; exit 94; }}\n'
    lines = "".join(_task(index, task) for index, task in job.tasks)
    return f"\n# tasks\n{chosen}dsp_pool {job.resources.para_deg} {gpus}\n{lines}dsp_drain\n"


def _task(index: int, task: TaskSpec) -> str:
    """Position, directory, output, errors, command."""
    words = map(word, (task.task_work_path, task.outlog or "", task.errlog or ""))
    return f"dsp_task {index} {' '.join(words)} {quoted(task.command)}\n"


def _end(resources: ResourcesSpec) -> str:
    """append_script runs whether or not tasks failed, and before the job counts as over."""
    append = "(\n" + "\n".join(resources.append_script) + "\n)\n" if resources.append_script else ""
    return f'\n# end\nbuiltin cd -- "$REMOTE_ROOT" || :\ndsp_stop\n{append}'

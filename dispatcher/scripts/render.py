"""A job into the text that the scheduler runs.

    #!/bin/bash -l
    #SBATCH --nodes 1                              header of the dialect, or the user's template; custom_flags
    dsp_claim=$dsp_control/dq3v81kx0mza.claim         fence: a second copy of this attempt exits here
    module load deepmd/3.0                         modules, source, exports, prepend_script
    dsp_task_0() {                                 a function for each task, in its directory
      cd -- "$REMOTE_ROOT"/'bct-0' || exit 98
      eval 'lmp -i input.lammps' 1>> 'log' 2>> 'err'
    }
    dsp_width=2 dsp_lane=('0 1 2 ')                the pool runs them, then append_script, then the exit marker

Rendering is a function of frozen values: twice the same job, twice the same text.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Any

import msgspec

from ..core.errors import ConfigError
from ..core.model import ResourcesSpec, SubmissionSpec, TaskSpec
from ..core.ports import JobScript, Place, Scheduler
from ..files.patterns import common, left, output, sources
from . import bash

#: Larger scripts are cut in two, because schedulers refuse big ones (Slurm: max_script_size, 4 MiB).
LIMIT = 1 << 20

_VARIABLE = re.compile(r"\$(?:[A-Za-z_][A-Za-z0-9_]*|\{[A-Za-z_][A-Za-z0-9_]*\})")


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
        """Texts by file name: `name`.sub, and for very large jobs the tasks apart in `name`.run."""
        if len(self.text()) <= LIMIT:
            return {f"{name}.sub": self.text()}
        run = f'\n# shellcheck disable=SC1091\nsource "$dsp_control"/{name}.run || exit 93\n'
        return {f"{name}.sub": self.head + run + self.end, f"{name}.run": self.command}


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
    return Script(
        header=_header(job, dialect, elements),
        custom_flags="".join(f"{flag}\n" for flag in job.resources.custom_flags),
        claim=f"\n# job {job.job}: {len(job.tasks)} task(s)\n" + dialect.fence(job, elements),
        env=_env(job.resources),
        command=_command(job, dialect, elements),
        end=_end(job.resources) + dialect.closing(job),
    )


def quoted(text: str) -> str:
    """Text as one shell word of which nothing is expanded."""
    return "'" + text.replace("'", "'\\''") + "'"


def expanded(text: str) -> str:
    """Text as one shell word of which only $NAME and ${NAME} are expanded: no command ever runs."""
    parts, last = [], 0
    for match in _VARIABLE.finditer(text):
        parts += [_literal(text[last : match.start()]), match.group()]
        last = match.end()
    return '"' + "".join(parts) + _literal(text[last:]) + '"'


def _literal(text: str) -> str:
    return re.sub(r'([\\"$`])', r"\\\1", text)


def _words(entry: str, key: str) -> str:
    """An entry of source_list or a module list: its words, each with $NAME and a leading ~ expanded."""
    try:
        words = shlex.split(entry)
    except ValueError as error:
        raise ConfigError(f"resources/{key}: {entry!r} cannot be read as shell words: {error}") from None
    return " ".join("~/" + expanded(word[2:]) if word.startswith("~/") else expanded(word) for word in words)


def _header(job: JobScript, dialect: Scheduler, elements: int) -> str:
    if job.template is not None:
        return _filled(job.template, job.resources).rstrip("\n") + "\n"
    log = f"{job.place.control}/{job.nonce}.log"
    return "\n".join(["#!/bin/bash -l", *_directives(job.resources, dialect, job.name, log, elements)]) + "\n"


def check_header(resources: ResourcesSpec, dialect: Scheduler, template: str | None = None) -> None:
    """Refuse at the door what would add a line to the header, or break one, and a template that does not fit."""
    if template is not None:
        _filled(template, resources)
    _directives(resources, dialect, "dsp", "dsp.log", dialect.elements(resources, 1))


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


def _env(resources: ResourcesSpec) -> str:
    lines = ["", "# environment", *(["module purge"] if resources.module_purge else [])]
    lines += [f"module unload {_words(name, 'module_unload_list')}" for name in resources.module_unload_list]
    lines += [f"module load {_words(name, 'module_list')}" for name in resources.module_list]
    for name in resources.source_list:
        lines += ["# shellcheck disable=SC1090,SC1091", f"source {_words(name, 'source_list')}"]
    facts = ("number_node", "cpu_per_node", "gpu_per_node", "queue_name", "group_size")
    lines += [f"export DPDISPATCHER_{name.upper()}={quoted(str(getattr(resources, name)))}" for name in facts]
    for name, value in resources.envs.items():
        values = value if isinstance(value, (list, tuple)) else [value]
        lines += [f"export {name}={expanded(str(each))}" for each in values]
    return "\n".join([*lines, *resources.prepend_script]) + "\n"


def _command(job: JobScript, dialect: Scheduler, elements: int) -> str:
    parts = ["\n# tasks\n", *(_task(nth, index, task, job.resources) for nth, (index, task) in enumerate(job.tasks))]
    parts.append("dsp_errors=()\n")
    parts += [_errors(index, task) for index, task in job.tasks if task.errlog]
    return "".join(parts) + _lanes(job, dialect, elements) + bash.POOL


def _task(nth: int, index: int, task: TaskSpec, resources: ResourcesSpec) -> str:
    out = f" 1>> {quoted(task.outlog)}" if task.outlog else ""
    err = f" 2>> {quoted(task.errlog)}" if task.errlog else ""
    gpu = f"  export CUDA_VISIBLE_DEVICES={_gpu(nth, resources)}\n" if resources.strategy.if_cuda_multi_devices else ""
    return (
        "# shellcheck disable=SC1003,SC2016,SC2317\n"
        f"dsp_task_{index}() {{\n"
        f'  cd -- "$REMOTE_ROOT"/{quoted(task.task_work_path)} || exit 98\n'
        f"{gpu}"
        f"  eval {quoted(task.command)}{out}{err}\n"
        "}\n"
    )


def _errors(index: int, task: TaskSpec) -> str:
    return f'dsp_errors[{index}]="$REMOTE_ROOT"/{quoted(f"{task.task_work_path}/{task.errlog}")}\n'


def _gpu(nth: int, resources: ResourcesSpec) -> int:
    """The GPU of the nth task: para_deg tasks to the first, as many to the next, round and round (manual, strategy)."""
    return nth // resources.para_deg % resources.gpu_per_node


def _lanes(job: JobScript, dialect: Scheduler, elements: int) -> str:
    """Which tasks wait for which slots: one lane for all, or one for each GPU; for arrays, by element."""
    width = f"dsp_width={job.resources.para_deg}\n"
    if not elements:
        return width + _lane(list(enumerate(job.tasks)), job.resources)
    size = -(-len(job.tasks) // elements)
    numbered = list(enumerate(job.tasks))
    cases = (f"{e})\n{_lane(numbered[e * size : (e + 1) * size], job.resources)};;\n" for e in range(elements))
    return f"{width}case $dsp_element in\n{''.join(cases)}*) exit 94 ;;\nesac\n"


def _lane(tasks: Sequence[tuple[int, tuple[int, TaskSpec]]], resources: ResourcesSpec) -> str:
    lanes: dict[int, list[str]] = {}
    for nth, (index, _) in tasks:
        lane = _gpu(nth, resources) if resources.strategy.if_cuda_multi_devices else 0
        lanes.setdefault(lane, []).append(str(index))
    return "dsp_lane=(" + " ".join(quoted(" ".join(lane) + " ") for lane in lanes.values()) + ")\n"


def _end(resources: ResourcesSpec) -> str:
    """append_script runs whether or not tasks failed, and before the job counts as over."""
    cd = '\ncd -- "$REMOTE_ROOT" || exit 93\n'
    append = "(\n" + "\n".join(resources.append_script) + "\n)\n" if resources.append_script else ""
    return cd + append

"""What stands between the claim and the tasks: modules, sourced files, exports, prepend_script.

    module_list  ["deepmd/3.0"]              dsp_module module_list load deepmd/3.0
    source_list  ["~/conda/bin/activate e"]  dsp_source ~/conda/bin/activate; source ~/conda/bin/activate e
    envs         {"PATH": "~/bin:$PATH"}     export PATH=~/bin:"$PATH"
    envs         {"A": "${X:-1}"}            ConfigError: … write `export A=…` as a line of prepend_script

What is expanded in an entry is what can be expanded without running anything: $NAME, ${NAME} and ~. What a shell would
do more with is refused, never read in another way than it was meant; prepend_script takes lines of bash as they are.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from ..core.errors import ConfigError
from ..core.model import ResourcesSpec

_VARIABLE = re.compile(r"\$(?:[A-Za-z_][A-Za-z0-9_]*|\{[A-Za-z_][A-Za-z0-9_]*\})")
#: A home directory, as bash reads it at the head of a value and behind each colon.
_HOME = re.compile(r"(?:\A|:)~(?:[A-Za-z_][\w.-]*)?(?:/|(?=:)|\Z)")
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")
#: What a shell would run or put in the place of: `…`, $(…), ${X:-…}, $1, $$, $'…'.
_LIVE = re.compile(r"`|\$(?=[({0-9$@*#?!'\"-])")
#: What would end a command, redirect it or stand for file names, outside of quotes.
_CONTROL = "&;|<>()*?[\n"
#: The functions that these lines call; they use those of `bash`.
BASH = r"""
# -- the user's environment -------------------------------------------------------------------------------------------
dsp_source() { # named before file $1 of source_list is sourced
  dsp_step="source_list: $1"
  [ -r "$1" ] || { [ "${1#*/}" = "$1" ] && type -P -- "$1" > /dev/null; } && return 0
  dsp_why='no such file'
  [ ! -e "$1" ] || dsp_why='it cannot be read'
  dsp_note "source_list: $1: $dsp_why on $dsp_node"
}
dsp_module() { # module $1, for entry $2 … of list $1; where a shell has not learnt the command, its own files teach it
  local dsp_list=$1 dsp_file
  dsp_step=$1
  shift
  for dsp_file in "${LMOD_PKG:-/nowhere}/init/bash" "${MODULESHOME:-/nowhere}/init/bash" /etc/profile.d/*mod*.sh; do
    ! type module > /dev/null 2>&1 || break
    # shellcheck disable=SC1090
    [ ! -r "$dsp_file" ] || . "$dsp_file"
  done
  if ! type module > /dev/null 2>&1; then
    dsp_note "$dsp_list: $*: there is no command module in a job's shell on $dsp_node"
  elif module "$@"; then :; else
    dsp_note "$dsp_list: module $*: exit code $? on $dsp_node"
  fi
}
"""
_FACTS = ("number_node", "cpu_per_node", "gpu_per_node", "queue_name", "group_size")


def quoted(text: str) -> str:
    """Text as one shell word of which nothing is expanded."""
    return "'" + text.replace("'", "'\\''") + "'"


def word(text: str) -> str:
    """The same, without quotes where none are needed."""
    return text if _PLAIN.fullmatch(text) else quoted(text)


def expanded(text: str) -> str:
    """Text as one shell word of which only $NAME and ${NAME} are expanded: no command ever runs."""
    parts, last = [], 0
    for match in _VARIABLE.finditer(text):
        parts += [_literal(text[last : match.start()]), match.group()]
        last = match.end()
    return '"' + "".join(parts) + _literal(text[last:]) + '"'


def _literal(text: str) -> str:
    return re.sub(r'([\\"$`])', r"\\\1", text)


def with_home(text: str) -> str:
    """The same, and ~ is expanded where bash does so in an assignment: at the head, and behind a colon."""
    parts, last = [], 0
    for match in _HOME.finditer(text):
        parts += [expanded(text[last : match.start()])] * (match.start() > last) + [match.group()]
        last = match.end()
    rest = [expanded(text[last:])] if last < len(text) or not parts else []
    return "".join([*parts, *rest])


def script_lines(resources: ResourcesSpec) -> str:
    """The lines of a script from the modules to prepend_script, in that order."""
    facts = " ".join(f"DPDISPATCHER_{name.upper()}={word(str(getattr(resources, name)))}" for name in _FACTS)
    lines = ["", "# environment", *_modules(resources), *_sources(resources), f"export {facts}"]
    for name, value in resources.envs.items():
        values = value if isinstance(value, (list, tuple)) else [value]
        lines += [f"export {name}={with_home(str(each))}" for each in values]
    if resources.prepend_script:
        lines += ["dsp_step=prepend_script", *resources.prepend_script]
    return "\n".join(lines) + "\n"


def _modules(resources: ResourcesSpec) -> Iterator[str]:
    if resources.module_purge:
        yield "dsp_module module_purge purge"
    for name in resources.module_unload_list:
        yield f"dsp_module module_unload_list unload {' '.join(_words(name, 'module_unload_list'))}"
    for name in resources.module_list:
        yield f"dsp_module module_list load {' '.join(_words(name, 'module_list'))}"


def _sources(resources: ResourcesSpec) -> Iterator[str]:
    for name in resources.source_list:
        words = _words(name, "source_list")
        yield f"dsp_source {words[0]}\n# shellcheck disable=SC1090,SC1091\nsource {' '.join(words)}"


def check(resources: ResourcesSpec) -> None:
    """Raise ConfigError for an entry that a shell would read as more than words, and say where to write it."""
    for key, verb in (
        ("source_list", "source"),
        ("module_list", "module load"),
        ("module_unload_list", "module unload"),
    ):
        for entry in getattr(resources, key):
            if not entry.strip():
                raise ConfigError(f"resources/{key}: {entry!r} is empty; take it out")
            _words(entry, key)
            if mark := _live(entry):
                raise ConfigError(
                    f"resources/{key}: {entry!r}: {mark!r} would not be done: an entry is the words behind `{verb}`; "
                    f"write `{verb} {entry.strip()}` as a line of resources/prepend_script, which bash runs as it is"
                )
    _check_envs(resources.envs)


def _check_envs(envs: Mapping[str, Any]) -> None:
    for name, value in envs.items():
        for each in value if isinstance(value, (list, tuple)) else (value,):
            if each is None:
                raise ConfigError(
                    f'resources/envs/{name}: null is not a value; write "" for an empty variable, '
                    f"or `unset {name}` as a line of resources/prepend_script"
                )
            if mark := _LIVE.search(_VARIABLE.sub("", str(each))):
                raise ConfigError(
                    f"resources/envs/{name}: {mark[0]!r} and what follows would not be done: of a value only $NAME, "
                    f"${{NAME}} and ~ are expanded; write `export {name}=…` as a line of resources/prepend_script, "
                    "which bash runs as it is"
                )


def _live(entry: str) -> str:
    """What in an entry a shell would do more with than make words of it; "" when there is nothing."""
    quote, bare = "", _VARIABLE.sub("x", entry)
    for at, letter in enumerate(bare):
        if quote == "'" or letter == quote or (at and bare[at - 1] == "\\"):
            quote = "" if letter == quote else quote
        elif letter in "'\"" and not quote:
            quote = letter
        elif (
            letter == "`"
            or _LIVE.match(bare, at)
            or (not quote and (letter in _CONTROL or (letter == "#" and (not at or bare[at - 1].isspace()))))
        ):
            return letter
    return ""


def _words(entry: str, key: str) -> list[str]:
    """An entry of source_list or a module list: its words, each with $NAME and a leading ~ expanded."""
    try:
        words = shlex.split(entry)
    except ValueError as error:
        raise ConfigError(f"resources/{key}: {entry!r} cannot be read as shell words: {error}") from None
    return [each if _PLAIN.fullmatch(each) else _with_head(each) for each in words]


def _with_head(text: str) -> str:
    """A word as bash reads an argument: ~ at its head alone."""
    home = _HOME.match(text)
    return f"{home[0]}{expanded(text[home.end() :])}" if home and home.end() < len(text) else expanded(text)

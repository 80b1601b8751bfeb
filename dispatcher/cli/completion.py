"""`dispatcher completion SHELL`: verbs and options for the Tab key, from the same parsers that read them.

eval "$(dispatcher completion bash)"
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from .say import say

EXAMPLES = """\
examples:
  dispatcher completion bash > ~/.local/share/bash-completion/completions/dispatcher
  dispatcher completion zsh > "${fpath[1]}/_dispatcher"
  dispatcher completion fish > ~/.config/fish/completions/dispatcher.fish
"""


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("shell", choices=tuple(_SCRIPTS), help="which shell")


def run(args: Namespace) -> int:
    """Print the script."""
    from . import VERBS, parser_of

    options = {verb: _options(parser_of(verb)) for verb in VERBS}
    say(_SCRIPTS[args.shell](VERBS, options))
    return 0


def _options(parser: ArgumentParser) -> dict[str, str]:
    """Each long option of a verb and what it does."""
    return {
        option: (action.help or "").replace("%%", "%")
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--")
    }


def _bash(verbs: dict[str, str], options: dict[str, dict[str, str]]) -> str:
    cases = "".join(f'    {verb}) words="{" ".join(options[verb])}" ;;\n' for verb in verbs)
    return (
        "# bash completion of dispatcher\n"
        "_dispatcher() {\n"
        "  local word=${COMP_WORDS[COMP_CWORD]} words=\n"
        "  COMPREPLY=()\n"
        '  if [ "$COMP_CWORD" -eq 1 ]; then\n'
        f'    mapfile -t COMPREPLY < <(compgen -W "{" ".join(verbs)} --help --version" -- "$word")\n'
        "    return\n"
        "  fi\n"
        "  case $word in -*) ;; *) return ;; esac\n"
        "  case ${COMP_WORDS[1]} in\n"
        f"{cases}"
        "  esac\n"
        '  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")\n'
        "}\n"
        "complete -o default -F _dispatcher dispatcher\n"
    )


def _zsh(verbs: dict[str, str], options: dict[str, dict[str, str]]) -> str:
    listed = "".join(f"    {_single(f'{verb}:{about}')}\n" for verb, about in verbs.items())
    cases = "".join(f"    {verb})\n      _arguments {_described(options[verb])} '*:file:_files' ;;\n" for verb in verbs)
    return (
        "#compdef dispatcher\n"
        "_dispatcher() {\n"
        "  local -a verbs\n"
        f"  verbs=(\n{listed}  )\n"
        "  if (( CURRENT == 2 )); then\n"
        "    _describe verb verbs\n"
        "    return\n"
        "  fi\n"
        "  case ${words[2]} in\n"
        f"{cases}"
        "  esac\n"
        "}\n"
        '_dispatcher "$@"\n'
    )


def _described(options: dict[str, str]) -> str:
    return " ".join(_single(f"{name}[{_bare(text)}]") for name, text in options.items())


def _fish(verbs: dict[str, str], options: dict[str, dict[str, str]]) -> str:
    lines = ["# fish completion of dispatcher"]
    for verb, about in verbs.items():
        lines.append(f"complete -c dispatcher -n __fish_use_subcommand -a {verb} -d {_single(about)}")
    for verb, named in options.items():
        lines += [
            f"complete -c dispatcher -n '__fish_seen_subcommand_from {verb}' -l {name[2:]} -d {_single(text)}"
            for name, text in named.items()
        ]
    return "\n".join(lines) + "\n"


def _single(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _bare(text: str) -> str:
    """Brackets and colons mean something to zsh."""
    return text.replace("[", "(").replace("]", ")").replace(":", " ")


_SCRIPTS = {"bash": _bash, "zsh": _zsh, "fish": _fish}

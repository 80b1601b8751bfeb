"""`dispatcher check FILE`: does this machine work: login, directories, programs, queue, account, clock, accounting?

ok       login       node7, as me
ok       write       /scratch/me
failed   programs    sbatch, squeue: not on PATH
                     most sites want "module load slurm", or a login shell: see source_list and module_list
warning  clock       it is 92s ahead of this one
"""

from __future__ import annotations

import re
import secrets
import shlex
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import contexts, schedulers
from ..core.errors import ConfigError, DispatcherError
from ..core.model import MachineSpec
from ..core.ports import Context, ShellText
from ..schedulers.site_check import SiteCheck
from .answers import CheckAnswer
from .say import flush, paint, say, say_json

EXAMPLES = """\
examples:
  dispatcher check machine.json          a machine, or a submission with its queue and account
  dispatcher check submission.json --json

Nothing is submitted; a directory is made where the jobs would run, and removed.

exit codes:
  0  it works   1  something is missing   2  the file is not valid
"""


_ALWAYS = ("bash", "awk", "grep", "sed", "mkfifo", "tail")
_ON_PATH = (
    'sites usually provide it by "module load" or in /etc/profile.d of a login shell; see that '
    "`bash -lc 'command -v {0}'` finds it there"
)
_SKEW = 30.0
_SECONDS = re.compile("[0-9]{1,12}")


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("file", metavar="FILE", help="machine.json, a submission file, or the name of a machine")
    parser.add_argument("--allow-ref", action="store_true", help="follow $ref in that file")
    parser.add_argument("--json", action="store_true", help="print a JSON object for each thing, a line each")


def run(args: Namespace) -> int:
    """Look, and tell each thing as it is known."""
    machine, profile, resources = _read(args.file, args.allow_ref)
    failed = False
    for seen in look(machine, profile, resources):
        failed = failed or seen.state == "failed"
        if args.json:
            say_json(seen)
            continue
        colour = {"ok": "finished", "warning": "waiting", "failed": "terminated"}[seen.state]
        say(f"{paint(f'{seen.state:<8}', colour)} {seen.what:<11} {seen.found}\n")
        say(f"{'':21}{seen.advice}\n" if seen.advice else "")
        flush()
    return 1 if failed else 0


def _read(path: str, allow_ref: bool) -> tuple[MachineSpec, Mapping[str, Any], Mapping[str, Any]]:
    from ..schema import check, resources_arginfo
    from ..schema.documents import load, resolve_refs
    from ..schema.reading import read_machine

    machine, profile = read_machine(path, allow_ref)
    found = resolve_refs(load(path), allow_ref, Path(path).parent) if Path(path).exists() else {}
    if "resources" not in found:
        return machine, profile, {}
    given = {"batch_type": machine.batch_type, **found["resources"]}
    return machine, profile, check(given, resources_arginfo(), f"{path}: resources")


def look(machine: MachineSpec, profile: Mapping[str, Any], resources: Mapping[str, Any]) -> Iterator[CheckAnswer]:
    """Every thing in the order in which a run needs it; ends at the first without which nothing else can be known."""
    try:
        context = contexts.load(machine.context_type).open(machine, profile, secrets.token_hex(20), ".")
    except (DispatcherError, OSError) as error:
        yield CheckAnswer("login", "failed", str(error), "")
        return
    try:
        yield from _looked(context, machine, resources)
    finally:
        context.remove()
        context.close()


def _looked(context: Context, machine: MachineSpec, resources: Mapping[str, Any]) -> Iterator[CheckAnswer]:
    batch = schedulers.canonical(machine.batch_type)
    asks: SiteCheck = getattr(schedulers.load(batch), "CHECK", SiteCheck())
    programs, accounting = asks.programs, asks.accounting
    kwargs = resources.get("kwargs") if isinstance(resources.get("kwargs"), Mapping) else {}
    queue, account = str(resources.get("queue_name") or ""), str((kwargs or {}).get("account") or "")
    asked = {
        "answers": asks.answers,
        "queue": asks.queue.format(queue=shlex.quote(queue)) if queue else "",
        "account": asks.account.format(account=shlex.quote(account)) if account else "",
    }
    asked = {word: text for word, text in asked.items() if text}
    before = time.time()
    try:
        prologue = (kwargs or {}).get("scheduler_prologue") or []
        reply = context.run(ShellText(_question((*_ALWAYS, *programs), asked, accounting, prologue), timeout=30.0))
    except DispatcherError as error:
        yield CheckAnswer("login", "failed", str(error), "")
        return
    except TypeError as error:
        raise ConfigError(f"check: {machine.context_type} is asked by no shell: {error}") from None
    said = dict(line.split(" ", 1) for line in reply.out.splitlines() if line.startswith("@") and " " in line)
    if "@done" not in said:
        broke_off = f"the answer broke off (exit {reply.code}): {reply.err.strip()[-200:]}"
        yield CheckAnswer("login", "failed", broke_off, "look what a login shell does there: ~/.profile, a full disk")
        return
    yield CheckAnswer("login", "ok", said.get("@who", "").strip(), "")
    yield CheckAnswer("write", "ok", context.place.remote_root, "")
    yield _programs(said.get("@missing", "").split(), programs)
    if _SECONDS.fullmatch(now := said.get("@now", "")):
        yield _clock(float(now) - (before + time.time()) / 2)
    for word in asked:
        name = {"answers": f"`{asks.answers}`", "queue": queue, "account": account}[word]
        yield _asked(word, name, said.get(f"@{word}", "").strip() == "0", batch)
    if accounting:
        yield _accounting(accounting, said.get("@accounting", "").strip() == "0")


def _accounting(question: str, good: bool) -> CheckAnswer:
    if good:
        return CheckAnswer("accounting", "ok", "answers", "")
    advice = "why jobs fail will be told by their own markers alone"
    return CheckAnswer("accounting", "warning", f"no answer to `{question}`", advice)


def _asked(word: str, name: str, good: bool, batch: str) -> CheckAnswer:
    if good:
        return CheckAnswer(word, "ok", name, "")
    if word == "answers":
        advice = f"ask the site, or correct machine/batch_type: is this a submit host of {batch}?"
        return CheckAnswer(word, "failed", f"no answer to {name}", advice)
    key = "queue_name" if word == "queue" else "kwargs/account"
    return CheckAnswer(word, "failed", f"{name}: {batch} does not know it", f"correct resources/{key}")


def _question(programs: tuple[str, ...], asked: Mapping[str, str], accounting: str, prologue: Sequence[str]) -> str:
    own = "\n".join(prologue)
    lines = [f"{{\n{own}\n}} < /dev/null > /dev/null 2>&1"] if own else []
    lines += ['printf "@who %s, as %s\\n" "$(hostname)" "$(id -un)"', "date '+@now %s'", "printf '@missing'"]
    lines += [f"command -v {name} > /dev/null 2>&1 || printf ' {name}'" for name in programs]
    lines += ["echo ' '"]
    questions = {**asked, **({"accounting": accounting} if accounting else {})}
    lines += [f'({text}) > /dev/null 2>&1; echo "@{word} $?"' for word, text in questions.items()]
    return "\n".join([*lines, "echo '@done .'"]) + "\n"


def _programs(missing: list[str], programs: tuple[str, ...]) -> CheckAnswer:
    if not missing:
        return CheckAnswer("programs", "ok", ", ".join(programs) or "bash", "")
    return CheckAnswer("programs", "failed", f"{', '.join(missing)}: not on PATH there", _ON_PATH.format(missing[0]))


def _clock(ahead: float) -> CheckAnswer:
    if abs(ahead) <= _SKEW:
        return CheckAnswer("clock", "ok", "agrees with this one", "")
    way = "ahead of" if ahead > 0 else "behind"
    return CheckAnswer(
        "clock", "warning", f"{abs(ahead):.0f}s {way} this one", "ask the site for NTP; times told will differ"
    )

"""What a parameter is: one row of the tables in `schema.parameters` and `schema.profiles`, and of each dialect.

    optional("port", int, "Port of the SSH server.", 22, rule=PORT)
      ->  Key(name="port", kinds=(int,), doc="Port of the SSH server.", default=22, required=False, …)

Rows are data: the schema turns them into documentation and checks, and nothing
here needs a library.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec


class _Absent:
    """The default of a key that stays away when it is not given."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Any = _Absent()


class Rule(msgspec.Struct, frozen=True):
    """What a value must satisfy besides its type; `says` completes the sentence "it …"."""

    test: Callable[[Any], bool]
    says: str


class Key(msgspec.Struct, frozen=True):
    """A key: `kinds` are the types it takes (None for null), `default` what an absent one means.

    What is `secret` is written only where somebody asks for it by name.
    """

    name: str
    kinds: tuple[Any, ...]
    doc: str
    default: Any = ABSENT
    required: bool = False
    alias: tuple[str, ...] = ()
    rule: Rule | None = None
    secret: bool = False


class Profile(msgspec.Struct, frozen=True):
    """What a context has to know about the other side. `free`: any further key is passed on as it is.

    `needed`: a profile must be given; `remote_root`: machine/remote_root must be.
    """

    doc: str
    keys: tuple[Key, ...] = ()
    needed: bool = False
    free: bool = False
    remote_root: bool = False


def required(name: str, kind: Any, doc: str, alias: tuple[str, ...] = (), rule: Rule | None = None) -> Key:
    """A key that must be given."""
    return Key(name, _kinds(kind), doc, required=True, alias=alias, rule=rule)


def optional(
    name: str, kind: Any, doc: str, default: Any = ABSENT, alias: tuple[str, ...] = (), rule: Rule | None = None
) -> Key:
    """A key that may be left out."""
    return Key(name, _kinds(kind), doc, default=default, alias=alias, rule=rule)


def secret(name: str, kind: Any, doc: str, default: Any = ABSENT, alias: tuple[str, ...] = ()) -> Key:
    """A key that may be left out, and whose value is nobody else's business."""
    return Key(name, _kinds(kind), doc, default=default, alias=alias, secret=True)


def _kinds(kind: Any) -> tuple[Any, ...]:
    return kind if isinstance(kind, tuple) else (kind,)


def at_least(bound: int, note: str = "") -> Rule:
    """The number must not be below `bound`; null passes, its type is checked apart."""
    return Rule(lambda value: value is None or value >= bound, f"must be {bound} or more{note and f' ({note})'}")


def one_of(*choices: str) -> Rule:
    """The text must be one of these."""
    return Rule(lambda value: value in choices, f"must be one of {', '.join(choices)}")


NOT_BLANK = Rule(lambda value: bool(value.strip()), "must not be empty")
HASH = Rule(
    lambda value: value is None or (isinstance(value, str) and re.fullmatch("[0-9a-f]{40}", value) is not None),
    "must be the hash of a submission, 40 hexadecimal digits",
)

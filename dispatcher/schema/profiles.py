"""The contexts by name, and the keys of each one's remote_profile.

    CONTEXTS["SSHContext"].keys  ->  (Key("hostname", …), Key("username", …), Key("port", …), …)
    spellings("SSHContext")      ->  ("SSH", "sshcontext", "ssh")

Each context's table is in its room, in `profile`: a configuration is checked without loading what it will need.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from .. import contexts
from ..contexts.cloud.profile import BOHRIUM, OPENAPI
from ..contexts.hdfs.profile import HDFS
from ..contexts.local.profile import LAZY_LOCAL, LOCAL
from ..contexts.ssh.profile import SSH
from ..core.keys import Profile

#: The profiles of our own contexts; they lie apart from the code that may need a library.
CONTEXTS: dict[str, Profile] = {
    "LazyLocalContext": LAZY_LOCAL,
    "LocalContext": LOCAL,
    "SSHContext": SSH,
    "HDFSContext": HDFS,
    "BohriumContext": BOHRIUM,
    "OpenAPIContext": OPENAPI,
}


#: Names of keys that no table has, and that are taken for secrets all the same.
_SECRET = re.compile("pass|secret|token|ticket|credential|access_?key|private", re.IGNORECASE)


@cache
def known() -> tuple[str, ...]:
    """The class names of all contexts, those of other packages last."""
    from importlib.metadata import entry_points

    return tuple(dict.fromkeys([*CONTEXTS, *entry_points(group="dispatcher.contexts").names]))


@cache
def spellings(name: str) -> tuple[str, ...]:
    """Every other way to write a context's name: without "Context", its aliases, all in lower case."""
    alias = [other for other, meant in contexts.ALIASES.items() if meant == name]
    words = [form for word in (name, *alias) for form in (word, word.removesuffix("Context"))]
    return tuple(dict.fromkeys(word for word in (*words, *map(str.lower, words)) if word != name))


def profile(name: str) -> Profile:
    """What a context is told; one of another package says it itself, in its `profile_keys`."""
    if name in CONTEXTS:
        return CONTEXTS[name]
    return Profile("A context of another package.", tuple(contexts.load(name).profile_keys))


def as_given(name: str, given: Mapping[str, Any], checked: Mapping[str, Any]) -> dict[str, Any]:
    """What was checked without the defaults: a context must see what its user left open (the port of ~/.ssh/config)."""
    alias = {other: key.name for key in profile(name).keys for other in key.alias}
    names = {alias.get(key, key) for key in given}
    return {key: value for key, value in checked.items() if key in names}


def without_secrets(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What may be shown and written of a profile: without the keys of this context that are secret, at any depth."""
    keys = {spelling: key for key in profile(name).keys for spelling in (key.name, *key.alias)}
    return {
        word: without_secrets(name, value) if isinstance(value, Mapping) else value
        for word, value in given.items()
        if not (keys[word].secret if word in keys else _SECRET.search(str(word)))
    }

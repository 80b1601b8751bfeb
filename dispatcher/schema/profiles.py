"""The contexts by name, and the keys of each one's remote_profile (manual, "Machine parameters").

    CONTEXTS["SSHContext"].keys  ->  (Key("hostname", …), Key("username", …), Key("port", …), …)
    spellings("SSHContext")      ->  ("SSH", "sshcontext", "ssh")

The tables stand here and not beside the code of each context, so that a
configuration is checked without loading what it will need (paramiko, requests).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from .. import contexts
from ..core.keys import NOT_BLANK, Key, Rule, at_least, one_of, optional, required


class Profile(msgspec.Struct, frozen=True):
    """What a context is told about the other side. `free`: any further key is passed on as it is."""

    doc: str
    keys: tuple[Key, ...] = ()
    alias: tuple[str, ...] = ()
    needed: bool = False
    free: bool = False
    remote_root: bool = False


_PORT = Rule(lambda value: 0 < value < 65536, "must be a port number, 1 to 65535")

_SSH = (
    required("hostname", str, "Name or address of the SSH server, or its name in ~/.ssh/config.", rule=NOT_BLANK),
    optional("username", str, "Name of the account there; without it as ~/.ssh/config says.", rule=NOT_BLANK),
    optional("password", str, "Password of the account. Deprecated: use an SSH key."),
    optional("port", int, "Port of the SSH server.", 22, rule=_PORT),
    optional("key_filename", (str, None), "Private key file. null: keys of ~/.ssh are tried.", None),
    optional("passphrase", (str, None), "Passphrase of the private key.", None),
    optional("timeout", (int, float), "Seconds to wait for a connection.", 10, rule=at_least(1)),
    optional("totp_secret", (str, None), "Base32 secret for time-based one-time passwords.", None),
    optional("tar_compress", bool, "Compress what is transferred.", True),
    optional("look_for_keys", bool, "Try the private keys of ~/.ssh.", True),
    optional("execute_command", (str, None), "Command to run once after each connection.", None),
    optional("proxy_command", (str, None), "Command whose input and output are the connection to the server.", None),
    optional("archive_chunk_size", int, "Bytes in one piece of a large archive; 0: never cut.", 0, rule=at_least(0)),
    optional(
        "host_key_policy",
        str,
        "What to do with a host key that is not in known_hosts: reject it, or accept-new and remember it.",
        "reject",
        rule=one_of("reject", "accept-new"),
    ),
    optional("known_hosts", str, "File of known host keys, instead of ~/.ssh/known_hosts."),
    optional("config_file", str, "SSH configuration, instead of ~/.ssh/config."),
    optional("jump_profile", dict, "password, totp_secret, key_filename, passphrase for the hosts of ProxyJump."),
)

_HDFS = (
    optional(
        "hadoop_home", (str, None), "Directory of Hadoop on this machine; without it `hadoop` of PATH is run.", None
    ),
    optional("hadoop_conf_dir", (str, None), "Directory of core-site.xml, hdfs-site.xml and yarn-site.xml.", None),
    optional(
        "resourcemanager", (str, None), "http(s)://HOST:PORT of the ResourceManager's REST; else yarn is asked.", None
    ),
)

_BOHRIUM = (
    optional("email", str, "E-mail of the account."),
    optional("password", str, "Password of the account."),
    optional("phone", str, "Phone number of the account."),
    required("program_id", int, "Id of the project that pays.", alias=("project_id",)),
    optional("keep_backup", bool, "Keep the archives that were fetched.", True),
    required("input_data", dict, "Settings of the cloud job, passed on as they are."),
    optional(
        "retry_count",
        (int, None),
        "Taken for compatibility, and not used; see machine/retry_count.",
        2,
        rule=at_least(0),
    ),
    optional("ignore_exit_code", bool, "Take a task that ended with another code than 0 as finished.", True),
    optional("base_url", str, "Address of the service; else DPDISPATCHER_LEBESGUE_API_HOST."),
    optional("storage_url", str, "Address of its bucket; else DPDISPATCHER_LEBESGUE_ALI_OSS_BUCKET_URL."),
)

#: Any further key is a setting of the cloud job.
_OPENAPI = (
    optional("access_key", str, "Access key; else BOHRIUM_ACCESS_KEY or ACCESS_KEY."),
    optional("project_id", int, "Id of the project that pays; else BOHRIUM_PROJECT_ID or PROJECT_ID."),
    optional("app_key", str, "Key of the application that asks; else BOHRIUM_APP_KEY or APP_KEY."),
    optional("keep_backup", bool, "Keep the archives that were fetched, unless false."),
    optional("ignore_exit_code", bool, "Take a task that ended with another code than 0 as finished, unless false."),
    optional("output_log", bool, "Keep what each job prints in a file on this side."),
    optional("base_url", str, "Address of the service; else BOHRIUM_BASE_URL."),
    optional("storage_url", str, "Address of its storage; else TIEFBLUE_BASE_URL."),
)

CONTEXTS: dict[str, Profile] = {
    "LazyLocalContext": Profile("Runs jobs on this machine, in the directory where the files are."),
    "LocalContext": Profile(
        "Runs jobs on this machine, in another directory.",
        (optional("symlink", bool, "Link the forward files instead of copying them.", True),),
        remote_root=True,
    ),
    "SSHContext": Profile("Runs jobs on another machine, reached by SSH.", _SSH, needed=True, remote_root=True),
    "HDFSContext": Profile("Keeps the files of YARN jobs on HDFS.", _HDFS, remote_root=True),
    "BohriumContext": Profile(
        "Runs jobs on the Bohrium cloud.", _BOHRIUM, ("DpCloudServerContext", "LebesgueContext"), needed=True
    ),
    "OpenAPIContext": Profile("Runs jobs on Bohrium through its open API.", _OPENAPI, free=True),
}


@cache
def known() -> tuple[str, ...]:
    """The class names of all contexts, those of other packages last."""
    from importlib.metadata import entry_points

    return tuple(dict.fromkeys([*CONTEXTS, *entry_points(group="dispatcher.contexts").names]))


@cache
def spellings(name: str) -> tuple[str, ...]:
    """Every other way to write a context's name: without "Context", its aliases, all in lower case."""
    alias = CONTEXTS[name].alias if name in CONTEXTS else ()
    words = [form for word in (name, *alias) for form in (word, word.removesuffix("Context"))]
    return tuple(dict.fromkeys(word for word in (*words, *map(str.lower, words)) if word != name))


def profile(name: str) -> Profile:
    """What a context is told; one of another package says it itself, in its `profile_keys`."""
    if name in CONTEXTS:
        return CONTEXTS[name]
    reported = contexts.load(name).profile_keys
    keys = [Key(key.name, key.types, key.doc, key.default, key.required) for key in reported]
    return Profile("A context of another package.", tuple(keys))


def as_given(name: str, given: Mapping[str, Any], checked: Mapping[str, Any]) -> dict[str, Any]:
    """What was checked without the defaults: a context must see what its user left open (the port of ~/.ssh/config)."""
    alias = {other: key.name for key in profile(name).keys for other in key.alias}
    names = {alias.get(key, key) for key in given}
    return {key: value for key, value in checked.items() if key in names}

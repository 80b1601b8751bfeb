"""What a profile may tell of an SSH server: read here, checked and documented by the schema; needs no library."""

from __future__ import annotations

from ...core.keys import Profile, Rule, at_least, one_of, optional, required, secret
from .names import wrong_host, wrong_user

_HOST = Rule(
    lambda value: not wrong_host(value),
    "must be a host's name or address alone: a user@ goes to username, a :port to port, and there are no blanks",
)
_USER = Rule(lambda value: not wrong_user(value), "must be a user's name, without quotes and shell signs")
#: What an unknown host key may meet.
POLICIES = ("reject", "accept-new", "ask")
_PORT = Rule(lambda value: 0 < value < 65536, "must be a port number, 1 to 65535")

KEYS = (
    required("hostname", str, "Name or address of the SSH server, or its name in ~/.ssh/config.", rule=_HOST),
    optional("username", str, "Name of the account there; without it as ~/.ssh/config says.", rule=_USER),
    secret("password", str, "Password of the account. Deprecated: use an SSH key."),
    optional("port", int, "Port of the SSH server.", 22, rule=_PORT),
    optional("key_filename", (str, None), "Private key file. null: those of ~/.ssh and of the agent.", None),
    secret("passphrase", (str, None), "Passphrase of the private key.", None),
    optional("timeout", (int, float), "Seconds to wait for a connection.", 10, rule=at_least(1)),
    secret("totp_secret", (str, None), "Base32 secret for time-based one-time passwords.", None),
    optional("tar_compress", bool, "Compress what is transferred, where that saves time.", True),
    optional("look_for_keys", bool, "Try the private keys of ~/.ssh.", True),
    secret("execute_command", (str, None), "Command to run once after each connection.", None),
    secret("proxy_command", (str, None), "Command whose input and output are the connection to the server.", None),
    optional(
        "archive_chunk_size",
        int,
        "Accepted; a transfer that broke off goes on where it stopped anyway.",
        0,
        rule=at_least(0),
    ),
    optional(
        "host_key_policy",
        str,
        "What an unknown host key meets: reject, ask (on a terminal), or accept-new, which writes it to known_hosts. "
        "Without it StrictHostKeyChecking of the SSH configuration holds, or ask. A changed key is always refused.",
        rule=one_of(*POLICIES),
    ),
    optional("known_hosts", str, "File of known host keys, instead of ~/.ssh/known_hosts."),
    optional("config_file", str, "SSH configuration, instead of ~/.ssh/config."),
    optional("jump_profile", dict, "password, totp_secret, key_filename, passphrase for the hosts of ProxyJump."),
)

SSH = Profile("Runs jobs on another machine, reached by SSH.", KEYS, needed=True, remote_root=True)

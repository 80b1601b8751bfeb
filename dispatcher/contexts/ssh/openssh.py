"""What OpenSSH itself makes of a configuration: `ssh -G` says it, where a client is installed.

    settings("hpc", None)   ->   ssh -G -- hpc        {"hostname": ["login.hpc.example"], "port": ["22"], …}

Its answer is the user's own `ssh`, `Match exec` and all. Our reader answers
instead where there is no client, and where the client would look elsewhere than
we are told to: $HOME is not the home of the account, or a file of the profile
includes names that lie beside it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from ...core.errors import ConfigError
from .reader import ConfigFiles, ConfigSource, Settings

#: Seconds that `ssh -G` may take: names are looked up, and commands of `Match exec` run.
_SECONDS = 60
_SYSTEM = Path("/etc/ssh/ssh_config")
_LISTS = frozenset({"identityfile", "certificatefile"})
_FILES = frozenset({"userknownhostsfile", "globalknownhostsfile"})
#: What OpenSSH tries when nobody names a key.
_USUAL = frozenset(f"~/.ssh/id_{kind}" for kind in ("rsa", "ecdsa", "ecdsa_sk", "ed25519", "ed25519_sk", "xmss", "dsa"))


class Configuration(NamedTuple):
    """The files of one profile. `file`: the one that it names, None for the user's and the system's."""

    file: Path | None
    files: ConfigFiles

    @classmethod
    def of(cls, requested: str | None) -> Configuration:
        """For `remote_profile/config_file`."""
        if requested:
            file = Path(requested).expanduser()
            return cls(file, ConfigFiles([ConfigSource(file, True)]))
        return cls(None, ConfigFiles([ConfigSource(Path("~/.ssh/config").expanduser()), ConfigSource(_SYSTEM)]))

    def lookup(self, name: str, user: str = "", port: int = 0) -> Settings:
        """What holds for a host; ConfigError names what is wrong, by file and line."""
        program = shutil.which("ssh")
        if program and self._is_for_the_client():
            return _asked(program, self.file, name, user, port)
        return self.files.lookup(name, user, port)

    def _is_for_the_client(self) -> bool:
        try:
            if Path.home() != Path(pwd.getpwuid(os.getuid()).pw_dir):
                return False
        except KeyError:  # a uid without an account, as in containers
            return False
        includes = (word for line in self.files.everywhere("include") for word in line.words())
        return self.file is None or all(word.startswith(("/", "~")) for word in includes)

    def where(self, key: str) -> str:
        """File and line of a key, for messages: the first there is, in whatever block; "" when it is in none."""
        return next((line.where for line in self.files.everywhere(key)), "")


def _asked(program: str, file: Path | None, name: str, user: str, port: int) -> Settings:
    command = [program, "-G", *(("-F", str(file)) if file else ()), *(("-l", user) if user else ())]
    command += [*(("-p", str(port)) if port else ()), "--", name]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            start_new_session=True,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as why:
        raise ConfigError(
            f"`ssh -G {name}` gives no answer ({type(why).__name__}); look at your SSH configuration"
        ) from why
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split()[-60:]) or "no reason given"
        raise ConfigError(
            f"ssh refuses its configuration for {name}: {said}; correct it, `ssh -G {name}` shows the same"
        )
    return parsed(done.stdout.decode("utf-8", "surrogateescape"))


def parsed(text: str) -> Settings:
    """The lines of `ssh -G`, without what is only OpenSSH's own list of keys to try."""
    found: Settings = {}
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key.lower() in _LISTS:
            found.setdefault(key.lower(), []).append(value)
        elif key.lower() in _FILES:
            found[key.lower()] = _files(value)
        else:
            found.setdefault(key.lower(), [value])
    if len(keys := found.get("identityfile", [])) > 3 and _USUAL.issuperset(keys):
        del found["identityfile"]
    return found


def _files(text: str) -> list[str]:
    """Names of files in one line, which `ssh -G` does not quote: words that are a name only together are one."""
    found: list[str] = []
    rest = text.split(" ")
    while rest:
        ends = range(len(rest), 0, -1)
        end = next((end for end in ends if Path(" ".join(rest[:end])).expanduser().exists()), 1)
        found.append(" ".join(rest[:end]))
        rest = rest[end:]
    return [name for name in found if name]

"""SSH: tasks run in a directory of another machine, which is reached with one login.

    local = <local_root>/<work_base>     R = <remote_root>/<submission>     control = R/.dispatcher/<submission>/jobs

    config    who is meant: profile, SSH configuration, hops   hosts     is it the right machine
    openssh   what `ssh -G` says                               reader    our reading, where there is no client
    login     keys, passwords, codes                           link      one connection, kept and made again
    shell     scripts in sh, whatever the login shell          listing   what is there
    put       what differs goes up                             get       results come down

Everything runs through plain `sh` and the programs every Unix has; SFTP is not
needed. No file of ours is outside R.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, ClassVar

from ...core.errors import ConfigError, NotOurs, Unreachable
from ...core.keys import Key
from ...core.model import MachineSpec
from ...core.names import CONTROL
from ...core.ports import Call, FileEntry, Item, Place, Reply
from ...core.possession import Possession
from ...scripts.shared_directory import NOT_OURS, OWN
from .. import owner
from ..local.shell_call import as_shell
from ..local.this_machine import joined, place
from . import config as ssh_config
from . import link as ssh_link
from . import listing as ssh_listing
from . import shell as ssh_shell
from .get import Download
from .listing import AT_FIRST, Far, failed, patiently
from .profile import POLICIES, SSH
from .put import Upload

if TYPE_CHECKING:
    from paramiko import Channel


#: Exit codes of the text that makes our directories.
_LACKS, _NOTHING_ABOVE, _NO_HOME = 94, 95, 92
#: Bytes that are kept of what execute_command says, and the keys whose values are never repeated.
_LAST = 2000
_SECRETS = frozenset(key.name for key in SSH.keys if key.secret)
#: What nothing can be done without; where `find` cannot print sizes, a `stat` that knows -c must.
_DOOR = rf"""m=
for p in cat chmod dirname find grep id ln ls mkdir mv rm sed sleep tail wc xargs; do
  command -v $p > /dev/null 2>&1 || m="$m $p"
done
find / -prune -printf '' > /dev/null 2>&1 || [ -n "$(stat -L -c %F / 2> /dev/null)" ] ||
  m="$m stat (one that knows -c, or a find that knows -printf)"
[ -z "$m" ] || {{ printf '%s' "$m"; exit {_LACKS}; }}
"""


class SSHConnection:
    """The execution side is <remote_root>/<submission> on another machine."""

    batch_type: ClassVar[str] = ""
    profile_keys: ClassVar[tuple[Key, ...]] = SSH.keys

    def __init__(self, link: ssh_link.Link, place: Place, submission: str, profile: Mapping[str, Any]) -> None:
        self.place = place
        self._link, self._submission = link, submission
        self._compress = profile.get("tar_compress", True) is not False
        self._in_background = False
        self._far = Far(link, place.remote_root)

    @classmethod
    def open(cls, machine: MachineSpec, profile: Mapping[str, Any], submission: str, work_base: str) -> SSHConnection:
        """Log in, or join the login of another submission; make our directories where they are missing."""
        _check(profile)
        local_path = joined(machine.local_root, work_base)
        place("", "", submission)  # refuses what is no name for a directory, before anybody logs in
        command = profile.get("execute_command") or ""
        greet = _greeting(command, profile) if command else None
        link = ssh_link.shared(ssh_config.route(profile), float(profile.get("timeout") or 10), greet, command)
        link.keep_to(machine.max_logins_per_minute)
        try:
            root = _made(link, machine, submission)
        except BaseException:
            ssh_link.leave(link)
            raise
        context = cls(link, place(local_path, root, submission), submission, profile)
        context._in_background = machine.clean_asynchronously
        return context

    @classmethod
    def place_of(cls, machine: MachineSpec, submission: str, work_base: str) -> Place:
        """<remote_root>/<submission>; a leading ~ stands for the home directory there, which nobody has asked for."""
        root = posixpath.join(_absolute(machine.remote_root), submission)
        return place(joined(machine.local_root, work_base), root, submission)

    @property
    def site(self) -> ssh_link.Link:
        """The connection that it shares with all of this process who reach that machine in the same way."""
        return self._link

    def own(self, record: str) -> Possession:
        """By a hard link over there that one process alone can make."""
        return owner.told(patiently(self._link, lambda: self.run(owner.text(self.place.control, record))))

    def run(self, call: Call) -> Reply:
        """Run it in the remote root and wait, never twice; Unreachable when the link breaks or after its time-out."""
        return ssh_shell.run_call(self._link, as_shell(call, type(self).__name__), self.place.remote_root)

    def put(self, items: Sequence[Item], replace: bool) -> None:
        """Send what differs (`replace`) or is not there, verify it there, then give it its names."""
        if items:
            Upload(self._far, self._submission, items, replace, self._compress).run()

    def tree(self, paths: Sequence[str]) -> list[FileEntry]:
        """What is in the remote root; TransferFailed names what cannot be read."""
        return patiently(self._link, lambda: ssh_listing.tree(self._far, paths)) if paths else []

    def get(self, items: Sequence[Item]) -> list[Item]:
        """Bring back and verify; what is here already, with the same bytes, stays."""
        return Download(self._far, Path(self.place.local), items, self._compress).run()

    def remove(self) -> None:
        """Remove the remote root, all of it ours, and nothing beside it."""
        gone = f"rm -rf -- {quote(self.place.remote_root)}"
        if self._in_background:
            text = f"nohup {gone} > /dev/null 2>&1 < /dev/null &"
        else:
            # on NFS, files that are open elsewhere leave `.nfs…` behind for a moment
            text = f"for i in 1 2 3; do {gone} 2> /dev/null && break; sleep 1; done"
        patiently(self._link, lambda: ssh_shell.run(self._link, text, list))

    def close(self) -> None:
        """Let go of the connection; it stays for others that use it, and for a while for those that come back."""
        ssh_link.leave(self._link)


def _check(profile: Mapping[str, Any]) -> None:
    """Raise ConfigError for a key that SSH does not know, or whose value has the wrong type."""
    known = {key.name: key for key in SSH.keys}
    for name, value in profile.items():
        if name not in known:
            raise ConfigError(f"machine/remote_profile/{name}: unknown; SSH knows {', '.join(known)}")
        kinds = tuple(kind for kind in known[name].kinds if kind is not None)
        right = isinstance(value, kinds) and not (isinstance(value, bool) and bool not in kinds)
        if value is not None and not right:
            # never the value: it may be a secret in the wrong place
            raise ConfigError(f"machine/remote_profile/{name}: has the wrong type; {known[name].doc}")
    if profile.get("host_key_policy") not in (None, *POLICIES):
        raise ConfigError("machine/remote_profile/host_key_policy: write reject or accept-new, or ask")


def _absolute(remote_root: str | None) -> str:
    if not remote_root:
        raise ConfigError("machine/remote_root: missing; SSHContext needs a directory to run tasks in")
    if not remote_root.startswith(("/", "~/")) and remote_root != "~":
        raise ConfigError(f"machine/remote_root: {remote_root!r} is not absolute; begin with / or ~/")
    return posixpath.normpath(remote_root)


def making(remote_root: str, submission: str, parents: bool) -> str:
    """Shell text: make the remote root, and the control directory for our eyes only; `~` is expanded over there.

    What is missing above remote_root is made for `parents` only: a slip of the pen would begin a new tree.
    """
    root, home = quote(posixpath.join(remote_root, submission)), ""
    if remote_root.startswith("~"):
        root = f'"$HOME"/{quote(posixpath.join(remote_root[2:], submission))}'
        home = f"case ${{HOME-}} in /*) ;; *) exit {_NO_HOME} ;; esac\n"
    names = (CONTROL, f"{CONTROL}/{submission}", f"{CONTROL}/{submission}/jobs")
    owned = " && ".join(f"dsp_own {quote(name)}" for name in names)
    above = 'd=$(dirname -- "$(dirname -- "$r")")'
    there = f'{above}; [ -e "$d" ] || {{ printf \'%s\' "$d"; exit {_NOTHING_ABOVE}; }}\n' if not parents else ""
    begin = 'mkdir -p -- "$(dirname -- "$r")" && dsp_own "$r" && cd "$r"'
    return f"{home}r={root}\n{there}{_DOOR}{OWN}\n{begin} && {owned} && printf '%s' \"$r\""


def _made(link: ssh_link.Link, machine: MachineSpec, submission: str) -> str:
    """Make our directories; the remote root as it is called over there."""
    remote_root = _absolute(machine.remote_root)
    script = making(remote_root, submission, machine.create_remote_root)
    stream, out = patiently(link, lambda: ssh_shell.output_of(link, f"LC_ALL=C; {script}"), longest=AT_FIRST)
    said = out.decode(errors="replace").strip()
    if stream.code == _LACKS:
        raise ConfigError(f"{link} cannot be used: these programs are missing there, or not in PATH: {said}")
    if stream.code == _NO_HOME:
        raise ConfigError(f"machine/remote_root: {remote_root}: HOME is not set on {link}; write an absolute path")
    if stream.code == _NOTHING_ABOVE:
        raise ConfigError(
            f"machine/remote_root: {remote_root}: there is no directory {said} on {link}; correct it, or set "
            "machine/create_remote_root to true"
        )
    if stream.code == NOT_OURS:
        raise NotOurs(f"on {link}: {stream.err.strip()}")
    if stream.code:
        raise failed(Far(link, remote_root), "make the directory of the submission in", stream.err)
    return out.decode(errors="surrogateescape")


def _greeting(command: str, profile: Mapping[str, Any]) -> Callable[[Channel], None]:
    """Runs execute_command as the login shell reads it, once after every login."""

    def greet(channel: Channel) -> None:
        channel.settimeout(120.0)
        channel.set_combine_stderr(True)
        channel.exec_command(command)
        said = b""
        while piece := channel.recv(1 << 16):
            said = (said + piece)[-_LAST:]
        code = channel.recv_exit_status()
        channel.close()
        if code:
            text = _without_secrets(said.decode(errors="replace").strip(), command, profile)[:200]
            raise Unreachable(f"execute_command ended with code {code}: {text}")

    return greet


def _without_secrets(text: str, command: str, profile: Mapping[str, Any]) -> str:
    """What the far side said, without the words of the command (shells repeat them) and the values of the profile."""
    words = {word for word in re.split(r"[^\w.+/@-]+", command) if len(word) > 3}
    words |= {str(value) for key, value in profile.items() if key in _SECRETS and value}
    for word in sorted(words, key=len, reverse=True):
        text = text.replace(word, "…")
    return text

"""HDFS: inputs go up as archives, one for each directory; results come back in one for each job that ended.

    local = <local_root>/<work_base>                 control = local/.dispatcher/<submission>/jobs  (scripts, receipts)
    R    = <remote_root>/<submission> on HDFS       R/.dispatcher/in/<sha256>.tar  R/.dispatcher/in/index
                                                    R/.dispatcher/jobs/  R/.dispatcher/out/  (by the jobs themselves)

Commands run on this machine, which has Hadoop's client. What a job left is
known by the list it handed over, and only a list named by an exit marker
counts. Where attempts of a job left the same file, that of the later
application is taken: YARN's own count of applications says which is later.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from ...core.errors import ConfigError, TransferFailed
from ...core.keys import Key
from ...core.model import MachineSpec
from ...core.names import CONTROL, control_of
from ...core.ports import Call, FileEntry, Item, Place, Reply
from ...core.possession import Possession
from ...files.ours import own
from ..local import shell_call
from ..local.this_machine import joined, remove_tree
from . import put as hdfs_put
from . import results as hdfs_results
from .command import Hadoop
from .profile import HDFS

_UNFIT = re.compile(r"[*?\[\]{}\\,\x00-\x1f\x7f]")


class HDFSConnection:
    """The files of jobs that run as applications of YARN."""

    batch_type: ClassVar[str] = "DistributedShell"
    profile_keys: ClassVar[tuple[Key, ...]] = HDFS.keys

    def __init__(self, place: Place, hadoop: Hadoop, parents: bool = True) -> None:
        self.place, self._hadoop, self._parents = place, hadoop, parents
        self._ours = f"{place.remote_root}/{CONTROL}"
        self._home, self._stage = Path(place.control), Path(place.control).with_name("hdfs")
        self._results = hdfs_results.HdfsResults(hadoop, self._ours, self._stage)
        for private in (self._home.parent.parent, self._home.parent, self._home):
            own(private)

    @classmethod
    def open(cls, machine: MachineSpec, profile: Mapping[str, Any], submission: str, work_base: str) -> HDFSConnection:
        """Make home; ConfigError for a remote_root that is missing or no path of HDFS. HDFS itself is not asked yet."""
        place = cls.place_of(machine, submission, work_base)
        return cls(place, Hadoop(_environment(profile)), machine.create_remote_root)

    @classmethod
    def place_of(cls, machine: MachineSpec, submission: str, work_base: str) -> Place:
        """<remote_root>/<submission> on HDFS; what is ours lies on this side. ConfigError for another path."""
        root = (machine.remote_root or "").rstrip("/")
        if not re.match(r"(?:[a-z][a-z0-9+.-]*://[^/]*)?/", f"{root}/"):
            raise ConfigError(
                f"machine/remote_root: {root!r} is not an absolute path on HDFS (/user/… or hdfs://HOST/…)"
            )
        path = root.partition("://")[2] or root
        if _UNFIT.search(root) or ".." in root.split("/") or ":" in path.partition("/")[2]:
            raise ConfigError(f"machine/remote_root: {root!r} holds wildcards, '..', or another sign HDFS cannot take")
        here = joined(machine.local_root, work_base)
        return Place(here, f"{root}/{submission}", control_of(here, submission))

    @property
    def site(self) -> str:
        """This machine, with this Hadoop."""
        return self._hadoop.exports()

    def own(self, record: str) -> Possession:
        """HDFS gives a name that is taken to nobody else; attempts left their scripts here.

        ConfigError where what lies above remote_root is missing, and is not to be made.
        """
        above = "" if self._parents else self.place.remote_root.rpartition("/")[0].rpartition("/")[0]
        hdfs_put.own(self._hadoop, self._ours, self._stage, record, above)
        lines = hdfs_put.owner(self._hadoop, self._ours)
        return Possession(lines.strip(), tuple(path.name for path in self._home.iterdir()))

    def run(self, call: Call) -> Reply:
        """Run it on this machine, in home, with the site's Hadoop; Unreachable after its time-out."""
        shell = shell_call.as_shell(call, "HDFSContext")
        text = f"{self._hadoop.exports()}{shell.text}"
        return shell_call.run(msgspec.structs.replace(shell, text=text), self._home)

    def put(self, items: Sequence[Item], replace: bool) -> None:
        """Pack what is to be sent by directory, send what HDFS does not have, read back sizes and names.

        InputMissing names a source that is gone, Unreachable says that HDFS is away or in safe mode, TransferFailed
        that it is full or refuses. The bytes are verified again, by SHA-256, in each container before they are used.
        """
        hdfs_put.put(self._hadoop, self._ours, self._stage, items, replace)

    def tree(self, paths: Sequence[str]) -> list[FileEntry]:
        """What the jobs handed over so far."""
        return self._results.tree(paths)

    def get(self, items: Sequence[Item]) -> list[Item]:
        """Fetch the archives that hold these files, verify archive and files, bring each to its place."""
        return self._results.get(items, Path(self.place.local))

    def remove(self) -> None:
        """Remove the remote root, what Hadoop's client left in the user's HDFS home, and our directory here."""
        nonces = sorted({path.name.partition(".")[0] for path in self._home.glob("*.sub")})
        self._hadoop.fs("-rm", "-r", "-f", "-skipTrash", self.place.remote_root)
        for at in range(0, len(nonces), 500):
            left = ",".join(f"{nonce},{nonce}-*" for nonce in nonces[at : at + 500])
            done = self._hadoop.tried("-rm", "-r", "-f", "-skipTrash", f"{{{left}}}")
            if done.returncode and b"No such file" not in done.stderr:
                raise TransferFailed(f"cannot remove what is left of {len(nonces)} applications in the HDFS home")
        remove_tree(self._home)
        remove_tree(self._stage)

    def close(self) -> None:
        """Nothing to let go of."""


def _environment(profile: Mapping[str, Any]) -> dict[str, str]:
    """Variables for the commands; ConfigError names the key that is wrong."""
    found: dict[str, str] = {}
    for key in ("hadoop_home", "hadoop_conf_dir", "resourcemanager"):
        value = profile.get(key)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise ConfigError(f"machine/remote_profile/{key}: {value!r} is not a text; write one, in quotes")
    if home := profile.get("hadoop_home"):
        if not (Path(home).expanduser() / "bin" / "hadoop").is_file():
            raise ConfigError(f"machine/remote_profile/hadoop_home: there is no {home}/bin/hadoop")
        home = str(Path(home).expanduser())
        found |= {"HADOOP_HOME": home, "PATH": f"{home}/bin:{os.environ.get('PATH', os.defpath)}"}
    if conf := profile.get("hadoop_conf_dir"):
        if not Path(conf).expanduser().is_dir():
            raise ConfigError(
                f"machine/remote_profile/hadoop_conf_dir: {conf} is not a directory; name that of core-site.xml"
            )
        found["HADOOP_CONF_DIR"] = str(Path(conf).expanduser())
    if rest := profile.get("resourcemanager"):
        if not re.fullmatch(r"https?://[^\s/'\"]+/?", rest):
            raise ConfigError(f"machine/remote_profile/resourcemanager: {rest!r} is not http(s)://HOST:PORT")
        found["DSP_RESOURCEMANAGER"] = rest.rstrip("/")
    return found

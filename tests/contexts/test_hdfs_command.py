"""The `hadoop` command: its answers have a limit, and what is asked of it before anything is made."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from dispatcher.contexts.hdfs.command import Hadoop
from dispatcher.contexts.hdfs.context import HDFSConnection
from dispatcher.core import limits
from dispatcher.core.errors import ConfigError, TransferFailed, Unreachable
from dispatcher.core.model import MachineSpec


def test_answers_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hadoop").write_text('#!/bin/sh\nhead -c "$3" /dev/zero; head -c "$4" /dev/zero >&2; exit 3\n')
    (tmp_path / "hadoop").chmod(0o755)
    monkeypatch.setattr(limits, "MAX_ANSWER", 1 << 20)
    hadoop = Hadoop({"PATH": f"{tmp_path}:/usr/bin:/bin"})
    done = hadoop.tried("-cat", str(1 << 20), "7")
    assert (done.returncode, len(done.stdout), len(done.stderr)) == (3, 1 << 20, 7)
    for sizes in (((1 << 20) + 1, 0), (0, (1 << 20) + 1)):
        with pytest.raises(TransferFailed, match="hadoop fs -cat: an answer of more than 1048576 bytes, the limit"):
            hadoop.tried("-cat", *map(str, sizes))


#: `hadoop fs -VERB WORDS…` on directories below $0.d; a file `away` there makes it unreachable.
_HADOOP = """#!/bin/sh
d=$0.d; verb=$2; shift 2
echo '26/11/29 WARN util.NativeCodeLoader: Unable to load native-hadoop library' >&2
[ ! -e "$d/away" ] || { echo 'test: Call From a to b:8020 failed: Connection refused' >&2; exit 1; }
case $verb in
  -test) [ -d "$d$2" ] ;;
  -cat) [ -e "$d$1" ] || { echo "cat: \\`$1': No such file or directory" >&2; exit 1; }; cat "$d$1" ;;
  -mkdir) mkdir -p "$d$2" ;;
  -put) cp -n "$1" "$d$2" ;;
esac
"""


def test_parents_on_hdfs_are_made_when_they_are_wanted_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool, far = tmp_path / "hadoop", tmp_path / "hadoop.d"
    tool.write_text(_HADOOP)
    tool.chmod(0o755)
    (far / "user").mkdir(parents=True)
    (tmp_path / "w").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    machine = MachineSpec("DistributedShell", "HDFSContext", str(tmp_path), "/user/me/runs")
    with pytest.raises(ConfigError, match=r"remote_root: there is no directory /user/me on HDFS; .*create_remote_root"):
        HDFSConnection.open(machine, {}, "5f1c", "w").own("journal-1")
    assert not (far / "user/me").exists()
    (far / "away").touch()
    with pytest.raises(Unreachable, match="Connection refused"):
        HDFSConnection.open(machine, {}, "5f1c", "w").own("journal-1")
    (far / "away").unlink()
    made = msgspec.structs.replace(machine, create_remote_root=True)
    assert HDFSConnection.open(made, {}, "5f1c", "w").own("journal-1").record == "journal-1"
    assert HDFSConnection.open(machine, {}, "77aa", "w").own("journal-2").record == "journal-2"

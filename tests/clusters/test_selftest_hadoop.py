"""`dispatcher selftest` on real HDFS and YARN: killed again and again; nothing twice, nothing lost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Hadoop

pytestmark = pytest.mark.cluster


@pytest.mark.timeout(1200)
def test_hadoop_holds_under_chaos(hadoop: Hadoop, tmp_path: Path, full: bool) -> None:
    kills = 20 if full else 4
    before = hadoop.listed(hadoop.root), hadoop.listed(".")
    told = hadoop.selftest(tmp_path, {"queue_name": "default", "group_size": 2}, "--chaos", str(kills), "--tasks", "4")
    assert (told["twice"], told["lost"], told["kills"]) == (0, 0, kills)
    assert told["accepted"] == told["run"] == told["tasks"]
    assert hadoop.listed(hadoop.root) <= before[0]
    assert hadoop.listed(".") <= before[1]
    assert hadoop.drained()

"""`dispatcher selftest` on real HDFS and YARN: its dispatcher is killed twenty times, nothing twice, nothing lost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Hadoop

pytestmark = pytest.mark.cluster


@pytest.mark.timeout(1200)
def test_hadoop_holds_under_chaos(hadoop: Hadoop, tmp_path: Path) -> None:
    before = hadoop.listed(hadoop.root), hadoop.listed(".")
    reported = hadoop.selftest(tmp_path, {"queue_name": "default", "group_size": 2}, "--chaos", "20", "--tasks", "4")
    assert (reported["twice"], reported["lost"], reported["kills"]) == (0, 0, 20)
    assert reported["accepted"] == reported["run"] == reported["tasks"]
    assert hadoop.listed(hadoop.root) <= before[0]
    assert hadoop.listed(".") <= before[1]
    assert hadoop.drained()

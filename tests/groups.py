"""Tests on real servers side by side: which run one after the other, how long each group took, and where logs lie.

    pytest -m cluster -n auto --dist loadgroup     a worker for each group, each with servers of its own

Nearly all of their time is waiting, so there are many more groups than processors. No group should take much longer
than the others: the summary at the end tells what each took.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

#: The first pattern that is found in a test's id names its group.
GROUPS = (
    (r"clusters/test_slurm_(life|load)", "slurm 1"),
    (r"clusters/(test_slurm_faults|test_selftest_slurm|ssh/test_slurm_over_ssh|ssh/test_newcomer)", "slurm 2"),
    (r"clusters/test_gridengine_(life|arrays|load)", "gridengine 1"),
    (r"clusters/(test_gridengine_faults|test_selftest_gridengine)", "gridengine 2"),
    (r"clusters/test_hadoop_(life|container)", "hadoop 1"),
    (r"clusters/test_(selftest_hadoop|hadoop_faults)", "hadoop 2"),
    (r"clusters/ssh/test_(ssh_servers|ssh_hostile|ssh_secrets|ssh_quota|selftest_ssh)", "ssh 1"),
    (r"clusters/ssh/test_ssh_faults", "ssh 2"),
    (r"clusters/ssh/test_ssh_(kills|busybox|contract)", "ssh 3"),
    (r"clusters/test_foreign.*\[(pbs|torque|lsf)", "stand-ins 1"),
    (r"clusters/test_foreign", "stand-ins 2"),
    (r"clusters/test_programs", "programs"),
    (r"crash/|clusters/(test_selftest_shell|test_two_users)", "hosts"),
)

#: Directories of the servers that this process has started.
started: list[Path] = []


def group_of(test: str) -> str:
    """The group of a test, by its id."""
    for pattern, group in GROUPS:
        if re.search(pattern, test):
            return group
    raise pytest.UsageError(f"{test} needs real servers and is in no group: add it to GROUPS in {__file__}")


class ByGroup(LoadScopeScheduling):
    """Each group to one worker."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """Ours, when tests are dealt out by groups."""
    return ByGroup(config, log) if config.getoption("dist") == "loadgroup" else None


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """As many workers as groups, when tests are dealt out by groups."""
    return len({group for _, group in GROUPS}) if config.getoption("dist") == "loadgroup" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Reports tell the group of a test."""
    for item in items:
        if item.get_closest_marker("cluster"):
            item.user_properties.append(("group", group_of(item.nodeid)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test tells which servers ran, and where its own files are."""
    report = yield
    if report.failed:
        own = getattr(item, "funcargs", {}).get("tmp_path")
        report.user_properties += [("logs", str(place)) for place in (*started, own) if place]
    return report


class Summary:
    """What the last lines of a run say."""

    SHOWN = 8

    def __init__(self) -> None:
        self.took: dict[str, float] = defaultdict(float)
        self.failed: list[tuple[str, str, list[str]]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        reported = [(name, str(value)) for name, value in report.user_properties]
        group = dict(reported).get("group")
        if group is None:
            return
        self.took[group] += report.duration
        if report.failed:
            where = list(dict.fromkeys(value for name, value in reported if name == "logs"))
            self.failed.append((f"{Path(report.nodeid).name} ({report.when})", group, where))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Generator[None, None, None]:
        """After everything else."""
        yield
        if self.took:
            terminalreporter.section("time by group")
            for group, seconds in sorted(self.took.items(), key=lambda pair: -pair[1]):
                terminalreporter.write_line(f"{seconds:7.0f} s  {group}")
        if self.failed:
            terminalreporter.section("failed: group of servers, test, and where the logs lie")
            for test, group, where in self.failed[: self.SHOWN]:
                terminalreporter.write_line(f"logs: {group}: {test}: {' '.join(where)}")
            if len(self.failed) > self.SHOWN:
                terminalreporter.write_line(f"and {len(self.failed) - self.SHOWN} more, above")

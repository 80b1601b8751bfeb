"""A cluster that is named (`--clusters`) on a real Slurm with its accounting: its own name is one, too."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from dispatcher.core import events as ev
from dispatcher.core.errors import JobsFailed

if TYPE_CHECKING:
    from dispatcher.run.engine import Engine

    from .conftest import Once, Slurm, Work

pytestmark = pytest.mark.cluster
NAMED = ("--clusters=testbed",)


@pytest.mark.parametrize("batch", ["Slurm", "SlurmJobArray"])
def test_its_jobs_are_looked_for_and_explained_there(slurm: Slurm, work: Work, once: type[Once], batch: str) -> None:
    ours = once(lambda job: slurm.run("scancel", job.partition("@")[0]), begun=1)
    work.run(work.spec([work.hangs(0)], batch, custom_flags=NAMED), ours)
    assert {event.id.partition("@")[2] for event in work.events(ev.Submitted)} == {"testbed"}
    assert [(cause.kind, cause.source) for cause in work.causes()] == [("scheduler", "accounting")]
    assert (work.said("begin"), work.said("end")) == ({0: 2}, {0: 1})


def test_its_jobs_are_cancelled_there(slurm: Slurm, work: Work) -> None:
    def cancel(engine: Engine, work: Work) -> None:
        if work.said("begin"):
            for path in (work.top / "local" / "w").glob(".dispatcher/*/journal"):
                path.with_name("cancel").touch()

    with suppress(JobsFailed):
        work.run(work.spec(["sleep 600"], custom_flags=NAMED), cancel)
    assert {cause.kind for cause in work.causes()} == {"cancelled"}
    assert work.said("end") == {}

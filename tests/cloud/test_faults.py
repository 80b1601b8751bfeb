"""Every fault that the server can be told to have: no task twice, none lost, and the run ends."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dispatcher.contexts.cloud import http as cloud_http
from dispatcher.core.lifecycle import State
from dispatcher.core.model import SubmissionSpec
from dispatcher.run.session import open_session
from dispatcher.run.store import stored_journals

if TYPE_CHECKING:
    from .conftest import Cloud

pytestmark = pytest.mark.slow

Loaded = Callable[..., SubmissionSpec]
ADD = "POST .*/job/add"

#: Name, which requests, how often, and more of the fault.
FAULTS: list[tuple[str, str, int, dict[str, Any]]] = [
    ("error", ADD, 2, {}),
    ("error", "list", 3, {}),
    ("error", "result", 2, {}),
    ("error", "oss|tiefblue", 2, {}),
    ("error-after", ADD, 1, {}),
    ("lost", ADD, 1, {}),
    ("lost", "job/create", 1, {}),
    ("lost", "list", 1, {}),
    ("lost", "oss|tiefblue", 1, {}),
    ("hang", ADD, 1, {"seconds": 2.0}),
    ("hang", "list", 2, {"seconds": 2.0}),
    ("drip", "list", 1, {}),
    ("drip", ADD, 1, {}),
    ("code", "list", 1, {"code": "2100"}),
    ("code", ADD, 1, {"code": "2100"}),
    ("code", ADD, 2, {"code": "2200", "message": "busy"}),
    ("code", ADD, 1, {"code": "2000", "message": "database"}),
    ("truncate", "result", 2, {}),
    ("corrupt", "result", 1, {}),
    ("double-rows", "list", 100, {}),
    ("double-job", ADD, 1, {}),
]


@pytest.mark.parametrize(
    ("fault", "path", "times", "more"), FAULTS, ids=[f"{f[0]}-{f[1][-8:]}-{f[3].get('code', '')}" for f in FAULTS]
)
def test_fault(
    cloud: Cloud,
    kind: str,
    requested: Loaded,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    path: str,
    times: int,
    more: dict[str, Any],
) -> None:
    if (kind == "Bohrium" and "create" in path) or (kind == "OpenAPI" and fault == "double-job"):
        path = "list"  # a step, or a fault, that the other API alone has
    monkeypatch.setattr(cloud_http, "READ", 1.0)
    monkeypatch.setattr(cloud_http.Http.__init__, "__defaults__", (1.0, lambda seconds: None, False))
    cloud.fault(fault, path, times, **more)
    witness = tmp_path / "witness"
    last = "sleep 0.5"
    if fault == "double-job" and kind == "Bohrium":  # until both were seen, however long that takes here
        last = f"until grep -q 'second[ ]job of' {tmp_path}/local/w/.dispatcher/*/journal/*.jsonl; do sleep 0.1; done"
    spec = requested(
        tmp_path / "local", kind, 3, f"cat in ../pot > out; echo {{i}} >> {witness}; {last}", retry_count=1
    )
    with open_session(spec, cloud.profile(kind)) as session:
        session.run(check_interval=0.2, clean=False)
        assert {job.state for job in session.progress.values()} == {State.finished}
    assert cloud.reported()["struck"].get(fault), "it struck"
    for index in range(3):
        assert (tmp_path / "local" / "w" / f"t{index}" / "out").read_text() == f"input {index}\npotential\n"
    reported = cloud.reported()["jobs"]
    good = [job for job in reported if job["status"] == 2]
    if fault == "double-job" and kind == "Bohrium":
        [journal] = stored_journals(tmp_path / "local" / "w")
        assert "a second job of the same attempt is listed" in (journal / "00000001.jsonl").read_text()
    else:
        assert sorted(witness.read_text().split()) == ["0", "1", "2"]
        assert (len(good), len({job["name"][:12] for job in good})) == (3, 3)
    assert not [job for job in reported if job["status"] in (1, 3)], "nothing is left running"


def test_late_visibility_within_the_grace(cloud: Cloud, kind: str, requested: Loaded, tmp_path: Path) -> None:
    """A lost answer, and a listing that shows the job only after a while."""
    cloud.tell(late=0.8)
    cloud.fault("lost", ADD, 1)
    witness = tmp_path / "witness"
    spec = requested(tmp_path / "local", kind, 2, f"cat in ../pot > out; echo {{i}} >> {witness}")
    with open_session(spec, cloud.profile(kind)) as session:
        session.run(check_interval=0.2)
    assert sorted(witness.read_text().split()) == ["0", "1"]


def test_logins_and_keys_that_expire(cloud: Cloud, kind: str, requested: Loaded, tmp_path: Path) -> None:
    spec = requested(tmp_path / "local", kind, 2)
    with open_session(spec, cloud.profile(kind)) as session:
        session.run(check_interval=0.1, exit_on_submit=True)
        cloud.tell(expire=True)
        session.run(check_interval=0.2)
        assert {job.state for job in session.progress.values()} == {State.finished}


@pytest.mark.parametrize("page", [30, 100])
def test_a_listing_that_tells_no_total_and_gives_short_pages(
    cloud: Cloud, kind: str, requested: Loaded, tmp_path: Path, page: int
) -> None:
    cloud.tell(total=False, page=page)
    with open_session(requested(tmp_path / "local", kind, 65), cloud.profile(kind)) as session:
        session.run(check_interval=1)
    assert len(cloud.reported()["jobs"]) == 65


def test_refused_for_good(cloud: Cloud, kind: str, requested: Loaded, tmp_path: Path) -> None:
    from dispatcher.core.errors import JobsFailed

    cloud.fault("code", ADD, 9, code="2101", message="no such machine type")
    with open_session(requested(tmp_path / "local", kind, 2), cloud.profile(kind)) as session:
        with pytest.raises(JobsFailed, match="no such machine type"):
            session.run(check_interval=0.2)
    assert not [job for job in cloud.reported()["jobs"] if job["starts"]]


def test_an_archive_made_to_harm_writes_nothing(cloud: Cloud, requested: Loaded, tmp_path: Path) -> None:
    """The task plants it: a member that leads out of the directory."""
    from dispatcher.contexts.cloud.results import checked
    from dispatcher.core.errors import TransferFailed

    for nth, (name, mode) in enumerate(
        [("../up", 0o100644), ("/abs", 0o100644), ("link", 0o120777), ("dev", 0o020644)]
    ):
        path = tmp_path / f"{nth}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, b"/etc/passwd")
        with pytest.raises(TransferFailed, match="refused"), checked(path):
            pass
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big", bytes(1 << 20))
        archive.getinfo("big").file_size = 1200 << 20  # what the archive's own table says
    with pytest.raises(TransferFailed, match="refused"), checked(bomb):
        pass

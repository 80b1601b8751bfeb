"""DistributedShell: its scripts and commands (text), and what a real Hadoop 3.4 answered (recorded)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dispatcher.core.errors import ConfigError, Unreachable
from dispatcher.core.model import ResourcesSpec, TaskSpec
from dispatcher.core.ports import (
    Accepted,
    Deferral,
    EarlierAttempt,
    JobScript,
    Native,
    Observation,
    Observations,
    Place,
    Query,
    Rejection,
    Reply,
    SubmitRequest,
    Withdrawal,
)
from dispatcher.schedulers.yarn.answers import STATES
from dispatcher.schedulers.yarn.dialect import DistributedShellDialect
from dispatcher.scripts.render import render

from .conftest import said as recorded

GOLDEN = Path(__file__).parents[2] / "fixtures" / "scripts" / "distributedshell"
PLACE = Place("/local", "hdfs://nn:8020/r/s", "/local/.dispatcher/s/jobs")
YARN = DistributedShellDialect()
APP = "application_1795580080690_0001"


def resources(**what: Any) -> ResourcesSpec:
    requested = {"number_node": 1, "cpu_per_node": 2, "gpu_per_node": 0, "queue_name": "lab", "group_size": 0}
    return ResourcesSpec(**{**requested, **what})


def job(*commands: str, root: str = PLACE.remote_root, directory: str = "t", **what: Any) -> JobScript:
    tasks = tuple((n, TaskSpec(command, f"{directory}{n}")) for n, command in enumerate(commands))
    forward, backward = what.pop("forward", ()), what.pop("backward", ())
    place = Place("/local", root, PLACE.control)
    return JobScript("5f1c0a", "dn1", "dn1", place, resources(**what), tasks, None, forward, backward)


GRID = {
    "one-task": job("lmp -i in", forward=("t0/in.dat",), backward=("t0/out*", "t0/log", "t0/err")),
    "pool": job("a", "b", para_deg=2, forward=("pot.json", "t0/*.inp", "t1/**"), backward=("t0/log", "*/[!a]b[*]")),
    "nothing-sent": job("true", backward=("t0/log",)),
    "hadoop-home": job("true", kwargs={"hadoop_home": "/opt/it's"}, forward=("",), backward=("",)),
    "odd-names": job(
        "x", root="/user/it's me/s", directory="a b/c'd", forward=("a b/c'd0/ü→",), backward=("a b/c'd0/$x*",)
    ),
}


@pytest.mark.parametrize("name", GRID)
def test_golden(name: str, request: pytest.FixtureRequest) -> None:
    text = render(GRID[name], YARN).text()
    path = GOLDEN / f"{name}.sub"
    if request.config.getoption("--golden"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs; if the new text is right, accept it with: make golden"


@pytest.mark.slow
@pytest.mark.parametrize("name", GRID)
def test_shellcheck_has_no_complaint(name: str, shellchecked: Callable[[Path], None]) -> None:
    shellchecked(GOLDEN / f"{name}.sub")


def request(nonce: str = "dn1", **what: Any) -> SubmitRequest:
    withdrawals = what.pop("withdrawals", ())
    files = what.pop("files", {f"{nonce}.sub": "#!/bin/bash\ntrue\n"})
    return SubmitRequest(nonce, f"{nonce}-relax", f"{nonce}.sub", files, resources(**what), withdrawals=withdrawals)


@pytest.mark.slow
def parsed(text: str) -> None:
    done = subprocess.run(["shellcheck", "-s", "sh", "-S", "error", "-"], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# -- asking -------------------------------------------------------------------------------------------------------


def test_the_client_is_asked_for_what_the_job_needs() -> None:
    kwargs = {"mem_limit": 4, "yarn_path": "/opt/ya rn", "img_name": "lab/lmp:2"}
    text = YARN.submit([request(gpu_per_node=1, kwargs=kwargs)], PLACE).text
    parsed(text)
    for words in (
        "'-appname' 'dn1-relax'",
        "'-queue' 'lab'",
        "'-container_resources' 'memory-mb=4096,vcores=2,yarn.io/gpu=1'",
        "'-shell_script' 'dn1.sub'",
        "'-timeout' '2147483647'",
        "'-shell_env' 'YARN_CONTAINER_RUNTIME_DOCKER_IMAGE=lab/lmp:2'",
        "'/opt/ya rn'",
    ):
        assert words in text


def test_docker_only_when_an_image_is_named_and_no_queue_when_none_is() -> None:
    text = YARN.submit([request(queue_name="")], PLACE).text
    assert "DOCKER" not in text
    assert "'-queue'" not in text


def test_earlier_attempts_are_withdrawn_and_large_scripts_sent_before_anything_is_asked() -> None:
    files = {"dn2.sub": "x", "dn2.run": "y"}
    text = YARN.submit([request("dn2", withdrawals=(Withdrawal("dn1", 1),), files=files)], PLACE).text
    parsed(text)
    sent = text.index('hadoop fs -put -f dn2.run dn1.withdrawn "$dsp_far/jobs/"')
    assert sent < text.index("dsp_revoke dn1 1 dn2\n") < text.index("dsp_start dn2 ")
    assert 'hadoop fs -cat "$dsp_far/jobs/{ready,dn1.*[!_]}" > seen.tmp 2> hdfs.err < /dev/null || dsp_later' in text


@pytest.mark.parametrize(
    "wrong",
    [
        {"number_node": 2},
        {"queue_name": "a b"},
        {"kwargs": {"img_name": "a;reboot"}},
        {"kwargs": {"yarn_path": "/opt\n/x"}},
    ],
)
def test_what_a_container_cannot_be_is_refused_before_anything_starts(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong.get("kwargs", wrong)))):
        YARN.check(resources(**wrong))


def answered(*lines: str) -> Any:
    text = "".join(f"@@dn1 {line}\n" for line in lines)
    return YARN.submitted(Reply(0, f"Welcome!\n{text}"), [request()]).get("dn1")


def test_answers() -> None:
    assert answered(f"out dn1 {APP}", "code dn1 0", "done") == Accepted(APP)
    assert answered("earlier dn1 dn0", "done") == EarlierAttempt("dn0")
    assert answered("err dn1 HDFS: put: Cannot create file. Name node is in safe mode.", "code dn1 75") == Deferral(
        "HDFS: put: Cannot create file. Name node is in safe mode."
    )
    assert isinstance(answered("full dn1.sub"), Deferral)
    assert answered() is None


def test_refused_for_good() -> None:
    assert isinstance(YARN.refusal("1", recorded("yarn/queue-unknown").all), Rejection)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("safe-mode", "Name node is in safe mode"),
        ("quota", "The DiskSpace quota of /user/root is exceeded"),
        ("resourcemanager-down", "Connection refused"),
        ("namenode-down", "Connection refused"),
    ],
)
def test_not_now(name: str, why: str) -> None:
    said = YARN.refusal("1", recorded(f"yarn/{name}").all)
    assert isinstance(said, Deferral)
    assert why in said.why
    assert len(said.why) <= 300 and "\n" not in said.why and "INFO" not in said.why


def test_once_the_client_has_begun_to_submit_only_yarn_settles_it() -> None:
    begun = "INFO distributedshell.Client: Submitting application to ASM\n"
    assert YARN.refusal("1", f"{begun}java.net.ConnectException: Connection refused") is None
    failed = f"Failed to submit application {APP} to YARN : Unknown queue: x"
    assert isinstance(YARN.refusal("1", begun + failed), Rejection)


# -- looking ------------------------------------------------------------------------------------------------------


def observed(
    queue: str, *lines: str, code: int = 0, ready: bool = True, read: int = 0, query: str = ""
) -> Observations:
    said = [f"queue-code {code}", *(f"queue {line}" for line in queue.splitlines())]
    said += [f"file {line}" for line in (*lines, *(["ready:"] if ready else []), "", f"read:{read}")]
    text = "".join(f"@@dn1 {line}\n" for line in (*said, "hdfs cat: Call From vm failed: Connection refused", "done"))
    return YARN.observed(Reply(0, text), [Query("dn1", query)])


def one(*lines: str, queue: str = "", query: str = "") -> Observation:
    return observed(queue or rest(), *lines, query=query).jobs["dn1"]


def rest(state: str = "", final: str = "UNDEFINED", why: str = "") -> str:
    app = {"id": APP, "name": "dn1-relax", "state": state, "finalStatus": final, "diagnostics": why}
    return json.dumps({"apps": {"app": [app]} if state else None})


def test_the_look_is_one_question_to_each() -> None:
    text = YARN.observe([Query("dn1", APP, 1e9), Query("dn2", "", 1e9)], PLACE).text
    parsed(text)
    assert text.count("hadoop fs") == 1
    assert text.count("yarn application") == 1
    assert '"$dsp_far/jobs/{ready,$dsp_words}"' in text
    assert "\ndn1.[clefw]*[!_],dn2.[clefw]*[!_]\n@@\n" in text


@pytest.mark.parametrize("name", ["list", "apps"])
def test_a_real_list(name: str) -> None:
    reported = recorded(f"yarn/{name}")
    rows = {row.name: YARN.observation_of([row]) for row in YARN.rows(reported.all, reported.code)}
    assert {name: (observation.native, observation.code) for name, observation in rows.items()} == {
        "dr8rx2f22bg3": (Native.ended, "FINISHED SUCCEEDED"),
        "dq": (Native.ended, "FINISHED SUCCEEDED"),
        "dgood": (Native.ended, "FINISHED SUCCEEDED"),
        "dbad": (Native.ended, "FINISHED FAILED"),
        "dkilled": (Native.ended, "KILLED"),
        "druns": (Native.running, "RUNNING"),
    }
    assert rows["dgood"].cause is None
    assert rows["dbad"].cause is not None
    assert rows["dkilled"].cause is not None
    assert rows["dkilled"].cause.kind == "scheduler", "killed from outside: it is tried again"


def test_every_state_of_yarn_is_known() -> None:
    assert set(STATES) == {"NEW", "NEW_SAVING", "SUBMITTED", "ACCEPTED", "RUNNING", "FINISHED", "FAILED", "KILLED"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("curl: (7) Failed to connect to rm port 8088: Connection refused", 7),
        ("", 0),
        ("<html>busy</html>", 0),
        ("{", 0),
        ("{}", 0),
        ('{"RemoteException": {"exception": "StandbyException"}}', 0),
    ],
)
def test_no_good_answer_of_yarn_is_trouble_and_markers_still_count(text: str, code: int) -> None:
    seen = observed(text, f"dn1.claim:claim {APP} 0 node 1 2", code=code)
    assert seen.trouble
    assert seen.jobs["dn1"].native is Native.unknown
    assert seen.jobs["dn1"].claim is not None


def test_without_hdfs_nothing_is_known() -> None:
    with pytest.raises(Unreachable, match=r"HDFS: .*Connection refused"):
        observed(rest("FINISHED", "SUCCEEDED"), ready=False)


def test_a_marker_that_could_not_be_read_is_not_taken_for_none() -> None:
    """One block of many is out of reach: `ready` and other markers are there, this one is not."""
    with pytest.raises(Unreachable, match="HDFS: "):
        observed(rest("FINISHED", "SUCCEEDED"), f"dn1.claim:claim {APP} 0 node7 42 1", read=1)


def test_the_marker_of_the_life_that_counts() -> None:
    claim = f"dn1.claim:claim {APP} 0 node7 42 1"
    ended = "dn1.end-0:task 0 0 1790000100 .", "dn1.end-0:hand dn1.x.0 00", "dn1.end-0:end 0 1790000200 ."
    whole = one(claim, *ended, queue=rest("FINISHED", "SUCCEEDED"), query=APP)
    assert whole.claim is not None
    assert (whole.claim.owner, whole.claim.ended, whole.claim.lines) == (APP, 0, 3)
    later = one(claim, *ended, f"dn1.life-100000:claim {APP} 100000 node8 43 2", query=APP)
    assert later.claim is not None
    assert (later.claim.ended, later.claim.restarts, later.claim.node) == (None, 100000, "node8")


def test_a_second_copy_is_told_and_a_torn_marker_is_none() -> None:
    observation = one(
        f"dn1.claim:claim {APP} 0 n 1 2", "dn1.fenced-application_1_2:fenced application_1_2", "dn1.end-0:end 0 17"
    )
    assert observation.claim is not None
    assert (observation.claim.fenced, observation.claim.ended) == (("application_1_2",), None)


def test_a_script_that_did_not_begin_says_where_to_look() -> None:
    observation = one(
        queue=rest("FINISHED", "FAILED", "Diagnostics., total=1, completed=1, allocated=1, failed=1"), query=APP
    )
    assert observation.cause is not None
    assert f"yarn logs -applicationId {APP}" in observation.cause.reason


def test_the_receipt_alone_finds_an_application() -> None:
    assert one(f"dn1.id:{APP}").id == APP


# -- ending -------------------------------------------------------------------------------------------------------


def test_killing_by_id_and_by_name() -> None:
    text = YARN.kill([Query("dn1", APP), Query("dn2")], PLACE).text
    parsed(text)
    assert f"\n{APP}\n@@\n" in text
    assert "\n@\\tdn2\n@@\n" in text.replace("\t", "\\t")
    assert "yarn application -kill $dsp_words" in text
    assert "application_" not in YARN.kill([Query("dn2")], PLACE).text

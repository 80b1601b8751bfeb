"""Job scripts: the text (golden files), and what bash really does with it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dispatcher.core.errors import ConfigError
from dispatcher.core.model import ResourcesSpec, Strategy, TaskSpec
from dispatcher.core.ports import JobScript, Place
from dispatcher.schedulers.claims import read_claim
from dispatcher.schedulers.command_line import CommandDialect
from dispatcher.schedulers.shell import ShellDialect
from dispatcher.scripts import bash
from dispatcher.scripts.environment import expanded, quoted
from dispatcher.scripts.render import Script, render

GOLDEN = Path(__file__).parents[2] / "fixtures" / "scripts" / "shell"


class Reported(CommandDialect):
    """A dialect whose native id and number of requeues are told by the environment."""

    native_id = "${NATIVE:-1}"
    restarts = "${LIVES:-0}"


class Elements(Reported):
    """The same as an array of single tasks."""

    element = "$ELEMENT"

    def elements(self, resources: ResourcesSpec, tasks: int) -> int:
        return tasks


def resources(**what: Any) -> ResourcesSpec:
    return ResourcesSpec(
        **{"number_node": 1, "cpu_per_node": 1, "gpu_per_node": 0, "queue_name": "", "group_size": 0} | what
    )


def job(root: Path | str, *commands: str, spec: ResourcesSpec | None = None, **task: Any) -> JobScript:
    tasks = tuple((i, TaskSpec(command, **{"task_work_path": f"t{i}", **task})) for i, command in enumerate(commands))
    home = f"{root}/.dispatcher/s/jobs"
    return JobScript("5f1c0a", "dn1", "dn1", Place(str(root), str(root), home), spec or resources(), tasks)


def lay_out(root: Path, what: JobScript, dialect: CommandDialect) -> Path:
    home = Path(what.place.control)
    home.mkdir(parents=True, exist_ok=True)
    for _, task in what.tasks:
        (root / task.task_work_path).mkdir(parents=True, exist_ok=True)
    for name, text in render(what, dialect).files(what.nonce).items():
        (home / name).write_text(text)
    return home / f"{what.nonce}.sub"


def run(
    root: Path, what: JobScript, dialect: CommandDialect | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    script = lay_out(root, what, dialect or Reported())
    return subprocess.run(
        ["bash", str(script)], capture_output=True, text=True, env={**os.environ, **env}, timeout=300, check=False
    )


def claim(root: Path, name: str = "dn1") -> Any:
    home = root / ".dispatcher" / "s" / "jobs"
    lines = (home / f"{name}.claim").read_text().splitlines()
    fenced = home / f"{name}.claim.fenced"
    return read_claim(lines, fenced.read_text().splitlines() if fenced.exists() else [])


# -- the text ---------------------------------------------------------------------------------------------------

GRID: dict[str, JobScript] = {
    "one-task": job("/R", "lmp -i in"),
    "pool": job("/R", "a", "b", "c", spec=resources(para_deg=2)),
    "two-gpus": job(
        "/R",
        "a",
        "b",
        "c",
        "d",
        spec=resources(gpu_per_node=2, para_deg=1, strategy=Strategy(if_cuda_multi_devices=True)),
    ),
    "environment": job(
        "/R",
        "run",
        spec=resources(
            custom_flags=("#FLAG --nice=100",),
            module_purge=True,
            module_unload_list=("singularity",),
            module_list=("singularity/3.0.0",),
            source_list=("./slurm_test.env", "~/conda/bin/activate deepmd"),
            envs={"PATH": "/opt/bin:$PATH", "MANY": ["a", "b"], "ODD": "a 'b' \"c\" `d` $(e) ${HOME}"},
            prepend_script=("ulimit -s unlimited",),
            append_script=("rm -rf scratch",),
        ),
    ),
    "no-logs": job("/R", "run", outlog=None, errlog=None),
    "odd-names": job("/R with 'blank'", "echo 'x'", task_work_path="a b/c'd", outlog="o ut", errlog="-err"),
}


@pytest.mark.parametrize("name", GRID)
def test_golden(name: str, request: pytest.FixtureRequest) -> None:
    text = render(GRID[name], ShellDialect()).text()
    path = GOLDEN / f"{name}.sub"
    if request.config.getoption("--golden"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs; if the new text is right, accept it with: make golden"
    assert text.startswith("#!/bin/bash -l\n")


@pytest.mark.slow
@pytest.mark.parametrize("name", GRID)
def test_shellcheck_has_no_complaint(name: str, shellchecked: Callable[[Path], None]) -> None:
    shellchecked(GOLDEN / f"{name}.sub")


@pytest.mark.slow
def test_shellcheck_has_no_complaint_of_the_functions(shellchecked: Callable[[Path], None]) -> None:
    shellchecked(Path(bash.NAME))


def test_twice_the_same_job_is_twice_the_same_text() -> None:
    assert render(GRID["two-gpus"], ShellDialect()) == render(GRID["two-gpus"], ShellDialect())


def test_a_big_script_is_cut_in_two(tmp_path: Path) -> None:
    what = job(tmp_path, *(f"echo {'x' * 20000} > out" for _ in range(60)), spec=resources(para_deg=4))
    assert set(render(what, Reported()).files("dn1")) == {"dn1.sub", "dn1.run", bash.NAME}
    assert len(render(what, Reported()).files("dn1")["dn1.sub"]) < 10_000
    assert run(tmp_path, what).returncode == 0
    assert len(claim(tmp_path).tasks) == 60


# -- what bash does ---------------------------------------------------------------------------------------------


def test_tasks_run_in_their_directories_with_their_logs(tmp_path: Path) -> None:
    done = run(tmp_path, job(tmp_path, "pwd; echo oops >&2", "exit 3"))
    assert done.returncode == 1
    assert (tmp_path / "t0/log").read_text() == f"{tmp_path}/t0\n"
    assert (tmp_path / "t0/err").read_text() == "oops\n"
    assert [task[:2] for task in sorted(claim(tmp_path).tasks)] == [(0, 0), (1, 3)]
    assert claim(tmp_path).ended == 1


def test_no_barrier_holds_back_the_next_task(tmp_path: Path) -> None:
    """Task 0 waits for what task 2 makes: with a barrier after two tasks this would never end."""
    wait = "until [ -e ../go ]; do sleep 0.05; done"
    done = run(tmp_path, job(tmp_path, wait, "true", "touch ../go", spec=resources(para_deg=2)))
    assert done.returncode == 0
    assert claim(tmp_path).ended == 0


def test_never_more_than_para_deg_at_once(tmp_path: Path) -> None:
    command = "echo + >> ../trace; sleep 0.1; echo - >> ../trace"
    run(tmp_path, job(tmp_path, *[command] * 9, spec=resources(para_deg=3)))
    running = most = 0
    for mark in (tmp_path / "trace").read_text().split():
        running += 1 if mark == "+" else -1
        most = max(most, running)
    assert most == 3


def test_each_gpu_gets_its_tasks(tmp_path: Path) -> None:
    spec = resources(gpu_per_node=2, para_deg=2, strategy=Strategy(if_cuda_multi_devices=True))
    run(tmp_path, job(tmp_path, *["echo $CUDA_VISIBLE_DEVICES > gpu"] * 6, spec=spec))
    assert [(tmp_path / f"t{i}/gpu").read_text().strip() for i in range(6)] == ["0", "0", "1", "1", "0", "0"]


def test_a_second_copy_runs_nothing_and_is_recorded(tmp_path: Path) -> None:
    what = job(tmp_path, "echo ran >> ../trace")
    assert run(tmp_path, what, NATIVE="11").returncode == 0
    assert run(tmp_path, what, NATIVE="12").returncode == 0
    assert (tmp_path / "trace").read_text() == "ran\n"
    assert (claim(tmp_path).owner, claim(tmp_path).fenced) == ("11", ("12",))


def test_ten_copies_at_once_run_once(tmp_path: Path) -> None:
    what = job(tmp_path, "echo ran >> ../trace")
    script = lay_out(tmp_path, what, Reported())
    copies = [subprocess.Popen(["bash", str(script)], env={**os.environ, "NATIVE": str(n)}) for n in range(10)]
    assert {copy.wait() for copy in copies} == {0}
    assert (tmp_path / "trace").read_text() == "ran\n"
    assert len(claim(tmp_path).fenced) == 9


def test_a_requeued_life_takes_over_and_keeps_what_was_finished(tmp_path: Path) -> None:
    what = job(tmp_path, "echo 0 >> ../trace", "echo 1 >> ../trace; [ -e ../again ] || { touch ../again; sleep 60; }")
    script = lay_out(tmp_path, what, Reported())
    first = subprocess.Popen(["bash", str(script)], env={**os.environ, "NATIVE": "11"}, start_new_session=True)
    while not (tmp_path / "again").exists():
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert run(tmp_path, what, NATIVE="11", LIVES="1").returncode == 0
    assert (tmp_path / "trace").read_text() == "0\n1\n1\n", "task 0 was finished in the first life"
    assert (claim(tmp_path).restarts, claim(tmp_path).ended) == (1, 0)


def test_an_older_life_can_no_longer_publish(tmp_path: Path) -> None:
    """Cut off from the scheduler, the first life goes on; its results and its marker count no more."""
    what = job(tmp_path, "echo a >> ../trace; until [ -e ../go ]; do sleep 0.05; done", "echo b >> ../trace")
    script = lay_out(tmp_path, what, Reported())
    old = subprocess.Popen(["bash", str(script)], env={**os.environ, "NATIVE": "11"})
    while not (tmp_path / "trace").exists():
        time.sleep(0.05)
    new = subprocess.Popen(["bash", str(script)], env={**os.environ, "NATIVE": "11", "LIVES": "1"})
    while claim(tmp_path).restarts != 1:
        time.sleep(0.05)
    (tmp_path / "go").touch()
    assert (old.wait(), new.wait()) == (0, 0)
    assert (tmp_path / "trace").read_text().count("b") == 1, "the old life started no further task"
    assert claim(tmp_path).restarts == 1
    assert sorted(task[:2] for task in claim(tmp_path).tasks) == [(0, 0), (1, 0)]


def test_a_withdrawn_claim_runs_nothing(tmp_path: Path) -> None:
    what = job(tmp_path, "echo ran >> ../trace")
    lay_out(tmp_path, what, Reported()).with_suffix(".claim").write_text("revoked\n")
    assert run(tmp_path, what).returncode == 0
    assert not (tmp_path / "trace").exists()


def test_elements_of_an_array_claim_and_report_apart(tmp_path: Path) -> None:
    what = job(tmp_path, "echo 0 >> ../trace", "echo 1 >> ../trace", "exit 4")
    assert [run(tmp_path, what, Elements(), ELEMENT=str(e)).returncode for e in range(3)] == [0, 0, 1]
    assert (tmp_path / "trace").read_text() == "0\n1\n"
    assert [claim(tmp_path, f"dn1.{e}").tasks[0][:2] for e in range(3)] == [(0, 0), (1, 0), (2, 4)]
    assert run(tmp_path, what, Elements(), ELEMENT="7").returncode == 94


def test_identical_tasks_are_each_run(tmp_path: Path) -> None:
    run(tmp_path, job(tmp_path, *["echo ran >> trace"] * 3, task_work_path="same"))
    assert (tmp_path / "same/trace").read_text() == "ran\nran\nran\n"


def test_append_script_runs_after_failures_and_before_the_marker(tmp_path: Path) -> None:
    query = "grep -q '^end' .dispatcher/s/jobs/dn1.claim && echo late || echo in time"
    spec = resources(append_script=(f"({query}) > appended", "exit 5"))
    assert run(tmp_path, job(tmp_path, "false", spec=spec)).returncode == 1
    assert (tmp_path / "appended").read_text() == "in time\n"
    assert claim(tmp_path).ended == 1


def test_a_syntax_error_in_one_command_fails_only_that_task(tmp_path: Path) -> None:
    run(tmp_path, job(tmp_path, "if then (", "echo fine > ok"))
    results = dict(task[:2] for task in claim(tmp_path).tasks)
    assert results[0] != 0
    assert results[1] == 0


def test_a_task_whose_shell_was_killed_counts_as_137(tmp_path: Path) -> None:
    run(tmp_path, job(tmp_path, "true", "kill -9 $BASHPID; sleep 0.1"))
    assert dict(task[:2] for task in claim(tmp_path).tasks) == {0: 0, 1: 137}


def test_the_tail_of_stderr_stands_in_the_claim(tmp_path: Path) -> None:
    run(tmp_path, job(tmp_path, "printf 'x%.0s' {1..3000} >&2; printf '\\nlast \\377 words' >&2; exit 1"))
    text = (tmp_path / ".dispatcher/s/jobs/dn1.claim").read_bytes().decode(errors="replace").splitlines()
    stderr = read_claim(text).stderr[0]  # type: ignore[union-attr]
    assert stderr.endswith("last \ufffd words")
    assert len(stderr) <= 1001


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("/opt/bin:$BASE", "/opt/bin:/base"),
        ("${BASE}/x y", "/base/x y"),
        ("$(touch hacked) `touch hacked`", "$(touch hacked) `touch hacked`"),
        ("a'b\"c\\d;e|f&g>h", "a'b\"c\\d;e|f&g>h"),
        ("${BASE:-x} $1 $$", "${BASE:-x} $1 $$"),
    ],
)
def test_env_values_expand_variables_and_nothing_else(tmp_path: Path, value: str, shown: str) -> None:
    spec = resources(envs={"VALUE": value})
    run(tmp_path, job(tmp_path, 'printf "%s" "$VALUE" > ../value', spec=spec), BASE="/base")
    assert (tmp_path / "value").read_text() == shown
    assert not list(tmp_path.rglob("hacked"))


def test_resources_are_visible_to_the_commands(tmp_path: Path) -> None:
    spec = resources(cpu_per_node=4, queue_name="a b")
    run(
        tmp_path,
        job(tmp_path, 'echo "$DPDISPATCHER_CPU_PER_NODE $DPDISPATCHER_QUEUE_NAME $REMOTE_ROOT" > f', spec=spec),
    )
    assert (tmp_path / "t0/f").read_text() == f"4 a b {tmp_path}\n"


def test_modules_and_sources_are_loaded_in_order(tmp_path: Path) -> None:
    (tmp_path / "module.sh").write_text('module() { echo "module $*" >> trace; }\n')
    (tmp_path / "env.sh").write_text('echo "source $*" >> trace\n')
    spec = resources(
        module_purge=True,
        module_unload_list=("a",),
        module_list=("b/1 c",),
        source_list=("./env.sh one 'two words'",),
        prepend_script=("echo prepend >> trace", "set -eu"),
    )
    script = lay_out(tmp_path, job(tmp_path, "echo task >> ../trace", spec=spec), Reported())
    subprocess.run(["bash", str(script)], env={**os.environ, "BASH_ENV": str(tmp_path / "module.sh")}, check=True)
    assert (tmp_path / "trace").read_text().splitlines() == [
        "module purge",
        "module unload a",
        "module load b/1 c",
        "source one two words",
        "prepend",
        "task",
    ]


def test_commands_do_not_eat_the_scripts_input_or_see_our_files(tmp_path: Path) -> None:
    run(tmp_path, job(tmp_path, "cat > in; ls /proc/self/fd > fds"))
    assert (tmp_path / "t0/in").read_text() == ""
    assert not {"198", "199"} & set((tmp_path / "t0/fds").read_text().split())


def test_the_header_template_is_filled_but_not_run() -> None:
    spec = resources(queue_name="gpu", kwargs={"qos": "high"})
    made = render(
        msgspec.structs.replace(job("/R", "x", spec=spec), template="#!/bin/bash\n#Q {queue_name} {kwargs[qos]}\n"),
        Reported(),
    )
    assert made.header == "#!/bin/bash\n#Q gpu high\n"
    for bad, why in (("{nothing}", "nothing"), ("{queue_name.__class__}", "only keys"), ("{", "Single")):
        with pytest.raises(ConfigError, match=why):
            render(msgspec.structs.replace(job("/R", "x"), template=bad), Reported())


@pytest.mark.parametrize("text", ["", "a", "a'b", "$x", "`x`", "a\nb", "\\", '"'])
def test_quoting_is_exact(text: str) -> None:
    assert subprocess.run(["bash", "-c", f"printf %s {quoted(text)}"], capture_output=True, text=True).stdout == text
    if "$" not in text:
        assert (
            subprocess.run(["bash", "-c", f"printf %s {expanded(text)}"], capture_output=True, text=True).stdout == text
        )


def test_parts_join_to_the_text() -> None:
    made: Script = render(GRID["environment"], Reported())
    assert made.text() == made.header + made.custom_flags + made.claim + made.env + made.command + made.end

from __future__ import annotations

import posixpath
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core.errors import ConfigError, InputMissing
from dispatcher.core.model import MachineSpec, ResourcesSpec, SubmissionSpec, TaskSpec
from dispatcher.core.ports import FileEntry, Item
from dispatcher.files import patterns
from dispatcher.files.listing import Listing


def spec(*tasks: TaskSpec, common: tuple[str, ...] = (), back: tuple[str, ...] = ()) -> SubmissionSpec:
    machine = MachineSpec("Shell", "LazyLocalContext", "/proj")
    return SubmissionSpec("runs", machine, ResourcesSpec(1, 1, 0, "", 1), tasks, common, back)


def task(directory: str = "t1", forward: str = "", backward: str = "", **more: str | None) -> TaskSpec:
    return TaskSpec("true", directory, tuple(forward.split()), tuple(backward.split()), **more)


def files(*paths: str) -> list[FileEntry]:
    """Entries from paths; one that ends with a slash is an empty directory."""
    return [FileEntry(path.rstrip("/"), -1 if path.endswith("/") else 1) for path in paths]


def targets(items: list[Item]) -> list[str]:
    return sorted(item.target + ("/" if item.size < 0 else "") for item in items)


# path policy


@pytest.mark.parametrize(
    ("given_", "means"),
    [
        ("a", "a"),
        ("a/b", "a/b"),
        ("./a//b/.", "a/b"),
        ("a\\b", "a/b"),
        (".", ""),
        ("./", ""),
        ("", ""),
        (".hidden", ".hidden"),
        ("...", "..."),
        ("a..b", "a..b"),
        ("-rf", "-rf"),
        ("a b\nc", "a b\nc"),
        ("~/x", "~/x"),
        ("ab:c", "ab:c"),
    ],
)
def test_clean(given_: str, means: str) -> None:
    assert patterns.clean(given_, "key") == means


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/a", "absolute"),
        ("\\a", "absolute"),
        ("\\\\server\\share", "absolute"),
        ("..", r"'\.\.'"),
        ("a/../b", r"'\.\.'"),
        ("a\\..\\b", r"'\.\.'"),
        ("C:\\x", "drive"),
        ("c:x", "drive"),
        ("./c:x", "drive"),
        ("a\0b", "NUL"),
        (".dispatcher/x", "belong to the dispatcher"),
        ("a/.dispatcher", "belong to the dispatcher"),
    ],
)
def test_clean_refuses_and_says_why(path: str, why: str) -> None:
    with pytest.raises(ConfigError, match=rf"task_list\[3\]\.forward_files: .*{why}"):
        patterns.clean(path, "task_list[3].forward_files")


@given(st.one_of(st.text(), st.text(alphabet="a./\\:C~ *\0")))
def test_clean_never_leads_out(path: str) -> None:
    try:
        name = patterns.clean(path, "key")
    except ConfigError:
        return
    assert not posixpath.isabs(name)
    assert ".." not in name.split("/")
    assert posixpath.normpath(posixpath.join("/R", name)).rstrip("/").startswith("/R")
    assert posixpath.normpath(name) == (name or ".")
    assert patterns.clean(name, "key") == name


@pytest.mark.parametrize(
    ("bad", "key"),
    [
        (spec(task("../t")), r"task_list\[0\]\.task_work_path"),
        (spec(task(), task(forward="a ../b")), r"task_list\[1\]\.forward_files"),
        (spec(task(backward="/b")), r"task_list\[0\]\.backward_files"),
        (spec(task(outlog="../log")), r"task_list\[0\]\.outlog"),
        (spec(task(errlog=".")), r"task_list\[0\]\.errlog"),
        (spec(TaskSpec("true", "t", ("",))), r"task_list\[0\]\.forward_files: an empty name"),
        (spec(task(), common=("/abs",)), "forward_common_files"),
        (spec(task(), back=("a/../../b",)), "backward_common_files"),
    ],
)
def test_check_paths_names_the_key(bad: SubmissionSpec, key: str) -> None:
    with pytest.raises(ConfigError, match=f"^{key}"):
        patterns.check_paths(bad)


def test_check_paths_allows_what_is_documented() -> None:
    good = spec(task("./", "*.dat **/x . d/", "out/*", outlog=None, errlog=None), task(""), common=("*.json",))
    patterns.check_paths(good)


# patterns

TREE = files("a", "ab", "b.txt", ".h", "d/a", "d/.h", "d/e/a", "d/e/b.txt", ".g/a", "empty/", "x[1].txt", "x1.txt", "*")


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("a", "a"),
        ("none", ""),
        ("a*", "a ab"),
        ("?", "* a d"),
        ("[ab]*", "a ab b.txt"),
        ("[!a]", "* d"),
        (".*", ".g .h"),
        ("*/a", ""),  # there is a file with that very name, and it has nothing below it
        ("?/a", "d/a"),
        ("d/*", "d/a d/e"),
        ("d", "d"),
        ("d/**", "d/a d/e/a d/e/b.txt"),
        ("d/**/**", "d/a d/e/a d/e/b.txt"),
        ("**/a", "a d/a d/e/a"),
        ("**/e/**/a", "d/e/a"),
        ("**/**/b.txt", "b.txt d/e/b.txt"),
        ("**/.h", ".h d/.h"),
        ("emp*", "empty"),
        ("empty/**", "empty"),
        ("a/**", ""),
        ("a/b", ""),
        ("*", "*"),
        ("[*]", "*"),
        ("x[1].txt", "x[1].txt"),
        ("x[[]1].txt", "x[1].txt"),
        ("x[12].txt", "x1.txt"),
        ("x*.txt", "x1.txt x[1].txt"),
        ("[", ""),
        ("a[b", ""),
    ],
)
def test_match(pattern: str, paths: str) -> None:
    assert Listing(TREE).match(pattern) == sorted(paths.split())


def test_a_directory_brings_everything_below_it_but_what_is_ours() -> None:
    listing = Listing([*TREE, *files("d/.dispatcher/journal", ".dispatcher-1.tmp", "d/.dispatcher-2.tmp")])
    assert [entry.path for entry in listing.files("d")] == ["d/.h", "d/a", "d/e/a", "d/e/b.txt"]
    assert listing.files("emp*") == [FileEntry("empty", -1)]
    assert [entry.path for entry in listing.files(".*")] == [".g/a", ".h"]


@given(st.text(min_size=1).filter(lambda name: "/" not in name and "\0" not in name and name not in (".", "..")))
def test_escaped_means_itself(name: str) -> None:
    if name.startswith(".dispatcher"):
        return
    listing = Listing(files(f"{name}/f", "other"))
    assert listing.match(patterns.escape(name)) == [name]
    assert patterns.roots([patterns.escape(name)]) == [name]
    assert patterns.readable(patterns.escape(name)) == name


# what to list


@pytest.mark.parametrize(
    ("wanted_patterns", "listed"),
    [
        (["a", "a", "b"], ["a", "b"]),
        (["t1/*.dat", "t1/x", "t1/d/e"], ["t1"]),
        (["t1-2/x", "t1", "t1/x"], ["t1-2/x", "t1"]),
        (["*.json", "t1/x"], [""]),
        (["t/**/x", "t/a/*"], ["t"]),
        (["t[[]1]/x*"], ["t[1]"]),
        (["t/x[1].dat"], ["t"]),
        ([], []),
        ([""], [""]),
    ],
)
def test_roots(wanted_patterns: list[str], listed: list[str]) -> None:
    assert patterns.roots(wanted_patterns) == listed


# up


def test_uploads() -> None:
    requested = spec(task("t1", "in* d"), task("t[2]", "x"), task("", "*.txt"), task("t3"), common=("common",))
    there = files("t1/in1", "t1/in2", "t1/.in", "t1/d/f", "t1/d/e/", "t1/not", "t[2]/x", "b.txt", "common/c", "t2/x")
    items = patterns.uploads(requested, there, "/proj/runs")
    assert targets(items) == sorted(
        ["t1/", "t[2]/", "t3/", "t1/in1", "t1/in2", "t1/d/f", "t1/d/e/", "t[2]/x", "b.txt", "common/c"]
    )
    assert all(item.source == f"/proj/runs/{item.target}" and item.digest == "" for item in items)


def test_uploads_send_each_target_once() -> None:
    requested = spec(*(task("t", "* a ./a d", f"out{n}") for n in range(3)), common=("t/a", "t"))
    items = patterns.uploads(requested, files("t/a", "t/d/b"), "/n")
    assert targets(items) == ["t/", "t/a", "t/d/b"]


def test_uploads_name_all_that_is_missing() -> None:
    tasks = [TaskSpec(f"run {n}", f"t[{n}]", ("in.dat", f"no{n}*")) for n in range(12)]
    there = files(*(f"t[{n}]/in.dat" for n in range(12)))
    with pytest.raises(InputMissing) as caught:
        patterns.uploads(spec(*tasks, common=("gone",)), there, "/proj/runs")
    text = str(caught.value)
    assert text.startswith("13 forward file(s) not found below /proj/runs;")
    assert "\n  gone (forward_common_files)\n" in text
    assert "\n  t[3]/no3* (forward_files of task 3: run 3)\n" in text
    assert text.endswith("… and 3 more")
    assert "in.dat" not in text


def test_empty_directory_is_no_missing_file() -> None:
    assert targets(patterns.uploads(spec(task("t", "d")), files("t/d/"), "/n")) == ["t/", "t/d/"]
    assert targets(patterns.uploads(spec(task(".", ".")), files(), "/n")) == []


def test_task_directory_that_is_a_file() -> None:
    with pytest.raises(ConfigError, match=r"task_list\[0\]\.task_work_path: /n/t is a file"):
        patterns.uploads(spec(task("t"), common=("t",)), files("t"), "/n")


def test_name_that_is_no_utf8_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"t/a\\udcff"):
        patterns.uploads(spec(task("t", "*")), files("t/a\udcff"), "/n")


def test_inputs_leave_out_what_tasks_rewrite() -> None:
    requested = spec(
        task("t1", "in out.dat log err state d", "*.dat state", outlog="log"),
        task("t2", "in log d", "d", outlog="other"),
        task("t2", "in other"),
        common=("pot", "sum"),
        back=("sum",),
    )
    names = ["in", "out.dat", "log", "err", "state", "d/x"]
    there = [*files(*(f"t1/{n}" for n in names)), *files("t2/in", "t2/log", "t2/d/y", "t2/other", "pot", "sum")]
    counted = patterns.inputs(requested, patterns.uploads(requested, there, "/n"))
    assert counted == {"t1/in", "t1/d/x", "t2/in", "pot"}  # t2/log: the third task's log, by default


# down


def test_wanted_and_evidence() -> None:
    requested = spec(task("t[1]", "", "out* sub/x log"), task("t2", "", "out*", outlog=None), back=("all.log",))
    assert patterns.wanted(requested, [0]) == ["all.log", "t[[]1]/out*", "t[[]1]/sub/x", "t[[]1]/log"]
    assert patterns.wanted(requested, [1, 1]) == ["all.log", "t2/out*"]
    assert patterns.evidence(requested, [0]) == ["t[[]1]/log", "t[[]1]/err", "t[[]1]/out*", "t[[]1]/sub/x"]
    assert patterns.evidence(requested, [1]) == ["t2/err", "t2/out*"]
    assert patterns.evidence(spec(task("t", outlog="a*", errlog="a*")), [0]) == ["t/a[*]"]


def test_downloads() -> None:
    there = files("t[1]/out1", "t[1]/out2", "t[1]/d/f", "t[1]/d/e/", "t1/out3")
    items, missing = patterns.downloads(["t[[]1]/out*", "t[[]1]/out1", "t[[]1]/d", "t[[]1]/no*", "none"], there)
    assert targets(items) == ["t[1]/d/e/", "t[1]/d/f", "t[1]/out1", "t[1]/out2"]
    assert all(item.source == item.target for item in items)
    assert missing == ["t[1]/no*", "none"]


@pytest.mark.parametrize(
    ("name", "tag"),
    [("out.nc", "out.nc"), ("out/*.nc", "out__.nc"), ("a b;c", "a_b_c"), ("é-1", "é-1"), ("../x", ".._x")],
)
def test_marker(name: str, tag: str) -> None:
    assert patterns.marker(name) == f"tag_failure_download_{tag}"


def test_markers_lie_in_the_tasks_directory() -> None:
    requested = spec(task("t[1]", "", "out* sub/x ok"), task("t2", "", "sub/x"), back=("all.log",))
    wanted_patterns = patterns.wanted(requested, [0, 1])
    _, missing = patterns.downloads(wanted_patterns, files("t[1]/ok", "t2/sub/x"))
    assert patterns.markers(requested, [0, 1], missing) == [
        "tag_failure_download_all.log",
        "t[1]/tag_failure_download_out_",
        "t[1]/tag_failure_download_sub_x",
    ]


# cost


def calls(work: Callable[[], object]) -> int:
    """How many calls, of Python and C functions, a piece of work makes: the same on every machine."""
    count = 0

    def note(_frame: object, event: str, _arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def own_directories(n: int) -> tuple[SubmissionSpec, list[FileEntry]]:
    tasks = (task(f"t{i}", "*.dat conf d", "out* log", outlog="log") for i in range(n))
    return spec(*tasks, common=("*.json",)), files(
        "p.json", *(f"t{i}/{f}" for i in range(n) for f in ("a.dat", "b.dat", "conf", "d/x", "d/y", "out1", "log"))
    )


def one_directory(n: int) -> tuple[SubmissionSpec, list[FileEntry]]:
    tasks = (task(".", f"in_{i}_* *_{i}.dat *.json", f"out_{i}_* *_{i}.log", outlog=f"{i}.out") for i in range(n))
    names = ("in_{}_x", "x_{}.dat", "out_{}_x", "x_{}.log")
    return spec(*tasks), files("p.json", *(name.format(i) for i in range(n) for name in names))


@pytest.mark.parametrize("make", [own_directories, one_directory])
def test_cost_is_linear(make: Callable[[int], tuple[SubmissionSpec, list[FileEntry]]]) -> None:
    def work(n: int) -> Callable[[], object]:
        requested, there = make(n)

        def all_of_it() -> None:
            patterns.check_paths(requested)
            patterns.roots(patterns.sources(requested))
            patterns.inputs(requested, patterns.uploads(requested, there, "/n"))
            _, missing = patterns.downloads(patterns.wanted(requested, range(n)), there)
            assert missing == []

        return all_of_it

    small, large = calls(work(100)), calls(work(1000))
    assert large < 11 * small


def test_nested_wildcards_do_not_walk_again_and_again() -> None:
    def work(depth: int) -> Callable[[], object]:
        listing = Listing(files("/".join(["a"] * depth)))
        return lambda: listing.match("**/a/**/a/**/a")

    assert calls(work(400)) < 5 * calls(work(100))


def test_nothing_here_touches_a_file() -> None:
    source = Path(patterns.__file__).read_text()
    assert not re.findall(r"^(?:import|from) (?:os|pathlib|io|shutil|glob|subprocess)\b|\bopen\(", source, re.M)

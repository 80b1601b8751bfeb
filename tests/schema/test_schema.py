"""The check names every mistake by its full path and says what to do; what is good agrees with dargs itself."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from dispatcher import contexts, schedulers, schema
from dispatcher.core.errors import ConfigError, DispatcherError
from dispatcher.schema import profiles

SSH = {
    "batch_type": "Slurm",
    "context_type": "SSHContext",
    "local_root": "./",
    "remote_root": "/scratch/me",
    "remote_profile": {"hostname": "login", "username": "me"},
}
BOHRIUM = {
    "batch_type": "Bohrium",
    "context_type": "Bohrium",
    "local_root": "./",
    "remote_profile": {"email": "a@b", "program_id": 3, "input_data": {"job_type": "x"}},
}
LAZY = {"batch_type": "Shell", "context_type": "LazyLocal", "local_root": "./"}
SIZE = {"group_size": 1}
TASK = {"command": "true", "task_work_path": "t/"}
WHOLE = {"work_base": "w/", "machine": LAZY, "resources": SIZE, "task_list": [TASK]}


def merged(data: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Changes by path ("remote_profile/port"), None taken as a value."""
    data = deepcopy(data)
    for path, value in changes.items():
        at = data
        *above, last = path.split("/")
        for part in above:
            at = at[int(part)] if isinstance(at, list) else at.setdefault(part, {})
        at[last] = value
    return data


def without(data: dict[str, Any], path: str) -> dict[str, Any]:
    data = deepcopy(data)
    at = data
    *above, last = path.split("/")
    for part in above:
        at = at[int(part)] if isinstance(at, list) else at[part]
    del at[last]
    return data


def slurm(key: str, value: Any) -> dict[str, Any]:
    return merged(SIZE, {"batch_type": "Slurm", f"kwargs/{key}": value})


BAD: list[tuple[str, dict[str, Any], str, str]] = [
    # unknown keys
    ("machine", merged(SSH, {"batch_typ": "Slurm"}), "machine/batch_typ", "did you mean 'batch_type'?"),
    ("machine", merged(SSH, {"remote_profile/host_name": "x"}), "machine/remote_profile/host_name", "'hostname'"),
    ("machine", merged(LAZY, {"remote_profile/symlink": True}), "machine/remote_profile/symlink", "keys here: none"),
    ("machine", merged(SSH, {"max_runing": 4}), "machine/max_runing", "'max_running'"),
    ("machine", merged(BOHRIUM, {"remote_profile/pasword": "x"}), "machine/remote_profile/pasword", "'password'"),
    ("resources", merged(SIZE, {"gpu_per_nod": 1}), "resources/gpu_per_nod", "'gpu_per_node'"),
    ("resources", merged(SIZE, {"strategy/ratio": 0.1}), "resources/strategy/ratio", "ratio_unfinished"),
    ("resources", slurm("custom_gpu", "x"), "resources/kwargs/custom_gpu", "'custom_gpu_line'"),
    ("resources", slurm("wall_time", "1:00"), "resources/kwargs/wall_time", "'walltime'"),
    ("resources", slurm("slurm_job_size", 2), "resources/kwargs/slurm_job_size", "unknown key"),
    ("task", merged(TASK, {"forward_file": []}), "task/forward_file", "'forward_files'"),
    ("submission", merged(WHOLE, {"work_bas": ""}), "submission/work_bas", "'work_base'"),
    ("submission", merged(WHOLE, {"task_list/0/comand": ""}), "submission/task_list/0/comand", "'command'"),
    ("submission", merged(WHOLE, {"resources/gpu_per_nod": 1}), "submission/resources/gpu_per_nod", "'gpu_per_node'"),
    ("submission", merged(WHOLE, {"resources/kwargs": {"x": 1}}), "submission/resources/kwargs/x", "unknown key"),
    # wrong types
    (
        "machine",
        merged(SSH, {"retry_count": "3"}),
        "machine/retry_count",
        "expected int, got str; write it without quo",
    ),
    ("machine", merged(SSH, {"remote_profile/port": "22"}), "machine/remote_profile/port", "expected int, got str"),
    ("machine", merged(SSH, {"remote_profile": []}), "machine/remote_profile", "expected dict, got a list"),
    ("machine", merged(SSH, {"context_type": 3}), "machine/context_type", "expected str, got int"),
    ("machine", merged(SSH, {"clean_asynchronously": "no"}), "machine/clean_asynchronously", "expected bool, got str"),
    ("resources", merged(SIZE, {"number_node": 1.5}), "resources/number_node", "expected int, got float"),
    ("resources", merged(SIZE, {"number_node": True}), "resources/number_node", "expected int, got bool"),
    ("resources", merged(SIZE, {"queue_name": None}), "resources/queue_name", "expected str, got null"),
    (
        "resources",
        merged(SIZE, {"custom_flags": "#SBATCH"}),
        "resources/custom_flags",
        "list of str, got str; write it in",
    ),
    ("resources", merged(SIZE, {"module_list": ["a", 2]}), "resources/module_list", "got int as item 1"),
    ("resources", merged(SIZE, {"strategy": True}), "resources/strategy", "expected dict, got bool"),
    ("resources", merged(SIZE, {"envs": []}), "resources/envs", "expected dict, got a list"),
    ("resources", merged(SIZE, {"envs": {"A": {}}}), "resources/envs/A", "got a dict"),
    ("task", merged(TASK, {"command": 3}), "task/command", "expected str, got int"),
    ("task", merged(TASK, {"outlog": False}), "task/outlog", "expected null or str, got bool"),
    ("submission", merged(WHOLE, {"task_list": {}}), "submission/task_list", "expected list, got a dict"),
    ("submission", merged(WHOLE, {"task_list": ["true"]}), "submission/task_list/0", "expected a dict, got str"),
    # missing keys
    ("machine", without(SSH, "batch_type"), "machine/batch_type", "must be given"),
    ("machine", without(SSH, "context_type"), "machine/context_type", "must be given"),
    ("machine", without(SSH, "local_root"), "machine/local_root", "must be given"),
    ("machine", without(SSH, "remote_root"), "machine/remote_root", "SSHContext needs"),
    ("machine", without(SSH, "remote_profile"), "machine/remote_profile", "must be given"),
    ("machine", without(SSH, "remote_profile/hostname"), "machine/remote_profile/hostname", "must be given"),
    ("machine", without(BOHRIUM, "remote_profile/input_data"), "machine/remote_profile/input_data", "must be given"),
    ("resources", {}, "resources/group_size", "must be given"),
    ("resources", merged(SIZE, {"batch_type": "LSF"}), "resources/kwargs", "must be given"),
    ("task", without(TASK, "task_work_path"), "task/task_work_path", "must be given"),
    ("submission", without(WHOLE, "machine"), "submission/machine", "must be given"),
    ("submission", without(WHOLE, "task_list/0/command"), "submission/task_list/0/command", "must be given"),
    # values
    ("machine", merged(SSH, {"batch_type": "Slrum"}), "machine/batch_type", "did you mean 'Slurm'"),
    ("machine", merged(SSH, {"context_type": "SSHContex"}), "machine/context_type", "did you mean 'SSHContext'"),
    ("machine", merged(SSH, {"retry_count": -1}), "machine/retry_count", "0 or more"),
    ("machine", merged(SSH, {"max_running": 0}), "machine/max_running", "1 or more"),
    ("machine", merged(SSH, {"remote_profile/port": 70000}), "machine/remote_profile/port", "1 to 65535"),
    ("machine", merged(SSH, {"remote_profile/host_key_policy": "yes"}), "host_key_policy", "reject, accept-new"),
    ("machine", merged(BOHRIUM, {"remote_profile/project_id": 4}), "remote_profile/project_id", "alias"),
    ("resources", {"group_size": -1}, "resources/group_size", "0 or more"),
    ("resources", merged(SIZE, {"para_deg": 0}), "resources/para_deg", "1 or more"),
    ("resources", merged(SIZE, {"number_node": 0}), "resources/number_node", "1 or more"),
    ("resources", merged(SIZE, {"cpu_per_node": -1}), "resources/cpu_per_node", "0 or more"),
    ("resources", merged(SIZE, {"gpu_per_node": -1}), "resources/gpu_per_node", "0 or more"),
    ("resources", merged(SIZE, {"wait_time": -0.5}), "resources/wait_time", "0 or more"),
    ("resources", merged(SIZE, {"strategy/ratio_unfinished": 1.0}), "strategy/ratio_unfinished", "below 1"),
    ("resources", merged(SIZE, {"strategy/ratio_unfinished": -0.1}), "strategy/ratio_unfinished", "at least 0"),
    ("resources", merged(SIZE, {"strategy/if_cuda_multi_devices": True}), "resources/gpu_per_node", "1 or more"),
    (
        "resources",
        merged(SIZE, {"strategy/if_cuda_multi_devices": True, "gpu_per_node": 2, "number_node": 2}),
        "resources/number_node",
        "must be 1",
    ),
    ("resources", merged(SIZE, {"envs": {"MY-VAR": 1}}), "resources/envs/MY-VAR", "letters, digits and _"),
    ("resources", merged(SIZE, {"envs": {"1A": 1}}), "resources/envs/1A", "no digit first"),
    ("resources", merged(SIZE, {"envs": {"A=1; rm -rf": 1}}), "resources/envs/A=1; rm -rf", "no name"),
    ("resources", merged(SIZE, {"batch_type": "Slurn"}), "resources/batch_type", "did you mean 'Slurm'"),
    ("resources", slurm("walltime", " "), "resources/kwargs/walltime", "must be minutes, [days-]hours:minutes:seconds"),
    ("task", merged(TASK, {"command": ""}), "task/command", "must not be empty"),
    ("task", merged(TASK, {"command": "echo \0"}), "task/command", "holds a NUL character"),
    ("task", merged(TASK, {"command": "echo \ud800"}), "task/command", "not valid Unicode"),
    ("resources", merged(SIZE, {"prepend_script": ["a", "\ud800"]}), "resources/prepend_script/1", "not valid Unicode"),
    ("resources", merged(SIZE, {"envs": {"A": ["\0"]}}), "resources/envs/A", "holds a NUL character"),
    ("machine", merged(SSH, {"local_root": "a\0"}), "machine/local_root", "holds a NUL character"),
    ("machine", merged(SSH, {"local_root": "$HOME/a"}), "machine/local_root", "variables such as $HOME"),
    ("machine", merged(SSH, {"remote_root": "/x/${USER}"}), "machine/remote_root", "variables such as $HOME"),
    ("machine", merged(SSH, {"remote_root": "C:\\x"}), "machine/remote_root", "a drive of Windows"),
    ("submission", merged(WHOLE, {"work_base": "$W/x"}), "submission/work_base", "variables such as $HOME"),
    ("submission", merged(WHOLE, {"task_list": []}), "submission/task_list", "at least one task"),
]


@pytest.mark.parametrize(("tree", "data", "path", "hint"), BAD, ids=[f"{path}-{hint[:14]}" for _, _, path, hint in BAD])
def test_a_mistake_is_named_by_its_path(tree: str, data: dict[str, Any], path: str, hint: str) -> None:
    before = deepcopy(data)
    with pytest.raises(ConfigError) as caught:
        schema.check(data, getattr(schema, f"{tree}_arginfo")())
    assert path in str(caught.value)
    assert hint in str(caught.value)
    assert isinstance(caught.value, (RuntimeError, DispatcherError))
    assert data == before


GOOD: list[tuple[str, dict[str, Any]]] = [
    ("machine", SSH),
    ("machine", LAZY),
    ("machine", BOHRIUM),
    ("machine", merged(SSH, {"remote_profile/_comment": "x", "_note": 1, "max_running": 3})),
    (
        "machine",
        merged(LAZY, {"context_type": "LocalContext", "remote_root": "/r", "remote_profile": {"symlink": False}}),
    ),
    ("resources", merged(SIZE, {"batch_type": "Shell"})),
    ("resources", slurm("custom_gpu_line", None)),
    ("resources", merged(SIZE, {"batch_type": "LSF", "kwargs": {"gpu_usage": True}})),
    ("resources", merged(SIZE, {"batch_type": "SGE", "kwargs": {"sge_pe_name": "smp"}})),
    ("resources", merged(SIZE, {"batch_type": "slurmjobarray", "kwargs": {"slurm_job_size": 4}})),
    ("resources", merged(SIZE, {"batch_type": "PBS", "kwargs": {"walltime": "1:00:00"}, "strategy": {}})),
    ("task", TASK),
    ("task", merged(TASK, {"outlog": None, "task_name": "a", "forward_files": ["x"]})),
    ("submission", WHOLE),
]


@pytest.mark.parametrize(("tree", "data"), GOOD)
def test_what_is_good_agrees_with_dargs(tree: str, data: dict[str, Any]) -> None:
    argument = getattr(schema, f"{tree}_arginfo")()
    before = deepcopy(data)
    ours = schema.check(data, argument)
    theirs = argument.normalize_value(deepcopy(data), trim_pattern="_*")
    argument.check_value(theirs, strict=True)
    assert ours == theirs
    assert data == before


def test_tolerance_leaves_unknown_keys_out() -> None:
    data = merged(WHOLE, {"resources/gpu_per_nod": 1, "machine/new_key": {}, "extra": [1]})
    checked = schema.check(data, schema.submission_arginfo(), strict=False)
    assert checked == schema.check(WHOLE, schema.submission_arginfo())
    with pytest.raises(ConfigError, match="resources/group_size"):
        schema.check(merged(data, {"resources/group_size": "x"}), schema.submission_arginfo(), strict=False)


def test_repeated_keys(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"_comment": 1, "_comment": 2, "a": {"_b": 1, "_b": 2}}')
    assert schema.load_json(tmp_path / "a.json")["_comment"] == 2
    (tmp_path / "a.yaml").write_text("_comment: 1\n_comment: 2\na: {b: 1}\nc: {<<: {b: 2}, b: 3}\n")
    assert schema.load_yaml(tmp_path / "a.yaml")["c"] == {"b": 3}
    for name, text in (("b.json", '{"a": {"b": 1, "b": 2}}'), ("b.yaml", "a:\n  b: 1\n  b: 2\n")):
        (tmp_path / name).write_text(text)
        with pytest.raises(ConfigError, match="the key 'b' is given twice"):
            getattr(schema, f"load_{name[2:]}")(tmp_path / name)


def test_aliases_become_the_real_names() -> None:
    checked = schema.check(merged(without(BOHRIUM, "remote_profile/program_id"), {"remote_profile/project_id": 7}),
                           schema.machine_arginfo())  # fmt: skip
    assert checked["context_type"] == "BohriumContext"
    assert checked["remote_profile"]["program_id"] == 7
    assert checked["remote_profile"]["retry_count"] == 2
    assert schema.check(merged(SSH, {"batch_type": "slurm"}), schema.machine_arginfo())["batch_type"] == "Slurm"


@pytest.mark.parametrize("name", list(profiles.CONTEXTS))
def test_every_spelling_of_a_context(name: str) -> None:
    assert {contexts.canonical(spelling) for spelling in profiles.spellings(name)} == {name}


def test_the_tables_name_what_the_registries_name() -> None:
    assert set(profiles.CONTEXTS) == set(contexts.BUILTIN)
    assert set(schedulers.known()) >= set(schedulers.BUILTIN)
    assert all(schedulers.kwargs_of(name)[0] is not None for name in schedulers.BUILTIN)


@pytest.mark.parametrize("name", list(contexts.BUILTIN))
def test_a_context_reads_what_the_table_declares(name: str) -> None:
    assert contexts.load(name).profile_keys is profiles.CONTEXTS[name].keys


def test_free_dictionaries_are_left_alone() -> None:
    anything = {"_a": 1, "b": {"_c": [1, {}]}}
    openapi = {**LAZY, "context_type": "OpenAPI", "remote_profile": anything}
    assert schema.check(openapi, schema.machine_arginfo())["remote_profile"] == anything
    deep = merged(BOHRIUM, {"remote_profile/input_data": anything})
    assert schema.check(deep, schema.machine_arginfo())["remote_profile"]["input_data"] == anything
    envs = {"_JAVA_OPTIONS": "-Xmx1g", "PATH": ["/a:$PATH", "/b:$PATH"]}
    assert schema.check({**SIZE, "envs": envs}, schema.resources_arginfo())["envs"] == envs
    assert schema.check({**SIZE, "kwargs": {"any": 1}}, schema.resources_arginfo())["kwargs"] == {"any": 1}


def test_a_template_may_have_kwargs_of_its_own() -> None:
    own = merged(
        WHOLE, {"resources/kwargs": {"x": 1}, "resources/strategy/customized_script_header_template_file": "h"}
    )
    assert schema.check(own, schema.submission_arginfo())["resources"]["kwargs"] == {"x": 1}


def test_nothing_is_shared() -> None:
    argument = schema.resources_arginfo()
    first, second = schema.check(SIZE, argument), schema.check(SIZE, argument)
    first["envs"]["A"] = 1
    first["module_list"].append("x")
    assert second["envs"] == {}
    assert second["module_list"] == []
    given = {**SIZE, "envs": {"A": ["1"]}}
    schema.check(given, argument)["envs"]["A"].append("2")
    assert given["envs"] == {"A": ["1"]}


@pytest.mark.parametrize("key", ["port", "password", "hostname", "timeout", "look_for_keys"])
def test_a_secret_is_never_shown(key: str) -> None:
    for value in ({"hunter2": "hunter2"}, ["hunter2"], "hunter2", -77777):
        try:
            schema.check(merged(SSH, {f"remote_profile/{key}": value}), schema.machine_arginfo())
        except ConfigError as error:
            assert "hunter2" not in str(error)
            assert "77777" not in str(error)


def test_every_key_is_documented() -> None:
    for tree in ("machine", "resources", "task", "submission"):
        argument = getattr(schema, f"{tree}_arginfo")()
        assert argument.gen_doc()
        stack = [argument]
        while stack:
            at = stack.pop()
            assert at.doc, at
            stack += at.sub_fields.values()
            stack += [key for variant in at.sub_variants.values() for choice in variant.choice_dict.values()
                      for key in choice.sub_fields.values()]  # fmt: skip


def test_a_key_that_is_no_text() -> None:
    with pytest.raises(ConfigError, match="resources/3: unknown key"):
        schema.check({**SIZE, 3: 1}, schema.resources_arginfo())  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match="machine: expected dict, got a list"):
        schema.check([], schema.machine_arginfo())  # type: ignore[arg-type]


# -- files ----------------------------------------------------------------------------------------------------------


def test_json_with_its_mistakes(tmp_path: Path) -> None:
    file = tmp_path / "task.json"
    file.write_text('{\n  "command": "lmp",\n  "errlog": "err",\n}\n')  # the manual's own example
    with pytest.raises(ConfigError, match=r"task\.json: not valid JSON at line \d column \d+: .*remove the comma"):
        schema.load_json(file)
    file.write_text('{"a": 1, "a": 2}')
    with pytest.raises(ConfigError, match="'a' is given twice"):
        schema.load_json(file)
    file.write_text("[1]")
    with pytest.raises(ConfigError, match="expected a mapping"):
        schema.load_json(file)
    file.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(ConfigError, match="not UTF-8"):
        schema.load_json(file)
    with pytest.raises(ConfigError, match=r"none\.json: cannot be read: No such file"):
        schema.load_json(tmp_path / "none.json")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        schema.load_json(tmp_path)


def test_a_run_time_in_yaml_is_what_was_written(tmp_path: Path) -> None:
    """YAML 1.1 reads 24:00:00 without quotes as 86400, to the base of 60: minutes, that would be two months."""
    (tmp_path / "r.yaml").write_text("walltime: 24:00:00\nshort: 1:30\nminutes: 90\nratio: 0.5\nodd: 1:30.5\n")
    assert schema.load_yaml(tmp_path / "r.yaml") == {
        "walltime": "24:00:00", "short": "1:30", "minutes": 90, "ratio": 0.5, "odd": "1:30.5",
    }  # fmt: skip


def test_yaml_with_its_mistakes(tmp_path: Path) -> None:
    file = tmp_path / "machine.yaml"
    file.write_text("batch_type: Slurm\nremote_profile:\n  port: 22\n")
    assert schema.load_yaml(file) == {"batch_type": "Slurm", "remote_profile": {"port": 22}}
    file.write_text("a: [1,\nb: }")
    with pytest.raises(ConfigError, match=r"machine\.yaml: not valid YAML at line 2 column \d+"):
        schema.load_yaml(file)
    file.write_text("a: !!python/object/apply:os.getcwd []")
    with pytest.raises(ConfigError, match="not valid YAML"):
        schema.load_yaml(file)
    file.write_text("")
    with pytest.raises(ConfigError, match="expected a mapping"):
        schema.load_yaml(file)


def test_references(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "base.yaml").write_text("queue_name: short\nnumber_node: 2\n$ref: more.json\n")
    (tmp_path / "site" / "more.json").write_text('{"cpu_per_node": 8, "number_node": 9, "strategy": {"$ref": "s.yml"}}')
    (tmp_path / "site" / "s.yml").write_text("ratio_unfinished: 0.5\n")
    data = {"$ref": "site/base.yaml", "queue_name": "long", "list": [{"$ref": "site/s.yml"}]}
    before = deepcopy(data)
    expected = {
        "queue_name": "long",
        "number_node": 2,
        "cpu_per_node": 8,
        "strategy": {"ratio_unfinished": 0.5},
        "list": [{"ratio_unfinished": 0.5}],
    }
    assert schema.resolve_refs(data, allow_ref=True, base=tmp_path) == expected
    monkeypatch.chdir(tmp_path)
    assert schema.resolve_refs(data, allow_ref=True) == expected
    assert data == before


def test_bad_references(tmp_path: Path) -> None:
    for name, text in (("a.json", '{"x": {"$ref": "b.json"}}'), ("b.json", '{"$ref": "a.json"}'), ("c.txt", "{}")):
        (tmp_path / name).write_text(text)

    def resolve(name: Any, allow_ref: bool = True) -> Any:
        return schema.resolve_refs({"$ref": name}, allow_ref, tmp_path)

    with pytest.raises(ConfigError, match=r"circle: .*a\.json -> .*b\.json -> .*a\.json"):
        resolve("a.json")
    with pytest.raises(ConfigError, match="allow_ref=True or --allow-ref"):
        resolve("a.json", allow_ref=False)
    with pytest.raises(ConfigError, match=r"the ending '\.txt' is not known"):
        resolve("c.txt")
    with pytest.raises(ConfigError, match=r"none\.json: cannot be read"):
        resolve("none.json")
    with pytest.raises(ConfigError, match="expected the name of a file, got int"):
        resolve(3)


def test_the_same_file_twice_is_no_circle(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(json.dumps({"x": 1}))
    data = {"a": {"$ref": "s.json"}, "b": {"$ref": "s.json"}}
    assert schema.resolve_refs(data, True, tmp_path) == {"a": {"x": 1}, "b": {"x": 1}}


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "deep.json"
    file.write_text('{"a":' * 100_000 + "1" + "}" * 100_000)
    with pytest.raises(ConfigError, match="nested too deeply"):
        schema.load_json(file)


def test_unknown_names_of_the_package() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        schema.nothing  # noqa: B018


def test_yaml_that_holds_itself(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("a: &x [*x]\n")
    with pytest.raises(ConfigError, match="holding itself"):
        schema.resolve_refs(schema.load_yaml(file))
    file.write_text("a: " + "[" * 5000 + "]" * 5000)
    with pytest.raises(ConfigError, match="nested too deeply"):
        schema.load_yaml(file)

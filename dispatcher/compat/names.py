"""Every module path of DPDispatcher that programs import, and where each of its names is here.

    MODULES["dpdispatcher.submission"]["Task"]      ->  "dispatcher:Task"
    ABSENT["dpdispatcher.utils.hdfs_cli"]           ->  why its names are not offered

Paths of 2023 (`dpdispatcher.slurm`) and later ones (`dpdispatcher.machines.slurm`) are both there.
docs/compatibility.md shows this table with the reasons; a test holds them together.
"""

from __future__ import annotations

#: What the API is that of, for programs that ask; behind the + it says who answers.
API_VERSION = "1.1.0"

_BATCHES = {
    "shell": ("Shell",),
    "slurm": ("Slurm", "SlurmJobArray"),
    "pbs": ("PBS", "Torque", "SGE"),
    "lsf": ("LSF",),
    "fugaku": ("Fugaku",),
    "JH_UniScheduler": ("JH_UniScheduler",),
    "distributed_shell": ("DistributedShell",),
    "dp_cloud_server": ("Bohrium", "DpCloudServer", "Lebesgue"),
    "openapi": ("OpenAPI",),
}
_CONTEXTS = {
    "lazy_local_context": ("LazyLocalContext",),
    "local_context": ("LocalContext",),
    "ssh_context": ("SSHContext",),
    "hdfs_context": ("HDFSContext",),
    "dp_cloud_server_context": ("BohriumContext", "DpCloudServerContext", "LebesgueContext"),
    "openapi_context": ("OpenAPIContext",),
}


def _from(module: str, *names: str) -> dict[str, str]:
    return {name: f"{module}:{name}" for name in names}


def _each(table: dict[str, tuple[str, ...]]) -> dict[str, dict[str, str]]:
    return {module: _from("dispatcher", *names) for module, names in table.items()}


def _all(table: dict[str, tuple[str, ...]]) -> dict[str, str]:
    return _from("dispatcher", *(name for names in table.values() for name in names))


_API = _from("dispatcher", "Machine", "Resources", "Task", "Job", "Submission")
_MACHINE = _from("dispatcher", "Machine")
_STATUS = _from("dispatcher", "JobStatus")
_CLOUD = "dispatcher.contexts.cloud.bohrium"
_CLIENT = _from(_CLOUD, "Client", "RequestInfoException")
_ENTRY = "dispatcher.compat.entrypoints"
_COMMAND = _from("dispatcher.compat.command", "main", "main_parser", "parse_args")
_UTILS = _from(
    "dispatcher.compat.retrying",
    *("RetrySignal", "generate_totp", "get_sha256", "hotp", "retry", "run_cmd_with_all_output"),
)
_SERVER = {
    "client": _CLIENT,
    "retcode": _from(_CLOUD, "RETCODE"),
    "zip_file": _from(_CLOUD, "zip_file_list", "unzip_file"),
    "config": _from(
        "dispatcher.compat.cloud_config",
        *("HTTP_TIME_OUT", "API_HOST", "ALI_STS_ENDPOINT", "ALI_STS_BUCKET_NAME", "ALI_OSS_BUCKET_URL"),
    ),
}
_PLACES = _each(_CONTEXTS)
_PLACES["ssh_context"] |= _from("dispatcher.compat.ssh_session", "SSHSession")
_PLACES["openapi_context"] |= {"Job": "dispatcher.contexts.cloud.openapi_client:OpenClient"}
_BELOW = {
    "submission": _API,
    "machine": _MACHINE,
    "batch_object": _MACHINE,
    "base_context": _from("dispatcher", "BaseContext"),
    "JobStatus": _STATUS,
    "arginfo": _from(_ENTRY, "machine_dargs", "resources_dargs", "task_dargs"),
    "dlog": _from("dispatcher.compat.log", "dlog", "dlog_stdout"),
    "dpdisp": _COMMAND,
    "__main__": _COMMAND,
    "run": _from(_ENTRY, "create_submission", "pep723_args", "read_pep723", "run_pep723"),
    "entrypoints": {},
    "entrypoints.submission": _from(_ENTRY, "handle_submission"),
    "entrypoints.submit": _from(_ENTRY, "submit", "load_submission_from_json", "submission_args"),
    "entrypoints.run": _from(_ENTRY, "run"),
    "entrypoints.gui": _from(_ENTRY, "start_dpgui"),
    "machines": _all(_BATCHES),
    "contexts": _all(_CONTEXTS),
    "utils": _UTILS,
    "utils.utils": _UTILS,
    "utils.job_status": _STATUS,
    "utils.record": _from("dispatcher.compat.record", "record"),
    "utils.hdfs_cli": {},
    "utils.archive": {},
    "hdfs_cli": {},
    "file_manager": {},
    "dpcloudserver": _CLIENT,
    "utils.dpcloudserver": _CLIENT,
    **{f"{above}dpcloudserver.{name}": names for above in ("", "utils.") for name, names in _SERVER.items()},
    **{f"{above}{name}": names for above in ("", "machines.") for name, names in _each(_BATCHES).items()},
    **{f"{above}{name}": names for above in ("", "contexts.") for name, names in _PLACES.items()},
}

#: Module path -> name -> "module:attribute".
MODULES: dict[str, dict[str, str]] = {
    "dpdispatcher": {
        **_API,
        **_all(_BATCHES),
        **_all(_CONTEXTS),
        **_from(_ENTRY, "info"),
        "__version__": "dispatcher.compat.modules:VERSION",
    },
    **{f"dpdispatcher.{module}": names for module, names in _BELOW.items()},
}

_INSIDE = "internal to DPDispatcher: no program outside of it was found to use them, and nothing here works that way"
#: Module paths whose names are not offered, and why.
ABSENT: dict[str, str] = {
    "dpdispatcher.hdfs_cli": _INSIDE,
    "dpdispatcher.utils.hdfs_cli": _INSIDE,
    "dpdispatcher.utils.archive": _INSIDE,
    "dpdispatcher.file_manager": _INSIDE,
    **{
        f"dpdispatcher.utils{module}:customized_script_header_template": "resources/strategy names the file"
        for module in ("", ".utils")
    },
    "dpdispatcher.utils.utils:rsync": "files are sent over the one SSH connection; no second login is made for rsync",
    "dpdispatcher.utils:rsync": "files are sent over the one SSH connection; no second login is made for rsync",
}

"""What each job asks of the batch system.

    Resources(1, 4, 1, "GPUV100", 5, custom_flags=["#SBATCH --nice=100"], walltime="24:00:00").kwargs
      ->  {"walltime": "24:00:00"}

Keywords that are not parameters of their own become `kwargs`, which only the
batch system reads. Nothing is shared with the caller: what is given is copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from .. import schedulers
from ..core.errors import ConfigError
from ..core.model import ResourcesSpec
from ..schema import lenience
from ..schema.reading import resources_spec

if TYPE_CHECKING:
    from ..schema import Argument

#: The keys of the serialized form, in their order.
KEYS = (
    "number_node",
    "cpu_per_node",
    "gpu_per_node",
    "queue_name",
    "group_size",
    "custom_flags",
    "strategy",
    "para_deg",
    "module_purge",
    "module_unload_list",
    "module_list",
    "source_list",
    "envs",
    "prepend_script",
    "append_script",
    "wait_time",
    "kwargs",
)
_TEXTS = frozenset(
    {"custom_flags", "module_unload_list", "module_list", "source_list", "prepend_script", "append_script"}
)
_STRATEGY = {"if_cuda_multi_devices": False, "ratio_unfinished": 0.0}


class Resources:
    """What each job of a submission asks for.

    `number_node` nodes with `cpu_per_node` cores and `gpu_per_node` GPUs each, in the queue `queue_name` ("" is
    the site's default); `group_size` tasks in a job (0: all in one), `para_deg` of them at the same time;
    `wait_time` seconds after each submission. Attributes may be changed until the submission makes its jobs.
    Raises ConfigError (a RuntimeError) for values that cannot go together, or are of a wrong type.
    """

    number_node: int
    cpu_per_node: int
    gpu_per_node: int
    queue_name: str
    group_size: int
    custom_flags: list[str]
    strategy: dict[str, Any]
    para_deg: int
    module_purge: bool
    module_unload_list: list[str]
    module_list: list[str]
    source_list: list[str]
    envs: dict[str, Any]
    prepend_script: list[str]
    append_script: list[str]
    wait_time: float
    kwargs: dict[str, Any]

    __hash__ = None  # type: ignore[assignment]  # equal by content, and the content may change

    def __init__(
        self,
        number_node: int,
        cpu_per_node: int,
        gpu_per_node: int,
        queue_name: str,
        group_size: int,
        *,
        custom_flags: Iterable[str] = [],
        strategy: Mapping[str, Any] = {"if_cuda_multi_devices": False, "ratio_unfinished": 0.0},
        para_deg: int = 1,
        module_unload_list: Iterable[str] = [],
        module_purge: bool = False,
        module_list: Iterable[str] = [],
        source_list: Iterable[str] = [],
        envs: Mapping[str, Any] = {},
        prepend_script: Iterable[str] = [],
        append_script: Iterable[str] = [],
        wait_time: float = 0,
        **kwargs: Any,
    ) -> None:
        given = dict(locals())
        given["kwargs"] = _own(kwargs)
        for key in KEYS:
            setattr(self, key, _copied(key, given[key]))
        self.strategy = {**_STRATEGY, **self.strategy}
        self.check()

    def check(self, path: str = "resources") -> dict[str, Any]:
        """All parameters; ConfigError for the first one, by its path, that is not allowed, or not with the others."""
        from ..schema import resources_arginfo, tolerated

        return tolerated(self.serialize(), resources_arginfo(detail_kwargs=False), path)

    @classmethod
    def load_from_json(cls, json_file: str | PathLike[str]) -> Resources:
        """Resources from a JSON file, checked. Raises ConfigError that names the file, and the key or line."""
        from ..schema import load_json

        return cls._loaded(load_json(fspath(json_file)), False, f"{fspath(json_file)}: resources")

    @classmethod
    def load_from_yaml(cls, yaml_file: str | PathLike[str]) -> Resources:
        """Resources from a YAML file, checked. Raises ConfigError that names the file, and the key or line."""
        from ..schema import load_yaml

        return cls._loaded(load_yaml(fspath(yaml_file)), False, f"{fspath(yaml_file)}: resources")

    @classmethod
    def load_from_dict(cls, resources_dict: Mapping[str, Any], allow_ref: bool = False) -> Resources:
        """Resources from a dictionary, checked; `allow_ref` follows its `$ref`. Raises ConfigError for a bad key."""
        return cls._loaded(resources_dict, allow_ref, "resources")

    @classmethod
    def _loaded(cls, data: Mapping[str, Any], allow_ref: bool, where: str) -> Resources:
        from .. import schema

        data = schema.resolve_refs(data, allow_ref)
        checked = schema.tolerated(data, schema.resources_arginfo(data.get("batch_type") not in schedulers.OWN), where)
        return cls(**checked)

    @classmethod
    def deserialize(cls, resources_dict: Mapping[str, Any]) -> Resources:
        """The resources that `serialize` wrote. Raises ConfigError for a key it does not know or does not find."""
        resources_dict = lenience.known(resources_dict, (*KEYS, "batch_type"), "resources")
        for key in KEYS[:5]:
            if key not in resources_dict:
                raise ConfigError(f"resources/{key}: missing, and it must be given")
        return cls(**{"kwargs": {}, **resources_dict})

    def serialize(self) -> dict[str, Any]:
        """The 17 keys, in DPDispatcher's order; a deep copy."""
        return {key: _plain(getattr(self, key)) for key in KEYS}

    @staticmethod
    def arginfo(detail_kwargs: bool = True) -> Argument:
        """The keys of resources with their documentation, as a dargs Argument."""
        from ..schema import resources_arginfo

        return resources_arginfo(detail_kwargs)

    def spec(self) -> ResourcesSpec:
        """A frozen copy. Raises ConfigError when an attribute was changed to something that is not allowed."""
        return resources_spec(self.check())

    def __eq__(self, other: object) -> bool:
        return self.serialize() == other.serialize() if isinstance(other, Resources) else NotImplemented

    def __getitem__(self, key: str) -> Any:
        return self.serialize()[key]

    def __repr__(self) -> str:
        return f"Resources({', '.join(f'{key}={value!r}' for key, value in self.serialize().items())})"


def _own(extra: dict[str, Any]) -> Any:
    """`kwargs` itself when it is among the keywords, otherwise all of them."""
    extra.pop("batch_type", None)
    if "kwargs" not in extra:
        return extra
    kwargs = extra.pop("kwargs")
    lenience.known(extra, KEYS, "resources")
    return kwargs


def _copied(key: str, value: Any) -> Any:
    if key in _TEXTS and isinstance(value, Iterable) and not isinstance(value, (str, Mapping)):
        return [fspath(each) if isinstance(each, PathLike) else each for each in value]
    return dict(deepcopy(value)) if isinstance(value, Mapping) else deepcopy(value)


def _plain(value: Any) -> Any:
    """A copy of plain data; written out, for `deepcopy` takes 100 times as long, and there may be 100,000 jobs."""
    if type(value) is list:
        return [_plain(each) for each in value]
    if type(value) is dict:
        return {key: _plain(each) for key, each in value.items()}
    return value

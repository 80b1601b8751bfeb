"""The safe loader of PyYAML, without the values that take for ever.

{<<: [*a, *a, *a]}      merged again and again, each level multiplies the last one: refused
24:00:00                a run time, as written: not 86400, which a number to the base of 60 would be
{a: 1, a: 2}            the last one would be taken without a word: refused, unless it is a comment (_a)
"""

from __future__ import annotations

from typing import Any

from yaml import SafeLoader
from yaml.constructor import ConstructorError

#: Letters of a number, and keys of a mapping with all that is merged into it.
_DIGITS, _KEYS = 1000, 100_000


class Loader(SafeLoader):
    """Makes plain values only, and each in time that goes with its length."""

    def flatten_mapping(self, node: Any) -> None:
        """Merge `<<`; ConstructorError when that makes too many keys."""
        super().flatten_mapping(node)
        if len(node.value) > _KEYS:
            raise ConstructorError(None, None, f"more than {_KEYS} keys merged", node.start_mark)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """A mapping; ConstructorError for a key that is given twice."""
        names = [str(key.value) for key, _ in node.value if not str(key.value).startswith(("_", "<<"))]
        for name in set(names):
            if names.count(name) > 1:
                raise ConstructorError(None, None, f"the key {name!r} is given twice; keep one", node.start_mark)
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: Any) -> Any:
        """The text of a scalar; ConstructorError for a number longer than any."""
        if len(node.value) > _DIGITS and node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
            raise ConstructorError(None, None, f"a number of {len(node.value)} letters", node.start_mark)
        return super().construct_scalar(node)

    def as_written(self, node: Any) -> Any:
        """A number, but the text where it has colons: nobody who writes 24:00:00 means 86400."""
        if ":" in node.value:
            return self.construct_scalar(node)
        return self.construct_yaml_int(node) if node.tag.endswith(":int") else self.construct_yaml_float(node)


for _kind in ("int", "float"):
    Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", Loader.as_written)

"""The package `journal` that comes with this one; another distribution may have the same name for another thing.

require()  ->  ConfigError: `import journal` gives /site/journal, which is not the package that comes with dispatcher: …
"""

from __future__ import annotations

from importlib.util import find_spec

from .errors import ConfigError


def require() -> None:
    """Raise ConfigError unless `journal` lies beside this package; nothing is imported."""
    found = find_spec("journal")
    lies = list(found.submodule_search_locations or [found.origin or ""]) if found else ["nothing"]
    here = __file__.rsplit("/", 3)[0]
    if lies[0] != f"{here}/journal":
        raise ConfigError(
            f"`import journal` gives {lies[0]}, which is not the package that comes with dispatcher ({here}/journal): "
            "another distribution or a file of yours has the same name; put it out of the way, or install dispatcher "
            "in an environment of its own"
        )

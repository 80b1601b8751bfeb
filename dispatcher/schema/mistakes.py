"""All that is wrong with a file, told at once.

    mistakes = Mistakes()
    with mistakes.gathered(): …        a ConfigError in here is kept
    mistakes.tell()                    ->  ConfigError: 2 mistakes:
                                             submission/machine/batch_typ: unknown key; did you mean 'batch_type'? …
                                             submission/resources/group_size: expected int, got str; …

One mistake alone is told as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..core.errors import ConfigError

#: A mistake that a thousand tasks share is not told a thousand times.
_MOST = 20


class Several(ConfigError):
    """More than one mistake; `mistakes` are the errors that each alone would have been."""

    def __init__(self, mistakes: Sequence[ConfigError]) -> None:
        self.mistakes = list(mistakes)
        more = len(self.mistakes) - _MOST
        lines = [*map(str, self.mistakes[:_MOST]), *([f"and {more:,} more"] if more > 0 else [])]
        super().__init__(f"{len(self.mistakes):,} mistakes:" + "".join(f"\n  {line}" for line in lines))


class Mistakes:
    """What was found so far."""

    def __init__(self) -> None:
        self.found: list[ConfigError] = []

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Keep the mistakes that are found in here, and go on behind it."""
        try:
            yield
        except ConfigError as error:
            self.found += each(error)

    def tell(self) -> None:
        """Raise ConfigError when there are any."""
        if self.found:
            raise self.found[0] if len(self.found) == 1 else Several(self.found)


def each(error: ConfigError) -> list[ConfigError]:
    """The mistakes that an error tells of."""
    return error.mistakes if isinstance(error, Several) else [error]

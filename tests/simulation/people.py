"""What people do to the files of their submissions, at any moment: the deeds of a simulation of neighbours.

    deeds = People(world).deeds()
    deeds["place purged"]()         rm -r where the jobs run: all of it, what is ours in it, or only results
    deeds["input edited"]()         other bytes for an input, or the old ones again
    deeds["results deleted"]()      on the local side
    deeds["journal deleted"]()      the journal, its submission's directory, or all of ours
    deeds["journal kept"](), deeds["journal put back"]()        a backup, and what it is for

Times of files are those of the simulated clock, so that a seed is the same run every time.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dispatcher.core.names import CONTROL, JOURNAL
from dispatcher.run.store import holder_of

if TYPE_CHECKING:
    from .neighbours import World


class People:
    """Everybody who has a shell there."""

    def __init__(self, world: World) -> None:
        self.world, self.top = world, world.top
        self._backups: list[tuple[Path, Path]] = []
        self._written = 0
        #: Results that were deleted on the local side, and when.
        self.deleted: dict[str, float] = {}

    def deeds(self) -> dict[str, Callable[[], None]]:
        """By the name of the fault."""
        return {
            "place purged": self.purge,
            "input edited": self.edit,
            "results deleted": self.delete_results,
            "journal deleted": self.delete_journal,
            "journal kept": self.keep_journal,
            "journal put back": self.put_back_journal,
        }

    def _one(self, found: list[Path]) -> Path | None:
        return self.world.conditions.rng.choice(sorted(found)) if found else None

    def write(self, path: Path, text: str) -> None:
        """A file with a time of its own."""
        self._written += 1
        path.write_text(text)
        at = int(self.world.now() * 1e9) + self._written
        os.utime(path, ns=(at, at))

    # -- where the jobs run -------------------------------------------------------------------------------------

    def purge(self) -> None:
        """All of a place, only what is ours in it, or only what tasks have left there."""
        place = self._one([Path(place.control) for place in self.world.cluster.places.values()])
        if place is None:
            return
        root, how = place.parents[2], self.world.conditions.rng.choice(["all", "ours", "results"])
        in_place = root.parent == self.top
        if how == "results":
            for out in root.glob("t*/out"):
                out.unlink()
                if in_place:
                    self.deleted[os.path.realpath(out)] = self.world.now()
        elif how == "all" and not in_place:
            shutil.rmtree(root, ignore_errors=True)
        else:
            shutil.rmtree(place, ignore_errors=True)
        self.world.ledger.look()

    # -- the local side -----------------------------------------------------------------------------------------

    def edit(self) -> None:
        """Other bytes of the same length, or what was there in the beginning."""
        path = self._one([*self.top.glob("[ab]/t*/in"), *self.top.glob("[ab]/pot")])
        if path is None:
            return
        text = path.read_text()
        other = f"{self.world.conditions.rng.randrange(10**6):06d}" if text == "000000" else "000000"
        if self.world.conditions.rng.random() < 0.5:
            path.unlink()  # as editors do: a new file takes the name
        self.write(path, other)
        self.world.ledger.edited(os.path.realpath(path))
        self.world.cluster.edited()

    def delete_results(self) -> None:
        """One of them, or all."""
        found = list(self.top.glob("[ab]/t*/out"))
        for path in found if self.world.conditions.rng.random() < 0.3 else filter(None, [self._one(found)]):
            path.unlink()
            self.deleted[os.path.realpath(path)] = self.world.now()

    def delete_journal(self) -> None:
        """Alone, with all of its submission, or with all of ours."""
        path = self._one(self._journals())
        if path is not None:
            how = self.world.conditions.rng.choice([path, path, path.parent, path.parents[1]])
            shutil.rmtree(how, ignore_errors=True)
            self.world.ledger.look()

    def keep_journal(self) -> None:
        """A copy of it, as it is now."""
        path = self._one(self._journals())
        if path is not None:
            kept = self.top / f"backup-{len(self._backups)}"
            with suppress(shutil.Error, OSError):
                shutil.copytree(path, kept)
                self._backups.append((kept, path))

    def put_back_journal(self) -> None:
        """The last copy of one, where nobody is at work on it."""
        if self._backups:
            kept, path = self.world.conditions.rng.choice(self._backups)
            if path not in self.world.at_work() and not holder_of(path):
                shutil.rmtree(path, ignore_errors=True)
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                shutil.copytree(kept, path)
                for name in ("LOCK", "LOCK.holder"):
                    (path / name).unlink(missing_ok=True)
                self.world.ledger.look()

    def _journals(self) -> list[Path]:
        return list(self.top.glob(f"[ab]/{CONTROL}/*/{JOURNAL}"))

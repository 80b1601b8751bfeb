"""A writer in a process of its own: python journal_child.py write|contend PATH …

write PATH N         records from N on until killed; each acknowledgement is a line on stdout
contend PATH ME ENOUGH lock|nolock      sessions until that file is there; what was acknowledged as JSON at the end
"""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from journal_simulation import NoLock
from journal_torture import Rec

from journal import Journal, JournalError


def write(path: str, first: int) -> None:
    rng, number = random.Random(first), first
    writer = Journal.open(path, Rec, segment_bytes=300_000, timeout=10)
    os.write(1, b"%d\n" % number)
    while True:
        for _ in range(rng.choice([1, 3, 50, 400])):
            writer.append(Rec(number, "x" * rng.randrange(300)))
            number += 1
        writer.commit()
        os.write(1, b"%d\n" % number)


def contend(path: str, me: int, enough: Path, locked: bool) -> None:
    rng, number, told, refused = random.Random(me), 0, list[int](), 0
    while not enough.exists():
        try:
            lock = None if locked else NoLock(path)
            with Journal.open(path, Rec, timeout=300, lock=lock, segment_bytes=20_000) as writer:
                for _ in range(rng.choice([1, 2, 5])):
                    new = list(range(number, number := number + rng.choice([1, 3, 30])))
                    writer.append(*(Rec(each, str(me)) for each in new))
                    writer.commit()
                    told += new
        except (JournalError, OSError) as error:
            refused += 1
            if locked:
                sys.stderr.write(f"{error!r}\n")
    print(json.dumps({"me": me, "told": told, "refused": refused}))


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(sys.argv[2], int(sys.argv[3]))
    contend(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]), sys.argv[5] == "lock")

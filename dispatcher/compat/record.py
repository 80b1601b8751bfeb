"""`record`: where submissions are, by hash, in ~/.dpdispatcher/submission, for whoever was not in their directory.

record.write(submission)          ->  ~/.dpdispatcher/submission/1f2e….json      without any secret, 0600

Only a program that calls `write` leaves a file there: the journal beside the work is what a run goes by.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..api.saved import written
from ..files.incoming import write_atomic


class RecordFiles:
    """The files of one directory; made when the first is written."""

    def __init__(self) -> None:
        self.record_directory = Path.home() / ".dpdispatcher" / "submission"

    def get_submissions(self) -> list[str]:
        """The hashes that there are files of."""
        return sorted(path.stem for path in self.record_directory.glob("*.json"))

    def write(self, submission: Any) -> Path:
        """Write down where a submission is, without its remote_profile."""
        path = self.record_directory / f"{submission.submission_hash}.json"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = written(submission, if_static=False)
        write_atomic(path, json.dumps(found, indent=4).encode(), 0o600)
        return path

    def get_submission(self, hash: str, not_exist_ok: bool = False) -> Path:
        """The file of a submission. Raises FileNotFoundError when there is none, unless that is allowed."""
        path = self.record_directory / f"{hash}.json"
        if not not_exist_ok and not path.is_file():
            raise FileNotFoundError(f"{path}: there is no record of this submission")
        return path

    def remove(self, hash: str) -> None:
        """Remove the file; one that is not there is no error."""
        self.get_submission(hash, not_exist_ok=True).unlink(missing_ok=True)


record = RecordFiles()

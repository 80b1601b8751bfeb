"""What a profile may tell of this machine: read here, checked and documented by the schema."""

from __future__ import annotations

from ...core.keys import Profile, optional

LAZY_LOCAL = Profile("Runs jobs on this machine, in the directory where the files are.")
LOCAL = Profile(
    "Runs jobs on this machine, in another directory.",
    (optional("symlink", bool, "Link the forward files instead of copying them.", True),),
    remote_root=True,
)

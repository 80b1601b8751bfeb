"""One submission at work: the loop, what it sees, what it records, and where that is stored."""

from ..core import companion

companion.require()

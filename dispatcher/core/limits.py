"""How much is taken from the outside; whoever gets more says so and names the limit."""

from __future__ import annotations

#: Bytes of one answer: standard output, standard error, an HTTP body after decompression, a listing.
MAX_ANSWER = 256 << 20
#: Bytes of a small file of ours that is read whole: a receipt, an index.
MAX_NOTE = 1 << 20

"""Bohrium by its first API; all that it says is in `cloud`."""

from __future__ import annotations

from .dialect import CloudDialect


class BohriumDialect(CloudDialect):
    """Jobs that are added in one request: their name carries the nonce, and the listing is asked for it."""

    name = "Bohrium"
    context = "BohriumContext"

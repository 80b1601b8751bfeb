"""Bohrium by its open API; all that it says is in `cloud`."""

from __future__ import annotations

from .dialect import CloudDialect


class OpenAPIDialect(CloudDialect):
    """Jobs that have a record before they run: an attempt that is unclear is asked for by the record's id."""

    name = "OpenAPI"
    context = "OpenAPIContext"

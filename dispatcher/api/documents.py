"""Configuration files, under the name they had before they moved to `dispatcher.schema`."""

from __future__ import annotations

from ..schema.documents import load, load_json, load_yaml, resolve_refs

__all__ = ["load", "load_json", "load_yaml", "resolve_refs"]

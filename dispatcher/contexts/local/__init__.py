"""This machine: in place (LazyLocal), or in a directory of its own (Local)."""

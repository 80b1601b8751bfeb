"""YARN's DistributedShell."""

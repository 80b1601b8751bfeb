"""Slurm and its job arrays."""

"""Grid Engine and its job arrays."""

"""DPDispatcher's names, from the distribution `dispatcher-hpc` (put here by `dispatcher compat`)."""

from dispatcher.compat.modules import become

become(__name__)

"""What programs that use or extend dispatcher can test themselves with.

cluster      a batch system, a network and a file system in memory, on a clock that tests move
selftest     small tasks on a real cluster, under kills: what `dispatcher selftest` runs
simulation   whole runs on it, with faults and crashes drawn from one seed
"""

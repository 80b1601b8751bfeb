"""What programs that use or extend dispatcher can test themselves with.

batch        executables that stand in for those of batch systems, and run what they are given
cluster      a batch system, a network and a file system in memory, on a clock that tests move
dialects     the same behind the shell text and the commands of a real dialect
selftest     small tasks on a real cluster, under kills: what `dispatcher selftest` runs
simulation   whole runs on it, with faults and crashes drawn from one seed
"""

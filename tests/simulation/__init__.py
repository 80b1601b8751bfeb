"""The simulation: whole runs of the engine, the rules and the journal on a cluster in memory, under seeded faults."""

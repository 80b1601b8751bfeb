"""LSF, and JH_UniScheduler, whose commands are like LSF's."""

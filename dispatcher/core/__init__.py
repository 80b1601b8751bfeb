"""What can happen: what is asked for, the events, the table of states, the two ports, the errors. No I/O."""

"""What can happen: the values that are asked for, the events, the table of states, the two ports, the errors. No I/O."""

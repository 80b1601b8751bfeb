"""`import dpdispatcher` for programs that were written for DPDispatcher: they run unchanged.

python -m dispatcher compat run dpgen run param.json machine.json     for one program, nothing installed
python -m dispatcher compat install                                   for every program of this environment

names       which module paths there are, and what each name in them is here
modules     makes those modules when they are imported
entrypoints, record, log, ssh_session, retrying     what only that layer has
installing  puts the package `dpdispatcher` into an environment, and takes it out
command     the command `dpdisp`
takeover    what a run of the original has left in a work directory
"""

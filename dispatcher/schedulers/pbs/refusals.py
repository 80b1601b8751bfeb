"""What qsub says when it fails, that of OpenPBS and that of Torque.

    qsub: would exceed queue generic's per-user limit
    qsub: submit error (Unknown queue MSG=requested queue not found)
    [qsub: illegal -N value]

A hook of the site answers in its own words behind `qsub: `, which nobody knows before.

Sources: src/lib/Liblog/pbs_messages.c of OpenPBS, src/include/pbs_error_db.h of Torque; transcripts of OpenPBS
23.06 and Torque 6.1.
"""

from __future__ import annotations

import re

from ..refusals import Meaning, Refusals, row

REFUSALS = Refusals(
    tells=re.compile(r"^(?:\[?qsub:[ \t]*(?:submit error \()?|\[(?=.* is not a valid option))(?P<why>\S.*)$", re.M),
    rows=(
        row(
            Meaning.open,
            r"""
            Premature end of
            End of File
            Connection (?:reset|closed|timed out)
            Broken pipe
            Communication (?:failure|error)
            (?:Batch protocol|Bad DIS based)
            (?:PBS server )?internal error
            System error
            No reply
            Interrupted
            Timed? ?out
            Error (?:in socket|getting connection|writing data|reading data)
            Socket close
            (?:socket information|data on socket)
            """,
        ),
        row(
            Meaning.deferred,
            r"""
            would exceed
            Maximum number of jobs
            .*limit on the number of jobs
            cannot connect to server
            Connection refused
            Unable to communicate
            Queue is (?:not enabled|currently not available)
            Request not allowed: Server shutting down
            Resource (?:temporarily unavailable|busy)
            No free connections
            Server connection table full
            Can ?not (?:establish connection|resolve)
            Unknown Host
            Failed to save job
            (?:Error (?:saving|opening|writing) file|Unable to (?:open|write) script file)
            Error allocating
            Too many submit retries
            (?:Invalid|Expired) credential
            (?:Floating License|PBS license|Exceeded number of licensed)
            Job function must be temporarily delayed
            (?:No space left|Disk quota exceeded)
            """,
        ),
        row(
            Meaning.rejected,
            r"""
            Unknown (?:queue|resource|node)
            Illegal (?:attribute|value|-)
            (?:Invalid|unrecognized|illegal) option
            .* is not a valid option
            option requires an argument
            "-lresource="
            Job (?:violates queue|exceeds queue|rejected by all|routing over)
            script (?:file|not a file|is written in DOS)
            \(qsub\) cannot access script
            (?:cannot|could not) access script
            jobscript size exceeded
            Command syntax invalid
            Error \(15002\)
            Access (?:to queue is denied|from host not allowed)
            Unauthorized Request
            Undefined attribute
            Cannot set attribute
            Cannot (?:have|be used)
            Bad (?:UID|GID|effective|Job Array|data reading|time specification)
            Invalid (?:Account|Job Dependency|request)
            No (?:default queue|support for requested)
            (?:Queue name|name is) too (?:long|big)
            Queue does not allow
            Execution server rejected
            Resource (?:limit exceeds|invalid in)
            Mutually exclusive
            Duplicate
            duplicated resource
            Array job exceeds
            node\(s\) specification error
            attribute value is out of range
            job has bad password
            Wrong job type
            client is not allowed
            """,
        ),
    ),
)

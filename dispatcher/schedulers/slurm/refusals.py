"""What sbatch says when it fails.

Sources: src/common/slurm_errno.c (what stands behind "Batch job submission failed: "), src/sbatch and
src/common/proc_args.c of Slurm; the names of limits are those of src/slurmctld/acct_policy.c; transcripts of
Slurm 22.05.
"""

from __future__ import annotations

import re

from ..refusals import Meaning, Refusals, row

REFUSALS = Refusals(
    tells=re.compile(
        r"^(?:sbatch|scontrol|slurm_\w+):? (?:(?:error|fatal): )?(?:Batch job submission failed: )?(?P<why>\S.*)$", re.M
    ),
    rows=(
        # the limit it names comes before the general word for all of them: only the number of jobs changes by itself
        row(Meaning.deferred, r"(?:QOS|Assoc|Part)\w*Submit\w*$"),
        row(Meaning.rejected, r"(?:QOS|Assoc|Part)[A-Z]\w+$"),
        # it was not sent, whatever follows
        row(Meaning.deferred, r"slurm_send\w+: auth_g_create"),
        row(
            Meaning.open,
            r"""
            Socket timed out
            Unable to contact slurm controller
            Zero Bytes were transmitted
            Header lengths are longer
            Unexpected (?:message|missing socket)
            Communication (?:connection|shutdown) failure
            Message (?:send|receive) failure
            Insane message length
            Protocol authentication error
            (?:Invalid authentication|Authentication) credential
            Cannot unpack credential
            Error generating job credential
            Unable to process (?:incoming|outgoing)
            (?:Read|Write) would block
            Connection (?:rejected|forced|timed out|reset|refused|closed)
            Kernel reported delayed socket error
            Process is shutting down
            Interrupted system call
            Broken pipe
            Transport endpoint
            Operation now in progress
            """,
        ),
        row(
            Meaning.deferred,
            r"""
            Slurm temporarily unable to accept job
            Slurm job queue full
            Job step creation temporarily disabled
            Resource temporarily unavailable
            Rate limit exceeded
            MaxJobCount limit reached
            I/O error writing script
            Job violates accounting/QOS policy
            Slurm backup controller in standby mode
            Controller is in standby mode
            Requested operation is presently disabled
            System submissions disabled
            Requested nodes are busy
            Requested partition configuration not available now
            Required (?:node|partition) not available
            Partition in DOWN state
            Partition is in use
            Licenses currently unavailable
            Required ports are in use
            Requested reservation (?:is in use|not usable now)
            PrologSlurmctld is still running
            Job can not start due to maintenance
            Waiting for burst buffer
            Max powered up nodes
            Job locked by another sibling
            Unable to connect to database
            Database connection
            Could not establish a configuration source
            Unable to process configuration file
            s_p_parse_file: cannot stat file
            fetch_config:
            Invalid user for SlurmUser
            (?:No space left|Disk quota exceeded)
            """,
        ),
        row(
            Meaning.rejected,
            r"""
            Invalid (?!user id|group id|job id|argument$)
            Unrecognized option
            option '?-
            ambiguous option
            ambiguous
            (?:No|Bad) (?:value|argument)
            No partition specified
            Access/permission denied
            Access denied
            User's group not permitted
            Requested (?:nodes not in|node configuration|topology|time limit|GRES|account)
            Requested (?:reservation is invalid|operation not supported)
            More processors requested
            (?:Node|CPU|Task|Core) (?:count|distribution) specification
            Task distribution
            Job (?:size specification|script not specified|dependency problem|cannot be submitted without|--batch)
            Batch script
            instead of expected UNIX
            This does not look like a batch script
            The Slurm controller does not allow scripts
            Pathname of a file
            Memory (?:required by task|specification)
            Only batch jobs
            Circular job dependency
            Duplicate generic resource
            Burst Buffer
            Multiple (?:KNL|partition)
            Cannot request more threads
            Required nodes
            No suitable topology
            Insufficient (?:GRES|resources in topology)
            RestrictedCoresPerGPU
            Requires more ports
            Environment is missing
            No eligible clusters
            X11 forwarding
            Unable to open file
            sbatch parameter parsing
            Unspecified error
            """,
        ),
    ),
    still=re.compile("Slurm temporarily unable to accept job"),
)

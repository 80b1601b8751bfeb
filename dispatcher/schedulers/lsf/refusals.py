"""What bsub says when it fails; jsub of JH_UniScheduler speaks alike.

    User <u>: Pending job threshold reached. Job not submitted.
    Too many processors requested. Job not submitted.
    batch system daemon not responding ... still trying

bsub has no word of its own before its lines, so that each is known whole, from its begin to its end.

Sources: the messages of lsberrno in IBM's API reference (lsb_submit, lsb_perror), and the error reference of
Spectrum LSF 10.1.
"""

from __future__ import annotations

import re

from ..refusals import Meaning, Refusals, row

#: What a refusal is about may stand before it ("nosuch: ", "User <u>: "); how it ends tells it from a notice.
_END = r".*?\bnot submitted\.?$"

REFUSALS = Refusals(
    tells=re.compile(r"^(?:bsub: |jsub: )?(?P<why>\S.*)$", re.M),
    rows=(
        row(
            Meaning.open,
            r"""
            Failed in receiving
            Failed in (?:an LSF|sending|a).*(?:receiv|timed? ?out)
            Connection (?:reset|closed)
            Broken pipe
            (?:Contacting batch daemon: )?Communication timeout
            Timeout on connect
            (?:Batch (?:protocol|library internal)|(?:Master|Slave) batch daemon internal) error
            XDR encode/decode error
            End of file
            System call failed
            """,
        ),
        row(
            Meaning.deferred,
            rf"""
            (?:[^:]*: )?(?:User's )?Pending job threshold reached(?:{_END}|\. Retrying)
            (?:[^:]*: )?The destination queue has reached its job limit{_END}
            (?:[^:]*: )?Queue (?:is|has been) closed{_END}
            (?:[^:]*: )?.*(?:job|submission) (?:limit|quota) (?:is |was |has been )?(?:reached|exceeded){_END}
            (?:[^:]*: )?(?:Not enough host\(s\) currently eligible|No job Id can be used now){_END}
            (?:[^:]*: )?.*(?:try (?:it )?(?:again|later)|being reconfigured){_END}
            LSF is down
            Cannot connect to LSF
            Connection refused
            Failed in an LSF library call: .*(?:LIM|down|not respond|refused)
            batch (?:system )?daemon not responding
            .*batch system.* not responding
            Batch (?:service not registered|daemon cannot fork)
            Cannot allocate memory
            Fail to bind
            Server (?:is not connected|connection already exists)
            Operation is in progress
            (?:No space left|Disk quota exceeded)
            """,
        ),
        row(
            Meaning.rejected,
            rf"""
            (?:[^:]*: )?Too (?:many|few) processors requested{_END}
            (?:[^:]*: )?Queue (?:does not|only|name must){_END}
            (?:[^:]*: )?(?:No such|No matching|Unknown|No resource|No user|No host){_END}
            (?:[^:]*: )?(?:Bad|Illegal|Invalid|Empty|Unable to|Cannot|Only){_END}
            (?:[^:]*: )?(?:User|Invoker|Host|Hosts?|Root job|Request from|Job|Dependency|Project){_END}
            (?:[^:]*: )?(?:Start time|Input file|Interactive|Multiple|Reserved|Checkpoint|You must){_END}
            (?:[^:]*: )?.*(?:permission denied|not (?:allowed|defined|supported|found|valid)|does not exist){_END}
            (?:[^:]*: )?.*syntax error{_END}
            Request aborted by (?:esub|epsub)
            (?:illegal|invalid|unrecognized) option
            """,
        ),
    ),
)

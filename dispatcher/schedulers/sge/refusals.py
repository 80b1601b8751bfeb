"""What qsub of Grid Engine says when it fails.

    Unable to run job: job rejected: Only 2000 jobs are allowed per user (current job count: 2000)
    error: commlib error: got select error (Connection refused)

A verifier of the site (JSV) answers in its own words behind `Unable to run job: `, which nobody knows before.

Sources: source/daemons/qmaster/msg_qmaster.h and source/common/msg_common.h of Grid Engine; transcripts of 8.1.9.
"""

from __future__ import annotations

import re

from ..refusals import Meaning, Refusals, row

REFUSALS = Refusals(
    tells=re.compile(
        r"^(?:Unable to (?:run job|read script file because of error): |qsub: |error: |(?=denied: |failed receiving ))"
        r"(?P<why>\S.*)$",
        re.M,
    ),
    rows=(
        row(
            Meaning.open,
            r"""
            failed receiving
            commlib error: (?:got read error|endpoint is not unique)
            .*message receive time-?out
            (?:can't|cannot|failed to) unpack
            """,
        ),
        row(
            Meaning.deferred,
            r"""
            commlib error
            unable to (?:send|contact)
            (?:got send error|cannot get connection|can't connect)
            job rejected: only \d+ jobs are allowed
            (?:job rejected: )?maximum number
            .*was rejected cause it c(?:an't|ouldn't) be written
            (?:could not|can't) get (?:qmaster|configuration)
            (?:No space left|Disk quota exceeded)
            """,
        ),
        row(
            Meaning.rejected,
            r"""
            denied
            job (?:was )?rejected
            (?:error: )?no suitable queues
            .*is not allowed to run in any queue
            unknown (?:resource|option)
            (?:invalid|illegal|unrecognized)
            error opening
            ERROR!
            Numerical value invalid
            .* option must have
            .*requires? (?:an? )?argument
            """,
        ),
    ),
)

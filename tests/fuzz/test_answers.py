"""What batch systems may say, and may not: any text gives a value or Unreachable, and nothing is ever made up.

@@dq3v81kx0mza queue 4211|ZZ|c1|None|dq3v81kx0mza        a state nobody knows: no news, never `ended` or `absent`
@@dq3v81kx0mza queue-code ²                              noise where a number should be: no good answer
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher import schedulers
from dispatcher.core.errors import Unreachable
from dispatcher.core.model import ResourcesSpec
from dispatcher.core.ports import Native, Query, Reply, SubmitRequest
from dispatcher.run.observer import understood
from dispatcher.schedulers.command_line import QueueRow

pytestmark = pytest.mark.slow

FUZZ = settings(derandomize=True, database=None)
CORPUS = Path(__file__).parents[2] / "fixtures" / "corpus" / "answers"
DIALECTS = list(schedulers.BUILTIN)
NONCES = ("dq3v81kx0mza", "da9wx2mfk4tz")
WATCHES = [Query(NONCES[0], "4211", 1_790_000_000.0), Query(NONCES[1], "", 1_790_000_000.0)]
RESOURCES = ResourcesSpec(1, 1, 0, "", 1)
ASKS = [SubmitRequest(nonce, f"{nonce}-relax", f"{nonce}.sub", {}, RESOURCES) for nonce in NONCES]

#: Pieces of which answers are made, right ones and wrong ones, in a random order.
WORDS = st.sampled_from(
    [
        *(f"@@{nonce} " for nonce in NONCES),
        *("out ", "err ", "code ", "queue ", "queue-code ", "file ", "account ", "account-code ", "done", "turned "),
        *("skipped ", "full ", *(f"{nonce} " for nonce in NONCES), *NONCES, "end", ".claim:", ".id:", ".many:"),
        *(".0.claim:", ".claim.fenced:", "claim 4211 0 n 1 2", "claim 4211 ² n 1 2", "task 0 0 17 .", "end 0 17 ."),
        *("err 0 ", "fenced 4211", "revoked", "4211", "4211;c", "0", "1", "255", "²", "٣", "-1", "9" * 5000, "1.2.3"),
        *("|", "|R|", "|PD|", "|CD|", "|ZZ|", "COMPLETED", "OUT_OF_MEMORY", "CANCELLED by 0", "0:125", "_[3-5,7%3]"),
        *("node7:4242:88:1f", "Submitted batch job ", "sbatch: error: ", "slurm_load_jobs error: ", "allocation"),
        *(
            "Job Id: ",
            "    job_state = ",
            "    Exit_status = ",
            "\t",
            " ",
            ":",
            "\n",
            "\r\n",
            "\0",
            "\x1b[31m",
            "\ufffd",
        ),
    ]
)
TEXTS = st.lists(WORDS | st.text(max_size=8), max_size=40).map("".join)
#: Every line is one of ours, so that more of it gets through.
OURS = st.lists(st.lists(WORDS, max_size=8).map("".join), max_size=12).map(
    lambda lines: "".join(f"@@{NONCES[0]} {line}\n" for line in lines) + f"@@{NONCES[0]} done\n"
)
#: Records as they should be but for what stands in their fields.
_ODD = ["", "0", "²", "٣", "1.2.3K", "-1", "9" * 5000, "4x", "0:²", "²:9", "1.2.3", "x", "2048000K", "1-2:3:4", "None"]
_ID = ["4211", "4211.batch", "4212", "4x", "4²", "4211_1", "4211_[1-9%5]", "4211,4212", "4211.host"]
_STATE = ["COMPLETED", "FAILED", "NODE_FAIL", "TIMEOUT", "RUNNING", "R", "CD", "F", "Q", "CANCELLED by ²", "ZZ", ""]
_RECORD = st.tuples(*map(st.sampled_from, (_ID, _STATE, _ODD, _ODD, _ODD, _ODD, ["c1"], [*NONCES, f"{NONCES[0]}-x"])))
_KEYS = ("Job_Name", "job_state", "Exit_status", "substate", "comment", "run_count", "exec_host", "exit_status")
_MORE_KEYS = ("resources_used.walltime", "resources_used.mem", "jobname", "failed", "ru_maxrss", "ru_wallclock")
_ATTRIBUTE = st.tuples(
    st.sampled_from(_KEYS + _MORE_KEYS),
    st.sampled_from([*_ODD, *_STATE, *NONCES, "271", "exceeded resource walltime", "01:02:03", "12kb", "²kb"]),
)
_LINES = st.one_of(
    _RECORD.map("|".join),
    st.sampled_from(_ID).map("Job Id: {}".format),
    _ATTRIBUTE.map(lambda pair: f"    {pair[0]} = {pair[1]}"),
    _ATTRIBUTE.map(lambda pair: f"record {pair[0]:12} {pair[1]}"),
    st.sampled_from(["", "=" * 62]),
)
_ASKED = st.sampled_from(["account", "queue", "history", "qacct", "qstat"])
RECORDS = st.tuples(_ASKED, st.lists(_LINES, max_size=12)).map(
    lambda said: (
        "".join(f"@@{NONCES[0]} {said[0]} {line}\n" for line in said[1])
        + f"@@{NONCES[0]} {said[0]}-code 0\n@@{NONCES[0]} done\n"
    )
)
FILES = st.lists(
    st.tuples(
        st.sampled_from(
            [f"{nonce}.{end}" for nonce in NONCES for end in ("id", "many", "claim", "0.claim", "².claim")]
        ),
        st.sampled_from(
            ["claim 4211 0 n 1 2", "claim 4211 ² n 1 2", f"claim 4 {'9' * 5000} n 1 2", "2 1", "² ²", "a b"]
        )
        | st.sampled_from(
            [f"task {'9' * 5000} 0 1 .", "task 9999999999 0 1 .", "task ² 0 1 .", "end ² 1 .", "4²", "4211"]
        ),
    ).map(":".join),
    max_size=8,
).map(lambda lines: "".join(f"@@{NONCES[0]} file {line}\n" for line in lines) + f"@@{NONCES[0]} done\n")
REPLIES = st.builds(Reply, st.sampled_from([0, 1, 124, 153, 255, -1]), TEXTS | OURS | RECORDS | FILES, TEXTS)


def judged(dialect: Any, reply: Reply) -> None:
    """Each of the three answers is a value or Unreachable."""
    for question, about in (("observed", WATCHES), ("accounted", WATCHES), ("submitted", ASKS)):
        try:
            found = understood(getattr(dialect, question), reply, about)
        except Unreachable:
            continue
        answers = found if question == "submitted" else found.jobs
        assert set(answers) <= set(NONCES), f"{question} answers about a job that was not asked for: {answers}"


@pytest.mark.parametrize("name", DIALECTS)
def test_any_text_gives_a_value_or_no_answer(name: str) -> None:
    dialect = schedulers.load(name)

    @FUZZ
    @given(REPLIES)
    def check(reply: Reply) -> None:
        judged(dialect, reply)

    check()


@pytest.mark.parametrize("file", sorted(CORPUS.glob("*.txt")), ids=lambda file: file.stem)
def test_what_was_found(file: Path) -> None:
    for name in DIALECTS:
        judged(schedulers.load(name), Reply(0, file.read_text()))


@pytest.mark.parametrize("name", [name for name in DIALECTS if hasattr(schedulers.load(name), "observation_of")])
def test_a_state_that_nobody_knows_is_no_news(name: str) -> None:
    dialect: Any = schedulers.load(name)

    @FUZZ
    @given(st.text(min_size=1, max_size=12).filter(lambda code: code not in dialect.STATES), st.text(max_size=12))
    def check(code: str, reason: str) -> None:
        observation = dialect.observation_of([QueueRow("4211", NONCES[0], code, "c1", reason)])
        assert observation.native is Native.unknown
        assert observation.cause is None

    check()


@pytest.mark.parametrize("name", DIALECTS)
def test_an_answer_that_breaks_off_is_none(name: str) -> None:
    dialect = schedulers.load(name)

    @FUZZ
    @given(TEXTS)
    def check(text: str) -> None:
        reply = Reply(0, text.replace("done", "don"), "")
        with pytest.raises(Unreachable):
            dialect.observed(reply, WATCHES)

    check()

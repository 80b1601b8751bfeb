"""`dispatcher schedulers --table NAME`: every native state that the vendor documents is there, any other is no news."""

from __future__ import annotations

import pytest

from dispatcher.cli import main

#: By qstat(1B) of OpenPBS and Torque, squeue(1), IBM's "LSF terms and concepts" and bjobs, RIKEN's user guide.
DOCUMENTED = {
    "PBS": "B E F H M Q R S T U W X",
    "Torque": "C E H Q R T W S",
    "Slurm": "BF CA CD CF CG DL F NF OOM PD PR R RD RF RH RQ RS RV SI SE SO ST S TO",
    "SGE": "qw hqw hRwq t r Rr Rt s ts S tS T tT Eqw Ehqw EhRqw dr dt dRr dRt ds dS dT",
    "LSF": "PEND PROV PSUSP RUN USUSP SSUSP DONE EXIT UNKWN WAIT ZOMBI POST_DONE POST_ERR FWD_PEND",
    "JH_UniScheduler": "PEND PSUSP RUN USUSP SSUSP DONE EXIT",
    "Fugaku": "ACC RJT QUE RNA RNP RUN RNE RNO SPP SPD RSM EXT CCL HLD ERR",
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_documented_state_is_in_the_table(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedulers", "--table", name]) == 0
    rows = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines() if line.strip())
    assert [state for state in DOCUMENTED[name].split() if state not in rows] == []
    assert "no news" in rows["any"]

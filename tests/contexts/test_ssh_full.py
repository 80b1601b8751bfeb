"""A server that has no room for another session is not a line that is lost."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from paramiko import ChannelException, SSHException

from dispatcher.contexts.ssh.link import _is_full


class Line(NamedTuple):
    active: bool

    def is_active(self) -> bool:
        return self.active


@pytest.mark.parametrize(
    ("why", "active", "full"),
    [
        (ChannelException(2, "Connect failed"), True, True),
        # another thread, refused at the same moment, has been told the reason
        (SSHException("Unable to open channel."), True, True),
        (SSHException("Unable to open channel."), False, False),
        (SSHException("Timeout opening channel."), True, False),
        (EOFError(), True, False),
    ],
)
def test_a_refused_channel(why: Exception, active: bool, full: bool) -> None:
    assert _is_full(why, Line(active)) is full  # type: ignore[arg-type]

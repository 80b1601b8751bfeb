"""`SSHSession`: a connection of one's own, for programs that run commands and move files by themselves.

session = SSHSession("login", "me")
stdin, stdout, stderr = session.exec_command("hostname")

The connection is that of the contexts: ~/.ssh/config, known_hosts, agent and jump hosts hold for it, too.
"""

from __future__ import annotations

from typing import Any

from ..contexts.ssh import config, link
from ..schema import Argument, context_arginfo


class SSHSession:
    """A login at an SSH server; the arguments are the keys of its remote_profile."""

    def __init__(
        self,
        hostname: str,
        username: str,
        password: str | None = None,
        port: int = 22,
        key_filename: str | None = None,
        passphrase: str | None = None,
        timeout: float = 10,
        totp_secret: str | None = None,
        tar_compress: bool = True,
        look_for_keys: bool = True,
        execute_command: str | None = None,
        proxy_command: str | None = None,
        archive_chunk_size: int = 0,
    ) -> None:
        given = {name: value for name, value in locals().items() if name != "self" and value is not None}
        if port == 22:
            del given["port"]  # as ~/.ssh/config says
        self.hostname, self.username, self.port, self.timeout = hostname, username, port, timeout
        self.tar_compress, self.execute_command = tar_compress, execute_command
        self._link = link.shared(config.route(given), float(timeout), None, "")
        self.ensure_alive()

    def ensure_alive(self, max_check: int = 10, sleep_time: float = 10) -> None:
        """Log in again when the connection is gone. Raises Unreachable (a RuntimeError). The arguments are not used."""
        self._link.transport()

    def exec_command(self, cmd: str) -> tuple[Any, Any, Any]:
        """Start a command; its stdin, stdout and stderr as files."""
        channel = self._link.transport().open_session()
        channel.exec_command(cmd)
        return channel.makefile_stdin("wb", -1), channel.makefile("r", -1), channel.makefile_stderr("r", -1)

    @property
    def sftp(self) -> Any:
        """An SFTP client of paramiko on this connection."""
        return self._link.transport().open_sftp_client()

    def put(self, from_f: str, to_f: str) -> None:
        """Send a file."""
        with self.sftp as sftp:
            sftp.put(from_f, to_f)

    def get(self, from_f: str, to_f: str) -> None:
        """Fetch a file."""
        with self.sftp as sftp:
            sftp.get(from_f, to_f)

    @property
    def remote(self) -> str:
        """user@host."""
        return f"{self.username}@{self.hostname}"

    @property
    def rsync_available(self) -> bool:
        """Never: files are sent over this connection."""
        return False

    def close(self) -> None:
        """Let go of the connection."""
        link.leave(self._link)

    @staticmethod
    def arginfo() -> Argument:
        """The keys of an SSH server's remote_profile, as a dargs Argument."""
        return context_arginfo("SSHContext").sub_fields["remote_profile"]

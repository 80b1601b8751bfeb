"""The small functions of `dpdispatcher.utils` that batch systems of other packages are written with."""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
import subprocess
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

_Returned = TypeVar("_Returned")


class RetrySignal(Exception):
    """Raised in a function under `retry`: try it again."""


def retry(
    max_retry: int = 3, sleep: float = 60, catch_exception: type[BaseException] = RetrySignal
) -> Callable[[Callable[..., _Returned]], Callable[..., _Returned]]:
    """A function tried up to `max_retry` times, `sleep` seconds apart; then RuntimeError from the last error."""

    def decorated(function: Callable[..., _Returned]) -> Callable[..., _Returned]:
        @wraps(function)
        def tried(*args: Any, **kwargs: Any) -> _Returned:
            last: BaseException | None = None
            for nth in range(max(max_retry, 1)):
                if nth:
                    time.sleep(sleep)
                try:
                    return function(*args, **kwargs)
                except catch_exception as error:
                    last = error
            raise RuntimeError(f"{function.__name__} was tried {max_retry} times: {last}") from last

        return tried

    return decorated


def get_sha256(filename: str) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with Path(filename).open("rb") as file:
        found = hashlib.sha256()
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def hotp(key: str, period: int, token_length: int = 6, digest: str = "sha1") -> str:
    """One-time password of a base32 key for a counter (RFC 4226)."""
    secret = base64.b32decode(key.upper() + "=" * (-len(key) % 8))
    value = hmac.new(secret, struct.pack(">Q", period), digest).digest()
    offset = value[-1] & 0x0F
    code = struct.unpack(">L", value[offset : offset + 4])[0] & 0x7FFFFFFF
    return str(code)[-token_length:].zfill(token_length)


def generate_totp(secret: str, period: int = 30, token_length: int = 6) -> str:
    """One-time password of a base32 secret for now (RFC 6238)."""
    return hotp(secret, int(time.time() / period), token_length)


def run_cmd_with_all_output(cmd: str, shell: bool = True) -> tuple[int, bytes, bytes]:
    """Exit code, stdout and stderr of a command on this machine."""
    done = subprocess.run(cmd, shell=shell, capture_output=True, check=False)
    return done.returncode, done.stdout, done.stderr

"""Which names of hosts and users may be asked for: those that OpenSSH takes, for they end up in command lines.

wrong_host("ann@hpc")     ->  "holds a user's name; write it as username"
wrong_host("hpc:2222")    ->  "holds a port; write it as port"
wrong_host("-oProxyCommand=x")  ->  "begins with a hyphen"
wrong_host("::1")         ->  ""
"""

from __future__ import annotations

import re
from ipaddress import ip_address

_HOST = re.compile(r"[\s\x00-\x1f\x7f-\x9f'\"`$\\;&<>|(){}/@,*?!#\[\]]")
_USER = re.compile(r"[\x00-\x1f\x7f-\x9f'\"`;&<>|(){}$]|\s-|\\$|^\s|\s$")


def wrong_host(name: str) -> str:
    """Why this cannot be the name or address of a host, and what to write instead; "" when it can be."""
    if not name.strip():
        return "is empty; write the name or address of the SSH server"
    if "://" in name:
        return "is a URL; write the name or address alone, the rest as username and port"
    if "@" in name:
        return "holds a user's name; write it as username, and here what stands behind the @"
    if name != name.strip() or re.search(r"\s", name):
        return "holds a blank; write the name alone"
    if name.startswith("-"):
        return "begins with a hyphen, as no host's name does"
    if name.startswith("["):
        return "holds brackets; write the address without them, and a port as port"
    if ":" in name and not _is_address(name):
        return "holds a port; write it as port, and here what stands before the colon"
    if found := _HOST.search(name):
        return f"holds {found[0]!r}, as no host's name does"
    return ""


def wrong_user(name: str) -> str:
    """Why this cannot be the name of a user; "" when it can be."""
    if not name:
        return "is empty"
    if name.startswith("-"):
        return "begins with a hyphen, as no user's name does"
    if found := _USER.search(name):
        return f"holds {found[0]!r}, which OpenSSH refuses in a user's name"
    return ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True

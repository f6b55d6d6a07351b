"""Hosts by name and address: which of them is this machine, and how they stand in a URL."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""The names by which a machine knows itself."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address, which may stand in brackets."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def name_of(authority: str) -> str:
    """The host of a `Host` header, in lower case; empty where it names none."""
    try:
        return (urlsplit(f"//{authority}").hostname or "").lower()
    except ValueError:
        return ""


def url_of(host: str, port: int) -> str:
    """The address of an HTTP server, whether its host stands in brackets or not."""
    is_bare = ":" in host and not host.startswith("[")
    return f"http://{f'[{host}]' if is_bare else host}:{port}"

"""The ports of the pages and of the HTTP API: free, ours, or somebody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.doctor.findings import Finding, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from market_assets.doctor.facts import Port


def check_ports(ports: Iterable[Port]) -> Iterator[Finding]:
    """Judge the ports, one after the other."""
    for port in ports:
        yield _port(port)


def _port(port: Port) -> Finding:
    subject, where = f"port of {port.server}", f"{port.host}:{port.number}"
    holder = port.holder or "a program of another user"
    if port.fault:
        return Finding(
            subject,
            State.FAIL,
            f"{where}: {port.fault}",
            "choose another address or port with --host and --port",
        )
    if not port.is_in_use:
        return Finding(subject, State.OK, f"{where} is free")
    if port.is_ours:
        return Finding(subject, State.OK, f"{where} is held by {holder}")
    return Finding(
        subject,
        State.WARN,
        f"{where} is held by {holder}",
        "end that program, or choose another port with --port",
    )

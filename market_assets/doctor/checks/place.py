"""The home folder: whether it can be written, on what kind of disk it is, and its room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.doctor.findings import Finding, State
from market_assets.keeping import size_words
from market_assets.up.preflight import ROOM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from market_assets.doctor.facts import Place

_ELSEWHERE = "name another one with --home or MARKET_ASSETS_HOME"
_COPIES = 3
"""How often the store may be on the disk: the file, a copy for readers, and the next copy."""

_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "fuse.sshfs", "fuse.s3fs"}
)
_FORGETFUL = frozenset({"tmpfs", "ramfs"})


def check_place(place: Place) -> Iterator[Finding]:
    """Judge the home folder and its disk."""
    yield _home(place)
    yield _system(place)
    yield _room(place)


def _home(place: Place) -> Finding:
    if not place.is_folder:
        words = f"{place.path} is no folder, or lies in none"
        return Finding("home", State.FAIL, words, f"move what is in the way, or {_ELSEWHERE}")
    if not place.is_writable:
        words = "cannot be written" if place.exists else "cannot be made"
        return Finding(
            "home",
            State.FAIL,
            f"{place.path} {words} by this user",
            f"give this user write access to it, or {_ELSEWHERE}",
        )
    if not place.exists:
        return Finding("home", State.OK, f"{place.path} is not there yet, and can be made")
    return Finding("home", State.OK, f"{place.path} can be written")


def _system(place: Place) -> Finding:
    if not place.system:
        return Finding("file system", State.SKIP, "its kind cannot be known on this system")
    if place.system in _NETWORK:
        return Finding(
            "file system",
            State.WARN,
            f"{place.system} is a network's: locks and DuckDB's files are not safe on each of them",
            f"keep the home on a disk of this machine: {_ELSEWHERE}",
        )
    if place.system in _FORGETFUL:
        return Finding(
            "file system",
            State.WARN,
            f"{place.system} is memory: what is stored is gone when the machine starts again",
            f"keep the home on a disk: {_ELSEWHERE}",
        )
    return Finding("file system", State.OK, place.system)


def _room(place: Place) -> Finding:
    free = f"{size_words(place.free)} are free"
    if place.free < ROOM:
        return Finding(
            "room",
            State.FAIL,
            f"only {free}, and {size_words(ROOM)} are needed",
            f"make room, or {_ELSEWHERE}",
        )
    wanted = max(5 * ROOM, (_COPIES - 1) * place.store)
    if place.free < wanted:
        return Finding(
            "room",
            State.WARN,
            f"only {free}; copies for readers and a growing store want {size_words(wanted)}",
            "make room: market-assets usage says what takes it, and prune removes what is old",
        )
    return Finding("room", State.OK, free)

"""Which programs have the store's file open without taking our lock, and since when.

Only a holder of our lock can tell: then no other process of ours has the file open. It writes what
it finds into a note beside the store, so that others can say which program all are waiting for.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from market_assets.market.instants import with_zone
from market_assets.store.process import birth_of, command_of, is_alive, this_host

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_SEEN = timedelta(minutes=3)
"""An older note counts no more: the process that wrote it has gone."""


@dataclass(frozen=True)
class Holder:
    """A program that has the store's file open while another waits.

    Attributes:
        process: Its number.
        host: The machine it runs on.
        command: What it is, without what may be secret of its arguments.
        since: When it was first seen to be in the way (UTC).
        birth: Distinguishes it from a later process of the same number; None where the system does
            not report it.
    """

    process: int
    host: str
    command: str
    since: datetime
    birth: str | None = None

    def __str__(self) -> str:
        return f"since {with_zone(self.since)}: {self.command} (PID {self.process})"


@dataclass(frozen=True)
class Hindrance:
    """Programs that keep the store's file from being opened.

    Attributes:
        since: Since when a program has waited (UTC), whichever programs it waited for.
        holders: Who has it open now.
    """

    since: datetime
    holders: tuple[Holder, ...]

    def __str__(self) -> str:
        unknown = f"since {with_zone(self.since)}: unknown"
        return "; ".join(map(str, self.holders)) or unknown


class Holders:
    """Finds who has the file open, and keeps a note of it while a program waits.

    Args:
        store: The store's file.
        clock: Gives the present instant.
    """

    def __init__(self, store: Path, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._note = store.with_name(f"{store.name}.waits.json")
        self._clock = clock

    def look(self, refusal: str) -> Hindrance:
        """Find the programs that are in the way, and note them; only for a holder of our lock.

        Args:
            refusal: What DuckDB says when it cannot open the file: it names one of them.
        """
        now = self._clock()
        last = self.noted()
        before = {(holder.process, holder.birth): holder for holder in last.holders} if last else {}
        named = re.search(r"held in (.*?) \(PID (\d+)\)", refusal)
        commands = {int(named[2]): Path(named[1]).name} if named else {}
        holders = []
        for process in sorted({*commands, *_lockers(self._store)} - {os.getpid()}):
            birth = birth_of(process)
            command = command_of(process) or commands.get(process, "a program")
            seen = before.get((process, birth))
            since = seen.since if seen else now
            holders.append(Holder(process, this_host(), command, since, birth))
        hindrance = Hindrance(last.since if last else now, tuple(holders))
        note = {"seen": now, **asdict(hindrance)}
        # Without room for a note the wait goes on.
        with suppress(OSError):
            self._note.write_text(json.dumps(note, default=datetime.isoformat))
        return hindrance

    def noted(self) -> Hindrance | None:
        """The programs that were in the way at the last look; None where none waits."""
        try:
            note = json.loads(self._note.read_text())
            seen, since = (_instant(note[name]) for name in ("seen", "since"))
            noted = [{**row, "since": _instant(row["since"])} for row in note["holders"]]
            holders = [Holder(**row) for row in noted]
        except (OSError, ValueError, LookupError, TypeError):
            return None
        if not timedelta(0) <= self._clock() - seen <= _SEEN:
            return None
        host = this_host()
        present = tuple(
            holder
            for holder in holders
            if holder.host != host or is_alive(holder.process, holder.birth)
        )
        return Hindrance(since, present) if present or not holders else None

    def clear(self) -> None:
        """Forget the note: the file could be opened."""
        with suppress(FileNotFoundError):
            self._note.unlink()


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _lockers(path: Path) -> set[int]:
    """The processes that have a lock on a file, where the system reports them (Linux does)."""
    try:
        inode = path.stat().st_ino
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return set()
    processes = set()
    for line in lines:
        match = re.match(r"\d+: POSIX\s+\S+\s+\S+\s+(\d+) \S+:\S+:(\d+) ", line)
        if match and int(match[2]) == inode and _has_open(int(match[1]), path):
            processes.add(int(match[1]))
    return processes


def _has_open(process: int, path: Path) -> bool:
    """Whether a process has a file open; a file of another disk may have the same number."""
    facts = path.stat()
    try:
        links: Sequence[Path] = list(Path(f"/proc/{process}/fd").iterdir())
    except PermissionError:
        return True
    except OSError:
        return False
    for link in links:
        with suppress(OSError):
            other = link.stat()
            if (other.st_dev, other.st_ino) == (facts.st_dev, facts.st_ino):
                return True
    return False

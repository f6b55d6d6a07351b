"""What the supervisor leaves in the home folder for everybody else: `up.json`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from market_assets.private import put_private

if TYPE_CHECKING:
    from pathlib import Path

STATE_FILE = "up.json"

KEPT = 20
"""How many restarts are remembered."""


@dataclass(frozen=True)
class Restart:
    """A process that ended and was started again.

    Attributes:
        what: Which one: code server, or server of pages and sensors.
        at: When it ended (UTC).
        why: How, in words.
    """

    what: str
    at: datetime
    why: str


@dataclass
class State:
    """What `up.json` holds.

    Attributes:
        process: The supervisor's number.
        url: Where the pages are.
        universe: The universe file.
        started_at: When it began (UTC).
        ended_at: When it ended in good order; None while it runs, or if it was killed.
        restarts: The last ones, oldest first.
        faults: What is wrong with the universe file as it is now; the last good one is in use.
        faulty_since: When that was seen (UTC).
        taken_over_at: When another code server took over last (UTC), with a changed universe or
            after a long work.
    """

    process: int
    url: str
    universe: str
    started_at: datetime
    ended_at: datetime | None = None
    restarts: list[Restart] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    faulty_since: datetime | None = None
    taken_over_at: datetime | None = None

    def note(self, restart: Restart) -> None:
        """Remember a restart."""
        self.restarts = [*self.restarts, restart][-KEPT:]


def write_state(home: Path, state: State) -> None:
    """Write the state file, all of it or nothing.

    Raises:
        OSError: It cannot be written.
    """
    put_private(home / STATE_FILE, json.dumps(asdict(state), default=str, indent=1).encode())


def read_state(home: Path) -> State | None:
    """The state of a home folder; None where no `up` has left one that can be read."""
    try:
        document = json.loads((home / STATE_FILE).read_text())
        document["restarts"] = [
            Restart(row["what"], datetime.fromisoformat(row["at"]), row["why"])
            for row in document["restarts"]
        ]
        for name in ("started_at", "ended_at", "faulty_since", "taken_over_at"):
            document[name] = document[name] and datetime.fromisoformat(document[name])
        return State(**document)
    except (OSError, ValueError, LookupError, TypeError):
        return None

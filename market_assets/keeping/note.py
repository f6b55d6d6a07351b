"""What a prune notes in the home folder: when it was, and why the last one failed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from market_assets.private import put_private

if TYPE_CHECKING:
    from pathlib import Path

_FILE = "prune.json"


@dataclass(frozen=True)
class PruneNote:
    """How the prunes of a home went. Instants are aware.

    Attributes:
        pruned_at: When one was done last; None where none ever was.
        failed_at: Since when they fail; None where the last one was done.
        words: Why.
    """

    pruned_at: datetime | None = None
    failed_at: datetime | None = None
    words: str = ""


def read_note(home: Path) -> PruneNote:
    """The note of a home; an empty one where there is none that can be read."""
    try:
        document = json.loads((home / _FILE).read_bytes())
        instants = {
            name: None if document[name] is None else datetime.fromisoformat(document[name])
            for name in ("pruned_at", "failed_at")
        }
        return PruneNote(**instants, words=str(document["words"]))
    except (OSError, ValueError, LookupError, TypeError):
        return PruneNote()


def note_prune(home: Path, now: datetime) -> None:
    """Note that a home was pruned.

    Raises:
        OSError: The note cannot be written.
    """
    _put(home, PruneNote(now))


def note_failure(home: Path, now: datetime, words: str) -> None:
    """Note that a prune of a home has failed.

    Raises:
        OSError: The note cannot be written.
    """
    before = read_note(home)
    _put(home, PruneNote(before.pruned_at, before.failed_at or now, words))


def _put(home: Path, note: PruneNote) -> None:
    put_private(home / _FILE, json.dumps(asdict(note), default=datetime.isoformat).encode())

"""What bookkeeping costs and what is removed of it: pure values, and the files of a home folder."""

from market_assets.keeping.clock import APART, check_clock
from market_assets.keeping.files import files_of, prune_files
from market_assets.keeping.note import PruneNote, note_failure, note_prune, read_note
from market_assets.keeping.parts import (
    Advice,
    Part,
    Removed,
    advice,
    by_age,
    halves,
    size_words,
    spread,
)

__all__ = [
    "APART",
    "Advice",
    "Part",
    "PruneNote",
    "Removed",
    "advice",
    "by_age",
    "check_clock",
    "files_of",
    "halves",
    "note_failure",
    "note_prune",
    "prune_files",
    "read_note",
    "size_words",
    "spread",
]

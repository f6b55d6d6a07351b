"""What bookkeeping costs and what is removed of it: pure values, and the files of a home folder."""

from market_assets.keeping.clock import check_clock, last_prune, note_prune
from market_assets.keeping.files import files_of, prune_files
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
    "Advice",
    "Part",
    "Removed",
    "advice",
    "by_age",
    "check_clock",
    "files_of",
    "halves",
    "last_prune",
    "note_prune",
    "prune_files",
    "size_words",
    "spread",
]

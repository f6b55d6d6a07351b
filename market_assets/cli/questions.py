"""What somebody at a terminal is asked before a first universe is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from market_assets.config.kinds import Kind
from market_assets.config.starter_table import FILES, STARTERS
from market_assets.words import hint

if TYPE_CHECKING:
    from collections.abc import Callable


class Ask(Protocol):
    """Asks somebody at a terminal."""

    def __call__(self, question: str, usual: str) -> str:
        """The answer to a question; `usual` where nothing was written."""
        ...


@dataclass(frozen=True)
class Replies:
    """What was answered, as the options have it.

    Attributes:
        markets: The names of the starters.
        symbols: The symbols, separated by commas; empty for the usual ones.
        start: The first day; empty for the usual one.
        folder: Where files of candles are.
        kind: The kind of market of these files.
    """

    markets: tuple[str, ...]
    symbols: str = ""
    start: str = ""
    folder: Path | None = None
    kind: Kind | None = None


def replies_to(ask: Ask, show: Callable[[str], None]) -> Replies:
    """Ask what is to be kept.

    Args:
        ask: Asks one question.
        show: Shows a line.
    """
    show("What is to be kept? Each market becomes a profile of the universe.")
    for place, starter in enumerate(STARTERS.values(), 1):
        show(f"  {place:>2}  {starter.name:<13} {starter.title}")
    replies = Replies(_markets(ask, show))
    if FILES in replies.markets:
        folder = Path(ask("The folder of the files", ".")).expanduser()
        replies = replace(replies, folder=folder, kind=_kind(ask, show))
    if len(replies.markets) == 1:
        usual = ", ".join(STARTERS[replies.markets[0]].symbols)
        shown = "those of the files" if FILES in replies.markets else usual
        symbols = ask("Symbols, separated by commas", shown)
        replies = replace(replies, symbols="" if symbols == shown else symbols)
    start = ask("The first day (UTC), such as 2026-01-31", "a usual one")
    return replace(replies, start="" if start == "a usual one" else start)


def _markets(ask: Ask, show: Callable[[str], None]) -> tuple[str, ...]:
    names = list(STARTERS)
    while True:
        words = ask("Names or numbers, separated by spaces", names[0]).replace(",", " ").split()
        chosen = [
            names[int(word) - 1] if word.isdecimal() and 0 < int(word) <= len(names) else word
            for word in words
        ]
        strange = [word for word in chosen if word not in STARTERS]
        if chosen and not strange:
            return tuple(dict.fromkeys(chosen))
        for word in strange:
            show(f"{word} is none of them{hint(word, names)}")


def _kind(ask: Ask, show: Callable[[str], None]) -> Kind:
    names = [kind.value for kind in Kind]
    while True:
        word = ask(f"What they hold: {', '.join(names)}", names[0]).upper()
        if word in names:
            return Kind(word)
        show(f"{word} is none of them{hint(word, names)}")

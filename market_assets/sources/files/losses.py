"""Which stretches are missed because something of a file cannot be read: files, members, lines.

Pure. Other rows are no evidence of what is lost, so that a loss is never an absence that counts as
explained. Which rows cannot be read is in `refused`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from market_assets.sources.files.reach import (
    Piece,
    left_unknown,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from market_assets.market.timeframes import Window
    from market_assets.sources.files.kept import Part


@dataclass(frozen=True)
class Loss:
    """A stretch that something leaves unknown which cannot be read.

    Attributes:
        window: The stretch.
        reason: Why, in words.
        is_dated: The name of what cannot be read tells the days, so that it should have had them.
    """

    window: Window
    reason: str
    is_dated: bool = False


def losses_of_files(broken: Sequence[tuple[Piece, str]], sound: Sequence[Piece]) -> list[Loss]:
    """What files leave unknown that cannot be read.

    Args:
        broken: These files, each with the reason.
        sound: The other files of the series.
    """
    return [
        Loss(left_unknown(piece, sound), reason, is_dated=piece.period is not None)
        for piece, reason in broken
    ]


def losses_in_file(
    part: Part, damaged: Mapping[str, str], about: str, days_in: Callable[[str], Window | None]
) -> list[Loss]:
    """What members and lines of a file leave unknown.

    Args:
        part: What it has of a symbol.
        damaged: The members of a zip that cannot be read, each with the reason.
        about: Which source and file, for the reasons.
        days_in: Gives the days that a member's name says.
    """
    losses = [
        Loss(window, f"{about}: a row cannot be read: {label}") for window, label in part.unread
    ]
    pieces = [Piece(name, days_in(name), span) for name, span in sorted(part.members.items())]
    for name, reason in damaged.items():
        period = days_in(name)
        window = left_unknown(Piece(name, period), pieces)
        why = f"{about}: {name} in it cannot be read: {reason}"
        losses.append(Loss(window, why, is_dated=period is not None))
    return losses

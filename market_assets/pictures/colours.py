"""The colours of what a bar or a return may be, and its word in a legend. Pure.

Paper and ink are in `market_assets/pictures/drawing.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from market_assets.enrich.returns.align import Neutral
from market_assets.verdicts.evidence import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from market_assets.pictures.drawing import Colour

INCOMPLETE: Final = "incomplete"
"""The mark of a stored bar that lacks some of the shorter bars it is made of."""
UP: Colour = (0, 137, 123)
DOWN: Colour = (63, 81, 140)
VOLUME: Colour = (160, 174, 196)
LINE: Colour = (33, 102, 172)

MARKS: Mapping[str, tuple[Colour, Colour]] = {
    State.NO_TRADE: ((122, 128, 158), (224, 227, 238)),
    State.HALTED: ((94, 79, 162), (213, 206, 238)),
    State.CLOSED: ((140, 110, 80), (232, 222, 210)),
    INCOMPLETE: ((214, 180, 0), (255, 247, 205)),
    State.OUTAGE: ((245, 130, 32), (255, 227, 199)),
    State.ABANDONED: ((128, 0, 38), (240, 205, 212)),
    State.OPEN: ((220, 38, 47), (252, 214, 214)),
}
"""What a bar may be besides stored and whole, with two colours.

The first is that on the rail below the prices and in the legend, the second that of the band behind
the prices. A later one is drawn over an earlier one, so that a missing bar is always seen.
"""
MEASURED: Colour = (186, 224, 213)

REASONS: Mapping[str, Colour] = {
    Neutral.CLOSED_MARKET: (235, 235, 235),
    Neutral.AFTER_END: (200, 190, 220),
    Neutral.BEFORE_GENESIS: (224, 217, 238),
    "": MEASURED,
    Neutral.NO_TRADE: MARKS[State.NO_TRADE][0],
    Neutral.HALTED: MARKS[State.HALTED][0],
    Neutral.NO_PREVIOUS: (255, 221, 87),
    Neutral.UNDEFINED: (20, 20, 20),
    Neutral.UNADJUSTED: (120, 60, 20),
    Neutral.OUTAGE: MARKS[State.OUTAGE][0],
    Neutral.OPEN_GAP: MARKS[State.OPEN][0],
}
"""The colour of a cell of the mask, "" where a return was measured.

Where several bars share a cell, it has the colour of the reason that stands last here.
"""


def words_of(name: str) -> str:
    """The word of a legend for what a bar or a return is."""
    return {"": "measured", State.OPEN: "missing", State.ABANDONED: "given up"}.get(
        name, name.replace("_", " ")
    )

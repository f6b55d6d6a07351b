"""What can go wrong at a vendor, on demand.

Faults are declared in YAML or as models, and drawn by seed so that a run repeats. What changes
whole answers is carried out in `vendor`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    ByteSize,
    ConfigDict,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from market_assets.imports import late_imports
from market_assets.market.timeframes import to_micros
from market_assets.practice.simulate import noise, seeded

with late_imports():
    import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from numpy.typing import NDArray

    from market_assets.market.timeframes import Timeframe

    Row = list[Any]

RowFault = Literal[
    "hole", "revision", "off_grid", "duplicate", "nan", "null", "negative", "zero", "inverted"
]
RequestFault = Literal[
    "error",
    "delay",
    "short",
    "unsorted",
    "outside",
    "repeat",
    "html",
    "truncated",
    "cut",
    "redirect",
    "huge",
    "drip",
]


class Fault(BaseModel):
    """One fault: it strikes bars (hole to inverted) or whole requests (error to drip).

    - hole: the bars are left out.
    - revision: the bars come with other values before they come right.
    - off_grid: the bars open `seconds` late.
    - duplicate: the bars come twice.
    - nan, null, negative, zero: the prices of the bars are such.
    - inverted: the high of the bars is below the low.
    - error: an answer with `status`, `code` and `message`.
    - delay: the answer comes `seconds` late.
    - short: the answer has only the first `rows` of the page.
    - unsorted: the page comes backwards.
    - outside: the page has `bars` more on either side of the window.
    - repeat: the page before comes again.
    - html, truncated: what their names say.
    - cut: the connection breaks in the body.
    - redirect: a 302.
    - huge: a body of `size`.
    - drip: one byte every `seconds`.

    Attributes:
        fault: Which one.
        symbols: The symbols that it strikes; empty is all.
        start: The first time that it strikes: of bars, their opens; of requests, any part of their
            window.
        end: The first time that it no longer strikes.
        every: Of requests every nth; of bars one block of `bars` in n, drawn by the seed.
        times: After so many strikes (for bars: of the same block) it is over. None is never; a
            revision strikes once.
        ends_at: When it is over, by the vendor's clock.
        bars: Neighbouring bars that are struck together.
        status: The HTTP status of an error; 200 hides the error in the body.
        code: The vendor's code of an error.
        message: The vendor's words for it.
        retry_after: Seconds that an error asks the client to wait.
        http_date: True to say so by a date.
        seconds: Of delay, drip and off_grid.
        rows: Of a short page.
        size: Of a huge body.
        heals_after: So many seconds after a bar's open it is as it should be: what comes late, or
            is revised later. Of requests only those for bars younger than that are struck.
        cycle: It comes again each so many seconds: of bars by their opens, of requests by the
            vendor's clock.
        phase: So many seconds after the beginning of its cycle it begins.
        lasts: So many seconds of its cycle it strikes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    fault: RowFault | RequestFault
    symbols: frozenset[str] = frozenset()
    start: AwareDatetime | None = None
    end: AwareDatetime | None = None
    every: PositiveInt = 1
    times: PositiveInt | None = None
    ends_at: AwareDatetime | None = None
    bars: PositiveInt = 1
    status: int = 503
    code: int = -1000
    message: str = "An unknown error occurred while processing the request."
    retry_after: NonNegativeInt | None = None
    http_date: bool = False
    seconds: NonNegativeFloat = 1
    rows: NonNegativeInt = 1
    size: ByteSize = ByteSize(100_000_000)
    heals_after: PositiveFloat | None = None
    cycle: PositiveInt | None = None
    phase: NonNegativeInt = 0
    lasts: PositiveInt = 60

    @model_validator(mode="after")
    def _fits_its_cycle(self) -> Fault:
        if self.cycle is not None and self.phase + self.lasts > self.cycle:
            raise ValueError(
                f"phase {self.phase} and lasts {self.lasts} "
                f"reach beyond the cycle of {self.cycle} seconds"
            )
        return self

    @property
    def strikes_bars(self) -> bool:
        """True where it changes bars, False where it changes answers."""
        return self.fault in _SPOILT


class Faults:
    """The faults of a running vendor, with what they have done so far.

    Args:
        faults: The faults, in the order in which they are applied.
        seed: Draws the bars that are struck.
        clock: Says when a fault is over.
    """

    def __init__(self, faults: list[Fault], seed: int, clock: Callable[[], datetime]) -> None:
        self._faults = list(enumerate(faults))
        self._seed = seed
        self._clock = clock
        self._asked: Counter[int] = Counter()
        self._struck: Counter[tuple[object, ...]] = Counter()

    def of_request(self, symbol: str, first: int, last: int) -> Iterator[Fault]:
        """Give the faults that strike a request for bars of a stretch of time.

        Args:
            symbol: The symbol that is asked for.
            first: The first millisecond since 1970 of the stretch.
            last: The last one, included.
        """
        for place, fault in self._faults:
            if fault.strikes_bars or not self._concerns(fault, symbol):
                continue
            start, end = _bounds(fault)
            now = to_micros(self._clock()) // 1000
            if (
                last < max(start, _healed(fault, now))
                or first >= end
                or not _in_cycle(fault, np.array([now]))[0]
            ):
                continue
            self._asked[place] += 1
            if self._asked[place] % fault.every == 0 and self._may(fault, place):
                yield fault

    def of_rows(
        self, symbol: str, timeframe: Timeframe, opens: NDArray[np.int64]
    ) -> Iterator[tuple[Fault, NDArray[np.bool_]]]:
        """Give the faults that strike some of a page's bars, and which."""
        for place, fault in self._faults:
            if not fault.strikes_bars or not self._concerns(fault, symbol):
                continue
            start, end = _bounds(fault)
            healed = _healed(fault, to_micros(self._clock()) // 1000)
            struck = (opens >= start) & (opens < end) & (opens > healed) & _in_cycle(fault, opens)
            block = (
                opens // (timeframe.micros // 1000 * fault.bars)
                if fault.every > 1
                else np.zeros_like(opens)
            )
            if fault.every > 1:
                struck &= noise(seeded(self._seed + place, symbol), block) < 2 / fault.every - 1
            if fault.times is not None or (fault.fault == "revision" and fault.heals_after is None):
                for number in np.unique(block[struck]):
                    if not self._may(fault, place, symbol, timeframe, int(number)):
                        struck &= block != number
            if struck.any():
                yield fault, struck

    def _concerns(self, fault: Fault, symbol: str) -> bool:
        return (not fault.symbols or symbol in fault.symbols) and (
            fault.ends_at is None or self._clock() < fault.ends_at
        )

    def _may(self, fault: Fault, *where: object) -> bool:
        """Count one strike, unless it was struck as often as it may be."""
        once = fault.fault == "revision" and fault.heals_after is None
        times = 1 if once and fault.times is None else fault.times
        if times is not None and self._struck[where] >= times:
            return False
        self._struck[where] += 1
        return True


def spoil(fault: Fault, rows: list[Row], struck: NDArray[np.bool_]) -> list[Row]:
    """Change the struck ones of a page's rows, which are in Binance's order of elements."""
    change = _SPOILT[fault.fault]
    return [
        new
        for row, hit in zip(rows, struck, strict=True)
        for new in (change(row, fault) if hit else [row])
    ]


def _bounds(fault: Fault) -> tuple[float, float]:
    """The stretch that the fault strikes, in milliseconds since 1970.

    The start belongs to it, the end does not.
    """
    return (
        -np.inf if fault.start is None else to_micros(fault.start) // 1000,
        np.inf if fault.end is None else to_micros(fault.end) // 1000,
    )


def _healed(fault: Fault, now: int) -> float:
    """The last millisecond whose bars are as they should be again, as enough time has passed."""
    return -np.inf if fault.heals_after is None else now - fault.heals_after * 1000


def _in_cycle(fault: Fault, instants: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of some milliseconds lie where the fault strikes in its cycle.

    All of them where it has no cycle.
    """
    if fault.cycle is None:
        return np.ones_like(instants, bool)
    within = instants % (fault.cycle * 1000)
    return (within >= fault.phase * 1000) & (within < (fault.phase + fault.lasts) * 1000)


def _prices(row: Row, change: Callable[[str], str | None]) -> list[Row]:
    return [[row[0], *map(change, row[1:5]), *row[5:]]]


_SPOILT: dict[str, Callable[[Row, Fault], list[Row]]] = {
    "hole": lambda _row, _fault: [],
    "revision": lambda row, _fault: [[*row[:4], row[1], "1", *row[6:]]],
    "off_grid": lambda row, fault: [[row[0] + round(1000 * fault.seconds), *row[1:]]],
    "duplicate": lambda row, _fault: [row, row],
    "nan": lambda row, _fault: _prices(row, lambda _: "NaN"),
    "null": lambda row, _fault: _prices(row, lambda _: None),
    "negative": lambda row, _fault: _prices(row, lambda price: f"-{price}"),
    "zero": lambda row, _fault: _prices(row, lambda _: "0"),
    "inverted": lambda row, _fault: [[*row[:2], row[3], f"1{row[2]}", *row[4:]]],
}

"""The formats that the practice vendor speaks: a table, no code.

It says how each vendor is asked for candles, and how it writes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from market_assets.market.timeframes import Timeframe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class Format:
    """How one vendor is asked, and how it answers.

    Attributes:
        path: Where it is asked; {symbol} and {interval} may stand in it.
        names: What the query calls symbol, interval, start, end and limit; what is not named cannot
            be said in it.
        intervals: The vendor's word for each timeframe that it has.
        row: Makes a row out of one of Binance's.
        answer: Makes the answer out of the symbol and its rows.
        error: Makes the body of an error out of a code and its words.
        unknown: Status, code and words for a symbol that does not exist; None where it is answered
            with no rows.
        wrong: Status and code for a request that it does not understand.
        millis: Milliseconds in one count of the times in a query; 0 where they are ISO 8601.
        limit: Rows in a page by default, and at most.
        newest_first: True where a page begins with its newest row, and lacks older ones when it is
            full.
        oldest_first: The name and the value in a query that turn this round.
        after: True where what opens at the start itself does not belong to what is asked for.
        latest: So many bars up to the present it has, and no older ones.
        weight: What a request weighs.
        timeframes: The timeframe of each of the vendor's words.
    """

    path: str
    names: Mapping[str, str]
    intervals: Mapping[Timeframe, str]
    row: Callable[[list[Any]], Any]
    answer: Callable[[str, list[Any]], Any]
    error: Callable[[int, str], Any]
    unknown: tuple[int, int, str] | None
    wrong: tuple[int, int]
    millis: int = 1
    limit: tuple[int, int] = (1000, 1000)
    newest_first: bool = False
    oldest_first: tuple[str, str] | None = None
    after: bool = False
    latest: int | None = None
    weight: int = 1
    timeframes: Mapping[str, Timeframe] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "timeframes", {word: timeframe for timeframe, word in self.intervals.items()}
        )

    def read_time(self, text: str) -> int:
        """Milliseconds since 1970 of a time in a query.

        Raises:
            ValueError: The text is no such time.
        """
        if self.millis:
            if not (text.isascii() and text.isdecimal() and len(text) <= 15):
                raise ValueError(text)
            return int(text) * self.millis
        instant = datetime.fromisoformat(text)
        return int(instant.replace(tzinfo=instant.tzinfo or UTC).timestamp() * 1000)


def _minutes(*timeframes: Timeframe) -> dict[Timeframe, str]:
    return {timeframe: str(timeframe.micros // 60_000_000) for timeframe in timeframes}


_INTRADAY = (Timeframe.M1, Timeframe.M5, Timeframe.M15, Timeframe.M30, Timeframe.H1, Timeframe.H4)

BINANCE = Format(
    path="/api/v3/klines",
    names={
        "symbol": "symbol",
        "interval": "interval",
        "start": "startTime",
        "end": "endTime",
        "limit": "limit",
    },
    intervals={timeframe: timeframe.value for timeframe in Timeframe},
    row=lambda row: row,
    answer=lambda _symbol, rows: rows,
    error=lambda code, words: {"code": code, "msg": words},
    unknown=(400, -1121, "Invalid symbol."),
    wrong=(400, -1100),
    limit=(500, 1000),
    weight=2,
)
BINANCE_USDM = replace(BINANCE, path="/fapi/v1/klines", limit=(500, 1500))
BITFINEX = Format(
    path="/v2/candles/trade:{interval}:{symbol}/hist",
    names={"start": "start", "end": "end", "limit": "limit"},
    intervals={
        **{length: length.value for length in _INTRADAY if length is not Timeframe.H4},
        Timeframe.D1: "1D",
    },
    row=lambda row: [row[0], *(_number(row[place]) for place in (1, 4, 2, 3, 5))],
    answer=lambda _symbol, rows: rows,
    error=lambda code, words: ["error", code, words],
    unknown=None,
    wrong=(500, 10020),
    limit=(100, 10_000),
    newest_first=True,
    oldest_first=("sort", "1"),
)
BYBIT = Format(
    path="/v5/market/kline",
    names={
        "symbol": "symbol",
        "interval": "interval",
        "start": "start",
        "end": "end",
        "limit": "limit",
    },
    intervals={**_minutes(*_INTRADAY), Timeframe.D1: "D", Timeframe.W1: "W"},
    row=lambda row: [str(row[0]), *row[1:6], row[7]],
    answer=lambda symbol, rows: {
        "retCode": 0,
        "retMsg": "OK",
        "result": {"symbol": symbol, "list": rows},
    },
    error=lambda code, words: {"retCode": code, "retMsg": words, "result": {}},
    unknown=(200, 10001, "Not supported symbols"),
    wrong=(200, 10001),
    limit=(200, 1000),
    newest_first=True,
)
COINBASE = Format(
    path="/products/{symbol}/candles",
    names={"interval": "granularity", "start": "start", "end": "end"},
    intervals={
        timeframe: str(timeframe.micros // 1_000_000)
        for timeframe in (Timeframe.M1, Timeframe.M5, Timeframe.M15, Timeframe.H1, Timeframe.D1)
    },
    row=lambda row: [_seconds(row[0]), *(_number(row[place]) for place in (3, 2, 1, 4, 5))],
    answer=lambda _symbol, rows: rows,
    error=lambda _code, words: {"message": words},
    unknown=(404, 0, "NotFound"),
    wrong=(400, 0),
    millis=0,
    limit=(300, 300),
    newest_first=True,
)
KRAKEN = Format(
    path="/0/public/OHLC",
    names={"symbol": "pair", "interval": "interval", "start": "since"},
    intervals=_minutes(*_INTRADAY, Timeframe.D1),
    row=lambda row: [_seconds(row[0]), *row[1:5], _vwap(row), row[5], row[8]],
    answer=lambda symbol, rows: {
        "error": [],
        "result": {symbol: rows, "last": rows[-1][0] if rows else 0},
    },
    error=lambda _code, words: {"error": [words]},
    unknown=(200, 0, "EQuery:Unknown asset pair"),
    wrong=(200, 0),
    millis=1000,
    limit=(720, 720),
    after=True,
    latest=720,
)
FORMATS = (BINANCE, BINANCE_USDM, BITFINEX, BYBIT, COINBASE, KRAKEN)


def _number(cell: Any) -> Any:  # noqa: ANN401 - a spoilt cell is handed on
    try:
        return float(cell)
    except (TypeError, ValueError):
        return cell


def _vwap(row: list[Any]) -> str:
    """The mean price as Kraken writes it: 0 where nothing was traded."""
    volume, paid = _number(row[5]), _number(row[7])
    is_known = isinstance(volume, float) and isinstance(paid, float) and volume > 0
    return f"{paid / volume:.8f}" if is_known else "0.0"


def _seconds(cell: Any) -> Any:  # noqa: ANN401 - a spoilt cell is handed on
    return cell // 1000 if isinstance(cell, int) else cell

"""How the files of vendors and platforms are written.

Presets for an archive's settings, and names of columns.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ColumnName = Literal[
    "ts",
    "date",
    "time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "symbol",
    "quote_volume",
    "trades",
    "taker_buy_volume",
    "vwap",
]
PRICES: tuple[ColumnName, ...] = ("open", "high", "low", "close")

EXTRA_COLUMNS: tuple[ColumnName, ...] = ("quote_volume", "trades", "taker_buy_volume", "vwap")
"""The columns of `columns.EXTRAS` as a file may have them."""

_PRICES: dict[ColumnName, tuple[str, ...]] = {
    "open": ("open",),
    "high": ("high",),
    "low": ("low",),
    "close": ("close",),
    "volume": ("volume", "vol"),
}
_QUOTES = ("usd", "usdt", "usdc", "busd", "tusd", "dai", "eur", "gbp", "jpy", "krw", "try")
"""Currencies that prices are given in: a volume in one of them is a turnover."""

_ANY_TIME = (
    "ts", "time", "timestamp", "datetime", "date", "date/time", "date time", "open time",
    "opentime", "gmt time", "local time", "utc time", "time (*)", "utc", "unix", "unix timestamp",
    "epoch", "window start", "ts event", "start", "begin", "bar time", "candle begin time",
)  # fmt: skip
"""What a column of times may be called, in files whose layout is not named."""


@dataclass(frozen=True)
class Layout:
    """One way in which files are written.

    Attributes:
        note: Whose files these are, and what to mind.
        sign: How only such a file begins, as a pattern.
        settings: Keys of the source; the universe may set each of them otherwise.
        names: What the columns may be called in a header, in small letters, `_` as a blank; `*`
            stands for anything, and `a + b` for the sum of two columns.
        extras: Where extra columns stand in a file without a header.
    """

    note: str
    sign: str
    settings: Mapping[str, object] = field(default_factory=dict)
    names: Mapping[ColumnName, tuple[str, ...]] = field(default_factory=dict)
    extras: Mapping[ColumnName, int] = field(default_factory=dict)

    @property
    def all_names(self) -> dict[ColumnName, tuple[str, ...]]:
        """The names of all columns, also of those that everybody calls the same."""
        return {**_PRICES, **self.names}


_NEW_YORK = "America/New_York"
_META: dict[ColumnName, tuple[str, ...]] = {
    "ts": ("date",),
    "date": ("date",),
    "time": ("time",),
    "volume": ("tickvol", "tick volume", "vol", "volume"),
}

LAYOUTS: dict[str, Layout] = {
    "histdata": Layout(
        "HistData.com: 20240311 000000;1.09;... in EST without summer time",
        settings={"header": False, "clock": "-05:00"},
        sign=r"^\d{8} \d{6};[\d.]+;[\d.]+;[\d.]+;[\d.]+;\d+\s*$",
    ),
    "mt5": Layout(
        "MetaTrader 5, export of bars: <DATE> <TIME> by tabs; set clock to the broker's, "
        "often New York + 7h",
        settings={},
        names=_META,
        sign=r"^<DATE>\t(<TIME>\t)?<OPEN>",
    ),
    "mt4": Layout(
        "MetaTrader 4, history centre: 2024.03.11,00:00,1.09,...; set clock to the broker's, "
        "often New York + 7h",
        settings={"header": False},
        names=_META,
        sign=r"^\d{4}\.\d\d\.\d\d[,;\t]\d\d:\d\d[,;\t]",
    ),
    "kibot": Layout(
        "Kibot: 03/11/2024,09:30,... in New York's time; bars without a trade are left out",
        settings={
            "header": False,
            "timezone": _NEW_YORK,
            "format": "%m/%d/%Y",
            "quiet_minutes": "omitted",
        },
        names={"ts": ("date",), "date": ("date",), "time": ("time",)},
        sign=r"^\d\d/\d\d/\d{4},(\d\d:\d\d,)?[\d.]+,[\d.]+,[\d.]+,[\d.]+,\d+\s*$",
    ),
    "stooq": Layout(
        "Stooq: <TICKER>,<PER>,<DATE>,<TIME>,...; times of Warsaw",
        settings={"timezone": "Europe/Warsaw"},
        names={
            "ts": ("date", "data"),
            "date": ("date",),
            "time": ("time",),
            "open": ("open", "otwarcie"),
            "high": ("high", "najwyzszy"),
            "low": ("low", "najnizszy"),
            "close": ("close", "zamkniecie"),
            "volume": ("vol", "volume", "wolumen"),
            "symbol": ("ticker",),
        },
        sign=r"^<TICKER>,<PER>|^Data,Otwarcie,",
    ),
    "firstrate": Layout(
        "FirstRate Data: 2024-03-11 04:00:00,... in New York's time; "
        "bars without a trade are left out",
        settings={"header": False, "timezone": _NEW_YORK, "quiet_minutes": "omitted"},
        names={"ts": ("timestamp", "datetime", "date")},
        sign=r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,[\d.]+,[\d.]+,[\d.]+,[\d.]+,\d+\s*$",
    ),
    "dukascopy": Layout(
        "Dukascopy: Gmt time,Open,... with 11.03.2024 00:00:00.000; a local time tells its zone",
        settings={"format": "%d.%m.%Y"},
        names={
            "ts": (
                "gmt time",
                "local time",
                "utc time",
                "time (*)",
                "timestamp",
                "time",
                "utc",
                "eet",
            )
        },
        sign=r"(?i)^(Gmt time|Local time|Time \((UTC|EET)\)|UTC),",
    ),
    "tradestation": Layout(
        'TradeStation: "Date","Time","Open",...,"Up","Down"; bars bear the time they end at, '
        "in New York",
        settings={"timezone": _NEW_YORK, "format": "%m/%d/%Y", "stamps": "close"},
        names={
            "ts": ("date",),
            "date": ("date",),
            "time": ("time",),
            "volume": ("up + down", "vol", "volume", "total volume"),
        },
        sign=(
            r'(?i)^"Date","Time","Open","High","Low","Close","(Up|Vol)'
            r'|^"?Date"?,"?Time"?,"?Open"?,"?High"?,"?Low"?,"?Close"?,"?(Up"?,"?Down|Vol"?,"?OI)'
        ),
    ),
    "yahoo": Layout(
        "Yahoo Finance, by hand or yfinance: Date,Open,High,Low,Close,Adj Close,Volume; "
        "prices are divided by splits",
        settings={},
        names={
            "ts": ("date", "datetime", "price"),
            "close": ("close", "close close price adjusted for splits.", "close*"),
        },
        sign=r"(?i)^(Date|Datetime),(?=.*Adj Close)|^Price,(Adj Close,)?Close,High,Low,Open,Volume",
    ),
    "alphavantage": Layout(
        "Alpha Vantage: timestamp,open,..., newest first, in New York's time",
        settings={"timezone": _NEW_YORK},
        names={"ts": ("timestamp",)},
        sign=(
            r"^timestamp,open,high,low,close,adjusted_close,volume"
            r"|^timestamp,open,high,low,close,volume\n(?P<newest>\d{4}-\d\d-\d\d(?: "
            r"\d\d:\d\d:\d\d)?),"
            r"[^\n]*\n(?P<older>\d{4}-\d\d-\d\d(?: \d\d:\d\d:\d\d)?),"
        ),
    ),
    "tiingo": Layout(
        "Tiingo: date,close,high,low,open,volume,adjClose,...",
        settings={},
        names={"ts": ("date", "timestamp")},
        sign=r"^(?:[^\n]*,)?date,(?=.*adjClose|close,high,low,open)",
    ),
    "ibkr": Layout(
        "Interactive Brokers, as ib_insync and ib_async write it: date,open,...,average,barCount; "
        "volume -1 is none",
        settings={"null_volume": -1},
        names={
            "ts": ("date", "datetime", "time"),
            "trades": ("barcount", "bar count", "count"),
            "vwap": ("average", "wap"),
        },
        sign=r"(?i)^[^\n]*\b(average|barCount|wap)\b",
    ),
    "databento": Layout(
        "Databento: ts_event,...,open,high,low,close,volume,symbol; prices are whole billionths",
        settings={"price_scale": 1e-9, "quiet_minutes": "omitted"},
        names={"ts": ("ts event",), "symbol": ("symbol",)},
        sign=r"^ts_event,",
    ),
    "polygon": Layout(
        "Polygon's flat files: ticker,volume,open,close,high,low,window_start,...: "
        "a file a day with all symbols",
        settings={"quiet_minutes": "omitted"},
        names={"ts": ("window start",), "symbol": ("ticker",), "trades": ("transactions",)},
        sign=r"^ticker,volume,open,close,high,low,window_start",
    ),
    "cryptodatadownload": Layout(
        "CryptoDataDownload: an address in the first line, "
        "then unix,date,symbol,open,...,Volume BTC,Volume USD",
        settings={},
        names={
            "ts": ("unix", "unix timestamp", "date"),
            "volume": ("volume", "volume *"),
            "quote_volume": tuple(f"volume {quote}" for quote in _QUOTES),
            "trades": ("tradecount", "trade count", "buytradecount + selltradecount"),
        },
        sign=r"(?i)^https?://www\.cryptodatadownload\.com",
    ),
    "kraken": Layout(
        "Kraken's dumps: 1381095240,... without a header, named like XBTUSD_1.csv; "
        "quiet bars are left out",
        settings={"header": False, "quiet_minutes": "omitted"},
        extras={"trades": 6},
        sign=r"^\d{10},[\d.]+,[\d.]+,[\d.]+,[\d.]+,[\d.]+,\d+\s*$",
    ),
    "binance": Layout(
        "Binance's dumps of klines, with or without a header",
        settings={"header": False},
        names={
            "ts": ("open time",),
            "quote_volume": ("quote volume", "quote asset volume"),
            "trades": ("count", "number of trades", "trades"),
            "taker_buy_volume": (
                "taker buy volume",
                "taker buy base asset volume",
                "taker buy base volume",
            ),
        },
        extras={"quote_volume": 7, "trades": 8, "taker_buy_volume": 9},
        sign=r"^(\d{13}|\d{16}),([\d.]+,){5}(\d{13}|\d{16}),|^open_time,open,",
    ),
}
"""The layouts by name."""

LayoutName = Literal[
    "histdata",
    "mt5",
    "mt4",
    "kibot",
    "stooq",
    "firstrate",
    "dukascopy",
    "tradestation",
    "yahoo",
    "alphavantage",
    "tiingo",
    "ibkr",
    "databento",
    "polygon",
    "cryptodatadownload",
    "kraken",
    "binance",
]

_ALIASES = {
    "histdatacom": "histdata",
    "metatrader5": "mt5",
    "metatrader4": "mt4",
    "firstratedata": "firstrate",
    "yahoofinance": "yahoo",
    "yfinance": "yahoo",
    "interactivebrokers": "ibkr",
    "ib": "ibkr",
    "polygonflatfiles": "polygon",
    "massive": "polygon",
    "stooqcom": "stooq",
    "cdd": "cryptodatadownload",
    "krakendumps": "kraken",
    "binancedumps": "binance",
    "binancevision": "binance",
}


def layout_named(name: object) -> object:
    """A layout's name as this package writes it.

    `Alpha Vantage`, `alpha_vantage` and `alphavantage` are one.
    """
    if not isinstance(name, str):
        return name
    plain = re.sub(r"[\s_.-]", "", name).casefold()
    return _ALIASES.get(plain, plain)


def plain_name(name: str) -> str:
    """A column's name without what differs from file to file.

    Signs around it and large letters are gone, and `_` is a blank.
    """
    return " ".join(name.strip().strip("<>\"'").replace("_", " ").split()).casefold()


def column_of(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """The first of some wanted columns that a file has; `a + b` where it has both."""
    plain = {plain_name(name): name for name in reversed(names)}
    for alias in wanted:
        parts = [part.strip() for part in alias.split(" + ")]
        if len(parts) > 1 and all(part in plain for part in parts):
            return " + ".join(plain[part] for part in parts)
        if "*" in alias:
            matches = [name for name in plain if fnmatchcase(name, alias)][::-1]
            traded = [name for name in matches if not name.endswith(_QUOTES)]
            if matches:
                return plain[(traded or matches)[0]]
        if alias in plain:
            return plain[alias]
    return None


def guess_layout(text: str) -> str | None:
    """The layout whose files begin like a text; None where none is known to."""
    start = "\n".join(line.rstrip() for line in text.splitlines() if line.strip())
    return next((name for name, layout in LAYOUTS.items() if _is_signed(layout, start)), None)


def _is_signed(layout: Layout, start: str) -> bool:
    """Whether a text begins as files of a layout do.

    Where the sign names two stamps, the newest must stand first.
    """
    match = re.search(f"(?m){layout.sign}", start.partition("\n")[0]) or re.match(
        layout.sign, start
    )
    if match is None:
        return False
    stamps = match.groupdict()
    return "newest" not in stamps or stamps["newest"] is None or stamps["newest"] > stamps["older"]


def guess_columns(names: Sequence[str]) -> dict[ColumnName, str]:
    """What the columns of a file without a known layout are called, by their names.

    A column whose name says nothing is left out.
    """
    wanted: dict[ColumnName, tuple[str, ...]] = {
        "ts": _ANY_TIME,
        "open": ("open", "o", "open price", "first", "op"),
        "high": ("high", "h", "high price", "max", "hi"),
        "low": ("low", "l", "low price", "min", "lo"),
        "close": ("close", "c", "last", "close price", "cl", "price"),
        "volume": ("volume", "vol", "v", "vol.", "quantity", "tickvol", "tick volume", "volume *"),
        "quote_volume": ("quote volume", "quote asset volume", "quotevolume", "turnover"),
        "trades": ("trades", "number of trades", "trade count", "tradecount", "transactions"),
        "taker_buy_volume": (
            "taker buy volume",
            "taker buy base asset volume",
            "taker buy base volume",
        ),
        "vwap": ("vwap", "wap", "average"),
    }
    headings = {column: column_of(names, aliases) for column, aliases in wanted.items()}
    date, time = column_of(names, ("date", "day")), column_of(names, ("time", "hour"))
    columns: dict[ColumnName, str] = {
        column: name for column, name in headings.items() if name is not None
    }
    if "ts" not in columns and names and plain_name(names[0]) in {"", "unnamed: 0", "index"}:
        # As pandas writes an index.
        columns["ts"] = names[0]
    if date and time:
        columns.pop("ts", None)
        columns |= {"date": date, "time": time}
    return columns

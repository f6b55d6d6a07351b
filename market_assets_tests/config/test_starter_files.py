"""A folder of files as a first universe: what they are called, hold, and since when."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from market_assets.config.kinds import Kind
from market_assets.config.starter_files import files_part
from market_assets.config.starter_text import checked_text, read_back, universe_text
from market_assets.config.starters import Wishes
from market_assets.errors import StarterError
from market_assets.market.timeframes import Timeframe

TODAY = date(2026, 12, 1)


def candles(first: datetime, bars: int, step: timedelta = timedelta(minutes=1)) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "ts": [first + place * step for place in range(bars)],
            "open": [1.0] * bars,
            "high": [2.0] * bars,
            "low": [0.5] * bars,
            "close": [1.5] * bars,
            "volume": [3.0] * bars,
        }
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two symbols, one since January, one since March, which ends on the 2nd."""
    place = tmp_path / "dumps"
    place.mkdir()
    candles(datetime(2026, 3, 1), 2000).write_csv(place / "BTCUSDT_1m.csv")  # noqa: DTZ001
    candles(datetime(2026, 1, 5), 100).write_csv(place / "ETHUSDT_1m.csv")  # noqa: DTZ001
    return place


def test_the_files_say_their_symbols_timeframe_and_days(folder: Path, tmp_path: Path) -> None:
    part = files_part(Wishes(folder=folder, kind=Kind.CRYPTO), base=tmp_path, today=TODAY)

    assert part.settings["path"] == "dumps/{symbol}_{timeframe}.csv"
    assert (part.symbols, part.fetch) == (
        {"BTCUSDT": "BTCUSDT", "ETHUSDT": "ETHUSDT"},
        Timeframe.M1,
    )
    assert (part.start, part.end) == (date(2026, 1, 5), date(2026, 3, 3))
    path = tmp_path / "universe.yaml"
    path.write_text(checked_text(universe_text([part], TODAY), {}))
    (profile,) = read_back(path, {}).profiles.values()
    assert (profile.start, profile.end) == (part.start, part.end)


def test_files_that_go_on_have_no_end_and_lie_where_they_lie(folder: Path) -> None:
    elsewhere = Path("/somewhere")
    part = files_part(
        Wishes(folder=folder, kind=Kind.CRYPTO), base=elsewhere, today=date(2026, 3, 8)
    )

    assert part.end is None
    assert part.settings["path"] == str(folder / "{symbol}_{timeframe}.csv")


def test_parquet_files_of_days_need_no_more_than_the_folder(tmp_path: Path) -> None:
    frame = candles(datetime(2026, 1, 5), 5, timedelta(days=1))  # noqa: DTZ001
    frame.write_parquet(tmp_path / "AAPL__1d.parquet")
    part = files_part(Wishes(folder=tmp_path, kind=Kind.EQUITY), base=tmp_path, today=TODAY)

    assert (part.fetch, part.derive) == (Timeframe.D1, (Timeframe.W1,))
    assert (part.symbols, part.start) == ({"AAPL": "AAPL"}, date(2026, 1, 5))


def test_options_win_over_what_the_files_say(folder: Path) -> None:
    wishes = Wishes(
        folder=folder,
        kind=Kind.CRYPTO,
        symbols=("BTC=BTCUSDT",),
        timeframes=(Timeframe.M1, Timeframe.H1),
        start=date(2026, 2, 1),
    )
    part = files_part(wishes, base=folder, today=TODAY)

    assert (part.symbols, part.derive) == ({"BTC": "BTCUSDT"}, (Timeframe.H1,))
    assert part.start == date(2026, 2, 1)


@pytest.mark.parametrize(
    ("name", "text", "timeframes", "words"),
    [
        ("", "", (), "holds no file that ends in .parquet"),
        ("A_1m.csv", "nothing,of,this\n1,2,3\n", (), "market-assets inspect"),
        ("A_1m.csv", None, (Timeframe.H1,), "has bars of 1m, and the shortest one named is 1h"),
        (
            "A.csv",
            "ts,open,high,low,close\n2026-01-05T00:00:00Z,1,2,1,2\n",
            (),
            "how long its bars",
        ),
    ],
    ids=["nothing", "no candles", "another length", "one bar"],
)
def test_a_folder_that_cannot_be_used_is_refused_with_the_next_step(
    tmp_path: Path, name: str, text: str | None, timeframes: tuple[Timeframe, ...], words: str
) -> None:
    if name:
        bars = candles(datetime(2026, 1, 5), 50).write_csv()  # noqa: DTZ001
        (tmp_path / name).write_text(bars if text is None else text)
    wishes = Wishes(folder=tmp_path, kind=Kind.CRYPTO, timeframes=timeframes)

    with pytest.raises(StarterError) as fault:
        files_part(wishes, base=tmp_path, today=TODAY)

    assert words in str(fault.value)


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StarterError, match="is no folder"):
        files_part(Wishes(folder=tmp_path / "no", kind=Kind.CRYPTO), base=tmp_path, today=TODAY)


def test_a_file_of_many_symbols_says_them_all(tmp_path: Path) -> None:
    bars = candles(datetime(2026, 1, 5, 15), 30)  # noqa: DTZ001
    names = [f"T{place}" for place in range(8)]
    rows = pl.concat(
        [
            bars.select(
                pl.lit(name).alias("ticker"),
                "volume",
                "open",
                "close",
                "high",
                "low",
                pl.col("ts").cast(pl.Datetime("ns")).to_physical().alias("window_start"),
                pl.lit(1).alias("transactions"),
            )
            for name in names
        ]
    )
    rows.write_csv(tmp_path / "2026-01-05.csv")

    part = files_part(Wishes(folder=tmp_path, kind=Kind.EQUITY), base=tmp_path, today=TODAY)

    assert list(part.symbols) == names
    assert part.settings["path"] == "{date}.csv"


def test_a_symbol_that_is_named_twice_is_refused(folder: Path) -> None:
    wishes = Wishes(folder=folder, kind=Kind.CRYPTO, symbols=("BTC=BTCUSDT", "BTC=ETHUSDT"))
    with pytest.raises(StarterError, match="BTC is named twice"):
        files_part(wishes, base=folder, today=TODAY)

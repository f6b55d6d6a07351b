"""The practice source: a vendor of its own inside the process, or one that runs elsewhere."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from market_assets.errors import SourceError
from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import Timeframe, Window
from market_assets.sources.contract import build_source

START = datetime(2024, 3, 4, tzinfo=UTC)
END = START + timedelta(days=1)


@pytest.fixture
def fetch(tmp_path):
    def fetch(
        symbol,
        *,
        kind="crypto",
        start=START,
        end=START + timedelta(minutes=1000),
        timeframe=Timeframe.M1,
        **settings,
    ):
        async def within():
            source = build_source("practice", {"retries": 0} | settings, base=tmp_path, kind=kind)
            async with source:
                return await source.fetch(symbol, timeframe, start, end)

        return asyncio.run(within())

    return fetch


def test_without_an_address_it_brings_its_own_vendor(fetch):
    assert fetch("BTCUSDT").height == 1000


def test_two_sources_of_one_seed_give_the_same_candles(fetch):
    assert fetch("BTCUSDT", seed=3).equals(fetch("BTCUSDT", seed=3))
    assert not fetch("BTCUSDT", seed=3).equals(fetch("BTCUSDT", seed=4))


@pytest.mark.parametrize(
    ("kind", "symbol", "calendar"),
    [
        ("crypto", "BTCUSDT", "24/7"),
        ("equity", "SPY", "XNYS"),
        ("futures", "ES", "CME Globex Equity"),
        ("forex", "EURUSD", "FOREX"),
    ],
)
def test_a_symbol_trades_in_the_sessions_of_its_profiles_kind(fetch, kind, symbol, calendar):
    minutes = fetch(symbol, kind=kind, start=START, end=END)

    assert (
        minutes["ts"].to_list()
        == load_calendar(calendar).expected(Timeframe.M1, Window(START, END)).to_list()
    )


def test_what_is_special_about_a_symbol_is_a_setting(fetch):
    frame = fetch(
        "SPY",
        symbols={"SPY": {"kind": "equity", "price": 580, "genesis": "2024-03-04T15:00Z"}},
        end=END,
    )

    assert frame["ts"][0] == datetime(2024, 3, 4, 15)  # noqa: DTZ001 - a frame's times bear no zone
    assert 400 < frame["close"][0] < 800


def test_faults_are_had_inline_and_from_a_file(fetch, tmp_path):
    (tmp_path / "faults.yaml").write_text(
        "- {fault: hole, start: 2024-03-04T00:10Z, end: 2024-03-04T00:20Z}\n"
        "- {fault: hole, symbols: [ETHUSDT]}\n"
    )
    inline = [{"fault": "hole", "start": "2024-03-04T01:00Z", "end": "2024-03-04T02:00Z"}]

    assert fetch("BTCUSDT", faults=inline).height == 940
    assert fetch("BTCUSDT", faults=inline, faults_file="faults.yaml").height == 930
    assert fetch("ETHUSDT", faults_file="faults.yaml").is_empty()


@pytest.mark.parametrize("text", ["- {fault: gremlins}", "fault: [", "just words"])
def test_a_faults_file_that_makes_no_sense_is_an_error_that_names_it(fetch, tmp_path, text):
    (tmp_path / "faults.yaml").write_text(text)

    with pytest.raises(
        SourceError, match=r"the faults file .*faults\.yaml cannot be used"
    ) as caught:
        fetch("BTCUSDT", faults_file="faults.yaml")

    assert caught.value.permanent


def test_candles_of_a_folder_take_the_place_of_simulated_ones(fetch, tmp_path):
    (tmp_path / "data").mkdir()
    fetch("BTCUSDT").head(10).write_parquet(tmp_path / "data" / "MINE__1m.parquet")

    assert fetch("MINE", data="data").equals(fetch("BTCUSDT").head(10))


def test_with_an_address_it_asks_that_vendor(fetch, vendor):
    frame = fetch("BTCUSDT", base_url=vendor.url)

    assert frame.height == 1000
    assert len(vendor.log) == 1


def test_it_has_binances_traits_and_finds_the_first_bar(tmp_path):
    async def probe():
        settings = {"symbols": {"SPY": {"genesis": "2020-01-01T00:00Z"}}}
        async with build_source("practice", settings, base=tmp_path, kind="equity") as source:
            return (
                source.traits,
                await source.earliest("SPY", Timeframe.M1),
                await source.earliest("SPY", Timeframe.D1),
            )

    traits, first_minute, first_day = asyncio.run(probe())

    assert (traits.page_size, traits.emits_empty_bars, traits.earliest_probe) == (1000, True, True)
    assert first_minute == datetime(2020, 1, 2, 14, 30, tzinfo=UTC)
    assert first_day == datetime(2020, 1, 2, tzinfo=UTC)


def test_it_can_be_told_to_name_no_first_bar_and_to_serve_its_latest_bars_alone(tmp_path):
    source = build_source(
        "practice", {"earliest_probe": False, "latest_only": 720}, base=tmp_path, kind="crypto"
    )
    assert (source.traits.earliest_probe, source.traits.latest_only) == (False, 720)
    assert build_source("practice", {}, base=tmp_path, kind="crypto").traits.latest_only is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"symbols": {"SPY": {"prise": 5}}},
        {"symbols": {"SPY": {"kind": "metal"}}},
        {"faults": [{"fault": "gremlins"}]},
        {"base_url": "here"},
        {"latest_only": 0},
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path, wrong):
    with pytest.raises(ValidationError):
        build_source("practice", wrong, base=tmp_path, kind="crypto")

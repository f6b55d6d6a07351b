"""How a source is found, built, and told the unit of a time."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from market_assets.errors import SourceError
from market_assets.market.timeframes import TS, Timeframe, from_micros
from market_assets.sources.contract import build_source, epoch_to_us, source_types
from market_assets.sources.files.archive import ArchiveSource
from market_assets.sources.vendors.binance import BinanceSource
from market_assets.sources.vendors.practice import PracticeSource


def test_the_installed_types_are_found_by_name():
    types = source_types()

    assert {"archive", "binance", "practice"} <= set(types)
    assert (types["archive"], types["binance"], types["practice"]) == (
        ArchiveSource,
        BinanceSource,
        PracticeSource,
    )


def test_a_source_is_of_the_type_it_is_named_after_unless_it_says_another():
    by_name = build_source("archive", {"path": "{symbol}.csv"}, base=Path(), kind="crypto")
    by_type = build_source(
        "sparse", {"type": "archive", "path": "{symbol}.csv"}, base=Path(), kind="crypto"
    )

    assert isinstance(by_name, ArchiveSource)
    assert isinstance(by_type, ArchiveSource)
    assert by_type.name == "sparse"


def test_an_unknown_type_is_an_error_with_a_suggestion():
    with pytest.raises(
        SourceError, match="no source type is called binanse; did you mean binance"
    ) as caught:
        build_source("binanse", {}, base=Path(), kind="crypto")

    assert caught.value.permanent


@pytest.mark.parametrize("name", ["archive", "binance", "practice"])
def test_a_key_that_a_source_does_not_have_is_refused(name):
    with pytest.raises(ValidationError, match="bogus"):
        build_source(name, {"path": "{symbol}.csv", "bogus": 1}, base=Path(), kind="crypto")


@pytest.mark.parametrize("name", ["archive", "binance", "practice"])
def test_every_source_declares_its_traits(name):
    settings = {"path": "{symbol}.csv"} if name == "archive" else {}
    source = build_source(name, settings, base=Path(), kind="equity")

    assert source.traits.timeframes == frozenset(Timeframe)
    assert source.traits.page_size == (100_000 if name == "archive" else 1000)
    assert source.traits.emits_empty_bars
    assert source.traits.earliest_probe == (name != "archive")
    assert source.concurrency >= 1
    assert source.usage.requests == 0


@given(st.integers(105_000_000, 7_000_000_000), st.sampled_from([1, 1_000, 1_000_000]))
def test_a_count_since_1970_is_read_in_whatever_unit_it_is(seconds, per_micro):
    micros = seconds * 1_000_000
    count = {1: micros // 1_000_000, 1_000: micros // 1_000, 1_000_000: micros}[per_micro]
    frame = pl.DataFrame({"ts": [count, micros * 1_000]}).select(epoch_to_us(pl.col("ts")))

    assert frame.schema == {"ts": TS}
    assert {from_micros(value) for value in frame["ts"].to_physical()} == {from_micros(micros)}


def test_binances_archives_go_on_in_microseconds():
    frame = pl.DataFrame({"ts": [1735689540000, 1735689600000000, None]}).select(
        epoch_to_us(pl.col("ts"))
    )

    # A frame's times have no zone.
    assert frame["ts"].to_list() == [
        datetime(2024, 12, 31, 23, 59),  # noqa: DTZ001
        datetime(2025, 1, 1),  # noqa: DTZ001
        None,
    ]

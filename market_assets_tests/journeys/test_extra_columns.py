"""Extra columns on their way from a vendor to a reader, and the quality of what is read."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

import market_assets
from market_assets.enrich.derive import Derive
from market_assets.errors import ReadError
from market_assets.market.columns import EXTRA_NAMES
from market_assets.market.timeframes import Timeframe, Window
from market_assets.practice.faults import Fault
from market_assets_tests.support.fill_ground import at

BTC = "symbols: {BTC: {}}\n"
MINUTES = BTC + "timeframes: {fetch: [1m], derive: [1h]}\nstart: 2025-02-27\nend: 2025-02-28\n"
HOUR = Window(at("2025-02-27T10:00"), at("2025-02-27T11:00"))


@pytest.fixture
def read(ground):
    """Reads as a user does."""
    return lambda table, **options: market_assets.read(
        "kept", table, universe=ground.universe, home=ground.store.path.parent, **options
    )


@pytest.fixture
def derive(ground):
    """Derives hours of everything; gives how many bars are not what they were."""

    def derive() -> int:
        window = ground.profile.window(ground.clock())
        return sum(
            outcome.new for outcome in Derive(ground.store, ground.scope(Timeframe.H1), window)
        )

    return derive


def plain(ground, *columns: str) -> pl.DataFrame:
    """What is stored of BTC, as a file without extra columns has it, but for some."""
    with ground.store.reading("testing") as view:
        rows = view.candles.rows(
            "kept",
            f"candles_{ground.profile.base_timeframe}",
            ["BTC"],
            Window(at("2025-01-01"), at("2026-01-01")),
        )
    return rows.select("ts", "open", "high", "low", "close", "volume", *columns).sort("ts")


def test_what_a_vendor_gives_is_stored_rolled_up_and_read(ground, read, derive):
    ground.keep(MINUTES)
    ground.fill()

    minutes = read("candles_1m")
    assert derive() == 24
    hours = read("candles_1h")

    traded = minutes.filter(pl.col("volume") > 0)
    assert len(traded) > 1000
    assert (
        traded.select("quote_volume", "trades", "taker_buy_volume")
        .null_count()
        .sum_horizontal()
        .item()
        == 0
    )
    assert traded.filter(pl.col("taker_buy_volume") > pl.col("volume")).is_empty()
    assert minutes["vwap"].null_count() == len(minutes)
    (ten,) = hours.filter(pl.col("ts") == HOUR.start.replace(tzinfo=None)).to_dicts()
    own = minutes.filter(HOUR.holds())
    for name in ("quote_volume", "trades", "taker_buy_volume"):
        assert ten[name] == pytest.approx(own[name].sum())
    assert ten["vwap"] == pytest.approx(own["quote_volume"].sum() / own["volume"].sum())
    assert ten["low"] <= ten["vwap"] <= ten["high"]
    assert derive() == 0


def test_asking_again_changes_nothing(ground):
    ground.keep(MINUTES)
    ground.fill()
    before = plain(ground, *EXTRA_NAMES)
    versions = ground.table("SELECT changed_at FROM ops.partitions").rows()

    (outcome,) = ground.fill(refetch=True)

    assert (outcome.new, outcome.revised) == (0, 0)
    assert plain(ground, *EXTRA_NAMES).equals(before)
    assert ground.table("SELECT changed_at FROM ops.partitions").rows() == versions


def test_a_home_from_before_is_filled_by_a_refetch_and_what_hangs_on_it_is_made_again(
    ground, derive, read
):
    ground.keep(MINUTES)
    ground.fill()
    given = plain(ground, *EXTRA_NAMES)
    with ground.store.writing("as an earlier version has left it") as transaction:
        for name in EXTRA_NAMES:
            transaction.connection.execute(f"UPDATE kept.candles_1m SET {name} = NULL")
    assert derive() == 24
    assert read("candles_1h")["trades"].null_count() == 24
    (version,) = ground.table("SELECT changed_at FROM ops.partitions WHERE timeframe = '1m'").rows()
    ground.wait(minutes=1)

    (outcome,) = ground.fill(refetch=True)

    assert (outcome.new, outcome.revised) == (0, 0)
    assert plain(ground, *EXTRA_NAMES).equals(given)
    assert (
        ground.table("SELECT changed_at FROM ops.partitions WHERE timeframe = '1m'").row(0)
        > version
    )
    assert ground.table("SELECT count(*) FROM ops.revisions").item() == 0
    assert derive() == 24
    assert read("candles_1h")["trades"].null_count() == 0


def test_a_value_that_cannot_be_is_null_and_counted_and_its_bar_is_stored(ground, read):
    ground.keep(MINUTES)
    ground.fill()
    bars = plain(ground, *EXTRA_NAMES).with_columns(
        vwap=pl.when(pl.int_range(pl.len()) == 100).then(pl.col("high") * 2).otherwise("close"),
        trades=pl.when(pl.int_range(pl.len()).is_in([3, 5])).then(-1).otherwise("trades"),
    )
    ground.settings.clear()
    ground.add_archive("files", {"BTC": bars})
    ground.store.path.unlink()
    ground.keep(MINUTES)

    (outcome,) = ground.fill()

    (validity,) = [verdict for verdict in outcome.verdicts if verdict.check == "validity"]
    assert validity.passed
    assert outcome.failures == ()
    assert (validity.facts["set to null: trades"], validity.facts["set to null: vwap"]) == (2, 1)
    found = read("candles_1m")
    assert len(found) == len(bars)
    assert found["trades"].null_count() == 2
    unweighted = found.filter(pl.col("volume") == 0).height
    assert found["vwap"].null_count() == 1 + unweighted


def test_of_a_source_without_extras_every_column_is_there_and_null(ground, read, derive):
    ground.keep(MINUTES)
    ground.fill()
    bars = plain(ground)
    ground.settings.clear()
    ground.add_archive("files", {"BTC": bars})
    ground.store.path.unlink()
    ground.keep(MINUTES)
    ground.fill()
    derive()

    for table in ("candles_1m", "candles_1h"):
        found = read(table)
        assert found.columns[-4:] == list(EXTRA_NAMES)
        assert found.select(EXTRA_NAMES).null_count().row(0) == (len(found),) * 4
    assert read("candles_1m", wide="trades").columns == ["ts", "BTC"]


class TestQuality:
    def test_of_a_source_alone_every_bar_is_single(self, ground, read, derive):
        ground.keep(MINUTES)
        ground.fill()
        derive()

        assert read("candles_1m", quality=True)["quality"].unique().to_list() == ["single"]
        assert read("candles_1h", quality=True)["quality"].unique().to_list() == ["single"]
        assert "quality" not in read("candles_1m").columns

    def test_what_another_source_has_too_is_confirmed_bar_by_bar(self, ground, read, derive):
        ground.keep(MINUTES)
        ground.fill()
        other = plain(ground)
        minute = pl.int_range(pl.len())
        other = other.with_columns(
            close=pl.when(minute.is_in([30, 31])).then(pl.col("high") * 1.05).otherwise("close")
        )
        other = other.with_columns(high=pl.max_horizontal("high", "close")).filter(minute != 200)
        ground.add_archive("files", {"BTC": other})
        ground.keep("agreement: {sample: 1}\n" + MINUTES)
        ground.fill(refetch=True)
        derive()

        found = read("candles_1m", quality=True)["quality"].to_list()
        assert [at for at, word in enumerate(found) if word == "disputed"] == [30, 31]
        assert [at for at, word in enumerate(found) if word == "single"] == [200]
        assert found.count("confirmed") == len(found) - 3
        hours = read("candles_1h", quality=True)["quality"].to_list()
        assert [hours[0], hours[1], hours[3], hours[4]] == [
            "disputed",
            "confirmed",
            "single",
            "confirmed",
        ]

    def test_what_was_other_before_is_revised(self, ground, vendor, read, derive):
        ground.keep(MINUTES)
        ground.fill()
        vendor.set_faults(
            [Fault(fault="revision", start=HOUR.start, end=HOUR.start + timedelta(minutes=2))]
        )
        ground.wait(minutes=1)
        ground.fill(refetch=True)
        derive()

        found = read("candles_1m", quality=True).filter(pl.col("quality") == "revised")
        assert found["ts"].to_list() == [
            HOUR.start.replace(tzinfo=None, minute=minute) for minute in (0, 1)
        ]
        hours = read("candles_1h", quality=True).filter(pl.col("quality") != "single")
        assert hours.select("ts", "quality").rows() == [
            (HOUR.start.replace(tzinfo=None), "revised")
        ]

    def test_what_was_seen_absent_and_filled_later_is_late(self, ground, vendor, read):
        vendor.set_faults(
            [Fault(fault="hole", start=HOUR.start, end=HOUR.start + timedelta(minutes=3))]
        )
        ground.keep(MINUTES)
        ground.fill()
        vendor.set_faults([])
        ground.wait(hours=3)
        ground.fill()

        found = read("candles_1m", quality=True).filter(pl.col("quality") == "late")
        assert found["ts"].to_list() == [
            HOUR.start.replace(tzinfo=None, minute=minute) for minute in (0, 1, 2)
        ]
        assert read(
            "candles_1m",
            quality=True,
            symbols="BTC",
            start="2025-02-27T10:02",
            end="2025-02-27T10:04",
        )["quality"].to_list() == ["late", "single"]
        assert read("candles_1m", quality=True, wide="quality").columns == ["ts", "BTC"]

    def test_only_candles_have_one(self, ground, read):
        ground.keep(BTC + "timeframes: {fetch: [1h], returns: [1h]}\n")

        with pytest.raises(ReadError, match="read candles_1h with it"):
            read("returns_1h", quality=True)

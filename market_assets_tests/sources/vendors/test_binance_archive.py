"""Binance's archives: real candles in zips of its form, on a server of our own.

The tests cover all that can be wrong with them.
"""

from __future__ import annotations

import asyncio
import logging
import re
import zipfile
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from pydantic import ValidationError

from market_assets.config.load import load_universe
from market_assets.config.sources import source_of
from market_assets.errors import SourceError
from market_assets.expected.scope import scope_of
from market_assets.fill.fill import Fill
from market_assets.fill.options import FillOptions
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import TS, Timeframe, Window
from market_assets.sources.contract import CANDLE_SCHEMA, build_source, venue_of
from market_assets.sources.vendors.binance import BinanceSettings
from market_assets.sources.vendors.binance_archive import (
    BinanceArchiveSettings,
    BinanceArchiveSource,
)
from market_assets.store import Store
from market_assets_tests.support.binance_archives import (
    Vision,
    files_in,
    lines,
    member,
    packed,
    real,
    run,
    within,
)

NOW = datetime(2025, 8, 18, 18, 15, tzinfo=UTC)
JUNE = Window(datetime(2025, 6, 1, tzinfo=UTC), datetime(2025, 7, 1, tzinfo=UTC))
MONTH = "data/spot/monthly/klines/BTCUSDT/15m/BTCUSDT-15m-2025-06.zip"
DAY = timedelta(days=1)
REFUSED = b'{"code":-1121,"msg":"Invalid symbol."}'


def day(text: str) -> Window:
    start = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return Window(start, start + DAY)


def daily(text: str, timeframe: str = "15m") -> str:
    return f"data/spot/daily/klines/BTCUSDT/{timeframe}/BTCUSDT-{timeframe}-{text}.zip"


class TestMonths:
    def test_a_month_is_one_zip_and_nothing_else(self, vision, ask_archive, bitcoin):
        frame = ask_archive(vision, JUNE)

        assert frame.schema == CANDLE_SCHEMA
        assert frame.equals(within(bitcoin, JUNE))
        assert vision.log == [f"{MONTH}.CHECKSUM", MONTH]

    @pytest.mark.parametrize("header", [False, True])
    @pytest.mark.parametrize("unit", ["ms", "us"])
    def test_times_in_either_unit_are_read_with_a_line_of_names_or_without(
        self, ask_archive, bitcoin, unit, header
    ):
        vision = Vision()
        vision.publish(MONTH, within(bitcoin, JUNE), unit=unit, header=header)

        assert ask_archive(vision, JUNE).equals(within(bitcoin, JUNE))

    def test_futures_are_in_a_place_of_their_own(self, ask_archive, shared):
        coins = real(shared, "binance-usdm__FILUSDT__1m")
        september = Window(datetime(2023, 9, 1, tzinfo=UTC), datetime(2023, 10, 1, tzinfo=UTC))
        path = "data/futures/um/monthly/klines/FILUSDT/1m/FILUSDT-1m-2023-09.zip"
        vision = Vision()
        vision.publish(path, within(coins, september), unit="ms", header=True)

        frame = ask_archive(
            vision, september, symbol="FILUSDT", timeframe=Timeframe.M1, market="usdm"
        )

        assert frame.equals(within(coins, september))
        assert vision.log == [f"{path}.CHECKSUM", path]

    def test_a_page_across_the_end_of_a_month_takes_each_bar_from_one_archive(
        self, vision, ask_archive, bitcoin
    ):
        # This archive has a day too many on either side.
        july = Window(datetime(2025, 6, 30, tzinfo=UTC), datetime(2025, 8, 2, tzinfo=UTC))
        vision.publish(MONTH.replace("06", "07"), within(bitcoin, july))
        page = Window(datetime(2025, 6, 20, 3, tzinfo=UTC), datetime(2025, 7, 20, 5, tzinfo=UTC))

        assert ask_archive(vision, page).equals(within(bitcoin, page))
        assert len(vision.log) == 4

    def test_a_month_without_a_zip_comes_from_those_of_its_days(self, vision, ask_archive, bitcoin):
        del vision.files[f"{MONTH}.CHECKSUM"]
        for date in ("2025-06-09", "2025-06-10"):
            vision.publish(daily(date), within(bitcoin, day(date)))
        page = Window(datetime(2025, 6, 9, 12, tzinfo=UTC), datetime(2025, 6, 11, tzinfo=UTC))

        assert ask_archive(vision, page).equals(within(bitcoin, page))
        files = [daily("2025-06-09"), daily("2025-06-10")]
        assert vision.log == [
            f"{MONTH}.CHECKSUM",
            *(name for path in files for name in (f"{path}.CHECKSUM", path)),
        ]

    def test_an_empty_window_asks_nothing(self, vision, ask_archive):
        assert ask_archive(vision, Window(JUNE.start, JUNE.start)).equals(CANDLE_SCHEMA.to_frame())
        assert not vision.log

    def test_weeks_are_asked_for_by_rest_alone(self, ask_archive, bitcoin):
        monday = datetime(2025, 6, 2, tzinfo=UTC)
        weeks = (
            within(bitcoin, JUNE)
            .head(3)
            .with_columns(
                pl.Series("ts", [monday + n * 7 * DAY for n in range(3)])
                .dt.replace_time_zone(None)
                .cast(TS)
            )
        )
        vision = Vision(live=weeks)

        assert ask_archive(
            vision, Window(monday, monday + 21 * DAY), timeframe=Timeframe.W1
        ).equals(weeks)
        assert vision.log == ["rest 2025-06-02 00:00 1000"]


class TestRest:
    def test_the_newest_days_come_by_rest_and_no_archive_of_them_is_looked_for(
        self, vision, ask_archive, bitcoin
    ):
        for date in ("2025-08-15", "2025-08-16", "2025-08-17"):
            vision.publish(daily(date), within(bitcoin, day(date)))
        page = Window(datetime(2025, 8, 15, tzinfo=UTC), NOW)

        assert ask_archive(vision, page).equals(within(bitcoin, page))
        assert vision.log[-1] == "rest 2025-08-18 00:00 1000"
        assert not [
            entry for entry in vision.log[:-1] if "monthly" in entry or "2025-08-18" in entry
        ]

    def test_a_day_whose_archive_is_not_published_yet_comes_by_rest(
        self, vision, ask_archive, bitcoin
    ):
        vision.publish(daily("2025-08-16"), within(bitcoin, day("2025-08-16")))
        page = Window(datetime(2025, 8, 16, tzinfo=UTC), datetime(2025, 8, 18, tzinfo=UTC))

        assert ask_archive(vision, page).equals(within(bitcoin, page))
        assert vision.log[2:] == [f"{daily('2025-08-17')}.CHECKSUM", "rest 2025-08-17 00:00 1000"]

    def test_in_the_first_hours_after_a_day_its_archive_is_not_looked_for(
        self, vision, ask_archive
    ):
        ask_archive(vision, day("2025-08-17"), now=datetime(2025, 8, 18, 5, 59, tzinfo=UTC))

        assert vision.log == ["rest 2025-08-17 00:00 1000"]

    def test_a_day_that_was_left_out_of_a_month_comes_by_rest(self, vision, ask_archive, bitcoin):
        whole = within(bitcoin, JUNE)
        vision.publish(MONTH, whole.filter(~day("2025-06-09").holds()))

        assert ask_archive(vision, JUNE).sort("ts").equals(whole)
        assert vision.log[2:] == ["rest 2025-06-09 00:00 1000"]

    def test_what_both_have_not_is_absent(self, ask_archive, shared):
        minutes = real(shared, "binance-spot-2023outage__BTCUSDT__1m")
        outage = day("2023-03-24")
        vision = Vision(live=minutes)
        vision.publish(daily("2023-03-24", "1m"), within(minutes, outage), unit="ms")

        frame = ask_archive(vision, outage, timeframe=Timeframe.M1)

        assert frame.equals(within(minutes, outage))
        assert 1300 < frame.height < 1440
        assert [entry for entry in vision.log if entry.startswith("rest")] == [
            "rest 2023-03-24 12:40 1000"
        ]

    def test_rest_gives_nothing_that_an_archive_has(self, ask_archive, bitcoin):
        # Its first bar opens off the grid, so that REST is asked for it and gives it again.
        odd = within(bitcoin, JUNE).with_columns(
            pl.when(pl.int_range(pl.len()) == 0)
            .then(pl.col("ts") + timedelta(seconds=3))
            .otherwise("ts")
            .alias("ts")
        )
        vision = Vision(live=odd)
        vision.publish(MONTH, odd)

        assert ask_archive(vision, JUNE).equals(odd)

    def test_of_a_symbol_that_is_listed_no_more_the_archives_speak_for_themselves(
        self, vision, ask_archive, bitcoin
    ):
        vision.refusal = (400, REFUSED)
        some = within(bitcoin, JUNE).filter(~day("2025-06-09").holds())
        vision.publish(MONTH, some)

        assert ask_archive(vision, JUNE).equals(some)

    @pytest.mark.parametrize(
        "refusal",
        [
            (451, b'{"code":0,"msg":"restricted location"}'),
            (404, b""),
            (400, b'{"code":-1100,"msg":"no"}'),
        ],
    )
    def test_a_refusal_of_something_else_than_the_symbol_is_no_absence(
        self, vision, ask_archive, bitcoin, refusal
    ):
        vision.refusal = refusal
        vision.publish(MONTH, within(bitcoin, JUNE).filter(~day("2025-06-09").holds()))

        with pytest.raises(SourceError, match=f"HTTP {refusal[0]}"):
            ask_archive(vision, JUNE)

    def test_where_there_is_no_archive_a_refusal_is_one(self, vision, ask_archive):
        vision.refusal = (400, REFUSED)

        with pytest.raises(
            SourceError, match=r"BTCUSDT 15m 2025-07-01 .*-1121 Invalid symbol"
        ) as caught:
            ask_archive(vision, Window(JUNE.start, JUNE.end + DAY))

        assert caught.value.permanent

    def test_trouble_that_may_pass_is_no_absence(self, vision, ask_archive, bitcoin):
        vision.refusal = (503, b"busy")
        vision.publish(MONTH, within(bitcoin, JUNE).head(100))

        with pytest.raises(SourceError, match="HTTP 503") as caught:
            ask_archive(vision, JUNE)

        assert not caught.value.permanent

    def test_after_three_days_without_an_archive_the_rest_of_the_month_is_not_looked_for(
        self, ask_archive, bitcoin
    ):
        vision = Vision(live=bitcoin)

        assert ask_archive(vision, JUNE).equals(within(bitcoin, JUNE))
        assert vision.log[:4] == [
            f"{path}.CHECKSUM" for path in (MONTH, *(daily(f"2025-06-0{n}") for n in (1, 2, 3)))
        ]
        assert all(entry.startswith("rest") for entry in vision.log[4:])

    def test_what_is_not_there_is_asked_for_once_in_a_run(self, build_archive, bitcoin):
        vision = Vision(live=bitcoin)
        source = build_archive(vision)
        question = ("BTCUSDT", Timeframe.M15, day("2025-06-09"))
        run(source, question, question)

        looked = [f"{MONTH}.CHECKSUM", f"{daily('2025-06-09')}.CHECKSUM"]
        assert [entry for entry in vision.log if not entry.startswith("rest")] == looked
        vision.publish(MONTH, within(bitcoin, JUNE))
        run(source, question)
        assert vision.log[-1] == MONTH


class TestFills:
    def test_a_refetch_finds_what_a_replaced_archive_has_revised(
        self, vision, build_archive, bitcoin, tmp_path, profile
    ):
        store = Store(tmp_path / "home", clock=lambda: NOW)
        kept = profile(
            "kind: CRYPTO\n"
            "start: 2025-06-01\n"
            "end: 2025-07-01\n"
            "timeframes: {fetch: [15m]}\n"
            "symbols: {BTCUSDT: {}}\n"
        )
        name = kept.symbols["BTCUSDT"].sources[0].source

        def fill(**how) -> list[str]:
            vision.log.clear()
            sources = {name: build_archive(vision)}
            list(Fill(store, sources, scope_of(kept, Timeframe.M15, NOW), JUNE, FillOptions(**how)))
            return vision.log

        archive = [f"{MONTH}.CHECKSUM", MONTH]
        # Its first bar of all is asked for, as it might have been listed in that month.
        assert fill() == ["rest 1970-01-01 00:00 1", *archive]
        assert stored(store).equals(within(bitcoin, JUNE))
        assert fill() == []
        corrected = within(bitcoin, JUNE).with_columns(
            volume=pl.when(pl.col("ts") == pl.col("ts").max()).then(1.5).otherwise("volume")
        )
        vision.publish(MONTH, corrected)
        assert fill(refetch=True)[-2:] == archive
        assert stored(store).equals(corrected)
        with store.reading("testing") as view:
            old = view.revisions.of(
                Dataset.candles("kept", Timeframe.M15), "BTCUSDT", JUNE.end - timedelta(minutes=15)
            )
        assert old["volume"].to_list() == within(bitcoin, JUNE)["volume"].tail(1).to_list()


def stored(store: Store) -> pl.DataFrame:
    with store.reading("testing") as view:
        return (
            view.candles.of(Dataset.candles("kept", Timeframe.M15), ["BTCUSDT"], JUNE)
            .select(CANDLE_SCHEMA.names())
            .sort("ts")
        )


class TestTrust:
    def test_a_download_that_went_wrong_once_is_repeated(self, vision, ask_archive, bitcoin):
        answers = [b"PK broken", vision.files[MONTH]]
        vision.files[MONTH] = lambda: answers.pop(0)

        assert ask_archive(vision, JUNE).equals(within(bitcoin, JUNE))

    def test_an_archive_that_is_replaced_between_the_two_requests_is_taken_as_it_is_then(
        self, vision, ask_archive, bitcoin
    ):
        new = within(bitcoin, JUNE).with_columns(volume=pl.col("volume") * 2)

        def replace_it() -> bytes:
            vision.publish(MONTH, new)
            return vision.files[MONTH]

        vision.files[MONTH] = replace_it

        assert ask_archive(vision, JUNE).equals(new)

    @pytest.mark.parametrize("body", [b"PK broken", b"<html>Maintenance</html>", b""])
    def test_a_zip_without_its_checksum_costs_itself_and_is_not_kept(
        self, vision, ask_archive, bitcoin, *, tmp_path, body, caplog
    ):
        vision.files[MONTH] = body

        assert ask_archive(vision, JUNE).equals(within(bitcoin, JUNE))
        assert "source mine: archive BTCUSDT-15m-2025-06.zip: its sha256 is not" in caplog.text
        assert vision.log.count(MONTH) == 2
        assert files_in(tmp_path) == []

    def test_its_days_come_from_their_own_archives(self, vision, ask_archive, bitcoin):
        vision.files[MONTH] = b"PK broken"
        dates = [f"2025-06-{number:02}" for number in range(1, 31)]
        for date in dates:
            vision.publish(daily(date), within(bitcoin, day(date)))
        vision.put(daily("2025-06-09"), b"<html>Maintenance</html>")
        vision.put(daily("2025-06-10"), b"")

        assert ask_archive(vision, JUNE).sort("ts").equals(within(bitcoin, JUNE))
        asked = [line for line in vision.log if line.startswith("rest")]
        assert asked == ["rest 2025-06-09 00:00 1000"]

    def test_where_nobody_else_has_its_bars_it_is_an_error_that_names_it(self, vision, ask_archive):
        vision.files[MONTH] = b"PK broken"
        vision.refusal = (400, REFUSED)

        with pytest.raises(
            SourceError,
            match=r"archive BTCUSDT-15m-2025-06\.zip: its sha256 is not.*Invalid symbol.*; name",
        ) as caught:
            ask_archive(vision, JUNE)

        assert not caught.value.permanent

    @pytest.mark.parametrize(
        "body", [b"", b"<html>Maintenance</html>", b"0" * 63, b"g" * 64, b"0" * 65]
    )
    def test_what_is_no_checksum_is_an_error_that_may_pass(self, vision, ask_archive, body):
        vision.files[f"{MONTH}.CHECKSUM"] = body

        with pytest.raises(
            SourceError,
            match=r"archive BTCUSDT-15m-2025-06\.zip\.CHECKSUM: no answer after 2 attempts",
        ):
            ask_archive(vision, JUNE)

    def test_a_zip_that_is_gone_is_as_good_as_none(self, vision, ask_archive, bitcoin):
        del vision.files[MONTH]

        assert ask_archive(vision, day("2025-06-09")).equals(within(bitcoin, day("2025-06-09")))
        assert vision.log[-1] == "rest 2025-06-09 00:00 1000"

    @pytest.mark.parametrize(
        ("spoil", "words"),
        [
            (lambda text: packed({"x.csv": text})[:-30], "no zip, or damaged"),
            (lambda _text: b"<html>Maintenance</html>", "no zip, or damaged: .*<html>Maintenance"),
            (lambda _text: b"", "no zip"),
            (lambda text: packed({"other.csv": text}), "there is no BTCUSDT-15m-2025-06.csv in it"),
            (
                lambda _text: packed({member(MONTH): b"<html>\nMaintenance\n</html>"}),
                "its lines are not candles",
            ),
            (
                lambda _text: packed({member(MONTH): b"a,b,c,d,e,f\ng,h,i,j,k,l\n"}),
                "its lines are not candles",
            ),
            (lambda text: packed({member(MONTH): text}, zipfile.ZIP_LZMA), "packed oddly"),
        ],
    )
    def test_a_file_with_the_right_checksum_can_be_no_archive(
        self, vision, ask_archive, bitcoin, *, spoil, words, caplog
    ):
        vision.put(MONTH, spoil(lines(within(bitcoin, JUNE).head(5))))

        with caplog.at_level(logging.WARNING):
            assert ask_archive(vision, JUNE).equals(within(bitcoin, JUNE))

        said = next(line for line in caplog.messages if "BTCUSDT-15m-2025-06.zip: " in line)
        assert re.search(rf"source mine: archive BTCUSDT-15m-2025-06\.zip: .*{words}", said)
        assert len(said) < 600

    def test_no_other_file_of_a_zip_is_read(self, vision, ask_archive, bitcoin):
        others = {"../../evil.csv": b"\0" * 1000, "BTCUSDT-15m-2025-05.csv": lines(bitcoin.head(3))}
        vision.put(MONTH, packed(others | {member(MONTH): lines(within(bitcoin, JUNE))}))

        assert ask_archive(vision, JUNE).equals(within(bitcoin, JUNE))

    def test_an_empty_archive_is_one_without_candles(self, vision, ask_archive, bitcoin):
        vision.put(MONTH, packed({member(MONTH): b""}))

        assert ask_archive(vision, JUNE).equals(within(bitcoin, JUNE))

    @pytest.mark.parametrize("harm", ["cut", "drip", "huge", "busy"])
    def test_a_server_in_trouble_is_a_timely_error_and_nothing_half_written(
        self, build_archive, serve, tmp_path, harm
    ):
        async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
            if b"CHECKSUM" in request:
                writer.write(b"HTTP/1.1 200 X\r\nconnection: close\r\n\r\n" + b"0" * 64)
                return
            size = 10**9 if harm == "huge" else 1000
            writer.write(
                (
                    f"HTTP/1.1 {503 if harm == 'busy' else 200} X\r\ncontent-length: {size}\r\n\r\n"
                ).encode()
                + b"PK"
            )
            while harm == "drip":
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)

        url = serve(answer).url
        source = build_archive(Vision(), base_url=url, total_timeout=0.2, max_elapsed=0.5)

        with pytest.raises(SourceError, match=r"source mine: archive BTCUSDT-15m-2025-06\.zip"):
            run(source, ("BTCUSDT", Timeframe.M15, JUNE))

        assert files_in(tmp_path) == []

    @pytest.mark.parametrize("symbol", ["../../etc", "BTC/USDT", "a b", "BTC?x=1", "", "BTC.USDT"])
    def test_what_is_no_symbol_reaches_neither_the_vendor_nor_the_disk(
        self, vision, ask_archive, symbol
    ):
        with pytest.raises(SourceError, match="is no symbol of Binance") as caught:
            ask_archive(vision, JUNE, symbol=symbol)

        assert caught.value.permanent
        assert not vision.log


class TestGenesis:
    def test_the_first_bar_is_rests(self, vision, build_archive, bitcoin):
        assert first_of(build_archive(vision)) == bitcoin["ts"][0].replace(tzinfo=UTC)
        assert vision.log == ["rest 1970-01-01 00:00 1"]

    def test_where_rest_refuses_there_is_none_to_name(self, vision, build_archive, caplog):
        vision.refusal = (400, REFUSED)

        with caplog.at_level(logging.WARNING):
            assert first_of(build_archive(vision)) is None
        assert "-1121 Invalid symbol.; its archives are asked all the same" in caplog.text

    def test_trouble_is_no_answer(self, vision, build_archive):
        vision.refusal = (500, b"")

        with pytest.raises(SourceError, match="HTTP 500"):
            first_of(build_archive(vision))

    def test_it_speaks_for_any_window(self, vision, build_archive):
        assert build_archive(vision).answers_for("BTCUSDT", Timeframe.M1) is None


def first_of(source: BinanceArchiveSource) -> datetime | None:
    async def probe() -> datetime | None:
        async with source:
            return await source.earliest("BTCUSDT", Timeframe.M15)

    return asyncio.run(probe())


class TestSettings:
    def test_it_is_installed_under_its_name(self, tmp_path):
        source = build_source("binance_archive", {"cache": "zips"}, base=tmp_path, kind="crypto")

        assert isinstance(source, BinanceArchiveSource)
        assert source.traits.kinds == {"crypto"}

    def test_one_word_makes_both_halves_ask_for_futures(self):
        model = BinanceArchiveSettings.model_validate(
            {"market": "usdm", "rest": {"concurrency": 2}}
        )

        assert model.rest == BinanceSettings.model_validate({"market": "usdm", "concurrency": 2})
        assert model.rest.base_url == "https://fapi.binance.com"

    def test_two_markets_are_refused(self):
        with pytest.raises(ValidationError, match="rest is asked for usdm, the archives for spot"):
            BinanceArchiveSettings.model_validate({"rest": {"market": "usdm"}})

    @pytest.mark.parametrize(
        "wrong", [{"market": "coinm"}, {"rest": {"rats": 1}}, {"rest": 5}, {"market": []}]
    )
    def test_wrong_settings_are_refused(self, wrong):
        with pytest.raises(ValidationError):
            BinanceArchiveSettings.model_validate(wrong)

    @pytest.mark.parametrize(("market", "venue"), [("spot", "binance"), ("usdm", "binance-usdm")])
    def test_its_prices_are_those_of_its_market(self, market, venue):
        assert (
            venue_of(BinanceArchiveSource, BinanceArchiveSettings(market=market), "crypto") == venue
        )

    def test_its_rest_shares_the_limit_of_the_binance_source_of_the_same_home(
        self, monkeypatch, tmp_path
    ):
        path = tmp_path / "universe.yaml"
        path.write_text(
            "sources: {binance: {}, binance_archive: {rest: {concurrency: 3}}}\n"
            "profiles:\n"
            "  crypto: {kind: CRYPTO, start: 2024-01-01, "
            "sources: [binance_archive, binance], symbols: {BTCUSDT: {}}}\n"
        )
        monkeypatch.setenv("MARKET_ASSETS_HOME", str(tmp_path))
        universe = load_universe(path)

        alone, both = (
            source_of(universe, name, kind="crypto") for name in ("binance", "binance_archive")
        )

        limits = tmp_path / "limits"
        assert both._http._settings.limiter_path == limits / "data.binance.vision.sqlite"
        assert both._rest._http._settings.limiter_path == limits / "data-api.binance.vision.sqlite"
        assert both._rest._http._settings.limiter_path == alone._http._settings.limiter_path
        assert both._rest.concurrency == 3

    def test_what_both_halves_cost_is_counted_together(self, vision, build_archive):
        source = build_archive(vision)
        run(
            source,
            ("BTCUSDT", Timeframe.M15, JUNE),
            ("BTCUSDT", Timeframe.M15, Window(NOW - timedelta(hours=3), NOW)),
        )

        assert source.usage.requests == 3
        assert source.usage.bytes > len(vision.files[MONTH])

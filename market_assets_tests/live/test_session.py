"""A streamed profile: what is stored, what REST is asked for, and what a fault costs."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from market_assets.errors import SourceError
from market_assets.market.clock import CLOCK_VARIABLE, present
from market_assets.practice.faults import Fault
from market_assets.practice.stream_faults import StreamFault
from market_assets_tests.support.live_ground import MINUTE, LiveGround, clock_text, live_ground

if TYPE_CHECKING:
    import polars as pl

    from market_assets.live.report import StreamReport


@pytest.fixture
def live(tmp_path, monkeypatch) -> LiveGround:
    monkeypatch.setenv(CLOCK_VARIABLE, clock_text())
    with live_ground(tmp_path, "BTCUSDT", "ETHUSDT") as ground:
        yield ground


def since() -> datetime:
    """The first minute that a session that begins now asks REST for."""
    begin = present() - timedelta(minutes=28)
    return begin.replace(second=0, microsecond=0)


def stored(bars: int):
    return lambda report: report.stored_in_all >= bars


@dataclass(frozen=True)
class TwoSessions:
    """Two sessions without a fault, one after the other, and what was seen of the first.

    Attributes:
        first: The first minute that is asked of REST.
        reports: Those of the first session.
        states: Each symbol with its state, as often as bars were stored.
        streams: `ops.streams` after it.
        seconds: How long it took to end once it was asked to.
    """

    live: LiveGround
    first: datetime
    reports: list[StreamReport]
    states: list[tuple[str, str]]
    streams: pl.DataFrame
    seconds: float


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> TwoSessions:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CLOCK_VARIABLE, clock_text())
        with live_ground(tmp_path_factory.mktemp("sessions"), "BTCUSDT", "ETHUSDT") as live:
            first, states, stops = since(), [], []

            def look(report: StreamReport) -> bool:
                if report.stored:
                    states.extend(live.table("SELECT symbol, state FROM ops.streams").rows())
                is_enough = report.stored_in_all >= 8
                if is_enough and not stops:
                    stops.append(time.monotonic())
                return is_enough

            reports = live.stream(look)
            seconds = time.monotonic() - stops[0]
            streams = live.table("SELECT state, words, last_bar_at, connected_at FROM ops.streams")
            live.stream(stored(4))
    return TwoSessions(live, first, reports, states, streams, seconds)


class TestWhatIsStored:
    def test_bars_are_stored_as_they_close_and_rest_gives_what_came_before(self, sessions):
        assert sessions.live.wrong() == {}
        assert sessions.live.holes(sessions.first) == []
        reports = sessions.reports
        last = reports[-1]
        assert last.is_last
        assert last.caught_up >= 2 * 28
        assert last.lag_p99 is not None
        assert {"live"} == {
            state for report in reports if report.stored for state in report.states.values()
        }
        lags = [lag for report in reports for lag in report.lags]
        delays = [delay for report in reports for delay in report.delays]
        assert lags
        assert all(0 <= delay <= lag for lag, delay in zip(lags, delays, strict=True))
        outcomes = [outcome for report in reports for outcome in report.outcomes]
        assert outcomes
        assert all(outcome.partition.key == "2025-03-03" for outcome in outcomes)

    def test_a_symbol_that_prefers_another_source_has_nothing_of_another_ones_stream(self, live):
        live.keep(
            mix_venues=True,
            sources=["vendor"],
            symbols={
                "BTCUSDT": {},
                "COPY": {"sources": [{"vendor": "ETHUSDT"}, {"vendor": "BTCUSDT"}]},
            },
        )
        live.stream(stored(6))
        assert live.table("SELECT DISTINCT symbol FROM live.candles_1m ORDER BY ALL").rows() == [
            ("BTCUSDT",),
            ("COPY",),
        ]
        wrong = {
            ts
            for (symbol, ts), values in live.rows().items()
            if symbol == "COPY" and values != live.truth("ETHUSDT", ts)
        }
        assert wrong == set()

    def test_how_the_streams_are_is_kept(self, sessions):
        assert len(sessions.states) >= 4
        assert set(sessions.states) == {("BTCUSDT", "live"), ("ETHUSDT", "live")}
        assert sessions.streams["state"].to_list() == ["ended", "ended"]
        assert sessions.streams.null_count().sum_horizontal().item() == 0

    def test_how_the_streams_were_is_kept_for_the_story_of_a_bar(self, live):
        now = present()
        live.set_faults(StreamFault(fault="drop", start=now + 3 * MINUTE, times=1))
        live.stream(lambda report: report.reconnects and report.stored_in_all >= 6)
        live.set_faults()
        live.stream(stored(2))

        states = live.table(
            "SELECT * FROM ops.stream_states WHERE symbol = 'BTCUSDT' ORDER BY since, ended_at"
        )
        lags = live.table("SELECT lag_p50, lag_p99, dropped FROM ops.streams").rows()

        kinds = ["connecting", "live", "lost", "live", "ended", "connecting", "live"]
        assert states["state"].to_list() == kinds
        lost = states.row(2, named=True)
        assert "the connection broke" in lost["words"]
        # The second session ends the last state of the first; within one none is left out.
        assert states["since"][1:4].to_list() == states["ended_at"][:3].to_list()
        assert all(p50 <= p99 and dropped == 0 for p50, p99, dropped in lags)

    def test_what_is_made_of_candles_follows(self, live):
        live.keep(stream={"catch_up": "30m", "follow": "10s"})

        def is_made(report):
            return report.stored_in_all >= 12

        live.stream(is_made)

        made = live.table("SELECT count(*) AS n FROM live.candles_5m")["n"].item()
        assert made >= 8

    def test_a_session_goes_on_where_the_one_before_has_ended(self, sessions):
        last = max(ts for _, ts in sessions.live.rows())
        assert last > max(sessions.reports[-1].last_bar.values())
        assert sessions.live.wrong() == {}
        assert sessions.live.holes(sessions.first) == []

    def test_a_session_ends_after_its_time(self, live):
        reports = live.stream(lambda _: False, total=timedelta(minutes=2))

        assert reports[-1].is_last

    def test_a_session_ends_at_once_though_rest_is_slow(self, live):
        live.vendor.set_faults([Fault(fault="delay", seconds=60)])
        began = time.monotonic()

        live.stream(lambda report: "live" in report.states.values())

        assert time.monotonic() - began < 18


class TestFaults:
    def test_whatever_the_stream_does_rows_are_the_truth_in_the_end(self, live):
        now = present()
        first = since()

        def between(begin: int, end: int) -> dict[str, object]:
            return {"start": now + begin * MINUTE, "end": now + end * MINUTE}

        live.set_faults(
            StreamFault(fault="duplicate", every=3),
            StreamFault(fault="swap", every=4),
            StreamFault(fault="late", every=5, seconds=20),
            StreamFault(fault="revision", every=6, seconds=40),
            StreamFault(fault="drop", **between(2, 3), times=2),
            StreamFault(fault="mute", symbols={"BTCUSDT"}, **between(4, 9)),
        )

        reports = live.stream(stored(22), longest=120)
        # REST is asked for the last of it.
        live.set_faults()
        reports += live.stream(stored(4))

        assert live.wrong() == {}
        assert live.holes(first) == []
        assert max(report.reconnects for report in reports) >= 1

    def test_a_symbol_that_is_refused_leaves_the_other_alone(self, live):
        live.set_faults(StreamFault(fault="refuse", symbols={"ETHUSDT"}))

        reports = live.stream(stored(3))

        states = [report.states for report in reports if report.stored][-1]
        assert states == {"BTCUSDT": "live", "ETHUSDT": "refused"}
        symbols = {symbol for symbol, _ in live.rows()}
        assert symbols == {"BTCUSDT", "ETHUSDT"}
        assert live.wrong() == {}

    def test_rest_is_asked_for_a_symbol_that_is_refused_as_often_as_updates_would(self, live):
        begin = present()
        live.set_faults(StreamFault(fault="refuse", symbols={"ETHUSDT"}))

        def has_come(report):
            last_bar = report.last_bar.get("ETHUSDT", begin)
            return report.states["ETHUSDT"] == "refused" and last_bar >= begin + 2 * MINUTE

        reports = live.stream(has_come)

        assert live.wrong() == {}
        assert reports[-1].last_bar["ETHUSDT"] in {ts for s, ts in live.rows() if s == "ETHUSDT"}

    def test_bars_wait_while_the_store_is_busy(self, live):
        first = since()
        release = threading.Event()
        words: list[str] = []
        holder: list[threading.Thread] = []

        def hold() -> None:
            with live.store._lock.held("testing"):
                release.wait(20)

        def look(report):
            if report.stored and not holder:
                holder.append(threading.Thread(target=hold))
                holder[0].start()
            words.extend(news for news in report.news if "bars wait" in news)
            if words:
                release.set()
            return release.is_set() and report.stored and not report.waiting

        reports = live.stream(look)

        holder[0].join()
        assert any(report.waiting for report in reports)
        # Nobody has to do anything: the session tries again by itself.
        assert not any("run this again" in news for news in words)
        assert live.wrong() == {}
        assert live.holes(first) == []

    def test_bars_that_the_buffer_has_no_room_for_are_left_to_rest(self, live):
        first = since()
        live.keep(stream={"catch_up": "30m", "buffer": 2})
        live.set_faults(StreamFault(fault="duplicate"))
        release = threading.Event()
        holder: list[threading.Thread] = []

        def hold() -> None:
            with live.store._lock.held("testing"):
                release.wait(20)

        def look(report):
            if report.stored and not holder:
                holder.append(threading.Thread(target=hold))
                holder[0].start()
            if report.left_to_rest >= 2:
                release.set()
            return release.is_set() and report.left_to_rest and report.stored_in_all >= 8

        reports = live.stream(look)
        live.stream(stored(2))

        holder[0].join()
        assert reports[-1].left_to_rest >= 2
        assert live.wrong() == {}
        assert live.holes(first) == []

    def test_a_stop_is_followed_by_an_end_within_seconds_and_loses_nothing(self, sessions):
        assert sessions.seconds < 10
        assert sessions.live.wrong() == {}
        assert sessions.live.holes(sessions.first) == []


class TestWhatCannotBeStreamed:
    def test_a_profile_without_a_stream_names_the_types_that_have_one(self, live):
        folder = live.path.parent
        (folder / "x").mkdir()
        text = live.path.read_text().replace("stream_url:", "# stream_url:")
        live.path.write_text(text)
        live.universe = live.universe.model_copy(
            update={
                "sources": {
                    "vendor": {
                        key: value
                        for key, value in live.universe.sources["vendor"].items()
                        if key != "stream_url"
                    }
                }
            }
        )

        with pytest.raises(SourceError, match="nothing of 1m can be streamed") as caught:
            live.stream(stored(1))

        assert "stream_url" in str(caught.value)
        assert "binance, bitfinex, bybit, coinbase, kraken, practice" in str(caught.value)

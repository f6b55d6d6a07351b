"""How the stream of each symbol is, by what its source says, and what of it is noted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from market_assets.live.choice import Choice
from market_assets.live.pump import Gathered
from market_assets.live.states import SymbolStreams
from market_assets.market.datasets import Dataset
from market_assets.store.tables.streams import StreamState
from market_assets.stream.health import Health
from market_assets.stream.stream import News, NewsKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from market_assets.store import Store

SINCE = datetime(2025, 3, 1, 12, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NAMES = ("btcusdt", "ethusdt")
CHOICE = Choice(
    symbols={"vendor": {"btcusdt": "BTC", "ethusdt": "ETH"}},
    rest={"XRP": "none of its sources has a stream"},
)


@pytest.fixture
def streams() -> SymbolStreams:
    return SymbolStreams(
        Dataset.labelled("crypto", "1m"), CHOICE, SINCE, lambda text: text.replace("secret", "***")
    )


def news(kinds: Sequence[NewsKind], words: str = "it broke") -> list[News]:
    return [News(SINCE + place * MINUTE, kind, NAMES, words) for place, kind in enumerate(kinds, 1)]


@pytest.mark.parametrize(
    ("kinds", "state"),
    [
        ([NewsKind.CONNECTED], "live"),
        ([NewsKind.CONNECTED, NewsKind.HANDED_OVER], "live"),
        ([NewsKind.LOST, NewsKind.RECONNECTED], "live"),
        ([NewsKind.LOST, NewsKind.RECONNECTED, NewsKind.LOST], "lost"),
    ],
)
def test_of_what_came_at_once_the_last_counts(streams, kinds, state):
    streams.hear("vendor", Gathered(reconnected={*NAMES}, news=news(kinds)), SINCE + 9 * MINUTE)

    assert streams.states == {"BTC": state, "ETH": state}


def test_a_symbol_that_is_refused_is_named_once(streams):
    gathered = Gathered(health=Health(refused={"ethusdt": "no such secret"}))

    assert streams.hear("vendor", gathered, SINCE) == {"ETH"}
    assert streams.hear("vendor", gathered, SINCE) == set()
    assert streams.states["ETH"] is StreamState.REFUSED
    assert streams.words["ETH"] == "no such ***"
    assert streams["ETH"].is_unserved
    assert not streams["BTC"].is_unserved


def test_a_silence_begins_only_where_it_was_live_and_ends_with_a_candle(streams):
    silent = Gathered(health=Health(silent=frozenset(NAMES)))
    streams.hear("vendor", silent, SINCE)
    assert streams.states["BTC"] is StreamState.CONNECTING

    streams.hear("vendor", Gathered(news=news([NewsKind.CONNECTED])), SINCE)
    streams.hear("vendor", silent, SINCE + MINUTE)
    assert streams.states["BTC"] is StreamState.SILENT

    streams.hear("vendor", Gathered(), SINCE + 2 * MINUTE)
    assert streams.states["BTC"] is StreamState.LIVE


def test_a_source_that_has_ended_stays_failed_when_the_session_is_over(streams):
    assert streams.fail("vendor", SINCE, "the address is wrong") == ["BTC", "ETH"]
    streams.end(SINCE + MINUTE)

    assert set(streams.states.values()) == {StreamState.FAILED}


def test_the_symbols_of_each_source_in_its_own_names(streams):
    assert streams.by_source({"ETH"}) == {"vendor": {"ethusdt"}}
    assert streams.by_source(set()) == {}


class TestWhatIsNoted:
    def note(self, store: Store, streams: SymbolStreams, now: datetime, **newest: datetime) -> None:
        with store.writing("testing") as transaction:
            streams.note(transaction, now, newest=newest, of_session=(0.4, 0.9, 3, None))
        streams.forget_past()

    def test_each_symbol_with_its_newest_bar_and_those_too_that_are_left_to_rest(
        self, store, streams
    ):
        streams.hear("vendor", Gathered(news=news([NewsKind.CONNECTED])), SINCE + MINUTE)
        streams["BTC"].last_bar = SINCE
        self.note(store, streams, SINCE + 2 * MINUTE, BTC=SINCE + MINUTE)

        with store.reading("testing") as view:
            rows = view.streams.all().rows_by_key("symbol", named=True, unique=True)
        states = {symbol: (row["source"], row["state"]) for symbol, row in rows.items()}
        assert states == {
            "BTC": ("vendor", "live"),
            "ETH": ("vendor", "live"),
            "XRP": ("", "rest"),
        }
        assert rows["BTC"]["last_bar_at"] == (SINCE + MINUTE).replace(tzinfo=None)
        assert rows["ETH"]["last_bar_at"] is None
        assert (rows["ETH"]["lag_p99"], rows["ETH"]["dropped"]) == (0.9, 3)

    def test_a_state_that_is_over_is_noted_once(self, store, streams):
        streams.hear("vendor", Gathered(news=news([NewsKind.CONNECTED])), SINCE + MINUTE)
        for minutes in (2, 3):
            self.note(store, streams, SINCE + minutes * MINUTE)

        with store.reading("testing") as view:
            past = view.database.frame("SELECT symbol, state FROM ops.stream_states ORDER BY ALL")
        assert past.rows() == [("BTC", "connecting"), ("ETH", "connecting")]

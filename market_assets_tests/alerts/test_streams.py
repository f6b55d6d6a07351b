"""What of a stream is a trouble, from when and until when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from market_assets.alerts import Kind, Level, Watch
from market_assets.alerts.causes import fold
from market_assets.alerts.troubles import ALWAYS, Place, Trouble
from market_assets_tests.support.alerts_ground import universe_of
from market_assets_tests.support.alerts_ledger import candles, hole
from market_assets_tests.support.stream_rows import note_streams, stream_row

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from market_assets.alerts import Alert
    from market_assets.config.universe import Universe
    from market_assets.store import Store
    from market_assets_tests.conftest import Clock
    from market_assets_tests.support.alerts_ground import Webhook

MINUTE = timedelta(minutes=1)
SINCE = datetime(2025, 3, 1, 12, tzinfo=UTC)
OF_STREAMS = {Kind.STREAM, Kind.STREAM_REFUSED, Kind.STREAM_BUSY}


class Scene:
    """A profile of hours that is streamed, and what is reported of it."""

    def __init__(self, folder: Path, store: Store, clock: Clock, watch: Watch) -> None:
        self.folder = folder
        self.store = store
        self.clock = clock
        self.watch = watch

    def note(self, symbol: str, state: str, since: datetime = SINCE, **columns: object) -> None:
        """A session notes how the stream of a symbol is."""
        row = stream_row("kept", symbol, state, since, self.clock.now, **columns)
        note_streams(self.store, row)

    def look(self) -> list[Alert]:
        return [alert for alert in self.watch.look().present if alert.kind in OF_STREAMS]

    def after(self, minutes: float) -> Scene:
        self.clock.now = SINCE + minutes * MINUTE
        return self


@pytest.fixture
def scene(
    tmp_path: Path, store: Store, clock: Clock, watch: Callable[[Universe], Watch], hook: Webhook
) -> Scene:
    return Scene(tmp_path, store, clock, watch(universe_of(tmp_path, hook.url)))


def test_a_passing_reconnect_is_none_and_a_lasting_one_is_over_when_it_is_live(
    scene: Scene, hook: Webhook
) -> None:
    seen = []
    for minutes, state in ((1, "lost"), (4, "lost"), (6, "lost"), (7, "live")):
        scene.after(minutes).note("BTC", state, words="the connection broke")
        seen.append([(alert.subject, alert.level) for alert in scene.look()])

    assert seen == [[], [], [("candles_1h", Level.WARNING)], []]
    begun, over = (body for body in hook.bodies if "stream" in body)
    assert "the stream of binance has no connection since 2025-03-01 12:00Z; REST fills it" in begun
    assert "BTC lost since 2025-03-01 12:00Z: the connection broke" in begun
    assert "market-assets stream kept starts one" in begun
    assert "OVER kept candles_1h: the stream of binance" in over


def test_a_symbol_is_silent_where_rest_has_newer_candles_of_it(scene: Scene) -> None:
    candles(scene.store, "BTC", *(f"2025-03-01T{hour:02d}:00" for hour in range(12, 17)))
    candles(scene.store, "ETH", "2025-03-01T12:00")
    last = {"last_bar_at": SINCE}
    scene.after(300)
    for symbol in ("BTC", "ETH"):
        scene.note(symbol, "silent", SINCE + 180 * MINUTE, **last)

    (alert,) = scene.look()

    assert alert.kind is Kind.STREAM
    assert alert.symbols == ("BTC",)
    assert alert.summary == (
        "the stream is silent since 2025-03-01 15:00Z: no candle of BTC for 3 bars; REST fills it"
    )
    scene.note("BTC", "live", SINCE + 300 * MINUTE, last_bar_at=SINCE + 240 * MINUTE)
    assert scene.look() == []


def test_a_killed_stream_that_nobody_starts_is_one_for_a_day(scene: Scene) -> None:
    scene.after(10).note("BTC", "live")
    scene.note("ETH", "live")
    assert scene.look() == []
    assert scene.after(14).look() == []

    (alert,) = scene.after(16).look()

    assert alert.summary == (
        "the stream was killed, its last sign was at 2025-03-01 12:10Z, "
        "and nobody has started it again; REST fills it"
    )
    assert alert.symbols == ("BTC", "ETH")
    assert len(scene.after(24 * 60).look()) == 1
    assert scene.after(25 * 60).look() == []


def test_a_profile_that_is_to_be_streamed_is_reminded_of_it(
    scene: Scene, watch: Callable[[Universe], Watch]
) -> None:
    scene.note("BTC", "live")
    wanted = watch(universe_of(scene.folder, stream={"enabled": True}))
    scene.after(3 * 24 * 60)

    assert [alert.kind for alert in wanted.look().present if alert.kind in OF_STREAMS] == [
        Kind.STREAM
    ]


@pytest.mark.parametrize(("is_wanted", "count"), [(True, 1), (False, 0)])
def test_what_was_wrong_before_a_stream_began_anew_is_not_over_by_that(
    scene: Scene, watch: Callable[[Universe], Watch], hook: Webhook, *, is_wanted: bool, count: int
) -> None:
    universe = universe_of(scene.folder, hook.url, stream={"enabled": is_wanted})
    scene.watch = watch(universe)
    scene.after(6).note("ETH", "refused")
    assert len(scene.look()) == 1

    seen = []
    for minutes, state in ((10, "ended"), (11, "connecting"), (12, "refused"), (18, "refused")):
        since = SINCE + min(minutes, 12) * MINUTE
        scene.after(minutes).note("ETH", state, since)
        seen.append(len(scene.look()))

    assert seen[-1] == 1
    assert seen[0] == count
    assert len([body for body in hook.bodies if "refuses" in body]) == (1 if is_wanted else 3)


@pytest.mark.parametrize("minutes", [1, 10, 60 * 24 * 9])
def test_a_stream_that_somebody_has_ended_is_none(scene: Scene, minutes: int) -> None:
    busy = {"dropped": 5, "dropped_at": SINCE}
    scene.note("BTC", "ended", words="the session is over", **busy)

    assert scene.after(minutes).look() == []


def test_a_stream_that_has_ended_by_itself_is_told_at_once(scene: Scene) -> None:
    scene.after(1).note("BTC", "failed", words="source binance: the address is wrong")

    (alert,) = scene.look()

    assert alert.summary == (
        "the stream of binance has ended by itself at 2025-03-01 12:00Z; REST fills it"
    )
    assert alert.details == (
        "BTC failed since 2025-03-01 12:00Z: source binance: the address is wrong",
    )


def test_refused_symbols_are_named_until_they_are_served(scene: Scene) -> None:
    seen = []
    for minutes in (1, 4, 6):
        scene.after(minutes).note("BTC", "live")
        scene.note("ETH", "refused", words="unknown symbol")
        seen.append(len(scene.look()))
    assert seen == [0, 0, 1]

    (alert,) = scene.look()

    assert alert.kind is Kind.STREAM_REFUSED
    assert alert.summary == "binance refuses to stream ETH; REST fills it"
    assert alert.details == ("ETH refused since 2025-03-01 12:00Z: unknown symbol",)
    scene.note("ETH", "live")
    assert scene.look() == []


def test_bars_that_a_busy_store_has_left_to_rest_are_told_for_half_an_hour(scene: Scene) -> None:
    seen = []
    for minutes in (1, 29, 31):
        scene.after(minutes).note("BTC", "live", dropped=7, dropped_at=SINCE)
        seen.append([(alert.kind, alert.count) for alert in scene.look()])

    assert seen == [[(Kind.STREAM_BUSY, 7)], [(Kind.STREAM_BUSY, 7)], []]


def test_what_the_universe_has_no_more_is_none(
    scene: Scene, watch: Callable[[Universe], Watch]
) -> None:
    scene.after(6).note("ETH", "refused")
    assert len(scene.look()) == 1

    looks = watch(universe_of(scene.folder, symbols={"BTC": {}}))

    assert [alert for alert in looks.look().present if alert.kind in OF_STREAMS] == []


@pytest.mark.parametrize(
    ("cause", "kind", "places"),
    [
        (Kind.SOURCE_DOWN, Kind.STREAM, {Place("BTC", SINCE.date(), SINCE.date())}),
        (Kind.MISSING_SYMBOL, Kind.STREAM_REFUSED, {Place("BTC", *ALWAYS)}),
        (Kind.STORE, Kind.STREAM_BUSY, set()),
    ],
)
def test_it_is_named_under_the_cause_that_it_follows_from(
    cause: Kind, kind: Kind, places: set[Place]
) -> None:
    deeper = Trouble("kept", cause, "x", Level.ERROR, "x", 1, places=frozenset(places))
    today = frozenset({Place("BTC", SINCE.date(), SINCE.date())})
    stream = Trouble("kept", kind, "candles_1h", Level.WARNING, "x", 1, places=today)

    folded = fold([stream, deeper])

    assert [trouble.kind for trouble in folded.causes] == [cause]
    assert folded.under == {stream.key: deeper.key}


def test_what_follows_from_a_reconnect_waits_until_rest_was_asked(scene: Scene) -> None:
    """A gap of a day is a warning; one that the stream has left is told only if it stays."""
    scene.after(2)
    hole(scene.store, ("BTC", "2025-02-27T00:00", 25, "open"), seen="2025-03-01T11:00")
    scene.note("BTC", "live", SINCE, connected_at=SINCE)

    def gaps(minutes: float) -> list[str]:
        present = scene.after(minutes).watch.look().present
        return [alert.subject for alert in present if alert.kind is Kind.GAP]

    assert gaps(2) == []
    assert gaps(4) == ["candles_1h"]
    # Who knows of it hears of its end, also while a connection heals.
    scene.note("BTC", "live", SINCE, connected_at=scene.clock.now)
    assert gaps(4) == ["candles_1h"]

"""Which bar of the calendar an instant belongs to."""

from __future__ import annotations

from market_assets_tests.support.fill_ground import Ground, at
from market_assets_tests.support.stories import told


def test_an_instant_with_another_zone_is_the_same_bar(ground: Ground) -> None:
    ground.keep("symbols: {BTC: {}}")
    ground.fill()
    local = at("2025-02-26T10:30").astimezone(tz=None)
    assert told(ground, "BTC", local) == told(ground, "BTC", "2025-02-26T10:30")


def test_a_day_is_found_by_its_date_and_by_any_instant_of_its_session(ground: Ground) -> None:
    ground.keep(
        "kind: EQUITY\nstart: 2025-02-24\ntimeframes: {fetch: [1d]}\nsymbols: {SPY: {}}\nend: null"
    )
    ground.fill()
    for ts in ("2025-02-26", "2025-02-26T15:00"):
        story = told(ground, "SPY", ts)
        assert story.state == "stored"
        assert story.bar is not None
        assert (story.bar.ts, story.bar.opens_at) == (at("2025-02-26"), at("2025-02-26T14:30"))
    assert told(ground, "SPY", "2025-02-26T03:00").state == "market closed"

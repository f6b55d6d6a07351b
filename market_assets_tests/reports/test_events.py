"""What happened to one bar: who asked, answered, refused, revised and repaired."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from market_assets.market.timeframes import Window
from market_assets.practice.book import Market
from market_assets_tests.support.fill_ground import Ground, at, candles, every
from market_assets_tests.support.stories import said, told

if TYPE_CHECKING:
    from market_assets.practice.vendor import PracticeVendor


HOUR = timedelta(hours=1)


def test_a_revised_bar_is_told_with_its_old_values(empty_ground: Ground) -> None:
    ground = empty_ground
    opens = every(HOUR, at("2025-02-26"), at("2025-03-01"))
    ground.add_archive("files", {"BTC": candles(opens)})
    ground.keep("symbols: {BTC: {}}")
    ground.fill()
    ground.add_archive("files", {"BTC": candles(opens).with_columns(volume=7.0)})
    ground.wait(hours=3)
    ground.fill(refetch=True)
    story = told(ground, "BTC", opens[5])
    assert story.values is not None
    assert story.values["volume"] == 7.0
    assert "It was revised once." in story.verdict
    (revision,) = [event for event in story.events if event.what.startswith("revised")]
    assert revision.at == ground.clock()
    assert (
        revision.what
        == "revised; until then it was, from files: open 105 high 107 low 103 close 106 volume 10.5"
    )


def test_a_source_that_fails_is_a_failure_and_no_attempt(
    ground: Ground, vendor: PracticeVendor
) -> None:
    vendor.set_faults(Market.model_validate({"faults": [{"fault": "error", "status": 500}]}).faults)
    ground.keep("symbols: {BTC: {}}")
    ground.fill()
    story = told(ground, "BTC", "2025-02-26T10:00")
    assert story.state == "open"
    assert story.verdict.startswith("Missing, asked for once: source vendor")
    assert "5 that leave it in doubt make it abandoned (0 answers so far)" in story.coming
    assert "(0 answered, 1 failed)" in said(story)


def test_of_many_jobs_the_newest_are_told(ground: Ground) -> None:
    ground.keep("symbols: {BTC: {}}")
    for _ in range(8):
        ground.wait(minutes=1)
        ground.fill(window=Window(at("2025-02-26"), at("2025-02-27")))
    story = told(ground, "BTC", "2025-02-26T10:00")
    jobs = [event for event in story.events if event.what.startswith("a fill")]
    assert len(jobs) == 5
    assert "there were 8" in jobs[0].what
    assert jobs[-1].at == ground.clock()
    # A job of another day is none of this bar's business.
    assert not [
        event
        for event in told(ground, "BTC", "2025-02-28T10:00").events
        if event.what.startswith("a fill")
    ]

"""Which markets stood still, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from market_assets.market.calendars.halts import halts_of


def test_the_shares_and_the_index_futures_of_new_york_stood_still_four_times_in_march_2020():
    halts = halts_of("XNYS")
    assert halts == halts_of("CME Globex Equities")
    assert [halt.start.date().day for halt in halts] == [9, 12, 16, 18]
    assert halts[0].start == datetime(2020, 3, 9, 13, 34, 13, tzinfo=UTC)
    assert {halt.end - halt.start for halt in halts} == {timedelta(minutes=15)}


def test_other_markets_did_not():
    assert halts_of("FOREX") == halts_of("XLON") == halts_of("CMEGlobex_FX") == ()

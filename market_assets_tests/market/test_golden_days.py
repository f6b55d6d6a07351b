"""Every session of seventeen years against the golden answers.

These say which days have no session, and which sessions end early.
"""

from __future__ import annotations

import csv
from datetime import UTC, date, time, timedelta
from pathlib import Path

import polars as pl
import pytest

from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import Window

GOLDEN = Path(__file__).with_name("golden")
FIRST = date(2010, 1, 1)

FUTURES = frozenset({time(16), time(16, 15), time(15, 15)})
"""The closes of ordinary days over the years."""

CALENDARS = {
    "XNYS": ("xnys", {time(16)}),
    "CME Globex Equity": ("cme_globex_equity", FUTURES),
    "FOREX": ("forex", {time(17)}),
    "CMEGlobex_FX": ("cme_globex_fx", FUTURES),
    "CMEGlobex_CL": ("cme_globex_energy_and_metals", FUTURES),
    "CMEGlobex_GC": ("cme_globex_energy_and_metals", FUTURES),
    "CME Globex Fixed Income": ("cme_globex_fixed_income", FUTURES),
    "CME Globex Crypto": ("cme_globex_crypto", FUTURES),
    "CMEGlobex_Grains": ("cme_globex_grains", {time(13, 20)}),
    "XKRX": ("xkrx", {time(15), time(15, 30)}),
}


def golden(name: str) -> dict[date, str]:
    lines = [
        line
        for line in (GOLDEN / f"days_{name}.csv").read_text().splitlines()
        if not line.startswith("#")
    ]
    return {date.fromisoformat(row["day"]): row["close"] for row in csv.DictReader(lines)}


@pytest.mark.parametrize("calendar", CALENDARS)
def test_all_days_from_2010_to_2026_are_the_golden_ones(calendar: str):
    name, usual = CALENDARS[calendar]
    answers = golden(name)
    loaded = load_calendar(calendar)
    last = min(date(2026, 12, 31), loaded.known.end.date() - timedelta(days=8))
    spans = loaded.spans(Window.of_days(FIRST - timedelta(days=5), last + timedelta(days=5)))
    closes = dict(spans.group_by("session").agg(pl.max("close")).iter_rows())

    found = {}
    for at in range((last - FIRST).days + 1):
        day = FIRST + timedelta(days=at)
        close = closes.get(day)
        local = close and close.replace(tzinfo=UTC).astimezone(loaded.zone).time()
        if local in usual and answers.get(day, "closed") != f"{local:%H:%M}":
            continue
        if local or day.weekday() < 5:
            found[day] = f"{local:%H:%M}" if local else "closed"
    assert found == {day: close for day, close in answers.items() if day <= last}


def test_the_calendar_that_never_closes_has_every_day():
    window = Window.of_days(FIRST, date(2027, 1, 1))
    spans = load_calendar("24/7").spans(window)
    assert spans["session"].n_unique() == (date(2027, 1, 1) - FIRST).days
    assert (spans["close"] - spans["open"]).unique().to_list() == [timedelta(days=1)]

"""The hours of a market that never closes."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, timedelta

from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import Window

FIRST = date(2010, 1, 1)


def test_a_market_that_never_closes_loads_neither_pandas_nor_a_calendar_library():
    code = (
        "import sys\n"
        "from market_assets.market.calendars.sessions import load_calendar\n"
        "load_calendar('24/7')\n"
        "print({'pandas', 'exchange_calendars', 'pandas_market_calendars'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_calendar_that_never_closes_has_every_day():
    window = Window.of_days(FIRST, date(2027, 1, 1))
    spans = load_calendar("24/7").spans(window)
    assert spans["session"].n_unique() == (date(2027, 1, 1) - FIRST).days
    assert (spans["close"] - spans["open"]).unique().to_list() == [timedelta(days=1)]

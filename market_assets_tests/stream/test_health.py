"""What a stream counts, how late its bars are, and who is silent."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from market_assets.sources.streaming import Candle
from market_assets.stream.bars import Bar
from market_assets.stream.health import Meter, Quantiles, Silence

MINUTE = 60_000_000
FIRST = 1_741_003_200_000_000


def test_quantiles_are_right_to_two_per_cent_in_a_fixed_space():
    generator = random.Random(3)  # noqa: S311
    values = [generator.lognormvariate(0, 2) for _ in range(20_000)]
    quantiles = Quantiles()
    for value in values:
        quantiles.add(value)
    quantiles.add(1e9)
    quantiles.add(-1)

    values.sort()
    for share in (0.5, 0.9, 0.99):
        true = values[int(share * len(values))]
        assert quantiles.at(share) == pytest.approx(true, rel=0.03)
    assert len(quantiles._classes) < 1000
    assert Quantiles().at(0.5) is None


def bar(minute, lag, *, is_revision=False):
    candle = Candle("A", FIRST + minute * MINUTE, 1.0, 1.0, 1.0, 1.0, 1.0, closed=True)
    return Bar(candle, FIRST + (minute + 1) * MINUTE + lag, is_revision)


def health(meter):
    return meter.health(Counter(), (), 1)


def test_the_lag_is_that_of_bars_that_ended_while_they_were_served():
    meter = Meter(MINUTE)
    meter.connect(["A"], FIRST + 10 * MINUTE)
    meter.count(bar(3, 400_000_000))  # an old one, out of a snapshot
    assert health(meter).lag_p50 is None

    for minute in range(10, 20):
        meter.count(bar(minute, 500_000))
    meter.count(bar(20, 2_000_000))
    meter.count(bar(12, 900_000_000, is_revision=True))

    assert health(meter).lag_p50 == pytest.approx(0.5, rel=0.03)
    assert health(meter).lag_p99 == pytest.approx(2, rel=0.03)
    assert health(meter).last_bar == {"A": FIRST + 20 * MINUTE}
    assert (health(meter).bars, health(meter).revisions) == (12, 1)


def test_three_bars_without_a_candle_are_silence():
    silence = Silence(60)
    silence.begin(["A", "B"], 0)

    assert silence.due(179) == []
    assert not silence.hear("B", 179)
    assert silence.due(180) == ["A"]
    assert silence.silent == {"A"}
    assert silence.hear("A", 181)
    assert silence.silent == set()


def test_who_stays_silent_is_named_after_twice_the_time():
    silence = Silence(60)
    silence.begin(["A"], 0)

    named = [second for second in range(0, 12_000, 60) if silence.due(second)]

    waits = [later - before for before, later in zip([0, *named], named, strict=False)]
    assert waits == [180, 360, 720, 1440, 2880, 3840]


def test_a_new_connection_waits_as_long_as_the_old_one_did():
    silence = Silence(60)
    silence.begin(["A"], 0)
    assert silence.due(180) == ["A"]

    silence.begin(["A"], 180)

    assert silence.due(539) == []
    assert silence.due(540) == ["A"]


def test_a_symbol_that_is_refused_is_not_waited_for():
    silence = Silence(60)
    silence.begin(["A"], 0)
    silence.end(["A", "B"])

    assert silence.due(10_000) == []

"""The verdict on two sources of one symbol, and when they are compared."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from market_assets.config.settings import Severity
from market_assets.market.timeframes import TS, Timeframe
from market_assets.verdicts.agreement import (
    AGREES,
    NOT_COMPARED,
    agreement,
    findings_of,
    is_due,
    is_sampled,
)
from market_assets.verdicts.comparison import Comparison, compare

DAY = datetime(2025, 3, 3)  # noqa: DTZ001 - as in a column of the store


class TestVerdict:
    about = {  # noqa: RUF012 - never changed
        "partition": "2025-03-03",
        "symbol": "BTC",
        "source": "one",
        "other": "two",
        "tolerance": "close 0.001",
        "until_ts": DAY,
        "checked_at": DAY,
    }

    def test_agreement_passes_and_says_of_how_many_bars(self) -> None:
        found = agreement(findings_of(Comparison(1440, 1, 2), self.about))
        assert (found.check, found.passed) == ("agreement", True)
        assert found.summary == "All 1,440 bars of BTC that two has too are the same there."
        assert (found.facts["compared"], found.facts["only_ours"], found.facts["only_theirs"]) == (
            1440,
            1,
            2,
        )

    def test_what_was_not_compared_does_not_look_like_agreement(self) -> None:
        rows = [
            *findings_of(Comparison(1440, 0, 0), self.about),
            *findings_of("it is down", self.about | {"other": "three"}),
        ]
        found = agreement(rows)
        assert (found.passed, found.severity, found.facts["not_compared"]) == (
            False,
            Severity.WARN,
            1,
        )
        assert found.summary.startswith("BTC was not compared with three: it is down.")
        assert found.tables["without_comparison"] == [
            {"symbol": "BTC", "other": "three", "why": "it is down"}
        ]

    def test_a_disagreement_is_shown_with_its_figures_and_first_bars(self) -> None:
        ours = pl.DataFrame(
            {
                "ts": pl.Series(
                    [DAY + timedelta(minutes=number) for number in range(100)], dtype=TS
                ),
                "close": [100 + number % 7 / 100 for number in range(100)],
                "volume": 10.0,
            }
        )
        theirs = ours.with_columns(
            close=pl.when(pl.int_range(100) == 7).then(90).otherwise("close"), volume=pl.lit(1e6)
        )
        comparison = compare(ours, theirs, Timeframe.M1, close=0.001, volume=0.01)
        found = agreement(findings_of(comparison, self.about))
        assert (found.passed, found.severity) == (False, Severity.WARN)
        assert found.facts["close: bars"] == 1
        assert found.facts["close: largest difference"] == pytest.approx(0.1, abs=0.01)
        assert [row["kind"] for row in found.tables["disagreements"]] == ["close", "volume"]
        assert found.tables["bars"][0]["their_close"] == 90
        assert "BTC is not the same at one and two: 1 of 100 closes" in found.summary


class TestWhatIsDue:
    def test_the_sample_is_about_the_share_and_always_the_same(self) -> None:
        keys = [f"{date(2020, 1, 1) + timedelta(days=day)}" for day in range(2000)]
        chosen = [key for key in keys if is_sampled("crypto", "BTC", Timeframe.M1, key, 0.05)]
        assert 60 < len(chosen) < 140
        assert chosen == [
            key for key in keys if is_sampled("crypto", "BTC", Timeframe.M1, key, 0.05)
        ]
        assert set(chosen) < {
            key for key in keys if is_sampled("crypto", "BTC", Timeframe.M1, key, 0.2)
        }
        assert chosen != [
            key for key in keys if is_sampled("crypto", "ETH", Timeframe.M1, key, 0.05)
        ]
        assert all(is_sampled("crypto", "BTC", Timeframe.M1, key, 1) for key in keys)
        assert not any(is_sampled("crypto", "BTC", Timeframe.M1, key, 0) for key in keys)

    @pytest.mark.parametrize(
        ("kind", "until", "minutes", "changed", "due"),
        [
            (AGREES, 24, 60, False, False),
            (AGREES, 24, 60, True, True),
            (AGREES, 12, 59, True, False),
            (AGREES, 12, 60, False, True),
            (AGREES, 12, 12 * 60, False, True),
            (NOT_COMPARED, 24, 59, True, False),
            (NOT_COMPARED, 24, 60, False, True),
        ],
    )
    def test_a_partition_is_compared_again_when_it_ended_or_changed_and_before_at_most_hourly(
        self, *, kind: str, until: int, minutes: int, changed: bool, due: bool
    ) -> None:
        start = DAY.replace(tzinfo=UTC)
        at = start + timedelta(hours=until)
        last = {"kind": kind, "tolerance": "close 0.001", "until_ts": at.replace(tzinfo=None)}
        last["checked_at"] = at.replace(tzinfo=None)
        given_ = {"end": start + timedelta(days=1), "now": at + timedelta(minutes=minutes)}
        given_["changed_at"] = at + timedelta(microseconds=1) if changed else at
        given_ |= {"every": timedelta(hours=1)}
        assert is_due([last], tolerance="close 0.001", **given_) is due
        assert is_due([last], tolerance="close 0.002", **given_)
        assert is_due([], tolerance="close 0.001", **given_)

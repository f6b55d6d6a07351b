"""What a person reads of candles that cannot be, and of rows that were refused."""

from __future__ import annotations

from datetime import UTC, datetime

from market_assets.config.settings import Severity
from market_assets.verdicts.validity import Reject, validity
from market_assets.verdicts.verdicts import SAMPLE

NOW = datetime(2025, 3, 5, 12, tzinfo=UTC)


def reject(
    reason: str = "high below low", at: datetime | None = NOW, symbol: str = "BTC"
) -> Reject:
    return Reject(symbol, at, reason, "o=1.0 h=0.5 l=1.0 c=1.0 v=1.0")


def test_a_single_row_is_spoken_of_as_one():
    assert validity([], {"no time": 1}, [], notes={}).summary.startswith(
        "1 row of the source was refused"
    )
    assert validity([reject()], {}, [], notes={}).summary.startswith(
        "1 stored candle is impossible"
    )


def test_good_candles_pass():
    verdict = validity([], {}, [], notes={})
    assert (verdict.check, verdict.passed, verdict.tables) == ("validity", True, {})
    assert verdict.summary == "Every candle is on the grid, in order, unique and possible."
    assert verdict.facts == {"stored_but_invalid": 0, "rejected": 0}


def test_refused_rows_warn_and_are_told_by_reason():
    sample = [reject(), reject("no time", at=None)]
    verdict = validity(
        [], {"high below low": 1200, "no time": 1}, sample, notes={"bar not closed yet": 1}
    )
    assert (verdict.passed, verdict.severity) == (False, Severity.WARN)
    assert verdict.summary == (
        "1,201 rows of the source were refused and not stored, most for: high below low. "
        "A bar without a good row counts as missing until a source gives one."
    )
    assert verdict.facts == {
        "stored_but_invalid": 0,
        "rejected": 1201,
        "rejected: high below low": 1200,
        "rejected: no time": 1,
        "left out: bar not closed yet": 1,
    }
    assert verdict.tables["rejected"] == [
        {
            "symbol": "BTC",
            "at": "2025-03-05 12:00Z",
            "reason": "high below low",
            "values": "o=1.0 h=0.5 l=1.0 c=1.0 v=1.0",
        },
        {
            "symbol": "BTC",
            "at": "none",
            "reason": "no time",
            "values": "o=1.0 h=0.5 l=1.0 c=1.0 v=1.0",
        },
    ]


def test_rows_that_were_left_out_without_fault_do_not_fail():
    verdict = validity([], {}, [], notes={"outside the sessions": 587})
    assert verdict.passed
    assert verdict.facts["left out: outside the sessions"] == 587


def test_stored_candles_that_cannot_be_are_an_error():
    odd = datetime(2018, 2, 9, 9, 28, 14, tzinfo=UTC)
    verdict = validity([reject(at=odd), reject()], {"no time": 1}, [], notes={})
    assert (verdict.passed, verdict.severity) == (False, Severity.ERROR)
    assert verdict.summary == (
        "2 stored candles are impossible, the first is BTC at 2018-02-09 09:28:14Z: "
        "high below low. "
        "Backfill this partition with --refetch to replace them."
    )
    assert verdict.facts["stored_but_invalid"] == 2
    assert len(verdict.tables["invalid"]) == 2


def test_many_bad_rows_make_small_tables():
    verdict = validity([reject()] * 100, {"no time": 100}, [reject()] * 100, notes={})
    assert [len(table) for table in verdict.tables.values()] == [SAMPLE, SAMPLE]
    assert verdict.facts["stored_but_invalid"] == 100

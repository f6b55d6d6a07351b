"""Refused rows in words: how many, why, one of them, and the setting that would mend them."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from market_assets.market.timeframes import TS
from market_assets.verdicts.clean import Reason
from market_assets.work.refused import REFUSED_SCHEMA, example_words, refused_frame, refused_words

MONDAY, TUESDAY = (datetime(2025, 3, day, 9, tzinfo=UTC) for day in (3, 4))


def rejects(*rows: tuple[str, datetime, str, str]) -> pl.DataFrame:
    """Rows of a symbol, an instant, a reason and values."""
    values = [
        (symbol, at.replace(tzinfo=None), reason, words, at.replace(tzinfo=None), "files")
        for symbol, at, reason, words in rows
    ]
    schema = {
        "symbol": pl.String,
        "ts": TS,
        "reason": pl.String,
        "values": pl.String,
        "asked": TS,
        "source": pl.String,
    }
    return pl.DataFrame(values, schema=schema, orient="row")


def counted(frame: pl.DataFrame) -> pl.DataFrame:
    return refused_frame(frame, pl.col("asked").dt.date().cast(pl.String))


def test_rows_are_counted_by_partition_and_reason_with_the_first_as_an_example():
    frame = counted(
        rejects(
            ("A", MONDAY, Reason.NO_NUMBER, "c=x"),
            ("A", MONDAY, Reason.NO_NUMBER, "c=y"),
            ("A", TUESDAY, Reason.NO_NUMBER, "c=z"),
            ("A", MONDAY, Reason.CONFLICT, "c=1"),
        )
    )
    assert frame.schema == REFUSED_SCHEMA
    assert frame.select("partition", "reason", "rows", "example").rows() == [
        ("2025-03-03", Reason.NO_NUMBER, 2, "c=x"),
        ("2025-03-04", Reason.NO_NUMBER, 1, "c=z"),
        ("2025-03-03", Reason.CONFLICT, 1, "c=1"),
    ]


def test_what_is_no_fault_is_not_counted_and_an_example_is_short():
    frame = counted(
        rejects(
            ("A", MONDAY, Reason.CLOSED_MARKET, "c=1"),
            ("A", MONDAY, Reason.NO_NUMBER, "x" * 500),
        )
    )
    assert frame["reason"].to_list() == [Reason.NO_NUMBER]
    assert len(frame["example"][0]) == 120
    assert counted(rejects()).schema == REFUSED_SCHEMA


def test_a_sentence_names_source_symbols_reason_and_what_would_mend_it():
    row = {
        "source": "files",
        "reason": "odd",
        "rows": 1234,
        "symbol": ["A", "B", "C", "D", "E"],
        "example_symbol": "B",
        "example_ts": MONDAY,
        "example": "c=x",
    }
    assert refused_words(row).startswith(
        "1,234 rows of files (A, B, C and 2 more) refused: odd. One of them: B 2025-03-03 09:00"
    )
    alone = refused_words(row | {"rows": 1, "source": "", "symbol": ["B"], "example_ts": None})
    assert alone.startswith("1 row of a source (B) refused: odd. One of them: B no time c=x.")


def test_an_example_ends_with_the_advice():
    assert example_words("A", "now", "c=x", "do this") == (
        "One of them: A now c=x. What may mend it: do this."
    )

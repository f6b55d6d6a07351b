"""What a source's rows add to the answer to a page. Pure.

Whether a row may be stored: `market_assets/verdicts/clean.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from market_assets.errors import SourceError
from market_assets.fill.terms import first_of
from market_assets.market.gaps import runs
from market_assets.market.timeframes import Window, micros_of
from market_assets.verdicts.clean import Question, Reason, RowRules, clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from market_assets.config.universe import SourceSymbol
    from market_assets.fill.answers import Answer
    from market_assets.fill.terms import Terms
    from market_assets.sources.contract import Traits
    from market_assets.verdicts.clean import Cleaned


@dataclass(frozen=True)
class Delivery:
    """The rows that a source gave for a window.

    Attributes:
        traits: Those of the source that gave them.
        reference: Its name, and its own name for the symbol.
        window: What it was asked for.
        spans: The parts of the window that the rows are an answer for.
        rows: Any rows.
    """

    traits: Traits
    reference: SourceSymbol
    window: Window
    spans: Sequence[Window]
    rows: pl.DataFrame


def take(
    answer: Answer, delivery: Delivery, terms: Terms, remaining: pl.Series, *, fallback: bool
) -> pl.Series:
    """Clean a source's rows, keep in the answer what may be stored; return what is still absent.

    Args:
        answer: What it is added to.
        delivery: The rows.
        terms: Those of the fill.
        remaining: ts of the bars that are absent, sorted.
        fallback: A more preferred source was asked before.

    Raises:
        SourceError: There are bars in it, but none that was asked for.
    """
    page, reference = answer.page, delivery.reference
    question = Question(
        page.symbol,
        reference.symbol,
        terms.timeframe,
        delivery.window,
        page.bars,
        page.unfinished,
    )
    rules = RowRules(terms.rules, terms.jitter, delivery.traits.open_outside_range)
    cleaned = clean(delivery.rows, question, rules)

    candles = cleaned.candles
    if fallback:
        # A less preferred source gives only what the others lack.
        candles = candles.filter(pl.col("ts").is_in(remaining.implode()))
    if not candles.is_empty():
        answer.candles.append((reference.source, candles))
    if not cleaned.dropped.is_empty():
        answer.dropped.append(cleaned.dropped.join(candles, on="ts", how="semi"))

    _add_rejects(answer, delivery, terms, cleaned)
    _add_coverage(answer, delivery, cleaned)
    return _without(remaining, candles["ts"])


def _add_rejects(answer: Answer, delivery: Delivery, terms: Terms, cleaned: Cleaned) -> None:
    if cleaned.rejects.is_empty():
        return
    reference, rows = delivery.reference, delivery.rows
    answer.rejects.append(cleaned.rejects)
    answer.refused_by.append(reference.source)
    if len(rows) == (cleaned.rejects["reason"] == Reason.OUTSIDE_WINDOW).sum():
        # An answer to another question, such as the previous page, proves no absence.
        raise SourceError(
            f"source {reference.source}: {reference.symbol} {terms.timeframe} {delivery.window}: "
            f"not one of the {len(rows):,} bars in the answer lies in the window asked for; "
            "run it again, or ask another source for it"
        )


def _add_coverage(answer: Answer, delivery: Delivery, cleaned: Cleaned) -> None:
    page, window = answer.page, delivery.window
    # A source cannot have answered for bars that have not closed yet.
    closed = (
        window.end if page.unfinished.is_empty() else min(window.end, first_of(page.unfinished))
    )
    omits = not delivery.traits.emits_empty_bars
    for span in delivery.spans:
        end = min(span.end, closed)
        if end > span.start:
            # Rows that are not needed show, too, that the source knows the symbol.
            given = len(cleaned.candles if span == window else cleaned.candles.filter(span.holds()))
            answer.coverage.append(
                (page.symbol, delivery.reference.source, span.start, end, given, omits)
            )


def _without(remaining: pl.Series, opens: pl.Series) -> pl.Series:
    # On a page's few rows numpy is faster than a polars query.
    absent, came = micros_of(remaining), micros_of(opens)
    if np.array_equal(absent, came):
        return remaining.clear()
    return remaining.filter(pl.Series(~np.isin(absent, came, assume_unique=True)))


def unexplained(answer: Answer, remaining: pl.Series, quiet_bars: int) -> pl.Series:
    """The absent bars without those of short silences.

    A short silence is explained by a source that leaves quiet bars out and has spoken of it. As in
    the evidence that is drawn from it later, it has spoken of nothing where it has given nothing.

    Args:
        answer: What the sources that were asked so far have said; whether a silence at its edge was
            taken for a quiet one is noted in it.
        remaining: ts of the bars that are absent, sorted.
        quiet_bars: The longest short silence.
    """
    spoken = [
        Window(start, end) for *_, start, end, bars, omits in answer.coverage if omits and bars
    ]
    if not spoken or remaining.is_empty():
        return remaining

    silences = runs(answer.page.bars["ts"], remaining).filter(
        pl.col("bars") <= quiet_bars,
        pl.any_horizontal(window.holds("first") & window.holds("last") for window in spoken),
    )
    edges = answer.page.bars["ts"].gather([0, -1]).implode()
    answer.spared |= silences.select(
        pl.any_horizontal(pl.col("first", "last").is_in(edges)).any()
    ).item()

    opens = micros_of(remaining)
    firsts, lasts = (micros_of(silences[edge]) for edge in ("first", "last"))
    # One before the first silence stands for no silence.
    at = np.searchsorted(firsts, opens, side="right")
    return remaining.filter(pl.Series(opens > np.concatenate(([opens[0] - 1], lasts))[at]))

"""The verdict on corporate actions. Pure.

It says whether the raw prices moved as the actions say, and moved like that nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from market_assets.config.settings import Severity
from market_assets.sources.actions import ActionKind
from market_assets.verdicts.jumps import JUMP
from market_assets.verdicts.verdicts import SAMPLE, Verdict
from market_assets.words import many

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEAST = 0.15
"""How far, as a logarithm, a price may move by itself over the night of a split."""

_SEEN = 0.1
"""A smaller split, as a logarithm, is not looked for: the night's own move hides it.

Such are one share for ten, and the rest of a spin-off.
"""


def actions_match_prices(
    actions: pl.DataFrame,
    days: pl.DataFrame,
    sessions: pl.Series,
    *,
    untold: Sequence[str],
    unmeasured: pl.DataFrame,
) -> Verdict:
    """Judge the recorded actions by raw daily candles.

    Args:
        actions: symbol, ex_date, kind, ratio, amount, currency: those that hold.
        days: symbol, session (Date), open, close: raw.
        sessions: The dates of the market's sessions, sorted: a night lies between two that follow
            each other.
        untold: Symbols whose actions no source has reported yet.
        unmeasured: symbol, ex_date of the dividends that no close of the two weeks before them
            measures.
    """
    split, paid = (pl.col("kind") == kind for kind in (ActionKind.SPLIT, ActionKind.DIVIDEND))
    events = (
        actions.filter(split | paid)
        .group_by("symbol", session="ex_date")
        .agg(
            ratio=pl.col("ratio").filter(split).product(),
            amount=pl.col("amount").filter(paid).sum(),
        )
    )
    number = pl.DataFrame({"session": sessions}).with_row_index("number")
    nights = (
        days.join(number, on="session")
        .sort("symbol", "session")
        .with_columns(
            pl.col("close").shift().over("symbol").alias("before"),
            gap=pl.col("number").diff().over("symbol"),
        )
        .filter(pl.col("gap") == 1, pl.col("before") > 0, pl.col("open") > 0)
        .join(events, on=["symbol", "session"], how="left")
        .with_columns(pl.col("ratio").fill_null(1.0), pl.col("amount").fill_null(0.0))
        .with_columns(
            moved=(pl.col("open") / pl.col("before")).log(),
            due=((1 / pl.col("ratio")) - (pl.col("amount") / pl.col("before")))
            .clip(lower_bound=1e-9)
            .log(),
        )
        .with_columns(off=(pl.col("moved") - pl.col("due")).abs(), size=pl.col("ratio").log().abs())
    )
    seen = pl.col("size") > _SEEN
    bound = pl.max_horizontal(pl.lit(_LEAST), pl.col("size") / 3)
    wrong = nights.filter(seen, pl.col("off") > bound).sort("off", descending=True)
    jumps = nights.filter(~seen, pl.col("off") > JUMP).sort("off", descending=True)
    splits = nights.filter(seen).height
    facts: dict[str, int | float | str] = {
        "actions": actions.height,
        "splits_seen_in_prices": splits - wrong.height,
        "splits_not_in_prices": wrong.height,
        "jumps_without_action": jumps.height,
        "dividends_without_close": unmeasured.height,
        "symbols_without_answer": len(untold),
    }
    tables: dict[str, list[dict[str, Any]]] = {}
    for name, rows in (("splits_not_in_prices", wrong), ("jumps_without_action", jumps)):
        if not rows.is_empty():
            tables[name] = [_row(row) for row in rows.head(SAMPLE).iter_rows(named=True)]
    if not unmeasured.is_empty():
        listed = unmeasured.sort("ex_date", descending=True).head(SAMPLE)
        tables["dividends_without_close"] = [
            {"symbol": name, "ex_date": f"{day}"}
            for name, day in listed.select("symbol", "ex_date").iter_rows()
        ]
    mixed = (
        actions.filter(paid, pl.col("currency").is_not_null())
        .group_by("symbol")
        .agg(
            currencies=pl.col("currency").unique().sort().str.join(", "),
            count=pl.col("currency").n_unique(),
        )
        .filter(pl.col("count") > 1)
        .drop("count")
        .sort("symbol")
    )
    facts["symbols_of_several_currencies"] = mixed.height
    if not mixed.is_empty():
        tables["several_currencies"] = mixed.head(SAMPLE).to_dicts()
    if untold:
        tables["symbols_without_answer"] = [{"symbol": name} for name in untold[:SAMPLE]]
    failed = bool(tables)
    severity = Severity.ERROR if untold or not wrong.is_empty() else Severity.WARN
    return Verdict(
        "actions_match_prices",
        not failed,
        severity,
        _sentence(
            untold, wrong, unmeasured, jumps=jumps, mixed=mixed, splits=splits, nights=nights.height
        ),
        facts,
        tables,
    )


def _row(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "symbol": row["symbol"],
        "session": f"{row['session']}",
        "close_before": row["before"],
        "open": row["open"],
        "ratio_told": row["ratio"],
        "ratio_of_prices": round(row["before"] / row["open"], 4),
    }


def _sentence(
    untold: Sequence[str],
    wrong: pl.DataFrame,
    unmeasured: pl.DataFrame,
    *,
    jumps: pl.DataFrame,
    mixed: pl.DataFrame,
    splits: int,
    nights: int,
) -> str:
    if untold:
        more = " and others" if len(untold) > 1 else ""
        return (
            f"No source has told the actions of {untold[0]}{more} yet: "
            "it has no adjusted candles. See why in the run, and materialize again."
        )
    if not wrong.is_empty():
        first = _row(wrong.row(0, named=True))
        raw = (
            " The candles of all of them look as if they were adjusted already."
            if wrong.height == splits > 1
            else ""
        )
        return (
            f"Splits that do not agree with the raw prices: {wrong.height} of {splits}, "
            f"the first {first['symbol']} on {first['session']}: "
            f"told {first['ratio_told']:g}, the prices say {first['ratio_of_prices']:g}.{raw} "
            "Correct the source of the actions, or of the candles."
        )
    if not unmeasured.is_empty():
        name, day = unmeasured.sort("ex_date", descending=True).select("symbol", "ex_date").row(0)
        return (
            f"Dividends that cannot be measured: {unmeasured.height}, "
            f"the newest that of {name} on {day}: "
            "no close of the two weeks before it is stored, or none above it. "
            "An older close measures it, if there is one: "
            "right if the share was suspended. Else backfill candles_1d there."
        )
    if not jumps.is_empty():
        first = _row(jumps.row(0, named=True))
        return (
            f"Nights in which a price jumped without an action: {jumps.height}, "
            f"the widest {first['symbol']} on {first['session']}: "
            f"from {first['close_before']:g} to {first['open']:g}. "
            "A split may be missing, or it was a wild night."
        )
    if not mixed.is_empty():
        name, currencies = mixed.row(0)
        return (
            f"Dividends in several currencies: {many(mixed.height, 'symbol')}, "
            f"the first {name} ({currencies}). "
            "Nothing is converted: those that are not in the currency of the prices "
            "give wrong factors. Write their amounts in that currency."
        )
    return (
        f"The raw prices moved as the splits say, which are {splits}, "
        f"and over no other of {nights:,} nights by half."
        if nights
        else "There are no daily candles yet that actions could be held against."
    )

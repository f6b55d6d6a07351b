"""Bars that are possible and still likely wrong. Pure.

These are spikes that come back, frozen prices, and volume that collapses.

Each bar is measured by its symbol's own past, never by what came after its own trouble: the scale
of a bar is the median range of the bars before it and of the same minute of the sessions before.
Only whether a spike comes back is read from the bars after it. The findings change nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import polars as pl

from market_assets.config.settings import Severity
from market_assets.market.instants import brief
from market_assets.market.timeframes import TS
from market_assets.verdicts.verdicts import SAMPLE, Verdict
from market_assets.words import are, many

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from market_assets.market.timeframes import Timeframe

RECENT = 120
"""How many bars before a bar say how far prices move at that time."""

SESSIONS = 20
"""How many sessions before say what is usual at that minute of the session."""

_ENOUGH_SESSIONS = 10
_BACK_WITHIN = 3
"""How many bars a spike lasts at most."""

_AROUND = 5
"""How many bars before and after a spike are calm beside it; else it is a storm."""

_SPIKE = 15.0
_BESIDE = 6.0
_LEAST = 0.005
"""The least size of a spike: in median ranges, in widest bars around it, as a share of price."""

_FROZEN = timedelta(minutes=30)
_FEWEST = 5
_CHANCE = 1e-12
"""The largest probability of a frozen stretch, by the share of flat bars before it."""

_THIN = 0.3
"""A symbol with a larger share of flat bars is illiquid: none of its bars is implausible."""

_COLLAPSE = 0.01
"""A smaller share of the usual volume is a collapse, when it lasts for `_FROZEN`."""

FINDING_SCHEMA = pl.Schema(
    {
        "symbol": pl.String(),
        "first_ts": TS,
        "last_ts": TS,
        "bars": pl.Int64(),
        "what": pl.String(),
        "size": pl.Float64(),
    }
)
"""The findings: neighbouring bars of a symbol, `what` is wrong with them (`What`), and its size.

The size is the share of the price that a spike departs by, the number of bars that stand still, or
the share of the usual volume that is left.
"""


class What(StrEnum):
    """What is implausible."""

    SPIKE = "spike"
    FROZEN = "frozen"
    COLLAPSE = "volume_collapse"


@dataclass(frozen=True)
class _Lengths:
    """How many bars a stretch has at least."""

    frozen: int

    @classmethod
    def of(cls, timeframe: Timeframe) -> _Lengths:
        return cls(max(_FEWEST, _FROZEN // timeframe.duration))


def implausible(
    bars: pl.DataFrame, timeframe: Timeframe, *, real_volume: bool = True
) -> pl.DataFrame:
    """Find the bars that are likely wrong.

    Args:
        bars: symbol, ts, open, high, low, close, volume, session (Date), opens (TS: when the
            session began), of stored bars; some weeks before the ones in question are needed, or
            nothing is found in these.
        timeframe: Their length.
        real_volume: Whether the volume counts what was traded.

    Returns:
        A frame of FINDING_SCHEMA, sorted by symbol and time.
    """
    if bars.is_empty():
        return FINDING_SCHEMA.to_frame()
    lengths = _Lengths.of(timeframe)
    measured = _measured(bars.sort("symbol", "ts"))
    findings = [_spikes(measured), _frozen(measured, lengths.frozen)]
    if real_volume:
        findings.append(_collapses(measured, lengths.frozen))
    return pl.concat(findings).sort("symbol", "first_ts", "what")


def _measured(bars: pl.DataFrame) -> pl.DataFrame:
    """The bars with the columns that each is measured by.

    Returns:
        Also width, usual (width), flat, flat_share, usual_volume, liquid.
    """
    logs = {
        name: pl.when(pl.col(name) > 0).then(pl.col(name)).log()
        for name in ("high", "low", "close", "open")
    }
    before = pl.col("close").shift().over("symbol")
    flat = (pl.col("high") == pl.col("low")) & (pl.col("close") == before)
    bars = bars.with_columns(
        *(value.alias(f"log_{name}") for name, value in logs.items()),
        width=logs["high"] - logs["low"],
        flat=flat.fill_null(value=False),
        slot=(pl.col("ts") - pl.col("opens")).dt.total_seconds(),
    )
    moving = pl.col("width").shift()
    slot = ["symbol", "slot"]
    volume = pl.col("volume").fill_nan(None)
    bars = bars.with_columns(
        recent=moving.rolling_median(RECENT, min_samples=20).over("symbol"),
        season=moving.rolling_median(SESSIONS, min_samples=_ENOUGH_SESSIONS).over(slot),
        usual_volume=volume.shift()
        .rolling_median(SESSIONS, min_samples=_ENOUGH_SESSIONS)
        .over(slot),
        flat_share=pl.col("flat")
        .cast(pl.Float64)
        .shift()
        .rolling_mean(10 * RECENT, min_samples=RECENT)
        .over("symbol"),
        place=pl.int_range(pl.len()).over("symbol"),
    )
    return bars.with_columns(
        usual=pl.max_horizontal("recent", "season"),
        liquid=(pl.col("flat_share") < _THIN).fill_null(value=False),
    )


def _spikes(bars: pl.DataFrame) -> pl.DataFrame:
    """Bars that leave the price and come back to it within a few bars."""

    def neighbour(name: str, by: int) -> pl.Expr:
        return pl.col(name).shift(by).over("symbol")

    frames = []
    for lasts in range(1, _BACK_WITHIN + 1):
        before, after = neighbour("log_close", 1), neighbour("log_close", -lasts)
        highs = [neighbour("log_high", -at) for at in range(lasts)]
        lows = [neighbour("log_low", -at) for at in range(lasts)]
        # Against the nearer of both sides: a price that does not come back has moved.
        top, bottom = pl.max_horizontal(before, after), pl.min_horizontal(before, after)
        up, down = pl.max_horizontal(highs) - top, bottom - pl.min_horizontal(lows)
        size = pl.max_horizontal(up, down)
        # Each of its bars is away, or it is a shorter one.
        away = (
            pl.when(up >= down)
            .then(pl.min_horizontal(highs) - top)
            .otherwise(bottom - pl.max_horizontal(lows))
        )
        steps = [*range(1, _AROUND + 1), *(-at for at in range(lasts, lasts + _AROUND))]
        beside = pl.max_horizontal(neighbour("width", by) for by in steps)
        moved = (after - before).abs()
        is_spike = (
            (size > _SPIKE * pl.col("usual"))
            & (size > _BESIDE * beside)
            & (size > _LEAST)
            & (moved < size / 3)
            & (away > size / 2)
            & pl.col("liquid")
        )
        rows = bars.with_columns(
            size=size, last=neighbour("ts", 1 - lasts), spike=is_spike.fill_null(value=False)
        ).filter("spike")
        frames.append(
            rows.select(
                "symbol",
                first_ts="ts",
                last_ts="last",
                bars=pl.lit(lasts, pl.Int64),
                what=pl.lit(What.SPIKE.value),
                size=pl.col("size").exp() - 1,
            )
        )
    # Two lengths may fit a ragged spike: the first is reported.
    spikes = pl.concat(frames).sort("symbol", "first_ts", "bars")
    earlier = pl.col("last_ts").cum_max().shift().over("symbol")
    return spikes.filter((pl.col("first_ts") > earlier).fill_null(value=True)).match_to_schema(
        FINDING_SCHEMA
    )


def _frozen(bars: pl.DataFrame, least: int) -> pl.DataFrame:
    """Stretches in which the price of a symbol that moves stands still."""
    runs = bars.with_columns(run=pl.struct("symbol", "flat").rle_id()).filter("flat")
    runs = runs.group_by("run", maintain_order=True).agg(
        pl.first("symbol", "liquid", "flat_share"),
        first_ts=pl.min("ts"),
        last_ts=pl.max("ts"),
        bars=pl.len().cast(pl.Int64),
    )
    chance = pl.col("flat_share").clip(lower_bound=0.01).pow(pl.col("bars"))
    return runs.filter(pl.col("bars") >= least, "liquid", chance < _CHANCE).select(
        "symbol",
        "first_ts",
        "last_ts",
        "bars",
        what=pl.lit(What.FROZEN.value),
        size=pl.col("bars").cast(pl.Float64),
    )


def _collapses(bars: pl.DataFrame, least: int) -> pl.DataFrame:
    """Stretches in which nearly nothing is left of the volume usual at that time of the session."""
    volume, usual = pl.col("volume").fill_nan(None), pl.col("usual_volume")
    poor = (usual > 0) & (volume < _COLLAPSE * usual) & pl.col("liquid")
    runs = bars.with_columns(poor=poor.fill_null(value=False))
    runs = runs.with_columns(run=pl.struct("symbol", "poor").rle_id()).filter("poor")
    runs = runs.group_by("run", maintain_order=True).agg(
        pl.first("symbol"),
        first_ts=pl.min("ts"),
        last_ts=pl.max("ts"),
        bars=pl.len().cast(pl.Int64),
        size=pl.sum("volume") / pl.sum("usual_volume"),
    )
    return runs.filter(pl.col("bars") >= least).select(
        "symbol", "first_ts", "last_ts", "bars", what=pl.lit(What.COLLAPSE.value), size="size"
    )


def plausibility(findings: Sequence[Mapping[str, Any]]) -> Verdict:
    """Judge whether the bars of a partition look like those before them.

    Args:
        findings: symbol, first_ts, last_ts, bars, what (spike, frozen, volume_collapse), size.
    """
    counts = Counter(str(row["what"]) for row in findings)
    facts: dict[str, int | float | str] = {
        "implausible": len(findings),
        **dict(sorted(counts.items())),
    }
    if not findings:
        words = "No bar differs strangely from the symbol's own past."
        return Verdict(
            "plausibility", passed=True, severity=Severity.WARN, summary=words, facts=facts
        )
    worst = sorted(findings, key=lambda row: (row["what"] != "spike", -row["bars"], row["symbol"]))
    table = [
        {
            "symbol": row["symbol"],
            "first_bar": brief(row["first_ts"]),
            "last_bar": brief(row["last_ts"]),
            "bars": row["bars"],
            "what": row["what"].replace("_", " "),
            "size": round(row["size"], 6),
        }
        for row in worst[:SAMPLE]
    ]
    first = worst[0]
    summary = (
        f"{many(len(findings), 'thing')} {are(len(findings))} likely wrong, "
        f"the first is a {first['what'].replace('_', ' ')} of {first['symbol']} "
        f"at {brief(first['first_ts'])} ({many(first['bars'], 'bar')}). "
        "Nothing is changed: compare it with another source, "
        "and backfill with --refetch where it was corrected."
    )
    tables = {"implausible": table}
    return Verdict(
        "plausibility",
        passed=False,
        severity=Severity.WARN,
        summary=summary,
        facts=facts,
        tables=tables,
    )

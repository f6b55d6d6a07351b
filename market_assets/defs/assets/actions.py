"""The corporate actions of a profile as an asset, with its check and its schedule.

The check holds the actions against the raw prices. The schedule keeps them up to date.

Dagster reads the annotations of an asset's parameters at run time, so that this module does without
postponed ones.
"""

from collections.abc import Iterator
from datetime import UTC, timedelta
from hashlib import sha256
from typing import Any

import dagster as dg
import polars as pl
from pydantic import Field

from market_assets.config.universe import Profile
from market_assets.defs.events import verdict_metadata
from market_assets.defs.keys import (
    BEFORE_REPAIRS,
    PROFILE_TAG,
    automatic,
    op_config,
    process_tags,
    trigger_tag,
)
from market_assets.defs.resources import PATIENCE, Clock, Sources, StoreResource
from market_assets.errors import StoreError
from market_assets.imports import late_imports
from market_assets.market.instants import to_minute
from market_assets.work.run import Trigger

with late_imports():
    from market_assets.enrich.actions.actions import (
        ActionsOutcome,
        judge_actions,
        record_actions,
        symbols_due,
    )
    from market_assets.sources.actions import ActionKind


ACTIONS_CHECK = "actions_match_prices"

EVERY = timedelta(hours=6)
"""How often symbols are looked for that are due: each once per day, and again without an answer."""

_CRON = "15 3,9,15,21 * * *"  # before the exchanges of Asia, Europe and America open
_NEWEST = 30
_WORST = 20

_COLUMNS = [
    dg.TableColumn("symbol", "string", "The symbol as the universe calls it"),
    dg.TableColumn(
        "ex_date",
        "date",
        "The first session that trades without the dividend, in new shares, or no more",
    ),
    dg.TableColumn("kind", "string", "split, dividend, rename or delisting"),
    dg.TableColumn("ratio", "double", "Of a split: new shares for an old one"),
    dg.TableColumn(
        "amount", "double", "Of a dividend: what a share as traded on the ex-date was paid"
    ),
    dg.TableColumn("currency", "string", "Of a dividend, where the source says it"),
    dg.TableColumn("detail", "string", "What else the source says"),
    dg.TableColumn("source", "string", "Who said so"),
    dg.TableColumn(
        "recorded_at",
        "timestamp",
        "Since when this is on record here; what was said before is in ops.action_revisions",
    ),
]


class ActionsConfig(dg.Config):
    """What a run may be told in the launchpad.

    Attributes:
        symbols: Ask only for these; empty for all of the profile.
    """

    symbols: list[str] = Field(default_factory=list)


def actions_key(profile: str) -> dg.AssetKey:
    """The asset key of a profile's corporate actions."""
    return dg.AssetKey([profile, "corporate_actions"])


def actions_asset(profile: Profile) -> dg.AssetsDefinition:
    """The asset of a profile's corporate actions, without partitions.

    A run asks for all actions that ever happened.
    """
    key = actions_key(profile.name)

    @dg.asset(
        key=key,
        check_specs=[
            dg.AssetCheckSpec(
                ACTIONS_CHECK,
                asset=key,
                description="The raw price moved on each split's ex-date as the split says, "
                "and over no other night by half; each dividend can be measured.",
            )
        ],
        description=_describe(profile),
        metadata={
            "dagster/table_name": f"{profile.name}.corporate_actions",
            "dagster/column_schema": dg.TableSchema(_COLUMNS),
        },
        kinds={"duckdb", "polars"},
        group_name=profile.name,
        owners=["team:market-data"],
        pool=f"{profile.name}_actions",
    )
    def corporate_actions(
        context: dg.AssetExecutionContext,
        config: ActionsConfig,
        store: StoreResource,
        sources: dg.ResourceParam[Sources],
        clock: Clock,
    ) -> Iterator[Any]:
        context.instance.add_run_tags(context.run.run_id, process_tags())
        opened = store.store(clock)
        outcome = record_actions(
            opened,
            sources.build_actions(profile),
            profile,
            clock=clock.now,
            symbols=config.symbols or None,
        )
        actions, verdict = judge_actions(opened, profile, clock.now())
        check = dg.AssetCheckResult(
            check_name=verdict.check,
            asset_key=key,
            passed=verdict.passed,
            severity=dg.AssetCheckSeverity[verdict.severity.value],
            description=verdict.summary,
            metadata=verdict_metadata(verdict),
        )
        if outcome.failures:
            yield check
            raise _failure(outcome)
        yield dg.MaterializeResult(
            metadata=_metadata(actions, outcome),
            check_results=[check],
            data_version=dg.DataVersion(
                sha256(actions.drop("recorded_at").write_csv().encode()).hexdigest()[:16]
            ),
        )

    return corporate_actions


def actions_schedule(profile: Profile) -> dg.ScheduleDefinition:
    """The schedule that asks for a profile's corporate actions once per day.

    It asks symbol by symbol, and is on by default.
    """
    key = actions_key(profile.name)

    @dg.schedule(
        name=f"actions_{profile.name}",
        cron_schedule=_CRON,
        execution_timezone="UTC",
        target=dg.AssetSelection.assets(key),
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Asks for corporate actions: once a day for each symbol, "
        "and at each tick again for those without an answer.",
    )
    def actions(store: StoreResource, clock: Clock) -> dg.SkipReason | dg.RunRequest:
        now = clock.now()
        try:
            due = symbols_due(store.store(clock, PATIENCE), profile, now)
        except StoreError as error:
            return dg.SkipReason(str(error))
        if not due:
            return dg.SkipReason("every symbol was answered for within a day")
        return dg.RunRequest(
            run_key=f"{key.to_user_string()}/{now.astimezone(UTC):%Y-%m-%dT%H}",
            run_config=op_config([key], {"symbols": due}),
            tags={
                **trigger_tag(Trigger.UPDATE),
                PROFILE_TAG: profile.name,
                **automatic(BEFORE_REPAIRS),
            },
        )

    return actions


def _failure(outcome: ActionsOutcome) -> dg.Failure:
    rows = [
        {"symbol": name, "why": why} for name, whys in outcome.failures.items() for why in whys[:3]
    ]
    names = ", ".join(list(outcome.failures)[:3]) + (
        " and others" if len(outcome.failures) > 3 else ""
    )
    first = f" {rows[0]['why']}." if rows else ""
    return dg.Failure(
        description=(
            f"The corporate actions of {len(outcome.failures)} of "
            f"{len(outcome.failures) + len(outcome.answers)} symbols could not be had ({names}); "
            "what is on "
            f"record of them stays, the others are recorded.{first} Mend the cause, "
            "which the table names for each, then materialize again."
        ),
        metadata={"failed_symbols": _table(rows[:_WORST]), "failed": len(outcome.failures)},
        allow_retries=False,
    )


def _metadata(actions: pl.DataFrame, outcome: ActionsOutcome) -> dict[str, dg.MetadataValue]:
    counts = dict(actions["kind"].value_counts().iter_rows())
    newest = actions.sort("ex_date", "symbol", descending=[True, False]).head(_NEWEST)
    return {
        "dagster/row_count": dg.MetadataValue.int(actions.height),
        **{f"{kind}s": dg.MetadataValue.int(counts.get(kind, 0)) for kind in ActionKind},
        "symbols": dg.MetadataValue.int(len(outcome.answers)),
        "new": dg.MetadataValue.int(outcome.new),
        "changed": dg.MetadataValue.int(outcome.changed),
        "withdrawn": dg.MetadataValue.int(outcome.withdrawn),
        "newest": _table(
            {
                "symbol": row["symbol"],
                "ex_date": f"{row['ex_date']}",
                "kind": row["kind"],
                "what": _what(row),
                "source": row["source"],
                "recorded": to_minute(row["recorded_at"]),
            }
            for row in newest.iter_rows(named=True)
        ),
    }


def _what(row: dict[str, Any]) -> str:
    words = {
        ActionKind.SPLIT: f"{row['ratio'] or 0:g} for 1",
        ActionKind.DIVIDEND: " ".join(filter(None, [f"{row['amount'] or 0:g}", row["currency"]])),
    }
    return ", ".join(filter(None, [words.get(row["kind"]), row["detail"]]))


def _table(rows: Any) -> dg.TableMetadataValue:  # noqa: ANN401
    records = [dg.TableRecord(row) for row in rows]
    return dg.MetadataValue.table(
        records, schema=None if records else dg.TableSchema([dg.TableColumn("nothing")])
    )


def _describe(profile: Profile) -> str:
    sources = sorted(
        {choice.source for symbol in profile.symbols.values() for choice in symbol.actions}
    )
    return (
        f"Splits, dividends, renames and delistings of {len(profile.symbols)} symbols "
        f"from {', '.join(sources)}.\n\nRaw candles are never changed. "
        f"`{profile.name}.candles_<tf>_adjusted` are views of them on today's footing, "
        f"`{profile.name}.adjusted_<tf>(DATE '2020-08-28')` on that of a day: with the actions up "
        "to it, and with `known_by := TIMESTAMP '...'` as they were on record then."
    )

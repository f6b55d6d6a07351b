"""The asset `platform/troubles`: the page that lists what is wrong now, by name.

No run makes it, the alerts sensor writes it. Dagster reads the annotations of a check's parameters
at run time, so that this module does without postponed ones.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256

import dagster as dg

from market_assets.config.universe import Universe
from market_assets.defs.resources import Clock, StoreResource
from market_assets.imports import late_imports
from market_assets.market.instants import to_minute

with late_imports():
    from market_assets.alerts import Alert, Outside, alerts_in, message
    from market_assets.alerts.message import name, next_step
    from market_assets.alerts.troubles import Level


KEY = dg.AssetKey(["platform", "troubles"])
CHECK = "nothing_wrong"

_VERSION_TAG = "dagster/data_version"

_A_DAY = len("2025-01-01")


def troubles_asset() -> dg.AssetSpec:
    """The page in the UI, without inputs and automation: it is news, written when they change."""
    return dg.AssetSpec(
        KEY,
        group_name="platform",
        kinds={"duckdb"},
        owners=["team:market-data"],
        description=(
            "What is wrong now, by name, since when, and what to do about it. The sensor `alerts` "
            "writes it whenever the list changes; `market-assets alerts` prints the same list."
        ),
    )


def troubles_check(universe: Universe) -> dg.AssetChecksDefinition:
    """The check of the page: it fails while anything is wrong.

    The sensor writes its verdict; a run of it looks at once.

    Args:
        universe: Whose secrets are in no word.
    """

    @dg.asset_check(
        asset=KEY, name=CHECK, description="Fails while the alerts sensor knows of a trouble."
    )
    def nothing_wrong(store: StoreResource, clock: Clock) -> dg.AssetCheckResult:
        outside = Outside(store.home, universe, clock.now)
        alerts = [alert for alert in outside.notes.alerts if alert.over_at is None]
        with store.store(clock).reading("listing alerts") as view:
            alerts += [alert for alert in alerts_in(view.alerts.of()) if alert.over_at is None]
        return dg.AssetCheckResult(
            passed=not alerts,
            severity=dg.AssetCheckSeverity.WARN,
            description=universe.redact(_words(_worst_first(alerts))),
            metadata={"wrong": dg.MetadataValue.int(len(alerts))},
        )

    return nothing_wrong


def publish(
    instance: dg.DagsterInstance,
    alerts: Sequence[Alert],
    redact: Callable[[str], str],
    shown: str | None,
) -> str:
    """Write the page and its check, if the list is another one than the page shows.

    Args:
        instance: Where the page is.
        alerts: What is wrong now.
        redact: Takes secrets out of words.
        shown: What this gave the last time; None for a process that has not looked yet.

    Returns:
        By what the list is known.
    """
    ordered = _worst_first(alerts)
    entries = [(name(alert), _markdown(alert, redact)) for alert in ordered]
    version = sha256(repr(entries).encode()).hexdigest()[:16]
    if version == (_shown(instance) if shown is None else shown):
        return version
    words = redact(_words(ordered))
    metadata: dict[str, dg.MetadataValue] = {
        "wrong": dg.MetadataValue.int(len(entries)),
        "errors": dg.MetadataValue.int(sum(alert.level is Level.ERROR for alert in ordered)),
    }
    for place, (where, text) in enumerate(entries[: message.MOST], 1):
        metadata[f"{place:02}. {where}"] = dg.MetadataValue.md(text)
    if len(entries) > message.MOST:
        metadata["and more"] = dg.MetadataValue.text(
            f"market-assets alerts lists all {len(entries):,}"
        )
    tags = {_VERSION_TAG: version}
    instance.report_runless_asset_event(
        dg.AssetMaterialization(KEY, description=words, metadata=metadata, tags=tags)
    )
    evaluation = dg.AssetCheckEvaluation(
        asset_key=KEY,
        check_name=CHECK,
        passed=not entries,
        severity=dg.AssetCheckSeverity.WARN,
        description=words,
        metadata={"wrong": dg.MetadataValue.int(len(entries))},
    )
    instance.report_runless_asset_event(evaluation)
    return version


def _shown(instance: dg.DagsterInstance) -> str | None:
    event = instance.get_latest_materialization_event(KEY)
    made = event.asset_materialization if event else None
    return (made.tags or {}).get(_VERSION_TAG) if made else None


def _worst_first(alerts: Sequence[Alert]) -> list[Alert]:
    return sorted(alerts, key=lambda alert: (alert.level is not Level.ERROR, *alert.key))


def _words(alerts: Sequence[Alert]) -> str:
    if not alerts:
        return "Nothing is wrong."
    first = alerts[0]
    more = f", and {len(alerts) - 1:,} more" if len(alerts) > 1 else ""
    return f"{len(alerts):,} wrong: {name(first)}: {first.summary}{more}"


def _markdown(alert: Alert, redact: Callable[[str], str]) -> str:
    """A trouble as the page shows it."""
    kind = alert.kind.value.replace("_", " ")
    head = f"**{alert.level} {kind}**: {alert.summary}, since {to_minute(alert.opened_at)}"
    # Days stand in a row, sentences below one another.
    days = [line for line in alert.details if len(line) <= _A_DAY]
    lines = [", ".join(days)] * bool(days) + [line for line in alert.details if len(line) > _A_DAY]
    return redact(
        "\n".join([head, "", *(f"- {line}" for line in lines), f"\nNext: {next_step(alert)}."])
    )

"""Rules for Prometheus and a dashboard for Grafana, over the metrics of `market_assets.reports`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_SERIES = "profile, timeframe"

_RECORDED = {
    "market_assets:completeness:min": "min by (profile) (market_assets_completeness_ratio)",
    "market_assets:bars_missing:sum": f"sum by ({_SERIES}) (market_assets_bars_missing)",
    "market_assets:last_bar_age_seconds": (
        f"time() - min by ({_SERIES}) (market_assets_last_bar_timestamp_seconds)"
    ),
    "market_assets:source_requests:rate5m": (
        "sum by (source) (rate(market_assets_source_requests_total[5m]))"
    ),
    "market_assets:source_retries:ratio1h": (
        "sum by (source) (increase(market_assets_source_retries_total[1h])) "
        "/ (sum by (source) (increase(market_assets_source_requests_total[1h])) > 0)"
    ),
}
"""Series that Prometheus computes from the metrics, by name."""


@dataclass(frozen=True)
class Alarm:
    """A rule by which Prometheus alerts.

    Attributes:
        name: What it is called.
        condition: PromQL; what it gives is in trouble.
        lasts: How long the condition has to hold.
        severity: `critical`, `warning` or `info`.
        summary: A sentence with the labels of the series.
        step: What to do next.
    """

    name: str
    condition: str
    lasts: str
    severity: str
    summary: str
    step: str


ALARMS = (
    Alarm(
        "MarketAssetsDown",
        'up{job="market_assets"} == 0 or absent(up{job="market_assets"})',
        "5m",
        "critical",
        "Nobody answers for the metrics.",
        "Look at the service: systemctl status market-assets-serve.",
    ),
    Alarm(
        "MarketAssetsTrouble",
        "sum by (profile, kind) (market_assets_alerts) > 0",
        "10m",
        "warning",
        "{{ $labels.profile }}: {{ $value }} troubles of kind {{ $labels.kind }} go on.",
        "market-assets alerts",
    ),
    Alarm(
        "MarketAssetsBarsMissing",
        'sum by (profile, timeframe) (market_assets_bars_missing{reason!="abandoned"}) > 0',
        "6h",
        "warning",
        "{{ $labels.profile }} {{ $labels.timeframe }}: {{ $value }} bars are missing for hours.",
        "market-assets gaps, and market-assets gaps --explain SYMBOL TS",
    ),
    Alarm(
        "MarketAssetsJobFailed",
        "market_assets_job_failed == 1",
        "1h",
        "warning",
        "{{ $labels.profile }}: the last {{ $labels.kind }} of {{ $labels.timeframe }} has failed "
        "or left something out.",
        "market-assets jobs",
    ),
    Alarm(
        "MarketAssetsStreamUnwell",
        'sum by (profile, timeframe, state) (market_assets_stream_symbols{state=~"lost|silent|'
        'killed|failed"}) > 0',
        "5m",
        "warning",
        "{{ $labels.profile }} {{ $labels.timeframe }}: {{ $value }} streams are "
        "{{ $labels.state }}.",
        "market-assets status",
    ),
    Alarm(
        "MarketAssetsStreamLate",
        'market_assets_stream_lag_seconds{quantile="0.99"} > 30',
        "15m",
        "warning",
        "{{ $labels.profile }} {{ $labels.timeframe }}: one streamed bar in a hundred is stored "
        "{{ $value }} s late.",
        "Look at the machine's load and at who holds the store: market-assets status.",
    ),
    Alarm(
        "MarketAssetsStoreHeld",
        "increase(market_assets_store_lock_wait_seconds_total[15m]) > 300",
        "15m",
        "warning",
        "Writers have waited {{ $value | humanizeDuration }} for the store in 15 minutes.",
        "market-assets jobs; a command that waits names who holds the store.",
    ),
    Alarm(
        "MarketAssetsBarsLate",
        "market_assets:last_bar_age_seconds > 4 * 86400",
        "1h",
        "warning",
        "{{ $labels.profile }} {{ $labels.timeframe }}: the newest bar is "
        "{{ $value | humanizeDuration }} old, longer than any weekend.",
        "market-assets status, and market-assets probe SOURCE",
    ),
    Alarm(
        "MarketAssetsRowsRefused",
        "sum by (profile, source) (market_assets_source_refused_rows) > 0",
        "1h",
        "info",
        "{{ $labels.source }}: {{ $value }} rows of its latest answers cannot be stored.",
        "market-assets gaps, which tells what was wrong with them.",
    ),
    Alarm(
        "MarketAssetsSourceRetries",
        "market_assets:source_retries:ratio1h > 0.2",
        "1h",
        "info",
        "{{ $labels.source }}: {{ $value | humanizePercentage }} of the requests had to be sent "
        "again.",
        "market-assets probe SOURCE",
    ),
)


def rules() -> dict[str, Any]:
    """The rules file: recorded series and alarms, as Prometheus reads it."""
    recorded = [{"record": name, "expr": expr} for name, expr in _RECORDED.items()]
    alarms = [
        {
            "alert": alarm.name,
            "expr": alarm.condition,
            "for": alarm.lasts,
            "labels": {"severity": alarm.severity},
            "annotations": {"summary": alarm.summary, "next_step": alarm.step},
        }
        for alarm in ALARMS
    ]
    return {
        "groups": [
            {"name": "market_assets_recorded", "interval": "1m", "rules": recorded},
            {"name": "market_assets_alarms", "rules": alarms},
        ]
    }


def scrape(target: str, *, has_token: bool) -> dict[str, Any]:
    """The configuration of a Prometheus that asks one server for its metrics.

    Args:
        target: Host and port of `market-assets serve`.
        has_token: Whether the server wants a token; it is read from a file beside.
    """
    job: dict[str, Any] = {
        "job_name": "market_assets",
        "metrics_path": "/v1/metrics",
        "static_configs": [{"targets": [target]}],
    }
    if has_token:
        job["authorization"] = {"credentials_file": "token"}
    return {
        "global": {"scrape_interval": "30s", "evaluation_interval": "30s"},
        "rule_files": ["market_assets.rules.yml"],
        "scrape_configs": [job],
    }


# The dashboard ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Panel:
    """A panel: its title, what is drawn, in which unit, under which names.

    `kind` is Grafana's: stat, timeseries or table. Of 24 columns it takes `width`.
    """

    title: str
    expr: str
    legend: str
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8


_OF_PROFILE = '{profile=~"$profile"}'

_PANELS = (
    _Panel(
        "Completeness",
        f"min by (profile) (market_assets_completeness_ratio{_OF_PROFILE})",
        "{{profile}}",
        "percentunit",
        "stat",
    ),
    _Panel(
        "Missing bars",
        f"sum by (profile) (market_assets_bars_missing{_OF_PROFILE})",
        "{{profile}}",
        kind="stat",
    ),
    _Panel(
        "Troubles",
        f"sum by (level) (market_assets_alerts{_OF_PROFILE})",
        "{{level}}",
        kind="stat",
    ),
    _Panel(
        "Missing bars by reason",
        f"sum by (profile, timeframe, reason) (market_assets_bars_missing{_OF_PROFILE})",
        "{{profile}} {{timeframe}} {{reason}}",
    ),
    _Panel(
        "Absent bars with evidence",
        f"sum by (profile, timeframe, reason) (market_assets_bars_explained{_OF_PROFILE})",
        "{{profile}} {{timeframe}} {{reason}}",
    ),
    _Panel(
        "Age of the newest bar",
        f"time() - market_assets_last_bar_timestamp_seconds{_OF_PROFILE}",
        "{{profile}} {{timeframe}}",
        "s",
    ),
    _Panel(
        "Lag of streams",
        f"market_assets_stream_lag_seconds{_OF_PROFILE}",
        "{{profile}} {{timeframe}} p{{quantile}}",
        "s",
    ),
    _Panel(
        "Streams by state",
        f"sum by (profile, state) (market_assets_stream_symbols{_OF_PROFILE})",
        "{{profile}} {{state}}",
    ),
    _Panel(
        "Reconnects in the session",
        f"market_assets_stream_reconnects{_OF_PROFILE}",
        "{{profile}} {{timeframe}}",
    ),
    _Panel(
        "Requests by source",
        f"sum by (source) (rate(market_assets_source_requests_total{_OF_PROFILE}[5m]))",
        "{{source}}",
        "reqps",
    ),
    _Panel(
        "Retries by source",
        f"sum by (source) (rate(market_assets_source_retries_total{_OF_PROFILE}[5m]))",
        "{{source}}",
        "reqps",
    ),
    _Panel(
        "Waiting for limits and retries",
        f"sum by (source) (rate(market_assets_source_wait_seconds_total{_OF_PROFILE}[5m]))",
        "{{source}}",
        "s",
    ),
    _Panel(
        "Last job of each kind",
        f"market_assets_job_seconds{_OF_PROFILE}",
        "{{profile}} {{kind}} {{timeframe}}",
        "s",
    ),
    _Panel(
        "Partitions that lack a bar",
        'market_assets_partitions{profile=~"$profile", state="lacking"}',
        "{{profile}} {{timeframe}}",
    ),
    _Panel("Size of the store", "market_assets_store_bytes", "store", "bytes"),
    _Panel(
        "Waiting for the store",
        "rate(market_assets_store_lock_wait_seconds_total[5m])",
        "seconds a second",
        "s",
    ),
)

_COLUMNS, _HEIGHT = 24, 8


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it: one variable for the data source, one for profiles."""
    source = {"type": "prometheus", "uid": "${datasource}"}
    panels = []
    across = down = 0
    for number, panel in enumerate(_PANELS, start=1):
        if across + panel.width > _COLUMNS:
            across, down = 0, down + _HEIGHT
        panels.append(
            {
                "id": number,
                "title": panel.title,
                "type": panel.kind,
                "datasource": source,
                "gridPos": {"x": across, "y": down, "w": panel.width, "h": _HEIGHT},
                "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
                "targets": [
                    {
                        "refId": "A",
                        "datasource": source,
                        "expr": panel.expr,
                        "legendFormat": panel.legend,
                    }
                ],
            }
        )
        across += panel.width
    return {
        "title": "Market assets",
        "uid": "market-assets",
        "tags": ["market-assets"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "timezone": "utc",
        "templating": {"list": _VARIABLES},
        "panels": panels,
    }


_VARIABLES = [
    {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"},
    {
        "name": "profile",
        "type": "query",
        "label": "Profile",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "query": "label_values(market_assets_bars_expected, profile)",
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "refresh": 2,
    },
]

"""What Prometheus scrapes: the figures of the ledgers, in its text format or in OpenMetrics."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, choose_encoder

from market_assets.reports.metrics import metrics_of
from market_assets.serve.desk import AtDesk, Made
from market_assets.serve.models import EVERYWHERE, problems

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.core import Metric as Family

    from market_assets.reports.metrics import Metric
    from market_assets.store import Snapshot

router = APIRouter(tags=["metrics"], responses=problems(*EVERYWHERE))

_LASTS = timedelta(seconds=2)
"""How long figures are given again, if nothing is committed meanwhile."""


@router.get(
    "/metrics",
    summary="What a monitor scrapes",
    responses={200: {"content": {CONTENT_TYPE_LATEST: {"schema": {"type": "string"}}}}},
    response_class=Response,
)
async def metrics(request: Request, desk: AtDesk) -> Response:
    """Bars by profile, timeframe and reason, sources, streams, jobs, alerts, and the store's size.

    All of it comes from the ledgers, so that it is right after a crash as well.
    """
    encoder, content_type = choose_encoder(request.headers.get("accept", ""))

    def make(view: Snapshot) -> Made:
        figures = metrics_of(
            view,
            desk.universe,
            desk.clock(),
            size=(desk.home / "market.duckdb").stat().st_size,
            by_symbol=desk.universe.serve.symbol_metrics,
        )
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collector(figures))
        return Made(iter([encoder(registry)]), content_type)

    return await desk.answer(request, "reading the metrics", make, until=_LASTS)


class _Collector:
    """Metrics as a collector of Prometheus' client gives them."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Family]:
        for metric in self._metrics:
            kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            family = kind(metric.name, metric.words, labels=metric.labels)
            for sample in metric.samples:
                family.add_metric(sample.labels, sample.value)
            yield family

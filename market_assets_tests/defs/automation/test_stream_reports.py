"""What a run that streams tells Dagster is bounded, however much there is to tell."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from dagster._serdes import serialize_value

from market_assets.defs.automation.stream_reports import StreamObserver, few_lines
from market_assets.live.report import StreamReport
from market_assets.market.timeframes import Timeframe
from market_assets_tests.support.live_ground import LiveGround, live_ground
from market_assets_tests.support.manual_timer import START

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class _Kept(logging.Handler):
    """Keeps the lines that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveGround]:
    with live_ground(tmp_path, "BTCUSDT", "ETHUSDT") as ground:
        yield ground


def test_an_observation_of_many_symbols_is_bounded(live, instance):
    symbols = [f"S{number:03}" for number in range(200)]
    report = StreamReport(
        at=START,
        timeframe=Timeframe.M1,
        stored_in_all=200,
        states=dict.fromkeys(symbols, "live") | {"S150": "refused"},
        words={"S150": "it is unknown"},
        last_bar=dict.fromkeys(symbols, START),
        news=["a sentence"] * 50,
        is_last=True,
    )

    @dg.op
    def step(context) -> None:
        observer = StreamObserver(context, live.universe, live.profile)
        with few_lines(lambda: START) as lines:
            observer.hear(report, lines)

    @dg.job
    def job() -> None:
        step()

    result = job.execute_in_process(instance=instance)

    (entry,) = instance.all_logs(
        result.dagster_run.run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION
    )
    observation = entry.asset_observation
    rows = [record.data for record in observation.metadata["symbols"].records]
    assert len(rows) == 20
    assert (rows[0]["symbol"], rows[0]["why"]) == ("S150", "it is unknown")
    assert observation.metadata["symbols_not_shown"].value == 180
    assert len(observation.metadata["last_bars"].value) == 200
    assert observation.metadata["news"].value.splitlines()[0] == "- `40 more before`"
    assert len(serialize_value(observation)) < 20_000


def test_a_logger_is_left_as_it_was():
    logger = logging.getLogger("market_assets.test_stream_reports")
    handler = _Kept()
    logger.addHandler(handler)
    now = START

    with few_lines(lambda: now, logger.name) as lines:
        for seconds in (0, 1, 59, 60):
            now = START + timedelta(seconds=seconds)
            logger.warning("at %d", seconds)
            logger.info("nothing")

    assert handler.lines == ["at 0", "at 60"]
    assert lines.left_out == 2
    assert logger.handlers == [handler]
    logger.removeHandler(handler)

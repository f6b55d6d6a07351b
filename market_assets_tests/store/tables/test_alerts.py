"""The alerts that were sent or are still to be sent."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest


@pytest.fixture
def alerts(read, minutes):
    """Makes alerts of an id, the minute in which each was opened, and other columns."""
    schema = read("alerts.of").schema

    def make(*rows: dict[str, object]) -> pl.DataFrame:
        usual = {
            "profile": "crypto",
            "kind": "gap",
            "subject": "candles_1m",
            "level": "warning",
            "summary": "1 gap",
            "count": 1,
            "details": [],
            "symbols": [],
            "tries": 0,
            "opened_at": minutes.naive(0),
        }
        values = [dict.fromkeys(schema) | usual | row for row in rows]
        return pl.DataFrame(values, schema=schema)

    return make


def test_an_alert_takes_the_place_of_the_one_with_its_id(write, read, alerts):
    write("alerts.put", alerts({"alert_id": "a"}, {"alert_id": "b"}))
    write("alerts.put", alerts({"alert_id": "a", "summary": "2 gaps"}))
    write("alerts.put", alerts())
    found = read("alerts.of").sort("alert_id").select("alert_id", "summary").rows()
    assert found == [("a", "2 gaps"), ("b", "1 gap")]


def test_an_alert_is_finished_once_its_end_was_told_or_nobody_heard_of_it(
    write, read, alerts, minutes
):
    at = {name: minutes.naive(minute) for minute, name in enumerate(("open", "told", "over"))}
    hour = timedelta(hours=1)
    over = {"over_at": at["over"]}
    write(
        "alerts.put",
        alerts(
            {"alert_id": "goes on", "opened_at": at["open"]},
            {"alert_id": "untold", **over},
            {
                "alert_id": "end untold",
                "told_at": at["told"],
                **over,
                "opened_at": at["open"] + hour,
            },
            {"alert_id": "told", "told_at": at["told"], **over, "over_told_at": at["over"]},
        ),
    )
    assert read("alerts.of")["alert_id"].to_list() == ["end untold", "goes on"]
    assert read("alerts.of", everything=True).height == 4

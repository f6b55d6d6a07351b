"""Rules and dashboard: promtool reads them, and they speak of metrics that there are."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess

import httpx
import pytest
import yaml

from market_assets.deploy.monitoring import ALARMS, dashboard, rules, scrape
from market_assets.reports.metrics import metrics_of
from market_assets_tests.support.alerts_ground import universe_of
from market_assets_tests.support.platform import until
from market_assets_tests.support.serve_ground import TOKEN, ServeGround

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed"
)

METRIC = re.compile(r"\bmarket_assets_[a-z_]+")
RECORDED = re.compile(r"\bmarket_assets:[a-z0-9_:]+")


def promtool(*words: object) -> subprocess.CompletedProcess[str]:
    command = ["promtool", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def expressions() -> list[str]:
    """Every expression of the rules and of the dashboard."""
    ours = [rule["expr"] for group in rules()["groups"] for rule in group["rules"]]
    panels = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    return [*ours, *panels]


def test_every_metric_that_is_named_is_there(store, tmp_path, clock) -> None:
    with store.reading("telling metrics") as view:
        told = {metric.name for metric in metrics_of(view, universe_of(tmp_path), clock(), size=1)}
    named = {name for text in expressions() for name in METRIC.findall(text)}
    assert named
    assert named <= told


def test_every_recorded_series_that_is_named_is_recorded() -> None:
    recorded = {
        rule["record"] for group in rules()["groups"] for rule in group["rules"] if "record" in rule
    }
    assert {name for text in expressions() for name in RECORDED.findall(text)} <= recorded


def test_every_alarm_has_a_next_step_and_a_name_of_its_own() -> None:
    assert all(alarm.step and alarm.summary.endswith(".") for alarm in ALARMS)
    assert len({alarm.name for alarm in ALARMS}) == len(ALARMS)


def test_no_two_panels_lie_on_each_other() -> None:
    taken = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (place["x"] + across, place["y"] + down)
            for across in range(place["w"])
            for down in range(place["h"])
        }
        assert not taken & cells
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert json.loads(json.dumps(dashboard())) == dashboard()


@needs_promtool
def test_prometheus_takes_the_rules_and_the_configuration(tmp_path) -> None:
    (tmp_path / "market_assets.rules.yml").write_text(yaml.safe_dump(rules()))
    (tmp_path / "token").write_text("of tests")
    config = tmp_path / "prometheus.yml"
    config.write_text(yaml.safe_dump(scrape("127.0.0.1:3001", has_token=True)))

    verdict = promtool("check", "config", config)

    assert verdict.returncode == 0, verdict.stdout + verdict.stderr


# Each alarm rings in trouble, and is still without ------------------------------------------------

SERIES = {
    "MarketAssetsDown": ('up{job="market_assets"}', "0", "1"),
    "MarketAssetsTrouble": (
        'market_assets_alerts{profile="p", kind="gap", level="ERROR"}',
        "2",
        "0",
    ),
    "MarketAssetsBarsMissing": (
        'market_assets_bars_missing{profile="p", timeframe="1h", reason="open"}',
        "3",
        "0",
    ),
    "MarketAssetsJobFailed": (
        'market_assets_job_failed{profile="p", kind="fill", timeframe="1h"}',
        "1",
        "0",
    ),
    "MarketAssetsStreamUnwell": (
        'market_assets_stream_symbols{profile="p", timeframe="1m", state="silent"}',
        "4",
        "0",
    ),
    "MarketAssetsStreamLate": (
        'market_assets_stream_lag_seconds{profile="p", timeframe="1m", quantile="0.99"}',
        "90",
        "1",
    ),
    "MarketAssetsStoreHeld": ("market_assets_store_lock_wait_seconds_total", "0+60x720", "0+1x720"),
    "MarketAssetsBarsLate": (
        'market_assets_last_bar_timestamp_seconds{profile="p", timeframe="1h"}',
        "-500000",
        "0+60x720",
    ),
    "MarketAssetsRowsRefused": (
        'market_assets_source_refused_rows{profile="p", source="s"}',
        "3",
        "0",
    ),
    "MarketAssetsSourceRetries": (
        'market_assets_source_retries_total{profile="p", source="s"}',
        "0+30x720",
        "0+1x720",
    ),
}
"""By alarm: a series, its values in trouble, and its values without, of each minute."""

REQUESTS = 'market_assets_source_requests_total{profile="p", source="s"}'
LAST = "11h"


def constant(values: str) -> str:
    return values if "x" in values else f"{values}+0x720"


def rung(alarm: str, tmp_path, values: str) -> subprocess.CompletedProcess[str]:
    """What promtool says where an alarm is expected not to ring, after hours of some values."""
    series = SERIES[alarm][0]
    input_series = [{"series": series, "values": constant(values)}]
    if alarm != "MarketAssetsDown":
        input_series.append({"series": 'up{job="market_assets"}', "values": "1+0x720"})
    if alarm == "MarketAssetsSourceRetries":
        input_series.append({"series": REQUESTS, "values": "0+100x720"})
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules()))
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": input_series,
                "alert_rule_test": [{"eval_time": LAST, "alertname": alarm, "exp_alerts": []}],
            }
        ],
    }
    path = tmp_path / "test.yml"
    path.write_text(yaml.safe_dump(test))
    return promtool("test", "rules", path)


def test_every_alarm_is_tried() -> None:
    assert SERIES.keys() == {alarm.name for alarm in ALARMS}


@needs_promtool
@pytest.mark.parametrize("alarm", sorted(SERIES))
def test_an_alarm_rings_in_trouble_and_is_still_without(alarm, tmp_path) -> None:
    _, trouble, calm = SERIES[alarm]

    still = rung(alarm, tmp_path, calm)
    assert still.returncode == 0, still.stdout + still.stderr
    loud = rung(alarm, tmp_path, trouble)
    assert loud.returncode == 1
    assert f'alertname="{alarm}"' in loud.stdout + loud.stderr


# A real Prometheus over a real server -------------------------------------------------------------


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")
def test_a_prometheus_scrapes_the_server_and_evaluates_the_rules(tmp_path, clock) -> None:
    ground = ServeGround(tmp_path, clock)
    ground.fill()
    with ground.served('token: "${T}"', environ={"T": TOKEN}) as client:
        target = f"127.0.0.1:{client.base_url.port}"
        config = scrape(target, has_token=True)
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        document = rules()
        for group in document["groups"]:
            group["interval"] = "1s"
        (tmp_path / "market_assets.rules.yml").write_text(yaml.safe_dump(document))
        (tmp_path / "token").write_text(TOKEN)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [
            "prometheus",
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ]
        with (
            subprocess.Popen(command, stderr=subprocess.DEVNULL) as process,
            httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", trust_env=False) as monitor,
        ):
            try:
                until(lambda: answer_to(monitor, 'up{job="market_assets"} == 1'), "a scrape")
                query = (
                    'market_assets_bars_missing{profile="crypto", timeframe="1h", reason="open"}'
                )
                (missing,) = until(lambda: answer_to(monitor, query), "missing bars")
                assert missing["value"][1] == "1"
                groups = monitor.get("/rules").json()["data"]["groups"]
                loaded = {rule["name"] for group in groups for rule in group["rules"]}
                assert {alarm.name for alarm in ALARMS} < loaded
                recorded = "market_assets:completeness:min"
                assert until(lambda: answer_to(monitor, recorded), "a recorded series")
            finally:
                process.terminate()


def answer_to(monitor: httpx.Client, query: str) -> list[dict]:
    """What Prometheus has; nothing while it starts."""
    try:
        answer = monitor.get("/query", params={"query": query}).json()
    except httpx.HTTPError:
        return []
    return answer["data"]["result"]

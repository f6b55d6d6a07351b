"""Every route answers out of the store, in the words of its report."""

from __future__ import annotations

import io

import polars as pl
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text

from market_assets.market.columns import EXTRA_NAMES
from market_assets_tests.support.serve_ground import TOKEN, StandStill

CANDLES = "/v1/candles?profile=crypto&timeframe=1h"


def get(client, path, status=200):
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_the_matrix_says_what_is_missing(client):
    status = get(client, "/v1/status?profile=crypto")

    assert (status["complete"], status["missing"], status["expected"]) == (False, 1, 336)
    btc = next(
        row for row in status["series"] if (row["symbol"], row["timeframe"]) == ("BTC", "1h")
    )
    assert (btc["missing"], btc["health"]) == (1, "DEGRADED")
    assert btc["first_ts"] == "2025-02-03T00:00:00Z"


def test_a_profile_of_which_nothing_was_filled_is_named(client):
    assert get(client, "/v1/status")["never_filled"] == ["equity"]
    assert get(client, "/v1/gaps")["never_filled"] == ["equity"]


def test_what_is_kept_is_listed_with_the_bars_that_are_stored(client):
    crypto, equity = get(client, "/v1/symbols")["profiles"]

    assert (crypto["fetched"], crypto["derived"]) == (["1h"], ["4h"])
    assert crypto["symbols"][1] == {
        "symbol": "ETH",
        "start": "2025-02-03",
        "end": "2025-02-10",
        "sources": ["practice"],
        "first_ts": "2025-02-03T00:00:00Z",
        "last_ts": "2025-02-09T23:00:00Z",
    }
    assert equity["symbols"][0]["first_ts"] is None


def test_a_gap_is_listed_and_its_story_told(client):
    listing = get(client, "/v1/gaps?symbols=BTC")
    story = get(client, "/v1/gaps/explain?profile=crypto&symbol=BTC&ts=2025-02-05T03:30Z")

    assert listing["total"] == 1
    assert listing["gaps"][0]["first_ts"] == "2025-02-05T03:00:00Z"
    assert story["stories"][0]["state"] == "open"
    assert story["stories"][0]["bar"]["ts"] == "2025-02-05T03:00:00Z"
    assert "practice has answered without it" in story["stories"][0]["verdict"]


def test_the_story_of_a_bar_far_outside_is_told_too(client):
    for ts in ("0001-01-01", "9999-12-31T23:59:59Z"):
        (story,) = get(client, f"/v1/gaps/explain?profile=crypto&symbol=BTC&ts={ts}")["stories"]
        assert story["state"] in {"before start", "after end"}


def test_jobs_alerts_and_first_bars_are_documents(client):
    assert get(client, "/v1/jobs?since=2025-01-01")["summary"]["jobs"] == 0
    assert get(client, "/v1/alerts?all=true") == {"looked": False, "alerts": []}
    assert get(client, "/v1/genesis") == {"genesis": []}


def test_candles_are_those_of_the_store(client, filled):
    page = get(client, CANDLES)
    rows = filled.rows().sort("ts", "symbol")

    assert (page["table"], page["next"]) == ("candles_1h", None)
    assert [row["close"] for row in page["data"]] == rows["close"].to_list()
    assert page["data"][0]["ts"] == "2025-02-03T00:00:00Z"
    assert set(page["data"][0]) == {*rows.columns, *EXTRA_NAMES}


def test_pages_follow_one_another_without_a_gap(client, filled):
    keys, query = [], f"{CANDLES}&limit=100&columns=close"
    answer = client.get(query)
    while True:
        page = answer.json()
        keys += [(row["ts"], row["symbol"]) for row in page["data"]]
        if page["next"] is None:
            break
        assert answer.links["next"]["url"].endswith(page["next"])
        answer = client.get(answer.links["next"]["url"])

    assert len(keys) == len(filled.rows())
    assert keys == sorted(set(keys))
    assert set(page["data"][0]) == {"symbol", "ts", "close"}


def test_a_window_and_an_instant_bound_what_is_given(client):
    day = get(client, f"{CANDLES}&from=2025-02-04&to=2025-02-05&symbols=ETH")["data"]
    known = get(client, f"{CANDLES}&symbols=ETH&as_of=2025-02-03T02:30:00Z")["data"]

    assert [row["ts"][11:13] for row in day] == [f"{hour:02}" for hour in range(24)]
    assert [row["ts"][11:16] for row in known] == ["00:00", "01:00"]


@pytest.mark.parametrize("table", ["candles", "features", "returns"])
def test_all_forms_have_the_same_rows(client, table):
    path = f"/v1/{table}?profile=crypto&timeframe=1h&symbols=ETH&limit=50"
    readers = {
        "csv": lambda body: pl.read_csv(body, try_parse_dates=True),
        "parquet": pl.read_parquet,
        "arrow": pl.read_ipc_stream,
    }
    rows = get(client, path)["data"]
    for form, read in readers.items():
        answer = client.get(f"{path}&format={form}")
        frame = read(io.BytesIO(answer.content))
        assert frame["ts"].dt.strftime("%Y-%m-%dT%H:%M:%SZ").to_list() == [
            row["ts"] for row in rows
        ]
        assert frame.columns == list(rows[0])
        # A form without room for a cursor has it in its header.
        assert "next" in answer.links


def test_the_header_names_a_form_as_the_parameter_does(client):
    accept = {"Accept": "application/json;q=0.5, text/csv"}
    answer = client.get(f"{CANDLES}&limit=1", headers=accept)

    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.text.startswith("symbol,ts,open")
    assert client.get(CANDLES, headers={"Accept": "image/png"}).status_code == 406


def test_the_newest_candle_of_each_symbol(client):
    page = get(client, "/v1/candles/latest?profile=crypto&timeframe=1h&columns=close")

    assert page["data"] == [
        {"symbol": name, "ts": "2025-02-09T23:00:00Z", "close": 168.0} for name in ("BTC", "ETH")
    ]


def test_readiness_says_what_is_wrong(client):
    document = get(client, "/v1/ready", status=503)

    assert (document["store"], document["fresh"], document["daemon"]) == (True, True, False)
    assert get(client, "/health")["status"] == "ok"


@pytest.fixture
def dagster():
    return StandStill()


@pytest.fixture
def guarded(filled, dagster):
    keys, environ = 'token: "${SERVE_TOKEN}"', {"SERVE_TOKEN": TOKEN}
    with filled.served(keys, environ=environ, platform=dagster, token=TOKEN) as client:
        yield client


def test_a_backfill_is_handed_to_dagster_and_can_be_followed(guarded, dagster):
    work = {"profile": "crypto", "symbols": ["BTC"], "from": "2025-02-04", "to": "2025-02-06"}
    answer = guarded.post("/v1/backfills", json=work)

    assert answer.status_code == 202, answer.text
    (run,) = answer.json()["runs"]
    assert (run["first"], run["last"]) == ("2025-02-04", "2025-02-05")
    (part, options, trigger) = dagster.launched[run["run_id"]]
    assert (part.dataset.name, options.symbols, trigger) == ("candles_1h", ["BTC"], "backfill")
    assert guarded.get(run["follow"]).json()["status"] == "QUEUED"


def test_a_repair_starts_only_what_lacks_a_bar(guarded, dagster):
    runs = guarded.post("/v1/repairs", json={"profile": "crypto"}).json()["runs"]
    nothing = guarded.post("/v1/repairs", json={"profile": "crypto", "symbols": ["ETH"]}).json()

    assert [(run["first"], run["last"]) for run in runs] == [("2025-02-05", "2025-02-05")]
    assert dagster.launched[runs[0]["run_id"]][1].newest_first
    assert nothing == {"runs": []}
    assert len(dagster.launched) == 1


def test_a_run_that_nobody_knows_is_absent(guarded):
    unknown = guarded.get("/v1/runs/00000000-0000-4000-8000-000000000000")
    assert (unknown.status_code, unknown.json()["key"]) == (404, "run_id")


def test_with_a_living_daemon_it_is_ready(guarded):
    assert get(guarded, "/v1/ready")["ready"] is True


OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


def samples(families) -> dict[tuple[str, frozenset[str]], float]:
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.mark.parametrize(("accept", "parse"), [("*/*", plain_text), (OPEN_METRICS, open_metrics)])
def test_metrics_have_the_figures_of_the_ledgers_in_both_forms(client, accept, parse):
    answer = client.get("/v1/metrics", headers={"accept": accept})

    assert answer.status_code == 200, answer.text
    assert (OPEN_METRICS in answer.headers["content-type"]) == (accept == OPEN_METRICS)
    found = samples(parse(answer.text))
    assert found["market_assets_bars_missing", frozenset(("crypto", "1h", "open"))] == 1
    assert found["market_assets_bars_stored", frozenset(("crypto", "1h"))] == 335
    assert found["market_assets_store_bytes", frozenset()] > 0
    assert ("market_assets_bars_stored", frozenset(("crypto", "1h", "BTC"))) not in found


def test_metrics_have_a_label_for_the_symbol_where_the_universe_says_so(ground):
    with ground.served("symbol_metrics: true") as client:
        found = samples(plain_text(client.get("/v1/metrics").text))
    assert found["market_assets_bars_stored", frozenset(("crypto", "1h", "BTC"))] == 167

"""The figures of the heat map."""

from __future__ import annotations

import pytest


def test_a_row_a_symbol_and_a_share_a_day(client) -> None:
    heat = client.get("/v1/heat", params={"profile": "crypto"}).json()

    assert (heat["timeframe"], heat["bucket"], heat["left_out"]) == ("1h", "day", 0)
    assert heat["columns"] == [f"2025-02-{day:02}" for day in range(3, 10)]
    shares = {row["symbol"]: row["shares"] for row in heat["rows"]}
    assert shares["ETH"] == [1.0] * 7
    # BTC lacks one of the 24 hours of the fifth.
    assert shares["BTC"] == pytest.approx([1, 1, 23 / 24, 1, 1, 1, 1])
    assert all(row["never_filled"] == [] for row in heat["rows"])


def test_a_profile_that_nobody_has_filled_says_so(client) -> None:
    heat = client.get("/v1/heat", params={"profile": "equity"}).json()

    (row,) = heat["rows"]
    assert row["symbol"] == "SPY"
    due = [place for place, share in enumerate(row["shares"]) if share is not None]
    assert row["never_filled"] == due != []


def test_the_worst_symbols_are_shown_where_not_all_are(client) -> None:
    heat = client.get("/v1/heat", params={"profile": "crypto", "limit": 1}).json()

    assert [row["symbol"] for row in heat["rows"]] == ["BTC"]
    assert heat["left_out"] == 1


@pytest.mark.parametrize(
    ("question", "status", "key"),
    [
        ({"profile": "cripto"}, 404, "profile"),
        ({"profile": "crypto", "timeframe": "5m"}, 404, "timeframe"),
        ({"profile": "crypto", "timeframe": "5x"}, 422, "timeframe"),
        ({}, 422, "profile"),
    ],
)
def test_a_wrong_question_is_told_which_parameter(client, question, status, key) -> None:
    answer = client.get("/v1/heat", params=question)

    assert (answer.status_code, answer.json()["key"]) == (status, key)


def test_a_healed_hour_is_seen_at_once(ground) -> None:
    with ground.served() as client:
        before = client.get("/v1/heat", params={"profile": "crypto"}).json()
        ground.heal()
        after = client.get("/v1/heat", params={"profile": "crypto"}).json()

    assert min(before["rows"][0]["shares"]) < 1
    assert min(after["rows"][0]["shares"]) == 1

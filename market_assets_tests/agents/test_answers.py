"""What the tools answer: it is what the store has, bounded, and in values of JSON."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from market_assets.agents.answers import Answers
from market_assets.errors import MarketAssetsError, ReadError
from market_assets.serve.editions import Editions
from market_assets_tests.conftest import Clock
from market_assets_tests.support.serve_ground import ServeGround

WHOLE = {"start": None, "end": None, "adjusted": False, "limit": 100, "cursor": None}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    ground = ServeGround(tmp_path_factory.mktemp("agents"), Clock())
    ground.fill()
    store = Editions(
        ground.home, clock=ground.clock, memory=64 << 20, longest=timedelta(seconds=30)
    )
    yield Answers(ground.universe(), ground.home, store, ground.clock)
    store.close()


def test_the_status_has_the_counts_and_the_worst_series_first(answers) -> None:
    status = answers.status(None)

    assert status["complete"] is False
    assert status["never_filled"] == ["equity"]
    missing = [row["missing"] for row in status["series"]]
    assert missing == sorted(missing, reverse=True)
    lacking = {(row["symbol"], row["timeframe"]): row["missing"] for row in status["series"]}
    assert (lacking["SPY", "1d"], lacking["BTC", "1h"], lacking["ETH", "1h"]) == (5, 1, 0)
    assert answers.status("crypto")["timeframes"][0]["symbols"] == 2


def test_gaps_are_those_of_the_ledger(answers) -> None:
    listing = answers.gaps("crypto", ["BTC"], explained=False, limit=1)

    assert listing["total"] == 1
    assert listing["gaps"][0]["first_ts"] == "2025-02-05T03:00:00Z"
    assert answers.gaps("crypto", ["ETH"], explained=True, limit=1)["gaps"] == []


def test_a_bar_has_its_story(answers) -> None:
    (story,) = answers.explain("crypto", "BTC", "2025-02-05T03:10:00Z", None)["stories"]

    assert story["state"] == "open"
    assert story["bar"]["ts"] == "2025-02-05T03:00:00Z"
    assert "practice has answered without it" in story["verdict"]


def test_candles_come_in_pages_without_a_row_lost_or_twice(answers) -> None:
    pages, cursor = [], None
    while True:
        page = answers.candles("crypto", [], "1h", **{**WHOLE, "cursor": cursor})
        pages.append(page["candles"])
        cursor = page["next"]
        if cursor is None:
            break
    rows = [(row["ts"], row["symbol"]) for page in pages for row in page]
    assert [len(page) for page in pages] == [100, 100, 100, 35]
    assert rows == sorted(set(rows))


def test_a_window_begins_with_start_and_ends_before_end(answers) -> None:
    window = {"start": "2025-02-03T01:00Z", "end": "2025-02-03T03:00Z"}
    page = answers.candles("crypto", ["ETH"], "1h", **{**WHOLE, **window})

    assert [row["ts"] for row in page["candles"]] == [
        "2025-02-03T01:00:00Z",
        "2025-02-03T02:00:00Z",
    ]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"profile": "cripto"}, "did you mean crypto"),
        ({"symbols": ["BTCC"]}, "has no BTCC"),
        ({"timeframe": "2h"}, "keeps no '2h'"),
        ({"start": "yesterday"}, "is no time"),
        ({"start": "2025-02-04", "end": "2025-02-03"}, "lies before start"),
        ({"cursor": "'; DROP TABLE"}, "is none that an answer has written"),
        ({"adjusted": True}, "adjust"),
    ],
)
def test_a_wrong_question_says_what_is_wrong(answers, changed, words) -> None:
    given = {"profile": "crypto", "symbols": [], "timeframe": "1h", **WHOLE, **changed}
    places = [given.pop(name) for name in ("profile", "symbols", "timeframe")]
    with pytest.raises(MarketAssetsError, match=words):
        answers.candles(*places, **given)


def test_a_made_timeframe_has_no_story_of_its_own(answers) -> None:
    with pytest.raises(ReadError, match="does not fetch 4h"):
        answers.explain("crypto", "BTC", "2025-02-05", "4h")


def test_every_answer_is_json(answers) -> None:
    for answer in (answers.status(None), answers.explain("crypto", "BTC", "2025-02-05", "1h")):
        assert json.loads(json.dumps(answer, allow_nan=False)) == answer

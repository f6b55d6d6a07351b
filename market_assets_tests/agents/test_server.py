"""The real process over its standard input and output, asked by the SDK's own client."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyio
import pytest
from mcp import ClientSession, StdioServerParameters, stdio_client

from market_assets.store import Store
from market_assets_tests.conftest import Clock
from market_assets_tests.support.serve_ground import TOKEN, ServeGround

SQL = "crypto'; DROP TABLE ops.gaps; --"

QUESTIONS = {
    "status": ("status", {}),
    "gaps": ("gaps", {"profile": "crypto", "limit": 1}),
    "explain": ("explain", {"profile": "crypto", "symbol": "BTC", "ts": "2025-02-05T03:00Z"}),
    "candles": (
        "candles",
        {"profile": "crypto", "timeframe": "1h", "symbols": ["ETH"], "limit": 2},
    ),
    "sources": ("sources", {}),
    "unknown symbol": ("explain", {"profile": "crypto", "symbol": "BTCC", "ts": "2025-02-05"}),
    "sql": ("gaps", {"profile": SQL, "symbols": [SQL]}),
    "sql in a time": ("candles", {"profile": "crypto", "timeframe": "1h", "start": SQL}),
    "too many": ("candles", {"profile": "crypto", "timeframe": "1h", "limit": 1_000_000}),
    "too long": ("candles", {"profile": "x" * 10_000, "timeframe": "1h"}),
    "wrong type": ("gaps", {"limit": "many"}),
    "still there": ("status", {}),
}


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    ground = ServeGround(tmp_path_factory.mktemp("mcp"), Clock())
    ground.fill()
    ground.universe('token: "${T}"', environ={"T": TOKEN})
    return ground


@pytest.fixture(scope="module")
def session(ground):
    """The tools, and the answer to each question: one process for all of them."""
    environment = {
        **os.environ,
        "MARKET_ASSETS_HOME": str(ground.home),
        "MARKET_ASSETS_UNIVERSE": str(ground.home.parent / "universe.yaml"),
        "PYTHONPATH": str(Path.cwd()),
        "T": TOKEN,
    }
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "market_assets.cli", "mcp"], env=environment
    )

    async def talk():
        # What the process writes to its standard error goes to a file of its own.
        with (ground.home.parent / "errors").open("w") as errors:
            async with (
                stdio_client(server, errlog=errors) as streams,
                ClientSession(*streams) as client,
            ):
                hello = await client.initialize()
                tools = (await client.list_tools()).tools
                answers = {
                    name: await client.call_tool(tool, given)
                    for name, (tool, given) in QUESTIONS.items()
                }
        return hello, {tool.name: tool for tool in tools}, answers

    return anyio.run(talk)


def test_it_says_what_it_is_and_how_to_begin(session) -> None:
    hello, _, _ = session
    assert hello.server_info.name == "market-assets"
    assert "`status`" in hello.instructions


def test_every_tool_reads_only_and_describes_its_parameters(session) -> None:
    _, tools, _ = session
    assert tools.keys() == {"status", "gaps", "explain", "candles", "sources"}
    for tool in tools.values():
        assert tool.annotations.read_only_hint is True
        assert tool.annotations.destructive_hint is False
        assert tool.description
        for name, schema in tool.input_schema["properties"].items():
            assert "description" in str(schema), (tool.name, name)


@pytest.mark.parametrize("name", ["status", "gaps", "explain", "candles", "sources"])
def test_a_tool_answers_with_structure(session, name) -> None:
    _, _, answers = session
    answer = answers[name]
    assert answer.is_error is False, answer.content
    assert answer.structured_content


def test_answers_are_those_of_the_store(session) -> None:
    _, _, answers = session
    assert answers["gaps"].structured_content["gaps"][0]["first_ts"] == "2025-02-05T03:00:00Z"
    rows = answers["candles"].structured_content["candles"]
    assert [row["open"] for row in rows] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("unknown symbol", "did you mean BTC?"),
        ("sql", "is no profile"),
        ("sql in a time", "is no time"),
        ("too many", "less than or equal to 500"),
        ("too long", "at most 100 characters"),
        ("wrong type", "limit"),
    ],
)
def test_a_wrong_question_is_an_error_in_words_and_the_next_one_is_answered(
    session, name, words
) -> None:
    _, _, answers = session
    answer = answers[name]
    text = answer.content[0].text
    assert answer.is_error is True
    assert words in text
    assert "Traceback" not in text
    assert len(text) < 2_000
    assert answers["still there"].is_error is False


def test_no_secret_is_told_and_nothing_was_changed(session, ground) -> None:
    _, _, answers = session
    assert TOKEN not in str(answers)
    assert TOKEN not in (ground.home.parent / "errors").read_text()
    store = Store(ground.home, clock=ground.clock)
    with store.reading("testing") as view:
        assert len(view.gaps.of()) == 1

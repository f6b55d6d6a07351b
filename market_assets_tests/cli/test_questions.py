"""What somebody at a terminal is asked, and what comes of the answers."""

from __future__ import annotations

from pathlib import Path

from market_assets.cli.questions import Replies, replies_to
from market_assets.config.kinds import Kind
from market_assets.config.starter_table import STARTERS


def dialogue(*answers: str) -> tuple[Replies, list[str]]:
    """The replies, and what was shown; an empty answer takes what is usual."""
    left, shown = list(answers), []

    def ask(question: str, usual: str) -> str:
        shown.append(question)
        return left.pop(0) or usual

    replies = replies_to(ask, shown.append)
    assert not left
    return replies, shown


def test_a_person_sees_every_market_and_may_take_what_is_usual():
    replies, shown = dialogue("", "", "")

    assert replies == Replies(("binance",))
    for name, starter in STARTERS.items():
        assert any(name in line and starter.title in line for line in shown)


def test_markets_are_named_or_counted_and_a_strange_one_is_asked_for_again():
    replies, shown = dialogue("2, yaho", "2, yahoo 2", "2026-01-31")

    assert replies == Replies(("binance-usdm", "yahoo"), start="2026-01-31")
    assert "yaho is none of them; did you mean yahoo?" in shown


def test_files_are_asked_for_their_folder_and_their_kind():
    replies, _ = dialogue("files", "/data/dumps", "STOCKS", "equity", "", "")

    assert replies == Replies(("files",), folder=Path("/data/dumps"), kind=Kind.EQUITY)


def test_symbols_are_asked_for_where_one_market_is_named():
    replies, _ = dialogue("kraken", "SOLUSD", "")

    assert replies == Replies(("kraken",), symbols="SOLUSD")

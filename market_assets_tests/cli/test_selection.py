"""What a command is to fill, and which of the days that were named nothing is asked for."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from market_assets.cli.selection import days_left_out, selection_of
from market_assets.config.load import load_universe
from market_assets.defs.automation.runs import plan_backfill

if TYPE_CHECKING:
    from pathlib import Path

    from market_assets.cli.selection import Selection
    from market_assets_tests.support.shell import Shell

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
TEXT = """
sources: {practice: {}}
retention: {candles_1m: 2y}
profiles:
  coins:
    kind: CRYPTO
    start: 2017-01-01
    sources: [practice]
    symbols: {BTC: {}}
    timeframes: {fetch: [1m], derive: [1h, 1d], features: [1h], returns: [1d]}
"""


def selected(folder: Path, first: date | None, after: date | None = None) -> Selection:
    path = folder / "universe.yaml"
    path.write_text(TEXT)
    return selection_of(load_universe(path, environ={}), None, None, (first, after), NOW)


def first_keys(selection: Selection) -> dict[str, str]:
    (profile,) = selection.profiles
    runs = plan_backfill(profile, selection.windows["coins"], NOW)
    return {f"{run.family}_{run.timeframes[0]}": run.partitions[0] for run in reversed(runs)}


def test_days_below_the_floor_are_not_asked_for_and_a_sentence_says_which_key_it_is(tmp_path):
    some = selected(tmp_path, date(2020, 1, 1))
    (words,) = days_left_out(some, NOW)
    assert words.startswith("Retention keeps candles_1m of coins for 2y: nothing before 2024-11-30")
    assert "`forever`" in words
    assert first_keys(some) == {
        "candles_1m": "2024-11-30",
        "candles_1h": "2024-11-30",
        "candles_1d": "2024-11-01",
        "features_1h": "2024-11-30",
        "returns_1d": "2024-11-01",
    }
    early = selected(tmp_path, date(2020, 1, 1), date(2021, 1, 1))
    assert len(days_left_out(early, NOW)) == 1
    assert first_keys(early) == {}


def test_days_above_it_need_no_word(tmp_path):
    assert days_left_out(selected(tmp_path, date(2025, 1, 1)), NOW) == []
    assert days_left_out(selected(tmp_path, None), NOW) == []


def test_a_backfill_of_some_symbols_and_days_asks_for_these_alone(shell: Shell) -> None:
    done = shell.run(
        "backfill", "--symbols", "SPY", "--from", "2025-02-04", "--to", "2025-02-06", "--json"
    )
    assert {row["profile"] for row in done.json["completeness"]} == {"equity"}
    (entry,) = shell.asked()
    assert entry["symbol"] == "SPY"
    # From half past nine of the first day to the end of the second day's last bar, in milliseconds.
    assert (int(entry["startTime"]), int(entry["endTime"])) == (1738679400000, 1738790999999)

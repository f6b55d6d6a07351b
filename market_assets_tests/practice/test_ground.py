"""The practice ground reaches up to now, and keeps its days once it is used.

It goes wrong again each ten minutes.
"""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import httpx
import pytest

from market_assets.config.load import load_universe
from market_assets.config.places import PACKAGED
from market_assets.defs.automation.runs import prepare_home
from market_assets.market.clock import CLOCK_VARIABLE
from market_assets.market.timeframes import Window, midnight
from market_assets.practice.book import Market
from market_assets.practice.ground import KEPT, WRITTEN_FOR, keep, moved
from market_assets.practice.vendor import PracticeVendor
from market_assets.sources.vendors.practice import PracticeSettings

if TYPE_CHECKING:
    from pathlib import Path

TODAY = date(2026, 3, 26)  # a Thursday
_STANDS_STILL = "@2000-01-01T00:00:00Z*0.000000001"


def test_days_are_moved_by_whole_weeks_and_nothing_else_is() -> None:
    text = "{start: 2025-10-27T12:40Z, price: 110000, code: -1003} # 2025-11-28, 120250-10-27"
    assert moved(text, WRITTEN_FOR + timedelta(days=6)) == text
    assert (
        moved(text, TODAY)
        == "{start: 2026-02-16T12:40Z, price: 110000, code: -1003} # 2026-03-20, 120250-10-27"
    )
    assert moved(text, WRITTEN_FOR - timedelta(days=1)).startswith("{start: 2025-10-20T12:40Z")


@pytest.mark.parametrize("today", [WRITTEN_FOR, TODAY, date(2031, 7, 6)])
def test_five_to_six_weeks_lie_behind_whatever_day_it_is(
    today: date, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CLOCK_VARIABLE, f"{today}T12:00:00Z{_STANDS_STILL}")
    universe = load_universe(environ={"MARKET_ASSETS_HOME": str(tmp_path)})
    window = Window(midnight(today - timedelta(days=42)), midnight(today))
    for profile in universe.profiles.values():
        assert window.start.date() <= profile.start <= today - timedelta(days=35)
        assert profile.end is None
    faults = PracticeSettings.model_validate(universe.sources["practice"]).faults
    dated = [fault for fault in faults if fault.start and fault.end]
    assert len(dated) == 5
    assert all(
        window.start <= fault.start < fault.end <= window.end
        for fault in dated
        if fault.start and fault.end
    )


def test_a_home_keeps_its_days_once_it_is_used_and_is_not_made_by_looking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, environ = tmp_path / "home", {"MARKET_ASSETS_HOME": str(tmp_path / "home")}
    monkeypatch.setenv("DAGSTER_HOME", "")  # to be put back: preparing a home sets it
    monkeypatch.delenv("MARKET_ASSETS_UNIVERSE", raising=False)
    monkeypatch.setenv(CLOCK_VARIABLE, f"{TODAY}T12:00:00Z{_STANDS_STILL}")
    looked_at = load_universe(environ=environ)
    assert looked_at.path == PACKAGED
    assert not home.exists()

    prepare_home(home)
    monkeypatch.setenv(CLOCK_VARIABLE, f"{TODAY + timedelta(days=90)}T12:00:00Z{_STANDS_STILL}")
    assert load_universe(environ={}).profiles["crypto"].start > looked_at.profiles["crypto"].start
    kept = load_universe(environ=environ)
    assert kept.path == home / KEPT
    assert kept.profiles == looked_at.profiles
    assert kept.sources == looked_at.sources
    # It is a universe like any other from now on: what is edited counts.
    kept.path.write_text(kept.path.read_text().replace("LATEUSDT: {}", "LATER: {}"))
    prepare_home(home)
    assert "LATER" in load_universe(environ=environ).profiles["crypto"].symbols


def test_a_home_of_another_universe_keeps_no_practice_ground(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.setenv("MARKET_ASSETS_UNIVERSE", str(tmp_path / "mine.yaml"))
    prepare_home(tmp_path / "home")
    assert not (tmp_path / "home" / KEPT).exists()


def test_of_many_who_keep_it_at_once_one_does_and_the_others_find_it_whole(tmp_path: Path) -> None:
    start, ended = threading.Barrier(8), []

    def work(day: int) -> None:
        start.wait()
        keep(PACKAGED, tmp_path, TODAY + timedelta(weeks=day))
        ended.append((tmp_path / KEPT).read_text())

    threads = [threading.Thread(target=work, args=(day,)) for day in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ended) == 8
    assert set(ended) == {(tmp_path / KEPT).read_text()}
    assert [path.name for path in tmp_path.iterdir()] == [KEPT]


def test_each_ten_minutes_bars_come_late_one_is_revised_and_a_minute_is_refused() -> None:
    universe = load_universe(PACKAGED, environ={})
    settings = PracticeSettings.model_validate(universe.sources["practice"])
    market = Market(
        seed=settings.seed, symbols=settings.symbols, kind="crypto", faults=settings.faults
    )
    begin = datetime(2026, 3, 26, 12, 0, tzinfo=UTC)
    clock = [begin]
    absent: list[int] = []
    volumes: set[str] = set()
    refused: list[int] = []
    with (
        PracticeVendor(market, lambda: clock[0]) as vendor,
        httpx.Client(base_url=vendor.url) as client,
    ):

        def ask(symbol: str, count: int) -> httpx.Response:
            start = int((clock[0] - timedelta(minutes=count)).timestamp() * 1000)
            query = {
                "symbol": symbol,
                "interval": "1m",
                "startTime": start,
                "endTime": start + (count - 1) * 60_000,
            }
            return client.get("/api/v3/klines", params=query)

        for minute in range(1, 11):
            clock[0] = begin + timedelta(minutes=minute, seconds=10)
            absent.append(5 - len(ask("BTCUSDT", 6).json()))
            if ask("ETHUSDT", 6).status_code == 500:
                refused.append(minute)
            if (revised := begin + timedelta(minutes=5)) < clock[0] - timedelta(minutes=1):
                rows = {row[0]: row[5] for row in ask("LATEUSDT", 6).json()}
                volumes.add(rows[int(revised.timestamp() * 1000)])
    # The first bars of the ten minutes are absent while they are younger than four minutes.
    assert absent[:7] == [1, 2, 3, 2, 1, 0, 0]
    assert refused == [8]
    assert len(volumes) == 2
    assert "1" in volumes

"""Every first universe loads, and its links lead to the page of each key."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from itertools import combinations
from typing import TYPE_CHECKING

import pytest

from market_assets.config.kinds import Kind
from market_assets.config.starter_table import FILES, PRACTICE, STARTERS
from market_assets.config.starter_text import (
    checked_text,
    read_back,
    universe_text,
    write_universe,
)
from market_assets.config.starters import Wishes, apart, part_of
from market_assets.errors import MarketAssetsError, StarterError, UniverseError
from market_assets.market.timeframes import Timeframe
from market_assets_tests.test_docs import DOCS, anchors

if TYPE_CHECKING:
    from pathlib import Path

    from market_assets.config.starters import Part
    from market_assets.config.universe import Universe

TODAY = date(2026, 12, 1)
NAMES = [name for name in STARTERS if name != FILES]
TIMEFRAMES = (
    (),
    (Timeframe.M1,),
    (Timeframe.M5, Timeframe.H1),
    (Timeframe.H1, Timeframe.D1),
    (Timeframe.D1, Timeframe.W1),
    (Timeframe.W1,),
)


def loaded(parts: list[Part], folder: Path) -> Universe:
    path = folder / "universe.yaml"
    write_universe(checked_text(universe_text(parts, TODAY), {}), path, replace=True)
    return read_back(path, {})


def wishes_of(name: str) -> list[Wishes]:
    """The options that may stand with a starter, each set and not set."""
    kinds = list(Kind) if name == PRACTICE else [None]
    calendar = "XLON" if name == "yahoo" else None
    plain = [
        Wishes(timeframes=timeframes, kind=kind, symbols=symbols)
        for timeframes in TIMEFRAMES
        for kind in kinds
        for symbols in ((), ("NO", "007", "B.A=b.a"))
    ]
    more = [
        replace(wishes, start=date(2026, 11, 1), base_url="http://127.0.0.1:1", calendar=calendar)
        for wishes in plain
        if not wishes.symbols
    ]
    return plain + more


@pytest.mark.parametrize("name", NAMES)
def test_a_universe_loads_with_every_combination_of_options(name: str, tmp_path: Path) -> None:
    written = 0
    for wishes in wishes_of(name):
        try:
            part = part_of(STARTERS[name], wishes, TODAY)
        except StarterError as refusal:
            # The source has no such timeframe, and says so.
            assert refusal.key == "--timeframes"  # noqa: PT017
            continue
        (profile,) = loaded([part], tmp_path).profiles.values()

        written += 1
        assert (profile.kind, profile.start) == (part.kind, part.start)
        assert (profile.timeframes.fetch, profile.timeframes.derive) == ((part.fetch,), part.derive)
        assert {
            symbol.name: symbol.sources[0].symbol for symbol in profile.symbols.values()
        } == part.symbols
        assert profile.calendar == (wishes.calendar or part.kind.calendar)

    assert written >= 4


def test_a_universe_of_any_two_markets_and_of_all_of_them_loads(tmp_path: Path) -> None:
    parts = {name: part_of(STARTERS[name], Wishes(), TODAY) for name in NAMES}
    for names in [*combinations(NAMES, 2), tuple(NAMES)]:
        chosen = apart([parts[name] for name in names])

        universe = loaded(chosen, tmp_path)

        assert list(universe.profiles) == [part.profile for part in chosen]
        assert list(universe.sources) == [part.source for part in chosen]


def test_every_link_of_the_file_leads_to_a_page_and_a_heading() -> None:
    text = universe_text(apart([part_of(STARTERS[name], Wishes(), TODAY) for name in NAMES]), TODAY)
    links = set(re.findall(r"docs/([\w-]+\.md)(?:#([\w-]+))?", text))

    assert len(links) > 20
    for page, anchor in links:
        assert (DOCS / page).is_file()
        assert not anchor or anchor in anchors(DOCS / page)


def test_no_name_can_become_another_key_of_the_file(tmp_path: Path) -> None:
    hostile = "X: {start: 1999-01-01}\n  Y"
    part = part_of(STARTERS["binance"], Wishes(symbols=(hostile,)), TODAY)
    with pytest.raises(UniverseError) as fault:
        checked_text(universe_text([part], TODAY), {})
    assert "is no usable name" in str(fault.value)

    noted = replace(part, symbols={"A": "a: b # c"}, notes=("first\nprofiles: {}",))
    (profile,) = loaded([noted], tmp_path).profiles.values()
    assert profile.symbols["A"].sources[0].symbol == "a: b # c"


def test_a_file_that_is_there_is_never_replaced_unless_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "new" / "universe.yaml"
    write_universe("first", path, replace=False)

    with pytest.raises(MarketAssetsError, match="left as it is; --force replaces it"):
        write_universe("second", path, replace=False)
    assert path.read_text() == "first"

    write_universe("third", path, replace=True)
    assert [file.name for file in path.parent.iterdir()] == ["universe.yaml"]
    assert path.read_text() == "third"
    with pytest.raises(MarketAssetsError, match="is a folder"):
        write_universe("fourth", tmp_path, replace=True)

"""What `retention` says of tables: how it is written, inherited, and what is wrong with it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from market_assets.config.load import load_universe
from market_assets.errors import UniverseError
from market_assets.market.durations import Age

if TYPE_CHECKING:
    from pathlib import Path

    from market_assets.config.universe import Universe

TEXT = """
sources: {{practice: {{}}}}
{top}
profiles:
  coins:
    kind: CRYPTO
    start: 2020-01-01
    sources: [practice]
    symbols: {{BTC: {{}}}}
    timeframes: {{fetch: [1m], derive: [1h], features: [1h]}}
    {own}
"""


def loaded(folder: Path, top: str = "", own: str = "") -> Universe:
    path = folder / "universe.yaml"
    path.write_text(TEXT.format(top=top, own=own))
    return load_universe(path, environ={})


def test_a_profile_has_what_all_have_and_its_own_keys_win(tmp_path):
    universe = loaded(
        tmp_path,
        "retention: {runs: 7d, candles_1m: 2y, features_1h: 5y, ops: 1y}",
        "retention: {candles_1m: forever, ops: 90d}",
    )
    retention = universe.profiles["coins"].retention
    assert retention.model_fields_set == {"candles_1m", "features_1h", "ops"}
    assert retention.candles_1m is None
    assert retention.features_1h == Age(years=5)
    assert retention.ops == Age(length=timedelta(days=90))
    assert universe.retention.runs == timedelta(days=7)
    assert (
        not loaded(tmp_path, "retention: {runs: 7d}").profiles["coins"].retention.model_fields_set
    )


@pytest.mark.parametrize(
    ("top", "own", "problem"),
    [
        (
            "retention: {candles_5m: 2y}",
            "",
            "retention.candles_5m: is a table that is not kept: there are candles of 1h, 1m",
        ),
        (
            "",
            "retention: {returns_1h: 2y}",
            "profiles.coins.retention.returns_1h: is a table that is not kept: there are none",
        ),
        (
            "",
            "retention: {archive_to_lake: true}",
            "profiles.coins.retention.archive_to_lake: needs the lake, which this file does not",
        ),
        (
            "retention: {candles_1m: 3d}",
            "",
            "retention.candles_1m: 3d is less than 7d, in which bars still change",
        ),
        (
            "retention: {candles_1m: long}",
            "",
            "retention.candles_1m: long is no age; write 2y, 90d, 26w or forever",
        ),
        (
            "retention: {candle_1m: 2y}",
            "",
            "retention.candle_1m: is no key here; did you mean candles_1m?",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, top, own, problem):
    with pytest.raises(UniverseError) as caught:
        loaded(tmp_path, top, own)
    (found,) = caught.value.problems
    assert found.startswith(problem)

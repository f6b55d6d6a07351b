"""Where the home folder is."""

from __future__ import annotations

from pathlib import Path

import pytest

from market_assets.errors import StoreError
from market_assets.home import HOME_VARIABLE, home


def test_the_environment_names_it_or_else_it_is_data_here(tmp_path: Path):
    assert home({HOME_VARIABLE: str(tmp_path)}) == tmp_path
    assert home({}) == Path.cwd() / "data"
    assert home({HOME_VARIABLE: ""}) == Path.cwd() / "data"
    assert home({HOME_VARIABLE: "~/markets"}) == Path.home() / "markets"
    assert home({HOME_VARIABLE: "100%"}) == Path.cwd() / "100%"


@pytest.mark.parametrize("name", ["what?", "a%20b"])
def test_a_path_that_dagster_would_take_for_another_is_refused(name: str):
    with pytest.raises(StoreError, match="rename the folder"):
        home({HOME_VARIABLE: f"/tmp/{name}"})  # noqa: S108 - nothing is written there

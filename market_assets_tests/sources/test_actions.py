"""Where the corporate actions of a symbol are asked for."""

from __future__ import annotations

from typing import Any

import pytest

from market_assets.config.load import load_universe
from market_assets.errors import UniverseError
from market_assets.sources.actions import gives_actions
from market_assets.sources.contract import source_types

UNIVERSE = """
sources:
  archive: {{path: "{{symbol}}.csv"}}
  polygon: {{key: abc}}
  yahoo: {{}}
  files: {{type: action_files, path: "actions/{{symbol}}.csv"}}
profiles:
  us: {{kind: EQUITY, start: 2024-01-01, timeframes: {{fetch: [1d]}}, sources: [archive],
       symbols: {{AAPL: {{}}, BRK: {{sources: [archive, {{polygon: BRK.B}}]}}}}{more}}}
"""


class TestUniverse:
    @pytest.fixture
    def load(self, tmp_path):
        def load(more: str, **replace: str) -> Any:
            text = UNIVERSE.format(more=f", {more}" if more else "")
            for old, new in replace.items():
                assert old in text
                text = text.replace(old, new)
            path = tmp_path / "universe.yaml"
            path.write_text(text)
            return load_universe(path, environ={}).profiles["us"]

        return load

    def test_symbols_have_the_profile_s_sources_of_actions_under_the_names_that_these_know(
        self, load
    ):
        profile = load("actions: [polygon, files]")

        assert profile.has_actions
        assert [(one.source, one.symbol) for one in profile.symbols["AAPL"].actions] == [
            ("polygon", "AAPL"),
            ("files", "AAPL"),
        ]
        assert [(one.source, one.symbol) for one in profile.symbols["BRK"].actions] == [
            ("polygon", "BRK.B"),
            ("files", "BRK"),
        ]
        assert not load("").has_actions

    @pytest.mark.parametrize(
        ("more", "replace", "words"),
        [
            (
                "actions: [archive]",
                {},
                (
                    "profiles.us.actions.*archive cannot be asked for corporate actions; "
                    "of this file, files, polygon, yahoo can"
                ),
            ),
            ("actions: [nobody]", {}, "nobody is no source of this file"),
            ("actions: [polygon, polygon]", {}, "polygon is written 2 times"),
            (
                "actions: [files]",
                {"EQUITY": "CRYPTO", "archive, {polygon: BRK.B}": "archive"},
                "corporate actions are kept of EQUITY",
            ),
            ("actions: [files]", {"[1d]": "[1m]"}, "profiles.us.timeframes.*1d is missing"),
            ("", {"AAPL: {}": "AAPL: {actions: [files]}"}, "BRK has none of its own"),
            (
                "actions: [yahoo]",
                {"sources: [archive],": "sources: [yahoo],"},
                "candles of yahoo are divided by every split already",
            ),
            ("", {"sources: [archive],": "sources: [files],"}, "1d is served by no source of"),
        ],
    )
    def test_what_cannot_work_is_refused_when_the_file_is_read(self, load, more, replace, words):
        with pytest.raises(UniverseError, match=f"(?s){words}"):
            load(more, **replace)


def test_the_installed_types_that_can_be_asked_are_known_by_their_method():
    types = source_types()

    assert {name for name in types if gives_actions(types[name])} == {
        "action_files",
        "polygon",
        "yahoo",
    }

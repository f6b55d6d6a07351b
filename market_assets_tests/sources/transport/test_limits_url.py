"""The address of a server that limits are kept on."""

from __future__ import annotations

import sys

import pytest

from market_assets.config.load import load_universe
from market_assets.errors import UniverseError


class TestWhoSharesALimit:
    @pytest.mark.parametrize(
        ("url", "said"),
        [
            (
                "http://a.example",
                "is no address of a server that limits can be kept on: write redis://",
            ),
            ("s3cr3t", "is no address of a server"),
            ("redis://:s3cr3t/x@a.example:6379/0", "cannot be understood: write redis://"),
            (
                "postgresql://me:s3cr3t@a.example:5432/x?s3cr3t",
                "cannot be understood: write redis://",
            ),
        ],
    )
    def test_what_is_no_such_server_is_refused_when_the_universe_is_loaded(
        self, tmp_path, url, said
    ):
        for text in (
            f"limits: {url}\nsources: {{binance: {{}}}}",
            f"sources: {{binance: {{limiter: '{url}'}}}}",
        ):
            path = tmp_path / "universe.yaml"
            path.write_text(text)

            with pytest.raises(UniverseError) as caught:
                load_universe(path, environ={})

            problem = next(problem for problem in caught.value.problems if "limit" in problem)
            assert said in problem
            assert "s3cr3t" not in problem

    @pytest.mark.parametrize(("library", "extra"), [("redis", "redis"), ("psycopg", "postgres")])
    def test_a_library_that_is_missing_is_named_when_the_universe_is_loaded(
        self, tmp_path, monkeypatch, library, extra
    ):
        for name in [name for name in sys.modules if name.partition(".")[0] == library]:
            monkeypatch.delitem(sys.modules, name)
        # What importlib takes for "not there".
        monkeypatch.setitem(sys.modules, library, None)  # type: ignore[arg-type]
        path = tmp_path / "universe.yaml"
        path.write_text(f"limits: {extra}://a.example/0\nsources: {{binance: {{}}}}")

        with pytest.raises(
            UniverseError, match=rf"limits: needs .* pip install 'market-assets\[{extra}\]'"
        ):
            load_universe(path, environ={})

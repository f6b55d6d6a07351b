"""Which requests get past the guard of the pages."""

from __future__ import annotations

import pytest

from market_assets.defs.internals.guard import Rules, refusal

HERE = "127.0.0.1:3000"
MUTATION = "query=mutation%20%7B%20wipeAssets%20%7B%20__typename%20%7D%20%7D"


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "refused"),
    [
        ("GET", "/", "", {"host": HERE}, False),
        ("GET", "/", "", {"host": "localhost:8080"}, False),
        ("GET", "/", "", {"host": "[::1]:3000"}, False),
        ("GET", "/", "", {"host": "candles.example"}, True),
        ("GET", "/", "", {}, True),
        ("GET", "/", "", {"host": "[::1:3000"}, True),
        ("POST", "/graphql", "", {"host": HERE}, False),
        ("POST", "/graphql", "", {"host": HERE, "origin": f"http://{HERE}"}, False),
        ("POST", "/graphql", "", {"host": HERE, "origin": "http://127.0.0.1:8888"}, True),
        (
            "POST",
            "/graphql",
            "",
            {"host": HERE, "origin": "http://127.0.0.1.evil.example:3000"},
            True,
        ),
        ("POST", "/graphql", "", {"host": HERE, "origin": "null"}, True),
        (
            "POST",
            "/graphql",
            "",
            {"host": HERE, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
            True,
        ),
        (
            "GET",
            "/runs",
            "",
            {"host": HERE, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
            False,
        ),
        (
            "GET",
            "/graphql",
            "query={version}",
            {"host": HERE, "sec-fetch-site": "cross-site"},
            True,
        ),
        ("GET", "/graphql", "query={version}", {"host": HERE}, False),
        ("GET", "/graphql", MUTATION, {"host": HERE}, True),
        ("HEAD", "/graphql/", MUTATION, {"host": HERE}, True),
        ("GET", "/graphql", f"query={{version}}&{MUTATION}", {"host": HERE}, True),
        ("GET", "/graphql", "query=mutation%20%7B", {"host": HERE}, True),
        ("POST", "/report_asset_materialization/a/b", "", {"host": HERE}, True),
        ("POST", "/report_asset_check/a/b", "", {"host": HERE}, True),
        ("POST", "/report_asset_observation/a/b", "", {"host": HERE}, True),
    ],
)
def test_what_is_refused(
    method: str, path: str, query: str, headers: dict[str, str], *, refused: bool
) -> None:
    why = refusal(Rules.of("127.0.0.1", ()), method, path, query, headers)
    assert (why is not None) is refused
    assert why is None or why.endswith(".")


def test_a_name_that_is_allowed_is_one_of_ours_also_behind_a_proxy() -> None:
    rules = Rules.of("0.0.0.0", ("Candles.example",), reports=True)  # noqa: S104
    assert rules.hosts == {"localhost", "127.0.0.1", "::1", "candles.example"}
    assert refusal(rules, "GET", "/", "", {"host": "candles.example"}) is None
    assert (
        refusal(rules, "POST", "/graphql", "", {"host": HERE, "origin": "https://candles.example"})
        is None
    )
    assert refusal(rules, "POST", "/report_asset_check/a", "", {"host": HERE}) is None
    assert refusal(Rules.of("::", ()), "GET", "/", "", {"host": "candles.example"}) is not None
    read_only = Rules.of("127.0.0.1", (), reports=True, read_only=True)
    assert refusal(read_only, "POST", "/report_asset_check/a", "", {"host": HERE}) is not None

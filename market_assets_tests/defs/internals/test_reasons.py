"""The page of a partition that was never filled: the script in it, and the answer that it shows."""

from __future__ import annotations

import asyncio
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest

from market_assets.defs.internals.adapter import web_app
from market_assets.defs.internals.reasons import PATH, Reasons
from market_assets_tests.support.toy import KEY, KEYS, fills, run

pytestmark = pytest.mark.filterwarnings(
    "ignore::dagster.PreviewWarning", "ignore::dagster.BetaWarning"
)


def answers(instance: dg.DagsterInstance, folder: Path, *urls: str) -> list[httpx.Response]:
    """What Dagster's web server answers with the reasons before it."""
    workspace = folder / "workspace.yaml"
    workspace.write_text("load_from: []")

    async def ask(app: Any) -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=Reasons(app, instance))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return [await client.get(url) for url in urls]

    with web_app(instance, workspace, read_only=True) as app:
        return asyncio.run(ask(app))


def test_every_page_brings_the_script_under_the_nonce_of_its_policy(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    page, info = answers(instance, tmp_path, "/assets/toy/candles?view=partitions", "/server_info")
    nonce = re.search(r"'nonce-(\w+)'", page.headers["content-security-policy"])
    assert nonce is not None
    assert page.text.count(f'<script nonce="{nonce[1]}">\n// Of a partition without') == 1
    assert page.text.rstrip().endswith("</script></body></html>")
    assert int(page.headers["content-length"]) == len(page.content)
    assert info.json()["dagster_version"] == dg.__version__


def test_dagster_s_page_still_has_what_the_script_looks_for() -> None:
    chunks = files("dagster_webserver") / "webapp/build/_next/static/chunks"
    texts = [path.read_text(encoding="utf-8") for path in Path(str(chunks)).rglob("*.js")]
    assert any("No metadata entries" in text for text in texts)
    assert any("AssetPartitionDetailQuery" in text and "data-tooltip" in text for text in texts)


def test_the_script_is_told_why_a_partition_is_red_and_nothing_of_one_that_is_filled(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    broken = OSError("No space left on device")
    failed = run(instance, fills(KEYS[0], then=broken), KEYS[0], KEYS[1])
    ask = f"{PATH}?key={KEY.path[0]}&key={KEY.path[1]}"
    red, green, incomplete = answers(
        instance, tmp_path, f"{ask}&partition={KEYS[1]}", f"{ask}&partition={KEYS[0]}", ask
    )
    assert red.json()["words"] == "Not filled: OSError: No space left on device."
    assert red.json()["run"] == failed
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", red.json()["at"])
    assert green.json() is None
    assert incomplete.status_code == 400

"""`market-assets practice-vendor`: a vendor to try things on."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from market_assets_tests.support.shell import Shell


def test_the_practice_vendor_serves_until_it_is_stopped(
    shell: Shell, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    market = tmp_path / "market.yaml"
    market.write_text("symbols: {MINE: {price: 5}}\n")
    process = shell.start("practice-vendor", "--port", "0", "--market", str(market))
    request.addfinalizer(process.kill)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    answer = httpx.get(
        f"{url}/api/v3/klines", params={"symbol": "MINE", "interval": "1h", "limit": 3}
    )
    assert len(answer.json()) == 3
    assert answer.headers["X-Simulated"] == "true"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert "Traceback" not in out + err

    market.write_text("symbols: [MINE]\n")
    refused = shell.run("practice-vendor", "--market", str(market))
    assert refused.code == 2
    assert "describes no market" in refused.err

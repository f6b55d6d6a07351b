"""Units: what systemd itself says of them, and that their commands run."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from market_assets.config.load import load_universe
from market_assets.deploy.site import site_of
from market_assets.deploy.systemd import units
from market_assets_tests.deploy.conftest import KEY, TOKEN
from market_assets_tests.support.platform import until

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


@pytest.fixture
def folder(site, tmp_path):
    folder = tmp_path / "units"
    folder.mkdir()
    # Systemd looks whether the program is there.
    program = Path(shutil.which("true"))
    for name, text in units(replace(site, program=program, user="root")).items():
        (folder / name).write_text(text)
    return folder


def analyzed(*words: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_there_is_a_unit_for_the_platform_the_server_and_the_streams(site) -> None:
    assert units(site).keys() == {
        "market-assets.service",
        "market-assets-serve.service",
        "market-assets-stream@.service",
        "environment.example",
    }


def test_no_secret_stands_in_a_unit(site) -> None:
    texts = "".join(units(site).values())
    assert KEY not in texts
    assert TOKEN not in texts
    assert "SERVE_TOKEN=" in texts


def test_what_is_written_outside_the_home_may_be_written(site, tmp_path) -> None:
    unit = units(site)["market-assets.service"]
    assert f"ReadWritePaths={tmp_path / 'home'} {tmp_path / 'lake'}" in unit


@needs_systemd
def test_systemd_finds_nothing_wrong(folder) -> None:
    verdict = analyzed("verify", *map(str, sorted(folder.glob("*.service"))))
    assert (verdict.returncode, verdict.stdout, verdict.stderr) == (0, "", "")


@needs_systemd
def test_the_exposure_is_ok(folder) -> None:
    for unit in ("market-assets.service", "market-assets-serve.service"):
        verdict = analyzed("security", "--offline=true", "--no-pager", str(folder / unit))
        assert verdict.returncode == 0, verdict.stderr
        assert "OK" in verdict.stdout.strip().splitlines()[-1]


@needs_systemd
def test_a_path_with_a_blank_or_a_percent_sign_is_one_word(site, tmp_path) -> None:
    folder = tmp_path / "a folder of 100%"
    folder.mkdir()
    odd = replace(site, home=folder / "home", program=Path(shutil.which("true")), user="root")
    unit = folder / "market-assets.service"
    unit.write_text(units(odd)["market-assets.service"])

    verdict = analyzed("verify", str(unit))

    assert (verdict.returncode, verdict.stderr) == (0, "")


# The commands themselves --------------------------------------------------------------------------


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def settings_of(unit: str, key: str) -> list[str]:
    return [line.partition("=")[2] for line in unit.splitlines() if line.startswith(f"{key}=")]


def started(unit: str, **more: str) -> subprocess.Popen[bytes]:
    """A process as systemd would start it: with the variables of the unit and no others."""
    variables = dict(
        shlex.split(word)[0].split("=", 1) for word in settings_of(unit, "Environment")
    )
    path = os.environ["PATH"]
    (command,) = settings_of(unit, "ExecStart")
    words = [sys.executable, "-m", "market_assets.cli", *shlex.split(command)[1:]]
    environment = {"PATH": path, "PYTHONPATH": str(Path.cwd()), **variables, **more}
    return subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False


def test_the_commands_of_the_units_run_and_end_in_time(tmp_path) -> None:
    serve_port = free_port()
    universe = tmp_path / "universe.yaml"
    universe.write_text(
        f"""
sources: {{files: {{type: archive, path: "{{symbol}}.csv"}}}}
profiles:
  past: {{kind: CRYPTO, start: 2025-02-03, end: 2025-02-04, timeframes: {{fetch: [1h]}},
         sources: [files], symbols: {{AAA: {{}}}}}}
serve: {{port: {serve_port}}}
"""
    )
    home = tmp_path / "home"
    home.mkdir()
    site = replace(
        site_of(load_universe(universe), home, Path("market-assets"), user="root"),
        pages_port=free_port(),
    )
    files = units(site)
    probes = {
        "market-assets.service": f"http://127.0.0.1:{site.pages_port}/server_info",
        "market-assets-serve.service": f"http://127.0.0.1:{serve_port}/health",
    }
    processes = {name: started(files[name]) for name in probes}
    try:
        for name, url in probes.items():
            until(lambda url=url: answers(url), f"an answer of {name}")
        for name, process in processes.items():
            begin = time.monotonic()
            process.send_signal(signal.SIGTERM)
            longest = float(settings_of(files[name], "TimeoutStopSec")[0])
            process.wait(timeout=longest)
            assert time.monotonic() - begin < longest
    finally:
        for process in processes.values():
            process.kill()
            process.wait()

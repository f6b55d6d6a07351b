"""The stream of docs/sources.md: used as its readers would, and as short as the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "sources.md"


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """A folder with both files of the page."""
    folder = tmp_path_factory.mktemp("gate")
    files = re.findall(
        r"^<!-- file of the stream: (\S+) -->\n```python\n(.*?)^```$",
        DOCUMENT.read_text(),
        re.MULTILINE | re.DOTALL,
    )
    assert [name for name, _ in files] == [
        "market_assets_gate.py",
        "test_market_assets_gate.py",
    ]
    for name, text in files:
        (folder / name).write_text(text)
    return folder


def test_a_stream_has_some_thirty_lines(package):
    text = (package / "market_assets_gate.py").read_text()
    stream = text[text.index("class GateStream") : text.index("class GateSettings")]

    assert len([line for line in stream.splitlines() if line.strip()]) <= 36


def test_the_stream_of_the_page_passes_the_kit(package):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [*command, "test_market_assets_gate.py"],
        cwd=package,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(package)])},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert re.search(r"2\d passed", done.stdout)

"""The documents: links lead somewhere, names exist, tables are those of today."""

from __future__ import annotations

import ast
import re
import tomllib
import unicodedata
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from typer.main import get_command

from market_assets.alerts.troubles import Kind
from market_assets.cli import app
from market_assets.config.entries import Entries, ProfileEntry
from market_assets.market.clock import present
from market_assets.sources.contract import ENTRY_POINTS
from market_assets.store.schema import MIGRATIONS
from market_assets.store.store import Store
from market_assets.universe_page import page

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
FOLDERS = ("", "docs/**/", "benchmarks/", "market_assets_tests/**/")
PAGES = sorted(path for folder in FOLDERS for path in ROOT.glob(f"{folder}*.md"))
README = ROOT / "README.md"
ARCHITECTURE = (DOCS / "architecture.md").read_text()

_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_ROOMS = r"(?:market_assets|market_assets_tests|benchmarks|docs)"
_NAMED = re.compile(rf"`({_ROOMS}/[\w./-]*)(?:::([\w.]+))?`")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def slug(heading: str) -> str:
    """The anchor of a heading, as Markdown's extension `toc` makes it."""
    text = unicodedata.normalize("NFKD", heading).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower())


@cache
def anchors(path: Path) -> frozenset[str]:
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", path.read_text()), re.MULTILINE)
    return frozenset(slug(heading) for heading in headings)


@cache
def names_in(module: Path) -> frozenset[str]:
    """The functions, classes and methods of a module."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    found = set()
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, kinds):
            found.add(node.name)
            inside = [inner for inner in ast.iter_child_nodes(node) if isinstance(inner, kinds)]
            found |= {f"{node.name}.{inner.name}" for inner in inside}
    return frozenset(found)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_link_leads_somewhere(path):
    text = _CODE.sub("", _FENCE.sub("", path.read_text()))
    broken = []
    for link in _LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        is_outside = path.is_relative_to(DOCS) and not target.is_relative_to(DOCS)
        is_absent = not target.exists()
        if is_outside or is_absent or (anchor and anchor not in anchors(target)):
            broken.append(link)

    assert not broken


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_file_and_function_that_is_named_exists(path):
    absent = []
    for file, name in _NAMED.findall(path.read_text()):
        target = ROOT / file
        if not target.exists() or (name and name not in names_in(target)):
            absent.append(f"{file}::{name}" if name else file)

    assert not absent


def test_the_keys_of_the_universe_are_those_of_today():
    text = (DOCS / "universe.md").read_text()

    assert text == page(text), "make pages writes docs/universe.md again"


def test_the_readme_is_short_and_has_the_lines_that_ci_runs():
    lines = README.read_text().splitlines()

    assert len(lines) <= 150
    for marker in ("<!-- run -->", "<!-- test -->"):
        assert lines[lines.index(marker) + 1] == "```sh"


def test_every_command_is_told_of():
    commands = set(get_command(app).commands)
    terminal = (DOCS / "terminal.md").read_text()
    section = ARCHITECTURE.partition("### Commands")[2].partition("\n### ")[0]

    assert {name for name in commands if f"`{name}" not in terminal} == set()
    assert {name for name in commands if f"`{name}`" not in section} == set()


def test_every_source_is_told_of():
    table = (DOCS / "sources.md").read_text()
    installed = entry_points(group=ENTRY_POINTS)
    ours = {entry.name for entry in installed if entry.value.startswith("market_assets.")}
    section = ARCHITECTURE.partition("### Sources")[2].partition("\n### ")[0]

    assert {name for name in ours - {"practice"} if f"| `{name}`" not in table} == set()
    assert {name for name in ours if f"`{name}`" not in section} == set()


def test_every_table_of_the_store_is_told_of():
    made = re.findall(r"CREATE (?:TABLE|VIEW) (ops\.\w+)", "".join(MIGRATIONS))
    tables = {*made, "ops.completeness"}
    described = (DOCS / "tables.md").read_text()

    assert {name for name in tables if f"`{name}`" not in described} == set()
    assert {name for name in tables if f"`{name}`" not in ARCHITECTURE} == set()


def test_every_column_of_the_ledgers_is_told_of(tmp_path):
    place = {"profile", "symbol", "timeframe", "partition"}
    described: dict[str, set[str]] = {}
    section = (DOCS / "tables.md").read_text().partition("## Every column of `ops`")[2]
    table = ""
    for name, columns in re.findall(
        r"^\| (?:`ops\.(\w+)`)? ?\| ([\w, ]+) \|", section, re.MULTILINE
    ):
        table = name or table
        described.setdefault(table, set()).update(columns.split(", "))
    store = Store(tmp_path, clock=present)
    with store.reading("looking at its columns") as view:
        rows = view.database.execute(
            "SELECT table_name, column_name FROM duckdb_columns() WHERE schema_name = 'ops'"
        ).fetchall()
    stored: dict[str, set[str]] = {}
    for name, column in rows:
        stored.setdefault(name, set()).update({column} - place)

    described.pop("completeness")  # a view that is made when there are candles
    assert described == stored


def test_every_alert_is_told_of():
    operations = (DOCS / "operations.md").read_text()

    assert {kind.value for kind in Kind if f"| {kind.value} |" not in operations} == set()
    assert {kind.value for kind in Kind if f"`{kind.value}`" not in ARCHITECTURE} == set()


def test_every_key_of_the_universe_leads_to_its_rule():
    keys = {*Entries.model_fields, *ProfileEntry.model_fields} - {"profiles", "symbols"}
    section = ARCHITECTURE.partition("### Keys of the universe")[2].partition("\n### ")[0]

    assert {key for key in keys if f"`{key}" not in section} == set()


def test_every_room_is_drawn():
    rooms = {path.parent.name for path in (ROOT / "market_assets").glob("*/__init__.py")}

    assert {room for room in rooms if f"| `market_assets/{room}` |" not in ARCHITECTURE} == set()


def test_the_layers_are_drawn_as_imports_keep_to_them():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    (lines,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    layers = re.findall(r"\w+", " ".join(lines))
    rooms = [layer for layer in layers if (ROOT / "market_assets" / layer).is_dir()]
    modules = [layer for layer in layers if layer not in rooms]
    drawing = ARCHITECTURE.partition("```\n")[2].partition("```")[0]

    assert [name for name in re.findall(r"\w+", drawing) if name in layers] == layers
    assert re.findall(r"^\| `market_assets/(\w+)` \|", ARCHITECTURE, re.MULTILINE) == rooms
    assert re.findall(r"^\| `market_assets/(\w+)\.py` \|", ARCHITECTURE, re.MULTILINE) == modules


def test_every_decision_is_listed():
    index = (DOCS / "decisions" / "index.md").read_text()
    records = [path.name for path in DOCS.glob("decisions/0*.md")]

    assert [name for name in records if f"({name})" not in index] == []

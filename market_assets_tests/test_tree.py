"""The tests have the tree of the package: a file for each module, a module for each file."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE, TESTS = ROOT / "market_assets", ROOT / "market_assets_tests"

WITHOUT_TESTS = {
    "alerts/message": "its sentences are told by test_causes, test_channels and test_watch",
    "alerts/outside": "how the world is seen by test_watch",
    "alerts/phrases": "its sentences are told by test_facts and test_judgement",
    "alerts/rows": "how the ledger is kept by test_watch",
    "alerts/troubles": "the nouns of all tests of the room",
    "cli/keeper": "opens what defs/automation/test_retention looks at through the terminal",
    "defs/assets/troubles": "the page that defs/automation/test_alerts and test_vanished read",
    "defs/assets/work": "what test_candles, test_features and test_returns declare and report by",
    "defs/internals/indexed_event": "its rows are held to Dagster's own in test_event_log",
    "defs/internals/run_forks": "needs the processes of up/test_forks and journeys/test_up",
    "defs/internals/serve": "needs the processes of journeys/test_up",
    "defs/internals/threadless": "what it loads in a fork server is used in up/test_forks",
    "live/catch_up": "a step of live/test_session",
    "live/choice": "a step of live/test_session",
    "live/follow_up": "a step of live/test_session",
    "live/pump": "a step of live/test_session",
    "live/update": "a step of live/test_session",
    "reports/adjusted": "test_expiry reads what was archived before and after, adjusted",
    "serve/models": "serve/test_app holds the answers to them",
    "sources/testing/exchange": "the double under every test of the kit",
    "sources/testing/server": "the server under every test of the kit",
    "sources/transport/limit_file": "what test_limit counts in",
    "sources/transport/limit_postgres": "test_shared_limit runs over both servers",
    "sources/transport/limit_redis": "test_shared_limit runs over both servers",
    "sources/transport/limit_server": "what test_limit and test_shared_limit count in",
    "universe_page": "test_docs holds the page to the settings",
    "up/backoff": "in up/test_parts",
    "up/environment": "what journeys/test_up starts processes in",
    "up/forkserver": "in up/test_forks",
    "up/log": "in up/test_parts",
    "up/news": "in up/test_parts",
    "up/options": "in up/test_parts",
    "up/output": "what journeys/test_up reads",
    "up/preflight": "in up/test_parts",
    "up/processes": "in up/test_parts",
    "up/socket_path": "in up/test_forks",
    "up/starter": "in up/test_forks",
    "up/state": "in up/test_parts",
    "up/supervisor": "in journeys/test_up and up/test_leash",
    "up/universe_file": "in up/test_parts",
}
"""Modules without a file of tests, each with where it is tested and why there."""

WITHOUT_MODULE = {
    "alerts/terminal": "the command `alerts`, over the homes of this folder",
    "defs/automation/expiry": "what retention has removed: the schedules and sensors together",
    "defs/automation/vanished": "a store that was deleted or replaced: the sensors together",
    "docs": "the documents",
    "export/terminal": "the command `export`, over the homes of this folder",
    "names": "identifiers",
    "sources/entry_points": "sources of other packages, installed as the documents say",
    "sources/hostile": "every source of paged JSON, before servers that mean harm",
    "sources/stream_example": "the stream of docs/sources.md, used as the page says",
    "sources/testing/stream_checks": "the checks of streams in checks/, each before its fault",
    "sources/vendors/conformance": "every source that speaks HTTP, by the kit",
    "sources/vendors/stream_conformance": "every source that has a stream, by the kit",
    "tree": "this tree",
    "up/parts": "the small parts of `up`",
}
"""Files of tests without a module, each with what it is about."""


def acts(module: Path) -> bool:
    """Whether a module does anything, rather than hold constants, types and protocols alone."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            has_words = ast.get_docstring(node) is not None
            body = node.body[has_words:]
            if any(not isinstance(line, ast.Pass | ast.Expr) for line in body):
                return True
    return False


def modules() -> set[str]:
    """The modules of the package, such as `market/gaps`."""
    paths = (path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
    return {str(path.with_suffix("")) for path in paths if not path.stem.startswith("__")}


def named_files() -> set[str]:
    """What the files of tests are named after, such as `market/gaps`; journeys are apart."""
    paths = (path.relative_to(TESTS) for path in TESTS.rglob("test_*.py"))
    return {
        str(path.with_name(path.stem.removeprefix("test_")))
        for path in paths
        if path.parts[0] != "journeys"
    }


def needs_tests(module: str) -> bool:
    """Whether a module has to have a file of tests.

    A command has one only where the rooms below it do not say all of it, and a file that is named
    after a folder, beside it, is about all modules in it.
    """
    folder = str(Path(module).parent)
    if folder == "cli/commands" or folder in named_files():
        return False
    return acts(PACKAGE / f"{module}.py")


def is_about_a_package(name: str) -> bool:
    """Whether a file is about a package as a whole: named after its folder, in it or beside it."""
    path = Path(name)
    folders = [PACKAGE / path, *([PACKAGE / path.parent] if path.parent.name == path.name else [])]
    return any((folder / "__init__.py").exists() for folder in folders)


def test_every_module_that_does_something_has_a_file_of_tests():
    lacking = {module for module in modules() - named_files() if needs_tests(module)}
    assert lacking - set(WITHOUT_TESTS) == set(), "write test_<module>.py in the folder of its name"
    assert set(WITHOUT_TESTS) - lacking == set(), "these need no exception any more"


def test_every_file_of_tests_has_a_module():
    lost = {name for name in named_files() - modules() if not is_about_a_package(name)}
    assert lost - set(WITHOUT_MODULE) == set(), "name these after the module that they test"
    assert set(WITHOUT_MODULE) - lost == set(), "these need no exception any more"

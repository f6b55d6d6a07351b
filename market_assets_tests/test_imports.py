"""Imports that wait, and where imports may stand."""

from __future__ import annotations

import ast
import builtins
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

import market_assets
from market_assets.imports import LateImport, late_imports

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(market_assets.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

WITHIN_FUNCTIONS = {
    "__init__.py": 2,
    "sources/transport/limit_postgres.py": 2,
    "sources/transport/limit_redis.py": 3,
}
"""The files with imports within functions, and how many: what is loaded for a public name,
and libraries of extras, one of which is chosen by a constructor."""


@pytest.fixture
def module(tmp_path, monkeypatch) -> Iterator[ModuleType]:
    """A module that imports late."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "late_toy.py").write_text("LENGTH = 7\ndef double(n): return 2 * n\n")
    (tmp_path / "late_reader.py").write_text(
        "from market_assets.imports import late_imports\n"
        "with late_imports():\n"
        "    import late_toy as toy\n"
        "    import nowhere_to_be_seen\n"
        "    from collections import OrderedDict\n"
        "    from late_toy import LENGTH, double as twice\n"
        "    from xml import dom\n"
        "def work(n): return twice(n)\n"
        "def annotated(a: OrderedDict | None, b: None | OrderedDict): ...\n"
    )
    yield import_module("late_reader")
    for name in ("late_toy", "late_reader"):
        sys.modules.pop(name, None)


def test_a_late_import_is_done_at_its_first_use_and_then_is_the_value_itself(module):
    assert "late_toy" not in sys.modules
    assert repr(module.twice) == "<late import of late_toy.double>"

    assert module.work(4) == 8

    assert module.twice is sys.modules["late_toy"].double
    assert isinstance(module.toy, LateImport)
    assert module.toy.LENGTH == 7
    assert module.toy is sys.modules["late_toy"]


def test_a_late_class_answers_isinstance_and_stands_in_annotations(module):
    assert not isinstance({}, module.OrderedDict)
    assert module.annotated.__annotations__["a"]


def test_a_late_module_of_a_package_is_loaded(module):
    assert module.dom.Node.ELEMENT_NODE == 1


def test_what_is_absent_is_told_at_its_first_use(module):
    with pytest.raises(ModuleNotFoundError, match="nowhere_to_be_seen"):
        module.nowhere_to_be_seen.anything()


def test_a_constant_cannot_be_late(module):
    with pytest.raises(TypeError, match=r"late_toy\.LENGTH> is a constant"):
        module.LENGTH()


def test_a_dotted_import_without_a_name_is_refused():
    usual = builtins.__import__
    with pytest.raises(ImportError, match="write `from package import module`"):
        exec(  # noqa: S102 - a module of its own
            "from market_assets.imports import late_imports\nwith late_imports():\n    import a.b",
            {},
        )
    assert builtins.__import__ is usual


def test_other_modules_import_as_ever_meanwhile():
    with late_imports():
        assert isinstance(import_module("json"), ModuleType)
        name = "json"
        assert __import__(name, {}, {}).dumps({}) == "{}"


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (
        node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    )


def late_statements(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in tree.body:
        if isinstance(node, ast.With) and "late_imports" in ast.unparse(node.items[0]):
            yield from (
                statement
                for statement in node.body
                if isinstance(statement, (ast.Import, ast.ImportFrom))
            )


def late_names(tree: ast.Module) -> set[str]:
    return {alias.asname or alias.name for node in late_statements(tree) for alias in node.names}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def test_imports_stand_at_the_top():
    counts = {
        name_of(path): len(
            {
                node.lineno
                for function in functions(ast.parse(path.read_text()))
                for node in ast.walk(function)
                if isinstance(node, (ast.Import, ast.ImportFrom))
            }
        )
        for path in FILES
    }
    assert {name: count for name, count in counts.items() if count} == WITHIN_FUNCTIONS


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_late_names_exist_and_are_used_as_they_can_be(path):
    tree = ast.parse(path.read_text())
    names = late_names(tree)
    wrong = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.type is not None:
            # Python looks for the class when an error comes, and would find no class.
            members = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            wrong += [
                ast.unparse(member)
                for member in members
                if isinstance(member, ast.Name) and member.id in names
            ]
        if isinstance(node, ast.ClassDef):
            wrong += [ast.unparse(base) for base in node.bases if ast.unparse(base) in names]
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node in tree.body:
            wrong += [node.name] if node.name in names else []
    assert not wrong

    for statement in late_statements(tree):
        for alias in statement.names:
            if isinstance(statement, ast.Import):
                import_module(alias.name)
            else:
                LateImport({}, statement.module or "", alias.name).load()

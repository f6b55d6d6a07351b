"""A name is a noun of the field: no pronoun and no participle stands for a value."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import market_assets

PACKAGE = Path(market_assets.__file__).parent

NO_NAMES = frozenset(
    {
        "each",
        "found",
        "here",
        "known",
        "mine",
        "one",
        "others",
        "ours",
        "own",
        "said",
        "some",
        "theirs",
        "there",
        "these",
        "those",
        "told",
    }
)
"""Words that say nothing of what a value is."""

EXCEPTIONS = frozenset(
    {
        ("defs/events.py", "told"),
        ("export/lake.py", "told"),
        ("fill/compare.py", "ours"),
        ("market/calendars/schedules.py", "known"),
        ("market/calendars/sessions.py", "known"),
    }
)
"""Where such a word is an attribute or a keyword that callers use: the file and the name."""


def bound_names(source: str) -> set[str]:
    """The names of variables and parameters that a module binds."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
    return names


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_a_name_is_a_noun(path: Path) -> None:
    place = str(path.relative_to(PACKAGE))
    vague = bound_names(path.read_text()) & NO_NAMES
    assert {name for name in vague if (place, name) not in EXCEPTIONS} == set()


def test_the_check_sees_variables_parameters_and_comprehensions() -> None:
    source = "def f(own, *, told=1):\n  found = [one for one in own]\n  for each in found: ...\n"
    assert bound_names(source) & NO_NAMES == {"own", "told", "found", "one", "each"}


def test_no_exception_is_left_that_is_not_needed() -> None:
    needless = {
        (place, name)
        for place, name in EXCEPTIONS
        if name not in bound_names((PACKAGE / place).read_text())
    }
    assert needless == set()

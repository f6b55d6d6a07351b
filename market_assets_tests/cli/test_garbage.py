"""Commands that end soon look for garbage seldom, and those that stay as often as Python does."""

from __future__ import annotations

import gc
import inspect
from importlib import import_module

import pytest

from market_assets.cli.garbage import search_as_usual, search_seldom


@pytest.fixture(autouse=True)
def as_before():
    usual = gc.get_threshold()
    yield usual
    gc.set_threshold(*usual)


def test_a_command_that_stays_looks_as_often_as_python_does(as_before):
    search_seldom()
    assert gc.get_threshold()[0] == 50_000

    search_as_usual()

    assert gc.get_threshold() == as_before


@pytest.mark.parametrize("name", ["stream", "serve", "up", "practice_vendor"])
def test_these_commands_stay(name):
    module = import_module(f"market_assets.cli.commands.{name}")
    assert "search_as_usual()" in inspect.getsource(getattr(module, name))

"""Imports that wait until a name of theirs is used for the first time.

A module that offers something cheap (the options of a command, the definition of an asset) stands
beside the code that does the work, which needs Dagster, polars, DuckDB or an optional package.
Such a module names at its top all that it needs, and puts in `late_imports` what only the work
needs:

    with late_imports():
        import polars as pl

        from market_assets.fill.fill import Fill

Type checkers, import-linter and readers see ordinary imports. Python 3.15 has a keyword for the
same, `lazy from market_assets.fill import Fill` (PEP 810), which takes the place of the block when
no older Python is supported. See docs/decisions/0026-late-imports.md.
"""

from __future__ import annotations

import builtins
import os
import sys
from contextlib import contextmanager
from importlib import import_module
from threading import Lock
from types import ModuleType
from typing import TYPE_CHECKING, Any, Union

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_LOCK = Lock()
"""Held by the block that is executed; nothing is imported meanwhile by the thread that holds it."""

os.register_at_fork(
    before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release
)


class LateImport:
    """What stands for a module, a class or a function until it is used.

    The first call, attribute, loop or `isinstance` imports it, and the module that has this name
    has the value itself from then on. No constant can be imported late: what compares or counts it
    would get this object.

    Args:
        scope: The global names of the module that imports.
        module: What is imported, its full name.
        name: Which of the module's names; empty for the module itself.
    """

    def __init__(self, scope: dict[str, Any], module: str, name: str = "") -> None:
        self._scope = scope
        self._module = module
        self._name = name

    def load(self) -> Any:  # noqa: ANN401 - whatever the name stands for
        """The value itself, which takes the place of this object in the module that imports it.

        Raises:
            ImportError: The module or its name does not exist.
            TypeError: The value is a constant.
        """
        value = import_module(self._module)
        if self._name:
            try:
                value = getattr(value, self._name)
            except AttributeError:
                # `from package import module`, of a module that nobody has loaded yet.
                value = import_module(f"{self._module}.{self._name}")
        if not (callable(value) or isinstance(value, ModuleType)):
            raise TypeError(f"{self!r} is a constant, which cannot be imported late")

        for alias, present in list(self._scope.items()):
            if present is self:
                self._scope[alias] = value
        return value

    def __call__(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - as the value has them
        """Call the function, or make an object of the class."""
        return self.load()(*args, **options)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as the value has it
        return getattr(self.load(), name)

    def __iter__(self) -> Iterator[Any]:
        """The members of an enumeration."""
        return iter(self.load())

    def __instancecheck__(self, value: object) -> bool:
        return isinstance(value, self.load())

    def __or__(self, other: object) -> Any:  # noqa: ANN401 - a form of typing
        return Union[self, other]  # noqa: UP007 - an annotation

    def __ror__(self, other: object) -> Any:  # noqa: ANN401 - a form of typing
        return Union[other, self]  # noqa: UP007 - an annotation

    def __repr__(self) -> str:
        place = f"{self._module}.{self._name}" if self._name else self._module
        return f"<late import of {place}>"


class _Names:
    """What stands for a module in `from module import name`: each of its names comes late."""

    def __init__(self, scope: dict[str, Any], module: str) -> None:
        self._scope = scope
        self._module = module

    def __getattr__(self, name: str) -> LateImport:
        return LateImport(self._scope, self._module, name)


@contextmanager
def late_imports() -> Iterator[None]:
    """Let the imports of a block of a module wait until their names are used.

    Only statements of the block itself are meant, not those of another thread or module.

    Raises:
        ImportError: A statement is relative, or `import a.b`, which has no name of its own to wait.
    """
    # Above this function stand the two of the context manager.
    scope = sys._getframe(2).f_globals  # noqa: SLF001 - the only way to know the module
    usual = builtins.__import__

    def late(
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002 - the names of __import__
        locals: Mapping[str, object] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:  # noqa: ANN401 - as __import__ has it
        if globals is not scope:
            return usual(name, globals, locals, fromlist, level)
        if level or (not fromlist and "." in name):
            raise ImportError(f"{name} cannot be imported late: write `from package import module`")
        return _Names(scope, name) if fromlist else LateImport(scope, name)

    with _LOCK:
        builtins.__import__ = late
        try:
            yield
        finally:
            builtins.__import__ = usual

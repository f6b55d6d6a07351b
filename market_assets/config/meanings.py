"""What the settings say of themselves: the meaning of a key, and its default as a file has it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from enum import Enum
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ByteSize
from pydantic_core import PydanticUndefined

from market_assets.market.durations import duration_words

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


def descriptions(model: type[BaseModel]) -> dict[str, str]:
    """What the docstrings of a model and of its bases say of its keys."""
    texts: dict[str, str] = {}
    for part in reversed(model.__mro__):
        if part.__module__.startswith("market_assets."):
            texts |= _attributes(cleandoc(part.__doc__ or ""))
    return texts


def _attributes(docstring: str) -> dict[str, str]:
    """The section `Attributes:` of a docstring, a sentence or more a name."""
    _, _, section = docstring.partition("Attributes:\n")
    lines = section.split("\n\n")[0].splitlines()
    texts: dict[str, str] = {}
    name = ""
    for line in lines:
        start = re.match(r"    (\w+): (.*)", line)
        if start:
            name = start[1]
            texts[name] = start[2]
        elif name:
            texts[name] += f" {line.strip()}"
    return texts


def default_of(field: FieldInfo) -> object:
    """The default of a key; PydanticUndefined where it has none."""
    if field.is_required():
        return PydanticUndefined
    return field.get_default(call_default_factory=True, validated_data={})


def written(value: object, *, share: bool = False) -> str:
    """A default as it would stand in the file; empty where there is none.

    Args:
        value: The default.
        share: Whether it is a part of one, which is written in percent.
    """
    is_absent = value is PydanticUndefined or isinstance(value, BaseModel)
    is_empty = not value and not isinstance(value, bool | int | float)
    if is_absent or is_empty:
        return ""
    return _yaml(value, share=share)


def _yaml(value: object, *, share: bool = False) -> str:
    if share:
        return f"{100 * float(str(value)):g}%"
    for kind, spell in _SPELLINGS.items():
        if isinstance(value, kind):
            return spell(value)
    raise TypeError(f"{value!r} has no spelling here; add one")


def _list(values: Sequence[object]) -> str:
    return "[" + ", ".join(map(_yaml, values)) + "]"


def _mapping(values: Mapping[object, object]) -> str:
    return "{" + ", ".join(f"{_yaml(key)}: {_yaml(value)}" for key, value in values.items()) + "}"


# The first kind that fits: true is a number too, and a size in bytes as well.
_SPELLINGS: dict[type, Callable[[Any], str]] = {
    bool: lambda value: str(value).lower(),
    Enum: lambda value: str(value.value),
    timedelta: duration_words,
    ByteSize: lambda value: value.human_readable(separator=" ").replace(".0 ", " "),
    int: str,
    float: "{:g}".format,
    date: str,
    str: str,
    Path: str,
    Mapping: _mapping,
    tuple: _list,
}

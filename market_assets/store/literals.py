"""Values written into a statement, in place of parameters that DuckDB would bind.

With the first value that it binds, DuckDB imports pandas, numpy and pyarrow to see whether it is
one of theirs: 0.3 s and 40 MB of a process that has no other use for them. So the values of our
statements are written out, each as the literal of the type that it would be bound as.
"""

from __future__ import annotations

import math
import re
from datetime import date, datetime, timedelta
from functools import lru_cache
from types import NoneType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_PARAMETER = re.compile(
    r"""
    '(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]*     # what is no parameter, whatever it holds
    | (?P<mark>\?) | \$(?P<name>[A-Za-z_]\w*)
    """,
    re.VERBOSE,
)

_BETWEEN = "\x1f"
"""Parts the items of a list; the names, days and keys of ours do not hold it."""


def written_out(sql: str, parameters: Sequence[object] | Mapping[str, object]) -> str:
    """A statement with the values of its parameters.

    Args:
        sql: It has `?` for each value of a sequence, or `$name` for those of a mapping.
        parameters: The values.

    Raises:
        ValueError: There are more values than parameters, or fewer.
        TypeError: A value is of a type that no statement of ours has.
    """
    texts, names = _parts(sql)
    if isinstance(parameters, dict):
        values = [parameters[name] for name in names]
        strange = parameters.keys() - set(names)
    else:
        values = list(parameters)
        strange = {"?"} & set(names) if len(values) != len(names) else set()
    if strange or len(values) != len(names):
        raise ValueError(f"{len(names)} parameters are not {len(values)} values: {sql}")
    literals = [literal(value) for value in values]
    pairs = zip(texts, [*literals, ""], strict=True)
    return "".join(part for pair in pairs for part in pair)


@lru_cache(maxsize=512)
def _parts(sql: str) -> tuple[list[str], list[str]]:
    """What stands around the parameters of a statement, and their names; `?` has none."""
    texts, names, end = [], [], 0
    for match in _PARAMETER.finditer(sql):
        if match["mark"] or match["name"]:
            texts.append(sql[end : match.start()])
            names.append(match["name"] or "?")
            end = match.end()
    return [*texts, sql[end:]], names


def literal(value: object) -> str:
    """A value as SQL has it.

    Raises:
        TypeError: It is of a type that no statement of ours has.
    """
    # An instant is also a day, and true also a number: the first type that fits counts.
    for kind, written in _WRITTEN:
        if isinstance(value, kind):
            return written(value)
    raise TypeError(f"{value!r} is no value for a statement")


def _text(value: str) -> str:
    # Not str(value), which is another text for a member of some enumerations.
    quoted = str.__str__(value).replace("'", "''")
    return "'" + quoted.replace("\0", "' || chr(0) || '") + "'" if "\0" in quoted else f"'{quoted}'"


def _list(items: Sequence[object]) -> str:
    texts = [item for item in items if isinstance(item, str) and _BETWEEN not in item]
    if items and len(texts) == len(items):
        # One constant, however many they are: DuckDB plans thousands of constants slowly.
        return f"string_split({_text(_BETWEEN.join(texts))}, '{_BETWEEN}')"
    return f"[{', '.join(map(literal, items))}]"


def _float(value: float) -> str:
    return f"({value!r}::DOUBLE)" if math.isfinite(value) else f"'{value!r}'::DOUBLE"


def _instant(value: datetime) -> str:
    kind = "TIMESTAMP" if value.tzinfo is None else "TIMESTAMPTZ"
    return f"{kind} '{value.isoformat(' ')}'"


_WRITTEN: tuple[tuple[type | tuple[type, ...], Callable[[Any], str]], ...] = (
    (NoneType, lambda _: "NULL"),
    (bool, lambda value: str(value).upper()),
    # A minus after another would begin a comment.
    (int, lambda value: f"({value})"),
    (float, _float),
    (str, _text),
    (datetime, _instant),
    (date, lambda value: f"DATE '{value.isoformat()}'"),
    (timedelta, lambda value: f"to_microseconds({value // timedelta(microseconds=1)})"),
    ((list, tuple), _list),
)

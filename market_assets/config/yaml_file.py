"""A YAML file that a person writes, read with the line of every key and with all its faults.

Two keys of the same name, a name that YAML takes for something else (`ON` is true), a missing
environment variable: none of these stops the reading, each becomes a problem with its place. A
value that holds `${NAME}` prints as it was written. What the keys mean is not known here.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

import yaml

from market_assets.secrets import Secret, redact
from market_assets.words import hint, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

Place = tuple[str | int, ...]
"""Where something stands in a file: the keys and list positions that lead to it."""

_REFERENCE = re.compile(r"\$\{(?:([A-Za-z_]\w*)\})?")
_MERGE = "tag:yaml.org,2002:merge"
_STRING = "tag:yaml.org,2002:str"
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass
class Document:
    """What a file holds and what is wrong with it.

    Later passes over the data add their problems here.

    Attributes:
        data: Mappings with string keys, lists and scalars; None for an empty file.
        marks: The line and the column, from 1, of every key and list item.
        plain: What was written where YAML read something other than a string.
        secrets: The `${NAME}` that each filled-in value stands for.
        variables: The environment variables that were filled in.
    """

    data: object = None
    marks: dict[Place, tuple[int, int]] = field(default_factory=dict)
    plain: dict[Place, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    variables: set[str] = field(default_factory=set)
    _problems: defaultdict[Place, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, place: Place, message: str) -> None:
        """Record a problem."""
        self._problems[place].append(message)

    def faulty(self, place: Place) -> bool:
        """True where a problem has been recorded already."""
        return place in self._problems

    def faulty_within(self, place: Place) -> bool:
        """True where a problem has been recorded already for the place or for a part of it."""
        return any(other[: len(place)] == place for other in self._problems)

    def problems(self) -> list[str]:
        """One sentence per problem, in the order of the file, without secrets.

        Each has the path, what is wrong and the line.
        """
        faults = [
            (self._mark(place), place, text)
            for place, texts in self._problems.items()
            for text in texts
        ]
        faults.sort(key=lambda problem: problem[0])
        return [
            _sentence(place, redact(text, self.secrets), line) for (line, _), place, text in faults
        ]

    def _mark(self, place: Place) -> tuple[int, int]:
        while place and place not in self.marks:
            place = place[:-1]
        return self.marks.get(place, (0, 0))


def _sentence(place: Place, message: str, line: int) -> str:
    path = "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in place
    ).removeprefix(".")
    return (
        f"{path}: {message} (line {line})"
        if place and line
        else f"{path}: {message}"
        if place
        else message
    )


def read_yaml(path: Path, environ: Mapping[str, str], edit: Callable[[str], str] = str) -> Document:
    """Read a YAML file.

    It never raises for what the file holds, or for a file that cannot be read: these are problems
    of the document.

    Args:
        path: The file, in UTF-8.
        environ: Where the values of `${NAME}` are taken from.
        edit: Changes the text before it is read; line by line it stays what it is in the file.
    """
    document = Document()
    try:
        text = edit(path.read_bytes().decode("utf-8-sig"))
        loader = _Loader(text)
        root = loader.get_single_node()
    except OSError as error:
        document.add((), f"cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        document.add((), f"is not a text file in UTF-8: {error.reason} at byte {error.start}")
    except yaml.MarkedYAMLError as error:
        document.add((), _syntax_problem(error))
    except yaml.YAMLError as error:
        document.add((), f"is not YAML: {' '.join(str(error).split())}")
    else:
        if root is not None:
            document.data = _Reader(loader, environ, document).value(root, ())
    return document


def _syntax_problem(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    what = ", ".join(part for part in (error.context, error.problem) if part)
    return (
        f"{where}is not YAML: {what} "
        "(a value that holds a colon, a brace, a bracket or # needs quotes)"
    )


class _Reader:
    """Turns YAML nodes into data and fills the document's tables on the way."""

    def __init__(
        self, loader: yaml.SafeLoader, environ: Mapping[str, str], document: Document
    ) -> None:
        self._loader = loader
        self._environ = environ
        self._document = document
        self._open: list[yaml.Node] = []

    def value(self, node: yaml.Node, place: Place) -> object:
        if any(node is outer for outer in self._open):
            self._document.add(
                place, f"is an alias of something that it is part of, on line {_mark(node)[0]}"
            )
            return None
        self._open.append(node)
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, place)
            if isinstance(node, yaml.SequenceNode):
                return self._sequence(node, place)
            return self._scalar(node, place)
        finally:
            self._open.pop()

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, object]:
        inherited: dict[str, object] = {}
        entries: dict[str, object] = {}
        for key_node, child in node.value:
            if key_node.tag == _MERGE:
                bases = child.value if isinstance(child, yaml.SequenceNode) else [child]
                for base in reversed(bases):
                    inherited |= (
                        self._mapping(base, place) if isinstance(base, yaml.MappingNode) else {}
                    )
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                self._document.add(
                    place, f"has a list or mapping for a key, on line {_mark(key_node)[0]}"
                )
                continue
            key = str(key_node.value)
            inner, mark = (*place, key), _mark(key_node)
            if key in entries:
                first, again = self._document.marks[inner][0], mark[0]
                self._document.add(inner, f"is written twice, on line {first} and {again}")
            elif key_node.tag != _STRING:
                self._document.add(inner, _unquoted(key, key_node.tag))
            self._document.marks[inner] = mark
            entries[key] = self.value(child, inner)
        return inherited | entries

    def _sequence(self, node: yaml.SequenceNode, place: Place) -> list[object]:
        values = []
        for position, child in enumerate(node.value):
            self._document.marks[*place, position] = _mark(child)
            values.append(self.value(child, (*place, position)))
        return values

    def _scalar(self, node: yaml.Node, place: Place) -> object:
        try:
            value = self._loader.construct_object(node)
        except yaml.MarkedYAMLError as error:
            self._document.add(place, error.problem or str(error))
            return node.value
        except (ValueError, LookupError, AttributeError):
            # Not what its form promises, such as 2024-02-30: it stays text, and the key's own check
            # says what it wants.
            return node.value
        if isinstance(value, str):
            return self._filled(value, place)
        self._document.plain[place] = node.value
        return value

    def _filled(self, text: str, place: Place) -> str:
        if "${" not in text:
            return text

        def fill(reference: re.Match[str]) -> str:
            name = reference[1]
            if name is None:
                self._document.add(
                    place, "`${` begins the name of an environment variable: write ${NAME}"
                )
                return reference[0]
            value = self._environ.get(name)
            if not value:
                state = "not set" if value is None else "empty"
                self._document.add(place, f"the environment variable {name} is {state}")
                return reference[0]
            self._document.secrets[value] = reference[0]
            self._document.variables.add(name)
            return value

        return Secret(_REFERENCE.sub(fill, text), text)


def _mark(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _unquoted(text: str, read_as: str) -> str:
    """The advice for a name that YAML took for something else.

    Args:
        text: What stands in the file.
        read_as: YAML's tag, or the name of the Python type, of what it was read as.
    """
    kinds = {
        "bool": "true or false",
        "int": "a number",
        "float": "a number",
        "null": "nothing",
        "timestamp": "a date",
    }
    kinds |= {"date": "a date", "datetime": "a date", "NoneType": "nothing"}
    kind = kinds.get(read_as.rpartition(":")[2], "something else than a name")
    return f'YAML reads {text or "an empty value"} as {kind}; write it in quotes: "{text}"'


def add_faults(
    document: Document, at: Place, faults: list[ErrorDetails], model: type[BaseModel]
) -> None:
    """Record what pydantic found wrong with a part of the document.

    Args:
        document: Takes the problems.
        at: The place of the part.
        faults: What pydantic found.
        model: What the part is shaped like.
    """
    for fault in faults:
        exact = (*at, *fault["loc"])
        place = nearest(document.data, exact)
        if not document.faulty(place):
            written = document.plain.get(place) or shown(fault["input"])
            keys = _keys_at(model, place[len(at) : -1])
            document.add(
                exact if fault["type"] == "missing" else place, _fault_message(fault, written, keys)
            )


def nearest(data: object, place: Place) -> Place:
    """The longest part of a place that the data has.

    Pydantic also names what is missing, and kinds of key.
    """
    for depth, part in enumerate(place):
        parts = (
            data
            if isinstance(data, dict)
            else dict(enumerate(data))
            if isinstance(data, list)
            else {}
        )
        if part not in parts:
            return place[:depth]
        data = parts[part]
    return place


_MAPPING = "must be a mapping of keys and values, not {written}"
_LIST = "must be a list: [{written}]"
_FAULTS = {
    "missing": "is missing",
    "value_error": "{error}",
    "model_type": _MAPPING,
    "dict_type": _MAPPING,
    "list_type": _LIST,
    "tuple_type": _LIST,
    "set_type": _LIST,
    "frozen_set_type": _LIST,
}


def _fault_message(fault: ErrorDetails, written: str, keys: Iterable[str]) -> str:
    kind, context = fault["type"], fault.get("ctx", {})
    if kind == "extra_forbidden":
        return f"is no key here{hint(fault['loc'][-1], keys)} The keys are {listed(keys)}"
    if kind in {"enum", "literal_error"}:
        choices = re.findall(r"'([^']*)'", context["expected"])
        return f"{written} is not one of {listed(choices)}{hint(written, choices)}"
    if kind == "string_type" and not isinstance(fault["input"], dict | list):
        return _unquoted(written, type(fault["input"]).__name__)
    if kind in _FAULTS:
        return _FAULTS[kind].format(written=written, **context)
    message = fault["msg"].removeprefix("Input ")
    return message if message == fault["msg"] else f"{message}, not {written}"


def _keys_at(model: type[BaseModel], place: Place) -> list[str]:
    """The keys that a model takes at a place inside it."""
    kind: Any = model
    for part in place:
        fields = getattr(kind, "model_fields", {})
        # A list of any length is written `tuple[Model, ...]`.
        inner = [argument for argument in get_args(kind) if argument is not Ellipsis]
        kind = fields[part].annotation if part in fields else inner[-1] if inner else None
        while get_origin(kind) in (Annotated, Union, UnionType):
            kind = next(argument for argument in get_args(kind) if argument is not NoneType)
    return keys_of(kind)


def keys_of(kind: Any) -> list[str]:  # noqa: ANN401 - any type that a key can have
    """The keys of a part of the file, in the order in which they are listed.

    Empty where the part has no fixed keys.
    """
    fields = getattr(kind, "model_fields", {})
    return getattr(kind, "KEYS", "").split() or list(fields)


def shown(value: object) -> str:
    """A value of the file as a message shows it: short, and with the names of secrets."""
    text = value.written if isinstance(value, Secret) else str(value)
    return text if len(text) <= 60 else f"{text[:60]}..."

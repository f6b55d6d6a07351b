"""A first universe as a file: its text, with comments and a link to each key's page."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from market_assets.config.load import AsIfSet, load_universe
from market_assets.errors import MarketAssetsError, UniverseError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from market_assets.config.starters import Part
    from market_assets.config.universe import Universe

_COLUMN = 40
"""Where the comments of the keys begin."""

_HEADING = (
    "# Every key with its default: docs/universe.md. `market-assets validate` checks this file.",
    "# Secrets are written ${NAME} and come from the environment:",
    "# docs/universe.md#secrets-and-the-environment",
)

_MORE = """
# What else can be said here, each with its page:
# alerts:       who is told of troubles               docs/universe.md#alerts
# serve:        answers over HTTP                     docs/serve.md
# export: {}    Parquet files of all of it            docs/universe.md#export
# retention:    for how long data are kept            docs/retention.md
# repair:       when gaps are asked for again         docs/universe.md#repair
# In a profile:
# stream: {enabled: true}   bars as they close        docs/live.md
# agreement:    a second source to compare with       docs/sources.md#agreement-between-sources
# calendar_changes:         a calendar that is wrong  docs/universe.md#a-calendar-that-is-wrong
"""


def universe_text(parts: Sequence[Part], today: date) -> str:
    """The text of a universe with these parts.

    Args:
        parts: At least one; the names of their profiles and sources are all different.
        today: The present day (UTC).
    """
    names = " ".join(part.starter.name for part in parts)
    lines = [
        f"# What market-assets keeps: {names}. Begun by `market-assets init` on {today}.",
        *_HEADING,
        "",
        *_commented("sources:", "where candles come from: docs/sources.md"),
    ]
    for part in parts:
        lines += _source_lines(part)
    lines += ["", *_commented("profiles:", "docs/universe.md#a-profile-profilesname")]
    for place, part in enumerate(parts):
        lines += ([""] if place else []) + _profile_lines(part)
    return "\n".join(lines) + "\n" + _MORE


def checked_text(text: str, environ: Mapping[str, str]) -> str:
    """The text itself, once it was read as a universe; keys need not be set for that.

    Args:
        text: The text of a universe.
        environ: Where the variables come from.

    Raises:
        UniverseError: It is no universe that can be used.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "universe.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            load_universe(path, environ=AsIfSet(environ))
        except UniverseError as error:
            raise UniverseError("what was asked for", error.problems) from None
    return text


def need_room(path: Path) -> None:
    """Refuse to write where a universe's file is already.

    Raises:
        MarketAssetsError: There is one.
    """
    if path.exists():
        raise _in_the_way(path)


def write_universe(text: str, path: Path, *, replace: bool) -> None:
    """Write a universe's file, whole or not at all.

    Args:
        text: What it holds.
        path: Where it is written; its folder is made.
        replace: Whether a file that is there is replaced.

    Raises:
        MarketAssetsError: There is a file, or something else, and it is not to be replaced.
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise MarketAssetsError(f"{path} is a folder; name a file with --universe FILE")
    if not replace:
        try:
            file = path.open("x", encoding="utf-8")
        except FileExistsError:
            raise _in_the_way(path) from None
        with file:
            file.write(text)
        return
    fresh = path.with_name(f".{path.name}.fresh")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def _in_the_way(path: Path) -> MarketAssetsError:
    return MarketAssetsError(
        f"{path} is there already and was left as it is; --force replaces it, and"
        " --universe FILE names another file"
    )


def read_back(path: Path, environ: Mapping[str, str]) -> Universe:
    """The universe of a file, as if all its keys were set."""
    return load_universe(path, environ=AsIfSet(environ))


def _source_lines(part: Part) -> list[str]:
    settings = dict(part.settings)
    if part.source != part.starter.source:
        settings = {"type": part.starter.source, **settings}
    page = f"docs/universe.md#source-{part.starter.source}"
    notes = [f"  # {' '.join(note.split())}" for note in part.notes]
    if not settings:
        return [*notes, *_commented(f"  {_scalar(part.source)}: {{}}", page)]
    keys = [f"    {key}: {_value(value)}" for key, value in settings.items()]
    return [*notes, *_commented(f"  {_scalar(part.source)}:", page), *keys]


def _profile_lines(part: Part) -> list[str]:
    calendar = (
        _commented(f"    calendar: {_scalar(part.calendar)}", "in place of the kind's")
        if part.calendar
        else _commented(
            f"    # calendar: {_scalar(part.kind.calendar)}",
            "the kind's; any name of exchange_calendars is one",
        )
    )
    settle = part.starter.settle
    return [
        *_commented(
            f"  {_scalar(part.profile)}:", "the first part of its assets' and tables' names"
        ),
        *_commented(
            f"    kind: {part.kind.value}",
            "presets the calendar and what a price may be: docs/universe.md#prices",
        ),
        *calendar,
        *_commented(
            f"    start: {part.start}", "the first day (UTC); move it back, and backfill, for more"
        ),
        *(
            _commented(f"    end: {part.end}", "the files end here; leave it out where more come")
            if part.end
            else []
        ),
        *_commented("    timeframes:", "docs/universe.md#timeframes"),
        *_commented(f"      fetch: [{part.fetch.value}]", "asked of the source"),
        *_commented(f"      derive: {_list(part.derive)}", "made of the fetched ones"),
        *_commented("      features: []", "indicators of these: docs/research.md"),
        *_commented("      returns: []", "aligned returns of these"),
        *_commented(
            f"    sources: [{_scalar(part.source)}]",
            "in order of preference: docs/sources.md#how-they-are-chosen",
        ),
        *(
            _commented(
                f"    update: {{settle: {settle}}}",
                "the newest bars come so late: docs/universe.md#update",
            )
            if settle
            else []
        ),
        *_commented("    symbols:", "docs/universe.md#a-symbol-profilesnamesymbolsname"),
        *(_symbol_line(part, name, vendor) for name, vendor in part.symbols.items()),
    ]


def _symbol_line(part: Part, name: str, vendor: str) -> str:
    if name == vendor:
        return f"      {_scalar(name)}: {{}}"
    return f"      {_scalar(name)}: {{sources: [{{{_scalar(part.source)}: {_scalar(vendor)}}}]}}"


def _list(timeframes: Sequence[Any]) -> str:
    return f"[{', '.join(timeframe.value for timeframe in timeframes)}]"


def _commented(line: str, comment: str) -> list[str]:
    return [f"{line:<{_COLUMN - 1}} # {comment}"]


def _value(value: object) -> str:
    """A setting as YAML writes it; what stands for a secret is a plain word."""
    return str(value) if str(value).startswith("${") else _scalar(value)


def _scalar(value: object) -> str:
    """A value in YAML's flow style, on one line, quoted where it needs it."""
    text = yaml.safe_dump(
        value, default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False
    )
    return text.removesuffix("...\n").strip()

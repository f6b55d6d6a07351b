"""Writes the tables of docs/universe.md: every key of a universe file, from its docstrings.

`python -m market_assets.universe_page docs/universe.md` puts the tables of today between the two
marks of that page. What stands around the marks is written by hand. A test fails if the page and
the settings differ.
"""

from __future__ import annotations

import re
import sys
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, get_args, get_type_hints

from market_assets.config.calendar_changes import CalendarChange
from market_assets.config.entries import Entries, ProfileEntry, SymbolEntry
from market_assets.config.kinds import PriceRules
from market_assets.config.meanings import default_of, descriptions, written
from market_assets.config.research import FeaturesEntry, MarketsSettings, ReturnSettings
from market_assets.config.services import (
    AlertSettings,
    ExportSettings,
    RetentionSettings,
    ServeSettings,
    TableRetention,
)
from market_assets.config.settings import (
    AgreementSettings,
    CheckSettings,
    EvidenceSettings,
    PartitionSettings,
    RepairSettings,
    StreamSettings,
    Timeframes,
    UpdateSettings,
)
from market_assets.config.values import Share
from market_assets.config.yaml_file import keys_of
from market_assets.sources.contract import SourceSettings, source_types
from market_assets.sources.transport.http import HttpSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    Model = type[BaseModel]

FIRST, LAST = "<!-- keys: generated -->", "<!-- /keys -->"

_NEEDED = "`sources` and `profiles` are needed, the rest has defaults."
_PROFILE = "Key of a profile."
_BOTH = "Key at the top of the file for all profiles, and of a profile."
_TOP = "Key at the top of the file."
_KEPT = (
    f"{_TOP} The last three rows are keys of a profile too, which wins: "
    "see [Retention](retention.md)."
)
_MACHINE = "`MARKET_ASSETS_REPAIR_<KEY>` sets a key for one machine, and wins."
_ITEMS = "A list in a profile, and at the top by calendar; each item has these keys."
_PRICES = (
    "These are the presets of CRYPTO and EQUITY. FUTURES has `positive: false`; FOREX has "
    "`volume_optional: true` and `real_volume: false`."
)
_TABLES = (
    "| `candles_1m`, `features_1h`, `returns_1d`, ... | | How long a table is kept: `2y`, `90d`, "
    "`26w` or `forever`. Without its key it is kept as long as what it is made of, and fetched "
    "candles forever. |"
)
"""One row for the keys of all tables."""

_PARTS: tuple[tuple[str, Model, str], ...] = (
    ("timeframes", Timeframes, _PROFILE),
    ("prices", PriceRules, f"{_PROFILE} {_PRICES}"),
    ("checks", CheckSettings, _PROFILE),
    ("partitions", PartitionSettings, _PROFILE),
    ("repair", RepairSettings, f"{_BOTH} {_MACHINE}"),
    ("evidence", EvidenceSettings, _BOTH),
    ("update", UpdateSettings, _BOTH),
    ("stream", StreamSettings, _PROFILE),
    ("agreement", AgreementSettings, _BOTH),
    ("features", FeaturesEntry, f"{_BOTH} An empty list or `false` leaves a feature out."),
    ("returns", ReturnSettings, _BOTH),
    ("calendar_changes", CalendarChange, _ITEMS),
    ("markets", MarketsSettings, _TOP),
    ("export", ExportSettings, _TOP),
    ("retention", RetentionSettings, _KEPT),
    ("alerts", AlertSettings, _TOP),
    ("serve", ServeSettings, _TOP),
)


def tables() -> str:
    """Every key, as Markdown."""
    parts = [
        _section("The file", Entries, _NEEDED),
        _section("A profile: `profiles.NAME`", ProfileEntry),
        _section("A symbol: `profiles.NAME.symbols.NAME`", SymbolEntry),
    ]
    parts += [_section(f"`{name}`", model, where) for name, model, where in _PARTS]
    parts += [
        _section("Every source: `sources.NAME`", SourceSettings),
        _section("Every source that speaks HTTP", HttpSettings, without=SourceSettings),
    ]
    types = source_types()
    names = [name for name in sorted(types) if _is_ours(types[name])]
    parts += [_source(name, types[name].Settings) for name in names]
    return "\n".join(parts)


def page(text: str) -> str:
    """A page with the tables of today between its marks.

    Raises:
        ValueError: The page lacks a mark.
    """
    before, first, rest = text.partition(FIRST)
    _, last, after = rest.partition(LAST)
    if not (first and last):
        raise ValueError(f"the page lacks {FIRST} or {LAST}")
    return f"{before}{FIRST}\n\n{tables()}\n{LAST}{after}"


def _is_ours(source_type: type) -> bool:
    return source_type.__module__.startswith("market_assets.")


def _section(title: str, model: Model, where: str = "", *, without: Model | None = None) -> str:
    inherited = without.model_fields if without else {}
    fields = {name: model.model_fields[name] for name in keys_of(model) if name not in inherited}
    lead = where or _summary(model)
    return f"### {title}\n\n{lead}\n\n{_table(model, fields)}\n"


def _source(name: str, settings: Model) -> str:
    """The keys that a type of source has beside those of its kind, or presets otherwise."""
    common: Model = HttpSettings if issubclass(settings, HttpSettings) else SourceSettings
    fields = {
        key: field
        for key, field in settings.model_fields.items()
        if key not in common.model_fields
        or default_of(field) != default_of(common.model_fields[key])
    }
    text = f"### Source `{name}`\n\n{_summary(settings)}\n"
    return f"{text}\n{_table(settings, fields, common)}\n" if fields else text


def _summary(model: Model) -> str:
    """What a docstring says before its sections."""
    return re.split(r"\n+Attributes:\n", cleandoc(model.__doc__ or ""))[0]


def _table(model: Model, fields: Mapping[str, FieldInfo], common: Model | None = None) -> str:
    meanings = descriptions(model)
    hints = get_type_hints(model, include_extras=True)
    inherited = descriptions(common) if common else {}
    rows = ["| key | default | meaning |", "|---|---|---|"]
    for name, field in fields.items():
        if name in TableRetention.model_fields:
            if name == next(iter(TableRetention.model_fields)):
                rows.append(_TABLES)
            continue
        hint = hints[name]
        is_share = Share in (hint, *get_args(hint))
        text = written(default_of(field), share=is_share)
        default = "required" if field.is_required() else f"`{text}`" if text else ""
        meaning = (
            "Another default; see above."
            if meanings[name] == inherited.get(name)
            else meanings[name]
        )
        rows.append(f"| `{name}` | {default} | {meaning.replace('|', '&#124;')} |")
    return "\n".join(rows)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_text(page(target.read_text()))

"""Lists what is kept: profiles, their assets and symbols."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape

from market_assets.cli.console import OUT, print_json
from market_assets.cli.options import AsJson, ProfileNames, Wide, profiles_of
from market_assets.cli.places import orphans_in, places_of, store_to_read, universe_here
from market_assets.cli.tables import Column, minute, print_table
from market_assets.market.clock import present

if TYPE_CHECKING:
    import polars as pl

    from market_assets.config.universe import Profile, Universe


def list_assets(profiles: ProfileNames = None, wide: Wide = False, as_json: AsJson = False) -> None:
    """List what is kept: each profile, and what the named profiles have.

    A named profile is shown with each asset and symbol, and their rows and dates.
    """
    universe = universe_here(quiet=as_json)
    chosen = profiles_of(universe, profiles)
    with store_to_read() as store, store.reading("listing what is kept") as view:
        held = view.catalog.holdings()
        first_bars = {
            profile.name: view.candles.extents(
                profile.candles(profile.base_timeframe), profile.window(present())
            )
            for profile in chosen
        }
    assets = _assets(universe, chosen, held)
    symbols = [row for profile in chosen for row in _symbols(profile, first_bars[profile.name])]
    orphans = dict(orphans_in(held, universe)) if not profiles else {}
    if as_json:
        print_json(
            {**places_of(universe), "assets": assets, "symbols": symbols, "orphans": orphans}
        )
        return
    if profiles:
        _print_assets(assets, wide=wide)
        _print_symbols(symbols, wide=wide)
    else:
        _print_kept(chosen, assets, wide=wide)
    for name, bars in orphans.items():
        OUT.print(
            f"{escape(name)}: {bars:,} candles of no profile of this universe.", highlight=False
        )


def _assets(
    universe: Universe, profiles: list[Profile], held: pl.DataFrame
) -> list[dict[str, Any]]:
    """Every asset that is kept, whether something of it is stored or not.

    A stored one has rows, symbols, first and last bar.
    """
    stored = {(row["schema"], row["asset"]): row for row in held.iter_rows(named=True)}
    wanted = [(dataset.owner, dataset.name) for profile in profiles for dataset in profile.datasets]
    if len(profiles) == len(universe.profiles):
        wanted += [(dataset.owner, dataset.name) for dataset in universe.matrices]
    nothing: dict[str, Any] = {"rows": 0, "symbols": 0, "first_ts": None, "last_ts": None}
    keys = tuple(nothing)
    return [
        {
            "profile": name,
            "asset": asset,
            **{key: stored.get((name, asset), nothing)[key] for key in keys},
        }
        for name, asset in wanted
    ]


def _symbols(profile: Profile, extents: pl.DataFrame) -> list[dict[str, Any]]:
    """Every symbol of a profile: its days, its sources and the bars of its shortest candles."""
    stored = {row["symbol"]: row for row in extents.iter_rows(named=True)}
    return [
        {
            "profile": profile.name,
            "symbol": symbol.name,
            "start": str(symbol.start),
            "end": str(symbol.end) if symbol.end else None,
            "sources": [
                choice.source
                if choice.symbol == symbol.name
                else f"{choice.source}: {choice.symbol}"
                for choice in symbol.choices
            ],
            "first_ts": stored.get(symbol.name, {}).get("first_ts"),
            "last_ts": stored.get(symbol.name, {}).get("last_ts"),
        }
        for symbol in profile.symbols.values()
    ]


def _print_kept(profiles: list[Profile], assets: list[dict[str, Any]], *, wide: bool) -> None:
    """One row per profile: how much of its shortest candles there is, and what is made of them."""
    columns = [
        Column("profile"),
        Column("kind"),
        Column("symbols", right=True),
        Column("candles"),
        Column("rows", right=True),
        Column("last bar"),
        Column("first bar"),
        Column("other assets"),
    ]
    rows = []
    for profile in profiles:
        base, *rest = (row for row in assets if row["profile"] == profile.name)
        rows.append(
            [
                profile.name,
                profile.kind.value,
                str(len(profile.symbols)),
                profile.base_timeframe.value,
                f"{base['rows']:,}",
                minute(base["last_ts"]),
                minute(base["first_ts"]),
                " ".join(row["asset"].removeprefix("candles_") for row in rest),
            ]
        )
    print_table(columns, rows, wide=wide)
    OUT.print(
        f"{len(assets)} assets; market-assets list PROFILE shows them and the symbols.",
        highlight=False,
    )


def _print_assets(assets: list[dict[str, Any]], *, wide: bool) -> None:
    columns = [
        Column("profile"),
        Column("asset"),
        Column("rows", right=True),
        Column("symbols", right=True),
        Column("last bar"),
        Column("first bar"),
    ]
    rows = [
        [
            row["profile"],
            row["asset"],
            f"{row['rows']:,}",
            str(row["symbols"]),
            minute(row["last_ts"]),
            minute(row["first_ts"]),
        ]
        for row in assets
    ]
    print_table(columns, rows, wide=wide)


def _print_symbols(symbols: list[dict[str, Any]], *, wide: bool) -> None:
    columns = [
        Column(name)
        for name in ("profile", "symbol", "from", "to", "last bar", "first bar", "sources")
    ]
    rows = [
        [
            row["profile"],
            row["symbol"],
            row["start"],
            row["end"] or "now",
            minute(row["last_ts"]),
            minute(row["first_ts"]),
            ", ".join(row["sources"]),
        ]
        for row in symbols
    ]
    print_table(columns, rows, wide=wide)

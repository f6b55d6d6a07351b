"""Complete, provable market candles on your own machine: Dagster assets over DuckDB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from market_assets.defs.component import UniverseComponent
    from market_assets.reports.read import connect, read

__all__ = ["UniverseComponent", "connect", "read"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    # Polars and DuckDB take a while to import, and few who import this package read candles. None
    # of these needs Dagster, which `dg` alone asks for.
    if name == "UniverseComponent":
        from market_assets.defs.component import UniverseComponent  # noqa: PLC0415

        return UniverseComponent
    if name in __all__:
        from market_assets.reports import read as reading  # noqa: PLC0415

        return getattr(reading, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Complete, provable market candles on your own machine: Dagster assets over DuckDB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from market_assets.reading import read

__all__ = ["read"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    # Polars and DuckDB take a while to import, and few who import this package read candles.
    if name == "read":
        from market_assets.reading import read  # noqa: PLC0415

        return read
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

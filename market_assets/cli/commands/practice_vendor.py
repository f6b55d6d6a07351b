"""Serves simulated candles over HTTP, until Ctrl-C."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from market_assets.cli.garbage import search_as_usual
from market_assets.cli.options import wrong
from market_assets.imports import late_imports

with late_imports():
    import pydantic
    import yaml

    from market_assets.practice.book import Market
    from market_assets.practice.vendor import serve


def practice_vendor(
    port: Annotated[
        int, typer.Option(help="Where it listens on this machine; 0 for any free port.")
    ] = 8765,
    market: Annotated[
        Path | None, typer.Option(help="A YAML file: seed, symbols, data, faults.")
    ] = None,
) -> None:
    """Serve simulated candles in Binance's format on this machine, for tests and rehearsals."""
    search_as_usual()
    try:
        served = Market.model_validate(yaml.safe_load(market.read_text()) if market else {})
    except (OSError, yaml.YAMLError, pydantic.ValidationError) as error:
        raise wrong(f"{market} describes no market: {error}") from error
    serve(served, port=port, announce=lambda url: print(url, flush=True))  # noqa: T201 - the answer

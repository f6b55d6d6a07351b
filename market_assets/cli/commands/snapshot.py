"""Gives other programs a copy of the store that they can read for as long as they like."""

from __future__ import annotations

from market_assets.cli.console import OUT, print_json
from market_assets.cli.options import AsJson
from market_assets.cli.places import open_store
from market_assets.market.instants import iso_second, with_zone


def snapshot(as_json: AsJson = False) -> None:
    """Bring the copy of the store for other programs up to date, and say where it is.

    Whoever opens it stops nobody. While `market-assets up` runs it is at most a minute old, for a
    week after somebody has asked for it last.
    """
    store = open_store()
    copy, link = store.copy("publishing a copy for readers"), store.link
    size = copy.path.stat().st_size
    answer = {
        "path": str(link),
        "as_of": iso_second(copy.as_of),
        "bytes": size,
    }
    if as_json:
        print_json(answer)
        return
    OUT.print(
        f"{link}, as of {with_zone(copy.as_of)}, {size / 1e6:,.1f} MB. "
        "Open it read-only: you stop nobody.",
        highlight=False,
        soft_wrap=True,
    )

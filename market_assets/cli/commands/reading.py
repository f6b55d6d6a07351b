"""Gives other programs a copy of the store that they can read for as long as they like."""

from __future__ import annotations

from market_assets.cli.console import OUT, AsJson, open_store, print_json


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
        "as_of": f"{copy.as_of:%Y-%m-%dT%H:%M:%SZ}",
        "bytes": size,
    }
    if as_json:
        print_json(answer)
        return
    OUT.print(
        f"{link}, as of {copy.as_of:%Y-%m-%d %H:%M:%S} UTC, {size / 1e6:,.1f} MB. "
        "Open it read-only: you stop nobody.",
        highlight=False,
        soft_wrap=True,
    )

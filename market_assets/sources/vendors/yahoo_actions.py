"""Corporate actions as Yahoo gives them along with its candles.

Splits, and dividends that are divided by every split since.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import polars as pl

from market_assets.errors import SourceError
from market_assets.sources.actions import ACTION_SCHEMA, ActionKind
from market_assets.sources.transport.body import excerpt
from market_assets.sources.transport.rest import bounded, refusal


def read_actions(symbol: str, body: bytes) -> pl.DataFrame:
    """Understand an answer of `GET /v8/finance/chart/{symbol}?events=div,splits`.

    Args:
        symbol: The symbol that was asked for.
        body: JSON.

    Returns:
        A frame of ACTION_SCHEMA, except for the dividends' amounts, which are the vendor's. An
        ex-date is the exchange's date.

    Raises:
        SourceError: It holds an error in words, another symbol's actions, HTML, or JSON that was
            cut off.
    """
    try:
        answer = msgspec.json.decode(bounded(body))["chart"]
        if fault := answer["error"]:
            raise refusal(f"{fault['code']}: {fault['description']}", permanent=True)
        (result,) = answer["result"]
        meta, events = result["meta"], result.get("events") or {}
        zone = ZoneInfo(meta["exchangeTimezoneName"])
        rows = [
            *(
                (
                    _day(split, zone),
                    ActionKind.SPLIT.value,
                    split["numerator"] / split["denominator"],
                    None,
                    None,
                    split.get("splitRatio"),
                )
                for split in (events.get("splits") or {}).values()
            ),
            *(
                (
                    _day(dividend, zone),
                    ActionKind.DIVIDEND.value,
                    None,
                    float(dividend["amount"]),
                    meta.get("currency"),
                    None,
                )
                for dividend in (events.get("dividends") or {}).values()
            ),
        ]
    except (
        msgspec.MsgspecError,
        LookupError,
        TypeError,
        AttributeError,
        ValueError,
        ZeroDivisionError,
    ) as error:
        raise SourceError(f"the answer holds no actions: {excerpt(body)!r}") from error
    if str(meta.get("symbol")).casefold() != symbol.casefold():
        raise SourceError(
            f"the answer is about {meta.get('symbol')!r}; see how the vendor writes the symbol"
        )
    return pl.DataFrame(rows, schema=ACTION_SCHEMA, orient="row")


def _day(event: dict[str, Any], zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(event["date"], UTC).astimezone(zone).date()

"""Files that a fill brings in."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from market_assets_tests.support.fill_ground import Ground

MINUTE = timedelta(minutes=1)

HEAD = "ts,open,high,low,close,volume\n"

DAYS = [date(2025, 2, 26), date(2025, 2, 27), date(2025, 2, 28)]
"""The days that `keep` keeps where nothing else is said."""


def line(stamp: object, close: float = 10.0, *, sign: str = ",") -> str:
    return sign.join(map(str, (stamp, close, close + 1, close - 1, close, 5))) + "\n"


def write(ground: Ground, name: str, text: str | bytes) -> None:
    path = ground.folder / "files" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def keep(
    ground: Ground,
    path: str,
    *,
    timeframe: str = "1m",
    start: str = "2025-02-26",
    end: str = "2025-03-01",
    symbols: str = "{A: {}}",
    kind: str = "CRYPTO",
    calendar: str = "24/7",
    evidence: dict[str, Any] | None = None,
    **settings: Any,
) -> None:
    ground.settings.pop("vendor", None)
    ground.add_source("files", type="archive", path=f"files/{path}", **settings)
    ground.keep(
        f"""
        kind: {kind}
        calendar: "{calendar}"
        start: {start}
        end: {end}
        timeframes: {{fetch: [{timeframe}]}}
        symbols: {symbols}
        evidence: {evidence or {}}
        """
    )


def closes(ground: Ground, symbol: str = "A") -> dict[datetime, float]:
    rows = ground.rows(symbol)
    return dict(zip(rows["ts"], rows["close"], strict=True))


def words(outcomes: Iterable[Any]) -> str:
    return " ".join(word for outcome in outcomes for word in (*outcome.failures, *outcome.faults))


def minutes(day: date, count: int = 1440) -> list[datetime]:
    return [datetime.combine(day, datetime.min.time()) + n * MINUTE for n in range(count)]


def absences(ground: Ground) -> list[tuple[str, int]]:
    with ground.store.reading("testing") as view:
        gaps = view.gaps.of(Dataset.candles("kept", Timeframe.M1))
    return list(gaps.select("status", "bars").iter_rows())

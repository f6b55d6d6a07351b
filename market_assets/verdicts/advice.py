"""Advice about refused rows: the setting that would mend them, by the reason. Pure."""

from __future__ import annotations

from market_assets.verdicts.clean import Reason

_FILE_TIMES = (
    "see how its times are written and meant: `format`, `timezone`, `stamps` of an archive"
)
_FILE_NUMBERS = (
    "see how its numbers are written, and which column holds what: "
    "`columns` of an archive, `decimal`, `separator`"
)

_BY_REASON: dict[str, str] = {
    Reason.NO_TIME: _FILE_TIMES,
    Reason.OTHER_SYMBOL: (
        "write the symbol as the source does, "
        "under `symbols: {NAME: {sources: [{SOURCE: ITS_NAME}]}}`"
    ),
    Reason.OUTSIDE_WINDOW: _FILE_TIMES,
    Reason.OFF_GRID: (
        "`checks: {jitter: 0.2}` takes times that are further off the grid, "
        "as a share of the bar; else " + _FILE_TIMES
    ),
    Reason.DUPLICATE: (
        "see whether two files hold the same days, "
        "or whether `columns: {symbol: ...}` is to tell symbols apart"
    ),
    Reason.CONFLICT: (
        "see whether two files hold the same days, "
        "or whether `columns: {symbol: ...}` is to tell symbols apart"
    ),
    Reason.NO_NUMBER: _FILE_NUMBERS,
    Reason.NOT_POSITIVE: (
        "`prices: {positive: false}` of the profile allows prices of zero and below; else "
        + _FILE_NUMBERS
    ),
    Reason.HIGH_BELOW_LOW: _FILE_NUMBERS,
    Reason.OUTSIDE_RANGE: (
        "`open_outside_range: true` of the source where its open is the close before; else "
        + _FILE_NUMBERS
    ),
    Reason.BAD_VOLUME: (
        "`null_volume: -1` of an archive for a volume that stands for none, "
        "and `prices: {volume_optional: true}` of the profile where a bar may be without one"
    ),
}
_OTHERWISE = "see the rows with `market-assets probe SOURCE SYMBOL`"


def advice_for(reason: str) -> str:
    """What would mend rows that were refused for a reason, in the words of the universe file."""
    return _BY_REASON.get(reason, _OTHERWISE)

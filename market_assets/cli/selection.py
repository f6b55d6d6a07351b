"""What a command is to fill: profiles, symbols and days, as its options name them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from market_assets.cli.options import days_of, profiles_of, symbols_of, wrong
from market_assets.imports import late_imports

with late_imports():
    from market_assets.expected.floors import floor_of, kept_for
    from market_assets.market.timeframes import Window, midnight


if TYPE_CHECKING:
    from market_assets.config.universe import Profile, Universe


@dataclass(frozen=True)
class Selection:
    """What a command was to fill.

    Attributes:
        universe: All that is to be kept.
        profiles: The profiles that it concerns.
        symbols: Some of their symbols; empty for all.
        windows: Which days, by profile.
        whole: Whether these are all that the profiles keep.
        days: The days as a person reads them.
    """

    universe: Universe
    profiles: list[Profile]
    symbols: list[str]
    windows: dict[str, Window]
    whole: bool
    days: str = ""


def window_days(
    first: str | None, after: str | None, days: int | None, now: datetime
) -> tuple[date | None, date | None]:
    """The first day and the first no longer meant, as the options name them."""
    if days is None:
        return days_of(first, after)
    if first or after:
        raise wrong("--days counts back from today: leave --from and --to out")
    return now.date() - timedelta(days=days), None


def selection_of(
    universe: Universe,
    profiles: list[str] | None,
    symbols: str | None,
    days: tuple[date | None, date | None],
    now: datetime,
) -> Selection:
    """What the options mean.

    Raises:
        typer.BadParameter: There is no such profile or symbol, or none keeps any of these days.
    """
    named = profiles_of(universe, profiles)
    names = symbols_of(named, symbols)
    # No symbols at all would mean all of them.
    chosen = [profile for profile in named if not names or set(names) & set(profile.symbols)]
    windows = {profile.name: _window(profile, *days, now) for profile in chosen}
    named_days = any(days)
    if named_days and not any(
        windows[profile.name].intersect(profile.window(now)) for profile in chosen
    ):
        kept = "; ".join(_kept(profile, now) for profile in chosen)
        raise wrong(f"nothing of these days is kept: {kept}")
    first, after = days
    words = f"from {first or 'the start'} to {after or 'now'}"
    return Selection(
        universe, chosen, names, windows, whole=not (names or first or after), days=words
    )


def _window(profile: Profile, first: date | None, after: date | None, now: datetime) -> Window:
    """The window of a profile from a first day to the first day that no longer belongs to it.

    The window is empty where the profile has no part of it.
    """
    kept = profile.window(now)
    start = midnight(first) if first else kept.start
    return Window(start, max(start, midnight(after) if after else kept.end))


def _kept(profile: Profile, now: datetime) -> str:
    if profile.start > now.date():
        return f"{profile.name} begins on {profile.start}"
    return f"{profile.name} keeps {profile.start} to {profile.end or 'now'}"


def days_left_out(selection: Selection, now: datetime) -> list[str]:
    """What each profile keeps, where more days were asked for than that."""
    words = []
    for profile in selection.profiles:
        kept, window = profile.window(now), selection.windows[profile.name]
        is_late = profile.end is not None and window.end > kept.end
        if kept.empty:
            words.append(f"{_kept(profile, now)}.")
        elif window.start < kept.start or is_late:
            words.append(f"{_kept(profile, now)}: the other days are left out.")
        words += [] if selection.whole else _held_back(profile, window, now)
    return words


def _held_back(profile: Profile, window: Window, now: datetime) -> list[str]:
    """Which candles retention keeps a window from, in a sentence for each key that does it."""
    starts: dict[str, tuple[str, date]] = {}
    for timeframe in profile.timeframes.fetch:
        dataset = profile.candles(timeframe)
        kept, start = kept_for(profile, dataset), floor_of(profile, dataset, now).start
        if kept and start and max(window.start, midnight(profile.start)) < start:
            starts[kept[0]] = (str(kept[1]), start.date())
    return [
        f"Retention keeps {key} of {profile.name} for {age}: nothing before {start} is asked for; "
        f"a longer `retention: {{{key}: ...}}` in the universe, or `forever`, brings it back."
        for key, (age, start) in starts.items()
    ]

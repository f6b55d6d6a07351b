"""What a source says of itself is so: traits, the first bar, its reach, its settings, its name."""

from __future__ import annotations

from datetime import timedelta
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from pydantic import ValidationError

from market_assets.market.clock import present
from market_assets.market.timeframes import Timeframe, Window
from market_assets.sources.contract import (
    ENTRY_POINTS,
    KINDS,
    SourceSettings,
    Traits,
    traits_of,
    venue_of,
)
from market_assets.sources.testing.checks.base import Checks
from market_assets.sources.testing.trial import unopened, verify

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from market_assets.sources.contract import Source


class DeclarationChecks(Checks):
    """What a planner is told before it asks."""

    def test_the_traits_are_complete(self) -> None:
        """A universe is planned by them, before the source is built."""
        traits = self.traits

        verify(isinstance(traits, Traits), f"`traits` is {type(traits).__name__}, and not Traits")
        verify(traits.page_size > 0, "`page_size` must be above 0")
        verify(traits.timeframes <= {*Timeframe}, "`timeframes` are members of Timeframe")
        verify(self.timeframes, f"it has no timeframe for {self.double.kind}")
        verify(traits.kinds <= KINDS, f"`kinds` are {', '.join(sorted(KINDS))}")
        verify(self.double.kind in traits.kinds, f"`kinds` has no {self.double.kind}")
        model = self._model()
        static = traits_of(self.double.source, model)
        verify(static is not None, "the class has no `traits` and no static `traits_of`")
        verify(
            static is None or self.timeframes <= static.timeframes,
            "the source has timeframes that its class does not speak of",
        )

    def test_the_venue_is_a_name_or_unknown(self) -> None:
        """Prices of two venues are not mixed."""
        venue = venue_of(self.double.source, self._model(), self.double.kind)

        verify(venue is None or (venue and venue == venue.strip()), f"no name: {venue!r}")

    def test_the_settings_are_its_own_and_no_others(self) -> None:
        """A key that is written wrong is a fault of the universe, not silently nothing."""
        verify(
            issubclass(self.double.source.Settings, SourceSettings),
            "`Settings` is no subclass of SourceSettings",
        )
        verify(self._refused({**self.double.settings, "bogus": 1}), "a key `bogus` is accepted")

    def test_a_key_that_is_needed_is_asked_for(self) -> None:
        """A universe without the key is refused when it is loaded."""
        self.needs(self.traits.needs_key, "it needs no key")

        verify(self._refused({}), "`needs_key`, and its settings are complete without one")

    def test_it_is_built_as_a_universe_builds_it(self) -> None:
        """It bears its name, knows how much goes at once, and has cost nothing."""
        with unopened(self.trial([])) as source:
            verify(source.name == "mine", f"its `name` is {source.name!r}, and not that given")
            verify(source.concurrency >= 1, "`concurrency` must be 1 or more")
            verify(source.usage.requests == 0, "it has sent requests before it was asked")

    def test_it_is_installed_under_an_entry_point(self) -> None:
        """The group `market_assets.sources` is where a universe finds its type."""
        cls = self.double.source
        places = [point.value for point in entry_points(group=ENTRY_POINTS)]

        verify(
            f"{cls.__module__}:{cls.__qualname__}" in places,
            f"no entry point of the group {ENTRY_POINTS} is {cls.__module__}:{cls.__qualname__}; "
            "install its package",
        )

    def test_the_first_bar_is_found_with_one_request(self) -> None:
        """Where `earliest_probe` says so."""
        self._needs_probe()
        candles = self.candles(60)

        first, requests = self.trial(candles[7:]).earliest()

        verify(first == candles[7].ts, f"the first bar opens at {candles[7].ts}, not at {first}")
        zone = None if first is None else first.utcoffset()
        verify(zone == timedelta(), f"the first bar's open is not in UTC: {first!r}")
        verify(requests == 1, f"{requests} requests were sent for the first bar")

    def test_a_symbol_without_a_bar_has_no_first_one(self) -> None:
        """None says that there is none."""
        self._needs_probe()

        first, _ = self.trial([]).earliest()

        verify(first is None, f"there is no bar, and the first one is said to open at {first}")

    def test_it_speaks_for_what_has_closed_and_no_more(self) -> None:
        """A bar that the vendor cannot have yet is no evidence of anything."""
        now = self.double.now or present()
        for timeframe in sorted(self.timeframes, key=lambda length: length.micros):
            (reach,) = self.trial([], timeframe=timeframe).run(self._reach_of(timeframe))
            verify(
                reach is None or isinstance(reach, Window),
                f"`answers_for` gives a Window or None, and not {reach!r}",
            )
            if reach is not None:
                verify(
                    reach.end <= now + timedelta(seconds=5),
                    f"it speaks for {timeframe} until {reach.end}, and it is {now}",
                )

    def _reach_of(self, timeframe: Timeframe) -> Callable[[Source], Awaitable[Window | None]]:
        async def reach(source: Source) -> Window | None:
            return source.answers_for(self.double.symbol, timeframe)

        return reach

    def _needs_probe(self) -> None:
        self.needs(self.traits.earliest_probe, "`earliest_probe` is False: the bar is searched for")

    def _model(self) -> SourceSettings:
        address = {"base_url": "http://127.0.0.1:9"}
        fields = self.double.source.Settings.model_fields
        keys = {name: value for name, value in address.items() if name in fields}
        return self.double.source.Settings.model_validate({**self.double.settings, **keys})

    def _refused(self, keys: dict[str, object]) -> bool:
        try:
            self.double.source.Settings.model_validate(keys)
        except ValidationError:
            return True
        return False

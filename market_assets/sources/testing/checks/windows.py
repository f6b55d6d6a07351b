"""A window is given exactly: its candles, all of them, once, however the vendor cuts its pages."""

from __future__ import annotations

import asyncio
from datetime import timedelta, timezone
from typing import TYPE_CHECKING

from market_assets.sources.testing.checks.base import Checks
from market_assets.sources.testing.checks.surroundings import zone_of_machine
from market_assets.sources.testing.trial import NO_ROWS, verify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from market_assets.sources.contract import Source
    from market_assets.sources.testing.candles import Candle
    from market_assets.sources.testing.trial import Answer

_FAR = timezone(timedelta(hours=5, minutes=30))
_CUTS = (10, 5, 4)
_LATER = timedelta(seconds=7)
_MOST_REQUESTS = 120


class WindowChecks(Checks):
    """What a source makes of `[start, end)`."""

    def test_a_window_is_given_exactly(self) -> None:
        """The bar at `start` belongs to it, the bar at `end` does not; one request is enough."""
        candles = self.candles(60)

        answer = self._slice(candles, 20, 25)

        answer.verify_rows(candles[20:25], self.double.extras)
        self._verify_requests(answer, 1)

    def test_a_window_between_two_opens_has_the_bars_that_open_in_it(self) -> None:
        """Neither the bar that runs at `start` nor the one that opens at `end` is given."""
        candles = self.candles(60)
        start = candles[20].ts + _LATER

        trial = self.trial(candles)
        trial.fetch(start, start + 3 * self.bar).verify_rows(candles[21:24], self.double.extras)
        trial.fetch(start, start + _LATER).verify_rows([])

    def test_bounds_of_another_zone_are_the_same_instants(self) -> None:
        """`start` and `end` are aware, of whatever zone."""
        candles = self.candles(60)
        bounds = (candles[place].ts.astimezone(_FAR) for place in (20, 25))

        self.trial(candles).fetch(*bounds).verify_rows(candles[20:25], self.double.extras)

    def test_times_are_utc_whatever_the_zone_of_the_machine(self) -> None:
        """No naive time of the vendor is taken for the machine's."""
        candles = self.candles(60)

        with zone_of_machine("Asia/Kolkata"):
            answer = self._slice(candles, 20, 25)

        answer.verify_rows(candles[20:25], self.double.extras)

    def test_a_full_page_is_one_request(self) -> None:
        """`page_size` bars can be asked for at once, and the vendor does not refuse so many."""
        size = self.traits.page_size
        candles = self.candles(size)

        answer = self._slice(candles, 0, size)

        answer.verify_rows(candles, self.double.extras)
        self._verify_requests(answer, 1)

    def test_pages_join_without_a_hole_and_without_a_double(self) -> None:
        """A vendor that gives fewer rows than asked for is asked on."""
        self._needs_pages()
        candles = self.candles(60)
        for cut in _CUTS:
            for count in (2 * cut, 2 * cut + 1, 3 * cut):
                wanted = candles[10 : 10 + count]

                answer = self._slice(candles, 10, 10 + count, page=cut)

                answer.verify_rows(wanted, self.double.extras)
                self._verify_requests(answer, -(-count // cut))

    def test_rows_in_the_other_order_are_all_given(self) -> None:
        """Which row of a page is the oldest is read, not believed."""
        candles = self.candles(60)

        for page in (7, None) if self.double.pages else (None,):
            answer = self._slice(candles, 10, 31, page=page, turned=True)

            answer.verify_rows(candles[10:31], self.double.extras)

    def test_a_hole_in_the_middle_is_no_end(self) -> None:
        """A window whose last bar came is answered for, and costs no further request."""
        candles = self.candles(60)
        held = candles[:10] + candles[15:]

        answer = self._slice(held, 0, 20, bars=candles)

        answer.verify_rows(candles[:10] + candles[15:20], self.double.extras)
        self._verify_requests(answer, 1)

    def test_a_hole_longer_than_a_page_hides_nothing_behind_it(self) -> None:
        """Whether there is more is not told from one page that is shorter than others."""
        self._needs_pages()
        candles = self.candles(60)
        held = candles[:8] + candles[50:]

        answer = self._slice(held, 0, 60, bars=candles, page=4)

        answer.verify_rows(held, self.double.extras)

    def test_a_window_over_the_first_or_the_last_bar_has_what_there_is(self) -> None:
        """A history that begins or ends within the window is no fault."""
        candles = self.candles(60)

        for begin, end in ((0, 30), (30, 60)):
            held = candles[15:45]
            answer = self._slice(held, begin, end, bars=candles)

            answer.verify_rows(
                [candle for candle in candles[begin:end] if candle in held], self.double.extras
            )

    def test_nothing_in_the_window_is_an_empty_frame(self) -> None:
        """An empty frame says that there is nothing; it is no error."""
        candles = self.candles(90)

        frame = self._slice(candles[60:], 10, 40, bars=candles).frame()

        verify(frame.equals(NO_ROWS), f"the frame is not {NO_ROWS.schema} without rows: {frame}")

    def test_an_empty_window_asks_nothing(self) -> None:
        """From an instant to the same instant there is nothing to ask for."""
        candles = self.candles(30)

        answer = self._slice(candles, 10, 10)

        answer.verify_rows([])
        self._verify_requests(answer, 0)

    def test_every_timeframe_is_given(self) -> None:
        """Each of `traits.timeframes_for` the kind: its opens are ours, days at 00:00 UTC."""
        for timeframe in sorted(self.timeframes, key=lambda length: length.micros):
            candles = self.candles(20, timeframe)
            start = candles[5].ts

            answer = self.trial(candles, timeframe=timeframe).fetch(
                start, start + 10 * timeframe.duration
            )

            answer.verify_rows(candles[5:15], self.double.extras)

    def test_the_running_bar_is_not_given(self) -> None:
        """The vendor gives a bar that has not closed, and nobody has asked for it."""
        candles = self.candles(60)
        running = candles[-1] if self.double.running else None
        held = candles[:-1] if self.double.running else candles

        answer = self._slice(held, 40, 59, bars=candles, running=running)

        answer.verify_rows(candles[40:59], self.double.extras)

    def test_several_windows_at_once_do_not_mix(self) -> None:
        """A source is asked for several windows and symbols in flight."""
        candles = self.candles(60)
        trial = self.trial(candles)
        asking = [
            trial.asking(candles[place].ts, candles[place + 10].ts) for place in range(0, 50, 10)
        ]

        async def all_at_once(source: Source) -> list[Answer]:
            return await asyncio.gather(*(ask(source) for ask in asking))

        (answers,) = trial.run(all_at_once)
        for place, answer in enumerate(answers):
            answer.verify_rows(candles[10 * place : 10 * place + 10], self.double.extras)

    def test_it_can_be_entered_again(self) -> None:
        """Connections are opened and closed with the context, in whichever event loop."""
        candles = self.candles(30)

        answer = self.trial(candles).fetch(candles[0].ts, candles[10].ts, times=2)

        answer.verify_rows(candles[:10], self.double.extras)

    def test_a_vendor_that_heeds_no_window_is_not_asked_for_ever(self) -> None:
        """What lies outside is nobody's answer, and the fetch ends."""
        candles = self.candles(60)
        trial = self.trial(candles[20:30], heedless=True)

        for begin in (0, 25):
            answer = trial.fetch(candles[begin].ts, candles[begin + 20].ts)

            verify(answer.requests <= _MOST_REQUESTS, f"{answer.requests} requests were sent")

    def test_a_vendor_that_gives_a_row_a_page_is_given_up(self) -> None:
        """No window costs requests without end."""
        self._needs_pages()
        candles = self.candles(300)

        answer = self._slice(candles, 0, 250, page=1)

        answer.error()
        verify(answer.requests <= _MOST_REQUESTS, f"{answer.requests} requests were sent")

    def _slice(
        self,
        held: Sequence[Candle],
        begin: int,
        end: int,
        *,
        bars: Sequence[Candle] | None = None,
        **behaviour: object,
    ) -> Answer:
        """Ask for the window from one of the bars to another."""
        start = (bars or held)[0].ts
        window = (start + begin * self.bar, start + end * self.bar)
        return self.trial(held, **behaviour).fetch(*window)  # type: ignore[arg-type]

    def _needs_pages(self) -> None:
        self.needs(self.double.pages, "an answer of this vendor is never cut short")

    def _verify_requests(self, answer: Answer, count: int) -> None:
        if not self.double.counted:
            return
        verify(
            answer.requests == count,
            f"{answer.requests} requests were sent, and {count} are enough",
        )
        verify(
            answer.usage.requests == count,
            f"`usage.requests` is {answer.usage.requests} after {count} requests",
        )

"""How often a source may ask, and whether it may ask now.

What was sent is counted in one place by all who share a limit: the processes of a machine in a
file (here), several machines on a server (`shared_limit`). What has to hold for a request stands in
`rules`, how it is counted in `limit_server`.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from abc import ABC, abstractmethod
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import count
from pathlib import Path
from time import monotonic, time
from typing import TYPE_CHECKING
from uuid import uuid4

from filelock import Timeout

from market_assets.errors import SourceError
from market_assets.sources.counting import ANY_STRETCH, Counting
from market_assets.sources.transport.hold import Hold
from market_assets.sources.transport.limit_file import LimitFile
from market_assets.sources.transport.limit_server import Answer, Count, Report, Request
from market_assets.sources.transport.offset import Offset
from market_assets.sources.transport.rules import Rule, Way, rules_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MOMENT = 1.0
_IDLE = 0.1
"""Seconds after which an answer is noted without the next request, which else takes it along."""

_SLOTS = 64
_SHORTEST_SLOT = 0.02
_SLACK = 0.1
"""Seconds by which the clock that dates a vendor's answers may differ from the one that counts."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Allowance:
    """What a source may send.

    Attributes:
        rate: The most requests in a time; None is unlimited, except for holds.
        counting: How the vendor counts.
        reserve: The share of the rate that only urgent requests may use.
        longest: Seconds for which one request is on its way at most.
    """

    rate: str | None = None
    counting: Counting = ANY_STRETCH
    reserve: float = 0.0
    longest: float = 30.0

    def rules(self) -> list[Rule]:
        """What has to hold for each request."""
        return rules_of(self.rate, self.counting, self.reserve) if self.rate else []


@dataclass(frozen=True)
class Permit:
    """A request that may be sent now.

    Attributes:
        waits: Seconds that it took.
        id: What it is counted as; empty where nothing is.
    """

    waits: float = 0.0
    id: str = ""


class Limit(ABC):
    """How often a source may ask, and whether it may ask now.

    Open it inside the running event loop.

    Args:
        name: The source's, for errors.
        allowance: What the vendor allows.
        clock: The machine's time, in seconds since 1970.

    Attributes:
        urgent: Whether what asks may use the reserve: an update, a repair.
    """

    def __init__(
        self, name: str, allowance: Allowance, *, clock: Callable[[], float] = time
    ) -> None:
        self.urgent = False
        self._clock = clock
        self._name = name
        self._allowance = allowance
        self._rules = allowance.rules()
        self._desk = uuid4().hex[:12]
        self._numbers = count()
        self._answers: list[tuple[str, float]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._reports: dict[str, tuple[float, int]] = {}
        self._date = ("", 0.0)
        # Before the first answer: about what a clock is off that is set by nobody for a while.
        self._vendor = Offset(-1.0, 1.0, slack=_SLACK)
        self._clocked = next((rule for rule in self._rules if rule.way is Way.CLOCK), None)
        spans = [rule.span for rule in self._rules]
        self._slot = max(_SHORTEST_SLOT, min(spans) / _SLOTS) if spans else 1.0
        self._queue = asyncio.Lock()

    def open(self) -> None:
        """Make ready to count, in the running event loop.

        Raises:
            SourceError: The place of the counts cannot be used.
        """
        self._queue = asyncio.Lock()  # one that has waited belongs to the loop it waited in

    def close(self) -> None:
        """Let go of the place of the counts."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    async def permit(self, weight: int = 1) -> Permit:
        """Wait until a request of this weight may be sent.

        A process waits for one permit at a time, and reserves none: who needs few of them takes
        turns with who needs many. There is no permit while a server that is shared holds: `held`
        then says for how long, and the permit is to be asked for again.

        Raises:
            SourceError: The weight is more than the rate ever allows, or the place of the counts
                cannot be used any more.
        """
        most = min((rule.most for rule in self._rules if rule.unit == "weight"), default=weight)
        if weight > most:
            raise SourceError(
                f"source {self._name}: a request weighs {weight}, "
                f"and its rate allows {most} at once; raise the rate",
                permanent=True,
            )
        began = monotonic()
        async with self._queue:
            await self._prepare()
            while True:
                now = self._clock()
                request = self._request(weight, now)
                counted = await self._take(request)
                if counted.is_in:
                    return Permit(monotonic() - began, request.id if self._rules else "")
                # The end of a hold is waited for: a moment later it would look like a permit.
                if counted.hold > _MOMENT:
                    return Permit(monotonic() - began)
                await asyncio.sleep(counted.hold or self._wait(counted, now))

    def done(self, permit: Permit) -> None:
        """Say that the request of a permit was answered, or given up."""
        if not permit.id:
            return
        self._answers.append((permit.id, self._clock()))
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_IDLE, self._settle_soon)

    def hear(self, headers: Mapping[str, str], asked_at: float) -> None:
        """Take what an answer says of the vendor's clock and counts.

        Args:
            headers: The answer's.
            asked_at: When it was asked for, in seconds since 1970 by our clock.
        """
        rule = self._clocked
        # What a cache gives again has the date of another day.
        if rule is None or headers.get("age", "0") != "0":
            return
        date = self._second(headers.get("date", ""))
        if not date:
            return
        self._vendor.note(date, date + 1, asked_at, self._clock())

        usage = headers.get(self._allowance.counting.header, "")
        start = rule.window(self._clock(), self._vendor)
        # In a window's first second a count may still be that of the one before.
        if usage.isdecimal() and date // rule.span * rule.span == start and date >= start + 1:
            self._reports[f"window {start:.0f}"] = (start, int(usage[:9]))

    @abstractmethod
    def held(self) -> float:
        """Give the seconds for which nothing may be sent, 0.0 where something may."""

    @abstractmethod
    def hold(self, seconds: float) -> None:
        """Let nobody who shares the limit send anything for so long; it may take some seconds."""

    # Few places have a clock of their own.
    async def _prepare(self) -> None:  # noqa: B027
        """Learn what must be known of the place before the first request is counted there."""

    @abstractmethod
    async def _take(self, request: Request) -> Count:
        """Count a request, if nothing speaks against it."""

    @abstractmethod
    def _settle_soon(self) -> None:
        """Note what was answered, as no request has come that would take it along."""

    @property
    @abstractmethod
    def _place(self) -> Offset:
        """How far the clock of the place of the counts is ahead of ours."""

    def _drained(self) -> list[Answer]:
        """What was answered since the last time, which is noted now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        answers, self._answers = self._answers, []
        now = self._clock()
        return [
            Answer(identity, f"{self._desk}:{self._slot_at(at)}", max(0.0, now - at))
            for identity, at in answers
        ]

    def _slot_at(self, instant: float) -> int:
        return int((instant + self._vendor.low) / self._slot)

    def _request(self, weight: int, now: float) -> Request:
        rules, place, vendor = self._ruling(), self._place, self._vendor
        bounds = [rule.bound(weight, now, vendor, urgent=self.urgent) for rule in rules]
        return Request(
            f"{self._desk}.{next(self._numbers)}",
            weight,
            self._allowance.longest,
            [bound.shifted(place.low) for bound in bounds],
            self._drained(),
            self._drained_reports(),
        )

    def _ruling(self) -> list[Rule]:
        """The rules of the next request: what is urgent need not be spread over the time."""
        if not self.urgent:
            return self._rules
        return [rule for rule in self._rules if rule.way is not Way.SPREAD]

    def _drained_reports(self) -> list[Report]:
        reports, self._reports = self._reports, {}
        rule, place, vendor = self._clocked, self._place, self._vendor
        return [
            Report(
                name,
                start - vendor.high + place.low,
                start + rule.span / 2 - vendor.low + place.low,
                weight,
            )
            for name, (start, weight) in reports.items()
            if rule is not None
        ]

    def _wait(self, counted: Count, now: float) -> float:
        waits = [
            rule.wait(age, now, self._vendor, urgent=self.urgent)
            for rule, age in zip(self._ruling(), counted.ages, strict=True)
            if age is not None
        ]
        return max(0.001, *waits)

    def _second(self, text: str) -> float:
        """The instant of a header, in seconds since 1970; 0.0 where it has none."""
        if text != self._date[0]:
            try:
                instant = parsedate_to_datetime(text).timestamp()
            except (TypeError, ValueError, OverflowError):
                instant = 0.0
            self._date = (text, instant)
        return self._date[1]


class FileLimit(Limit):
    """A limit that all processes share that use a file; without one it is this object's own.

    Args:
        name: The source's, for errors.
        allowance: What the vendor allows.
        path: The file for the counts; the hold lies beside it, as `<path>.hold`. None of them holds
            a secret.
        clock: The machine's time, in seconds since 1970.
    """

    def __init__(
        self,
        name: str,
        allowance: Allowance,
        path: Path | None,
        *,
        clock: Callable[[], float] = time,
    ) -> None:
        super().__init__(name, allowance, clock=clock)
        self._path = path
        self._file: LimitFile | None = None
        self._hold = Hold(name, None if path is None else Path(f"{path}.hold"))
        self._same = Offset()

    def open(self) -> None:
        """See `Limit.open`."""
        super().open()
        if self._file is not None or not self._rules:
            return
        try:
            self._file = LimitFile(self._path, clock=self._clock)
        except (OSError, Timeout, sqlite3.Error) as error:
            raise SourceError(
                f"source {self._name}: the rate limit's file {self._path} cannot be used: "
                f"{error}; delete it if it is no such file",
                permanent=True,
            ) from error

    def close(self) -> None:
        """See `Limit.close`; the counts of no file stay."""
        if self._file is not None and self._path is not None:
            self._settle_soon()
            self._file.close()
            self._file = None
        super().close()

    def held(self) -> float:
        """See `Limit.held`."""
        return self._hold.left()

    def hold(self, seconds: float) -> None:
        """See `Limit.hold`."""
        self._hold.ask(seconds)

    @property
    def _place(self) -> Offset:
        return self._same

    async def _take(self, request: Request) -> Count:
        if self._file is None:
            return Count(0.0, (), self._clock())
        try:
            return self._file.take(request)
        except (OSError, sqlite3.Error) as error:
            raise SourceError(
                f"source {self._name}: the rate limit's file {self._path} cannot be used: {error}"
            ) from error

    def _settle_soon(self) -> None:
        answers = self._drained()
        if self._file is None or not answers:
            return
        try:
            self._file.settle(answers)
        except (OSError, sqlite3.Error) as error:
            _log.warning(
                "source %s: the rate limit's file %s cannot be used, "
                "and answers count as if they were still to come: %s",
                self._name,
                self._path,
                error,
            )

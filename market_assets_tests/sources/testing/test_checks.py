"""Each check of the kit fails a source that does what the check is about, and no other one."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

import httpx
import polars as pl
import pytest
from pydantic import ConfigDict, Field

from market_assets.errors import SourceError
from market_assets.market.timeframes import TS, Timeframe, Window
from market_assets.sources.contract import CANDLE_SCHEMA, SourceSettings, Traits
from market_assets.sources.testing import (
    Page,
    Question,
    Reply,
    Request,
    SourceConformance,
    VendorDouble,
    instant,
)
from market_assets.sources.transport.http import HeaderSecret, HttpSettings
from market_assets.sources.transport.rest import (
    PagedSource,
    candles,
    first_open,
    refusal,
)
from market_assets_tests.support.kit_verdicts import KEY, checks_of, words_of

if TYPE_CHECKING:
    from pathlib import Path

PLACES = {name: name for name in (*CANDLE_SCHEMA, "trades")}


class ExampleSettings(HttpSettings):
    base_url: str = "https://example.invalid"
    key: HeaderSecret = Field(min_length=1)


class ExampleSource(PagedSource):
    """A source that does all as it should."""

    Settings: ClassVar[type[SourceSettings]] = ExampleSettings
    traits = Traits(
        timeframes=frozenset({Timeframe.M1, Timeframe.H1}),
        page_size=50,
        emits_empty_bars=True,
        earliest_probe=True,
        kinds=frozenset({"crypto"}),
        needs_key=True,
        venue="example",
    )

    def __init__(self, name: str, settings: ExampleSettings, *, base: Path, kind: str) -> None:
        signed = settings.model_copy(update={"headers": {"x-key": settings.key}})
        super().__init__(name, signed, base=base, kind=kind)

    def request(
        self, symbol: str, timeframe: Timeframe, window: Window
    ) -> tuple[str, dict[str, str | int]]:
        return "/bars", {
            "symbol": symbol,
            "length": timeframe.value,
            "from": -(-window.micros[0] // 1_000_000),
            "to": -(-window.micros[1] // 1_000_000) - 1,
        }

    def parse(self, body: bytes) -> pl.DataFrame:
        return candles(body, rows_of, PLACES)

    async def earliest(self, symbol: str, timeframe: Timeframe) -> datetime | None:
        query = {"symbol": symbol, "length": timeframe.value, "from": 0, "to": 2**33, "limit": 1}
        page = await self._http.get("/bars", query, about="first bar", parse=self.parse)
        return first_open(page)


def rows_of(answer: Any) -> Any:
    if "error" in answer:
        raise refusal(answer["error"], permanent="unknown" in answer["error"])
    return answer["bars"]


class Example(VendorDouble):
    source = ExampleSource
    symbol = "BTC/USD"
    settings: ClassVar[dict[str, object]] = {"key": KEY}
    extras = ("trades",)

    def read(self, request: Request) -> Question | Reply:
        query = request.query
        bounds = (instant(query["from"]), instant(query["to"]))
        limit = int(query.get("limit", 50))
        return Question(query["symbol"], Timeframe(query["length"]), *bounds, limit)

    def write(self, page: Page) -> Any:
        return {
            "bars": [
                dict(zip(PLACES, (bar.seconds, *bar.numbers([*PLACES][1:])), strict=True))
                for bar in page.candles
            ]
        }

    def refuse(self, words: str) -> Reply:
        return Reply(200, {"error": words})


CHECKS = checks_of(SourceConformance)


def verdict_of(check: str, source: type[PagedSource], **attributes: object) -> str | None:
    """What the kit says of a source: the words of its failure, None where it passes or skips."""
    suite = SourceConformance()
    suite.vendor = type("Altered", (Example,), {"source": source, **attributes})
    return words_of(suite, check)


@pytest.mark.parametrize("check", CHECKS)
def test_a_source_that_conforms_passes_every_check(check):
    words = verdict_of(check, ExampleSource)

    if check == "test_it_is_installed_under_an_entry_point":
        assert words is not None
        assert "install its package" in words
    else:
        assert words is None


# What goes wrong ---------------------------------------------------------------------------------


class EndIncluded(ExampleSource):
    def request(self, symbol, timeframe, window):
        path, query = super().request(symbol, timeframe, window)
        return path, query | {"to": query["to"] + 1}


class StartLeftOut(ExampleSource):
    def request(self, symbol, timeframe, window):
        path, query = super().request(symbol, timeframe, window)
        return path, query | {"from": query["from"] + 1}


class RoundedDown(ExampleSource):
    def request(self, symbol, timeframe, window):
        path, query = super().request(symbol, timeframe, window)
        return path, query | {"from": int(query["from"]) // 60 * 60}


class FirstPageAlone(ExampleSource):
    async def fetch(self, symbol, timeframe, start, end):
        if start == end:
            return CANDLE_SCHEMA.to_frame()
        return await self.page(symbol, timeframe, Window(start, end))


class WrongDirection(ExampleSource):
    newest_first = True


class LastRowTwice(ExampleSource):
    async def page(self, symbol, timeframe, window):
        page = await super().page(symbol, timeframe, window)
        return pl.concat([page, page.tail(1)])


class StopsAtAHole(ExampleSource):
    async def fetch(self, symbol, timeframe, start, end):
        frame = (await super().fetch(symbol, timeframe, start, end)).sort("ts")
        apart = frame["ts"].diff().fill_null(timeframe.duration) > timeframe.duration
        return frame.filter(apart.cast(int).cum_sum() == 0)


class ZoneOfTheCaller(ExampleSource):
    async def fetch(self, symbol, timeframe, start, end):
        return await super().fetch(
            symbol, timeframe, *(bound.replace(tzinfo=UTC) for bound in (start, end))
        )


class ZoneOfTheMachine(ExampleSource):
    def parse(self, body):
        page = super().parse(body)
        stamps = [datetime.fromtimestamp(ts.replace(tzinfo=UTC).timestamp()) for ts in page["ts"]]  # noqa: DTZ006
        return page.with_columns(pl.Series("ts", stamps, dtype=TS))


class OneRequestMore(ExampleSource):
    async def page(self, symbol, timeframe, window):
        await super().page(symbol, timeframe, window)
        return await super().page(symbol, timeframe, window)


class SwappedColumns(ExampleSource):
    def parse(self, body):
        return candles(body, rows_of, PLACES | {"high": "close", "close": "high"})


class NoExtras(ExampleSource):
    def parse(self, body):
        return super().parse(body).drop("trades", strict=False)


class Naive(ExampleSource):
    async def fetch(self, symbol, timeframe, start, end):
        frame = await super().fetch(symbol, timeframe, start, end)
        return frame.with_columns(pl.col("ts").dt.cast_time_unit("ms"))


class HeadlessFrames(ExampleSource):
    async def fetch(self, symbol, timeframe, start, end):
        frame = await super().fetch(symbol, timeframe, start, end)
        return pl.DataFrame() if frame.is_empty() else frame


class OwnColumns(ExampleSource):
    async def fetch(self, symbol, timeframe, start, end):
        frame = await super().fetch(symbol, timeframe, start, end)
        return frame.with_columns(weight=1)


class HoursLackTheirGrid(ExampleSource):
    def parse(self, body):
        page = super().parse(body)
        shift = pl.col("ts") + pl.duration(minutes=30)
        return page.with_columns(shift) if b"null" in body or len(page) == 10 else page


class ErrorsAreEmpty(ExampleSource):
    def parse(self, body):
        try:
            return super().parse(body)
        except SourceError:
            return CANDLE_SCHEMA.to_frame()


class AllIsPermanent(ExampleSource):
    def parse(self, body):
        try:
            return super().parse(body)
        except SourceError as error:
            raise SourceError(str(error), permanent=True) from error


class NothingIsPermanent(ExampleSource):
    async def fetch(self, symbol, timeframe, start, end):
        try:
            return await super().fetch(symbol, timeframe, start, end)
        except SourceError as error:
            raise SourceError(str(error)) from error


class NoWords(ExampleSource):
    async def fetch(self, symbol, timeframe, start, end):
        try:
            return await super().fetch(symbol, timeframe, start, end)
        except SourceError as error:
            message = f"source {self.name}: {symbol}: 401, no answer"
            raise SourceError(message, permanent=error.permanent) from None


class BareErrors(ExampleSource):
    def parse(self, body):
        document = candles(body, rows_of, PLACES)
        if document["ts"].null_count():
            raise KeyError("ts")
        return document

    async def fetch(self, symbol, timeframe, start, end):
        try:
            return await super().fetch(symbol, timeframe, start, end)
        except SourceError as error:
            if "KeyError" in str(error):
                raise KeyError("ts") from None
            raise


class SymbolInThePath(ExampleSource):
    def request(self, symbol, timeframe, window):
        _, query = super().request(symbol, timeframe, window)
        return f"/bars/{symbol}", query


class KeyInTheAddress(ExampleSource):
    def __init__(self, name, settings, *, base, kind):
        super().__init__(name, settings, base=base, kind=kind)
        self._key = settings.key.get_secret_value()

    def request(self, symbol, timeframe, window):
        path, query = super().request(symbol, timeframe, window)
        return path, query | {"key": self._key}


class KeyInTheError(KeyInTheAddress):
    async def fetch(self, symbol, timeframe, start, end):
        try:
            return await super().fetch(symbol, timeframe, start, end)
        except SourceError as error:
            raise SourceError(f"{error} with key {self._key}", permanent=error.permanent) from error


class KeyInTheLog(KeyInTheAddress):
    async def page(self, symbol, timeframe, window):
        logging.getLogger("example").debug("asked with %s", self._key)
        return await super().page(symbol, timeframe, window)


class KeyShownTwice(ExampleSource):
    class Settings(ExampleSettings):  # type: ignore[assignment]
        note: str = KEY

    def __repr__(self):
        return f"ExampleSource({KEY})"


class Redirected(ExampleSource):
    async def page(self, symbol, timeframe, window):
        path, query = self.request(symbol, timeframe, window)
        async with httpx.AsyncClient(follow_redirects=True, trust_env=False) as client:
            answer = await client.get(
                f"{self._http._settings.base_url}{path}", params=query, headers={"x-key": KEY}
            )
        self.usage.requests += 1
        try:
            return self.parse(answer.content)
        except SourceError as error:
            raise SourceError(f"source {self.name}: {error}") from None


class Impatient(ExampleSource):
    async def __aenter__(self):
        self._http.limit.hold = lambda _seconds: None
        return await super().__aenter__()


class NoTraits(ExampleSource):
    traits = replace(ExampleSource.traits, kinds=frozenset({"metal"}))


class TooLongAPage(ExampleSource):
    traits = replace(ExampleSource.traits, page_size=500)


class AnyKey(ExampleSource):
    class Settings(ExampleSettings):  # type: ignore[assignment]
        model_config = ConfigDict(extra="ignore")
        key: HeaderSecret = Field(default="kEy-0f-an-Example-0000", validate_default=True)


class FirstBarOfTheDay(ExampleSource):
    async def earliest(self, symbol, timeframe):
        first = await super().earliest(symbol, timeframe)
        return first and first.replace(minute=0)


class FirstBarAlways(ExampleSource):
    async def earliest(self, symbol, timeframe):
        return await super().earliest(symbol, timeframe) or datetime(1970, 1, 1, tzinfo=UTC)


class SpeaksForTheFuture(ExampleSource):
    def answers_for(self, symbol, timeframe):  # noqa: ARG002
        return Window(datetime(1970, 1, 1, tzinfo=UTC), datetime(2999, 1, 1, tzinfo=UTC))


class SharedBuffer(ExampleSource):
    window: ClassVar[Any] = None

    def request(self, symbol, timeframe, window):
        self.window = window
        return super().request(symbol, timeframe, window)

    async def fetch(self, symbol, timeframe, start, end):
        return (await super().fetch(symbol, timeframe, start, end)).filter(self.window.holds())


class OnceOnly(ExampleSource):
    uses = 0

    async def __aenter__(self):
        self.uses += 1
        if self.uses > 1:
            raise RuntimeError("used up")
        return await super().__aenter__()


CAUGHT = [
    (EndIncluded, "a_window_is_given_exactly", "rows came that nobody asked for"),
    (StartLeftOut, "a_window_is_given_exactly", "rows are missing"),
    (RoundedDown, "a_window_between_two_opens_has_the_bars_that_open_in_it", "nobody asked for"),
    (FirstPageAlone, "pages_join_without_a_hole_and_without_a_double", "rows are missing"),
    (FirstPageAlone, "a_hole_longer_than_a_page_hides_nothing_behind_it", "rows are missing"),
    (WrongDirection, "pages_join_without_a_hole_and_without_a_double", "rows are missing"),
    (LastRowTwice, "a_window_is_given_exactly", "rows came twice"),
    (Naive, "a_window_is_given_exactly", "a frame has the columns"),
    (HeadlessFrames, "nothing_in_the_window_is_an_empty_frame", "a frame has the columns"),
    (OwnColumns, "a_window_is_given_exactly", "columns that nobody knows: weight"),
    (StopsAtAHole, "a_hole_in_the_middle_is_no_end", "rows are missing"),
    (ZoneOfTheCaller, "bounds_of_another_zone_are_the_same_instants", "rows"),
    (ZoneOfTheMachine, "times_are_utc_whatever_the_zone_of_the_machine", "rows"),
    (OneRequestMore, "a_full_page_is_one_request", "2 requests were sent, and 1 are enough"),
    (SwappedColumns, "a_window_is_given_exactly", "high is .* and should be"),
    (NoExtras, "a_window_is_given_exactly", r"the extra columns are \[\]"),
    (HoursLackTheirGrid, "every_timeframe_is_given", "rows are missing"),
    (ErrorsAreEmpty, "an_unknown_symbol_is_an_error_and_no_absence", "as if there were nothing"),
    (ErrorsAreEmpty, "what_is_no_page_is_an_error_that_may_pass", "as if there were nothing"),
    (ErrorsAreEmpty, "json_of_another_kind_is_an_error", "was taken for a page"),
    (ErrorsAreEmpty, "an_answer_cut_off_anywhere_is_never_a_shorter_one", "as if there were"),
    (ErrorsAreEmpty, "a_refusal_is_told_in_the_vendors_words", "as if there were nothing"),
    (ErrorsAreEmpty, "a_redirect_is_no_answer", None),
    (AllIsPermanent, "what_is_no_page_is_an_error_that_may_pass", "said to be permanent"),
    (AllIsPermanent, "trouble_that_stays_is_an_error_that_may_pass", "said to be permanent"),
    (NothingIsPermanent, "an_unknown_symbol_is_an_error_and_no_absence", "not said to be"),
    (NothingIsPermanent, "a_refused_key_is_permanent_and_the_error_says_so", "not said to be"),
    (Impatient, "a_retry_after_is_obeyed", "3 requests were sent in spite of HTTP 429"),
    (NoWords, "a_refusal_is_told_in_the_vendors_words", "has not the vendor's words"),
    (BareErrors, "an_odd_value_costs_at_most_its_answer", "KeyError came out of the source"),
    (KeyInTheAddress, "a_secret_is_not_in_the_address", "a secret is seen in the address"),
    (KeyInTheError, "a_secret_that_the_vendor_repeats_is_shown_nowhere", "seen in the error"),
    (KeyInTheLog, "a_secret_that_the_vendor_repeats_is_shown_nowhere", "seen in the log"),
    (KeyShownTwice, "a_secret_is_not_in_the_settings_that_are_shown", "a secret is seen in"),
    (Redirected, "a_secret_does_not_follow_a_redirect", "to the host that a redirect named"),
    (NoTraits, "the_traits_are_complete", "`kinds` are"),
    (TooLongAPage, "a_full_page_is_one_request", "requests were sent, and 1 are enough"),
    (AnyKey, "the_settings_are_its_own_and_no_others", "a key `bogus` is accepted"),
    (AnyKey, "a_key_that_is_needed_is_asked_for", "complete without one"),
    (FirstBarOfTheDay, "the_first_bar_is_found_with_one_request", "the first bar opens at"),
    (FirstBarAlways, "a_symbol_without_a_bar_has_no_first_one", "there is no bar"),
    (SpeaksForTheFuture, "it_speaks_for_what_has_closed_and_no_more", "it speaks for 1m until"),
    (SharedBuffer, "several_windows_at_once_do_not_mix", "rows are missing"),
    (OnceOnly, "it_can_be_entered_again", "RuntimeError came out of the source"),
]


@pytest.mark.parametrize(
    ("source", "check", "words"),
    CAUGHT,
    ids=[f"{source.__name__}-{check}" for source, check, _ in CAUGHT],
)
def test_a_fault_is_found_by_its_check(source, check, words):
    verdict = verdict_of(f"test_{check}", source)

    if words is None:
        assert verdict is None
    else:
        assert verdict is not None
        assert re.search(words, verdict)

"""One cause, one trouble: what follows from another is named under it, and nothing is lost."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_assets.alerts.absence import missing_symbols, stale, vanished
from market_assets.alerts.causes import fold, locate
from market_assets.alerts.judgement import enrichment, failed_checks, failed_partitions
from market_assets.alerts.ledger import begin, reconcile, told
from market_assets.alerts.message import NEXT
from market_assets.alerts.platform import store_changed
from market_assets.alerts.troubles import ALWAYS, CONSEQUENCES, Kind, Level, Place, Trouble
from market_assets.market.datasets import Dataset
from market_assets.market.partitions import Cadence
from market_assets.market.timeframes import Timeframe
from market_assets.store import StoreMark

NOW = datetime(2025, 11, 20, 12, tzinfo=UTC)
LOST = "2025-11-11"
M1 = Timeframe.M1
DERIVED = ("candles_5m", "candles_15m", "candles_30m", "candles_1h", "candles_4h", "features_1h")


def gap(symbol: str, first: str, last: str, profile: str = "forex") -> Trouble:
    place = Place(symbol, date.fromisoformat(first), date.fromisoformat(last))
    words = f"1 gap in {symbol}"
    return Trouble(
        profile, Kind.GAP, "candles_1m", Level.WARNING, words, 1, (), (symbol,), frozenset({place})
    )


def red(asset: str, *days: str, profile: str = "forex") -> Trouble:
    (trouble,) = failed_partitions(profile, asset, days, derived=asset != "candles_1m")
    return trouble


def broken(check: str, *days: str, asset: str = "candles_1m") -> Trouble:
    (trouble,) = failed_checks("forex", asset, check, dict.fromkeys(days, "it fails"))
    return trouble


def incomplete(asset: str, *days: str, cadence: Cadence = Cadence.DAY) -> Trouble:
    reasons = {key: ["candles_1m has nothing here yet"] for key in days}
    (trouble,) = enrichment(
        Dataset.named("forex", asset), "INCOMPLETE", NOW, reasons, cadence=cadence
    )
    return trouble


def late(symbol: str, day: str = LOST, profile: str = "forex") -> Trouble:
    (trouble,) = stale(Dataset.candles(profile, M1), date.fromisoformat(day), [symbol])
    return trouble


def dead(name: str, summary: str = "has never been heard of") -> Trouble:
    return Trouble("", Kind.DEAD, name, Level.ERROR, summary, 1)


def missing(symbol: str) -> Trouble:
    (trouble,) = missing_symbols(Dataset.candles("forex", M1), {symbol: ""})
    return trouble


def down(*symbols: str, day: str = LOST) -> Trouble:
    when = date.fromisoformat(day)
    places = frozenset(Place(symbol, when, when) for symbol in symbols)
    return Trouble(
        "forex", Kind.SOURCE_DOWN, "oanda", Level.ERROR, "it fails", 2, (), symbols, places
    )


CHANGED = store_changed(StoreMark("a" * 32, 9, NOW), StoreMark("b" * 32, 0, None))
GONE = vanished(Dataset.candles("forex", M1), {LOST: "100 of 1,440 candles are left"}, Cadence.DAY)[
    0
]
BACKLOG = Trouble("forex", Kind.BACKLOG, "candles_1m", Level.WARNING, "3 partitions", 3)


def test_a_lost_day_is_one_trouble_with_all_that_follows_from_it() -> None:
    follow = [red("candles_1m", LOST), broken("continuity", LOST)]
    follow += [make(asset, LOST) for asset in DERIVED for make in (red, incomplete)]
    folded = fold([*follow, gap("EURUSD", "2025-11-10", "2025-11-12")])
    (cause,) = folded.causes
    assert (cause.kind, cause.level) == (Kind.GAP, Level.ERROR)
    assert set(folded.under) == {trouble.key for trouble in follow}
    assert cause.details == (
        f"{CONSEQUENCES}enrichment: {', '.join(sorted(DERIVED))}",
        f"{CONSEQUENCES}failed check: candles_1m continuity",
        f"{CONSEQUENCES}failed partitions: {', '.join(sorted(['candles_1m', *DERIVED]))}",
    )


@pytest.mark.parametrize(
    ("troubles", "causes"),
    [
        # The day, the symbol or the profile is another one: nothing follows from anything.
        ([gap("EURUSD", LOST, LOST), red("candles_1m", "2025-11-13")], 2),
        ([gap("EURUSD", LOST, LOST), red("candles_1m", LOST, "2025-11-13")], 2),
        ([gap("EURUSD", LOST, LOST), late("GBPUSD")], 2),
        ([gap("EURUSD", LOST, LOST), red("candles_1m", LOST, profile="crypto")], 2),
        # A check that says something of its own.
        ([gap("EURUSD", LOST, LOST), broken("validity", LOST)], 2),
        ([broken("validity", LOST), red("candles_1m", LOST)], 2),
        # A run that broke off may have any reason.
        (
            [
                gap("EURUSD", LOST, LOST),
                *enrichment(Dataset.named("forex", "candles_5m"), "FAILED", NOW, {}),
            ],
            2,
        ),
        # Without a gap that is long enough the check is the cause, and without one the red day.
        ([broken("continuity", LOST), red("candles_1m", LOST), incomplete("candles_5m", LOST)], 1),
        ([red("candles_1m", LOST), red("candles_5m", LOST), incomplete("candles_5m", LOST)], 1),
        # Partitions of months follow from a day in them.
        (
            [
                gap("EURUSD", LOST, LOST),
                incomplete("candles_1d", "2025-11-01", cadence=Cadence.MONTH),
            ],
            1,
        ),
        (
            [
                gap("EURUSD", LOST, LOST),
                incomplete("candles_1d", "2025-10-01", cadence=Cadence.MONTH),
            ],
            2,
        ),
        # Two causes may account for one trouble together.
        ([gap("EURUSD", LOST, LOST), GONE, red("candles_1m", LOST)], 1),
        (
            [
                gap("EURUSD", LOST, LOST),
                broken("continuity", "2025-11-13"),
                red("candles_1m", LOST, "2025-11-13"),
            ],
            2,
        ),
        # A symbol that nobody has.
        ([missing("NOPE"), gap("NOPE", "2025-01-01", LOST), late("NOPE")], 1),
        ([missing("NOPE"), gap("EURUSD", LOST, LOST)], 2),
        # A source that is down, before what it leaves absent.
        (
            [
                down("EURUSD", "GBPUSD"),
                gap("EURUSD", LOST, LOST),
                late("GBPUSD"),
                red("candles_5m", LOST),
            ],
            1,
        ),
        ([down("EURUSD", "GBPUSD"), late("USDJPY")], 2),
        # A daemon moves all automations; what fails by itself has a reason of its own.
        ([dead("daemon SENSOR"), dead("automation repair_forex"), late("EURUSD")], 1),
        ([dead("daemon SENSOR"), dead("automation repair_forex", "fails: ValueError")], 2),
        (
            [
                dead("daemon SENSOR"),
                dead("daemon SCHEDULER", "was last heard of at 2025-11-20 11:00Z"),
            ],
            1,
        ),
        ([dead("daemon SENSOR", "fails: ValueError"), dead("daemon SCHEDULER")], 2),
        ([dead("automation update_forex"), late("EURUSD")], 1),
        ([dead("automation update_crypto"), late("EURUSD")], 2),
        # The store is the deepest of all.
        (
            [
                CHANGED,
                GONE,
                BACKLOG,
                gap("EURUSD", LOST, LOST),
                red("candles_1m", LOST),
                missing("NOPE"),
            ],
            1,
        ),
        ([CHANGED, dead("automation repair_forex")], 2),
    ],
)
def test_what_follows_from_what(troubles: list[Trouble], causes: int) -> None:
    for order in (troubles, troubles[::-1]):
        assert len(fold(order).causes) == causes


def test_a_red_day_on_which_another_symbol_lacks_bars_too_has_its_own_word() -> None:
    absent = {("forex", date.fromisoformat(LOST)): {"EURUSD", "GBPUSD"}}
    located = locate([gap("EURUSD", LOST, LOST), red("candles_1m", LOST)], absent)
    assert len(fold(located).causes) == 2
    known = {("forex", date.fromisoformat(LOST)): {"EURUSD"}}
    assert len(fold(locate([*located[:1], red("candles_1m", LOST)], known)).causes) == 1


def test_what_was_told_before_its_cause_was_known_ends_without_a_word() -> None:
    check, cause = broken("continuity", LOST), gap("EURUSD", LOST, LOST)
    alert = begin(check, NOW - timedelta(days=1))
    alert = told(alert, alert, NOW)
    folded = fold([check, cause])
    reckoning = reconcile([alert], folded.causes, NOW, under=folded.under.keys())
    assert [one.kind for one in reckoning.begun] == [Kind.GAP]
    assert reckoning.over == ()
    assert reckoning.alerts[0].over_told_at == NOW


def test_every_kind_says_what_to_do_next() -> None:
    assert set(NEXT) == set(Kind)


DAYS = st.dates(date(2025, 11, 1), date(2025, 11, 6))
PLACES = st.frozensets(
    st.one_of(
        st.builds(Place, st.sampled_from(["", "A", "B"]), DAYS, DAYS).map(
            lambda place: Place(place.symbol, *sorted(place[1:]))
        ),
        st.just(Place("A", *ALWAYS)),
    ),
    max_size=4,
)
TROUBLES = st.lists(
    st.builds(
        Trouble,
        st.sampled_from(["", "crypto", "forex"]),
        st.sampled_from([kind for kind in Kind if kind is not Kind.CHANNEL]),
        st.sampled_from(
            [
                "candles_1m",
                "candles_1m continuity",
                "candles_1h",
                "daemon X",
                "automation update_forex",
            ]
        ),
        st.sampled_from(Level),
        st.just("something"),
        st.just(1),
        places=PLACES,
        derived=st.booleans(),
    ),
    unique_by=lambda trouble: trouble.key,
    max_size=12,
)


@given(TROUBLES)
def test_every_trouble_is_told_or_named_under_one_that_is(troubles: list[Trouble]) -> None:
    folded = fold(troubles)
    causes = {trouble.key: trouble for trouble in folded.causes}
    by_key = {trouble.key: trouble for trouble in troubles}
    assert causes.keys() | folded.under.keys() == by_key.keys()
    assert not causes.keys() & folded.under.keys()
    for key, cause in folded.under.items():
        named = [line for line in causes[cause].details if line.startswith(CONSEQUENCES)]
        kind = key[1].replace("_", " ")
        assert any(line.startswith(f"{CONSEQUENCES}{kind}: ") and key[2] in line for line in named)
        assert causes[cause].level is Level.ERROR or by_key[key].level is Level.WARNING

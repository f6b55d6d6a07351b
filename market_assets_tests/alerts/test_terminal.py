"""`market-assets alerts` as a user and a script have it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from market_assets.alerts import Kind, Level, Trouble, Watch
from market_assets.errors import StoreError
from market_assets_tests.support.alerts_ground import universe_of
from market_assets_tests.support.shell import in_a_process, in_this_process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from market_assets.store import Store
    from market_assets_tests.conftest import Clock
    from market_assets_tests.support.alerts_ground import MailServer, Webhook
    from market_assets_tests.support.shell import Done

FILLED_IN = "s3cr3t-value"


@pytest.fixture
def alerts(tmp_path: Path) -> Callable[..., Done]:
    """Runs the command with some options, in this process if no other way is given."""

    def run(*options: str, way: Callable[..., Done] = in_this_process) -> Done:
        home = {
            "MARKET_ASSETS_HOME": str(tmp_path / "home"),
            "MARKET_ASSETS_UNIVERSE": str(tmp_path / "universe.yaml"),
        }
        done = way(["alerts", *options], {**os.environ, **home, "HOOK_TOKEN": FILLED_IN})
        assert FILLED_IN not in done.out + done.err
        assert "Traceback" not in done.err
        return done

    return run


def test_present_troubles_are_listed_and_those_that_are_over_on_request(
    tmp_path: Path, store: Store, clock: Clock, alerts: Callable[..., Done]
) -> None:
    universe = universe_of(tmp_path, end="2025-02-02")
    watch = Watch(store, universe, clock)
    calm = alerts()
    assert (calm.code, calm.out) == (0, "")
    assert "Nobody has looked yet" in calm.err
    trouble = Trouble(
        "kept",
        Kind.GAP,
        "candles_1h",
        Level.ERROR,
        f"2 gaps [/closed] {FILLED_IN}",
        2,
        ("BTC 2025",),
    )
    universe_of(
        tmp_path,
        "json://127.0.0.1/${HOOK_TOKEN}",
        end="2025-02-02",
        secrets={"HOOK_TOKEN": FILLED_IN},
    )
    watch.look([trouble])
    listed = alerts(way=in_a_process)
    assert listed.code == 3
    for words in (
        "2025-03-01 12:00",
        "ERROR",
        "kept gap candles_1h",
        "2 gaps [/closed] ${HOOK_TOKEN}",
        "BTC 2025",
    ):
        assert words in listed.out
    assert "Nobody is told" not in listed.out
    (row,) = alerts("--json").json
    assert (row["kind"], row["count"], row["opened_at"], row["told_at"]) == (
        "gap",
        2,
        "2025-03-01T12:00:00Z",
        None,
    )
    watch.look()
    assert alerts("--json").out.strip() == "[]"
    over = alerts("--all")
    assert (over.code, "kept gap candles_1h" in over.out) == (0, True)


def test_a_store_that_cannot_be_opened_is_listed_and_one_that_was_changed_can_be_accepted(
    tmp_path: Path, store: Store, clock: Clock, alerts: Callable[..., Done]
) -> None:
    watch = Watch(store, universe_of(tmp_path, end="2025-02-02"), clock)
    with store.writing("preparing"):
        pass
    watch.look()
    assert alerts("--accept-store").out.strip() == "No alert says that the store was changed."
    store.path.unlink()
    watch.look()
    listed = alerts()
    assert (listed.code, "the store was deleted or replaced" in " ".join(listed.out.split())) == (
        3,
        True,
    )
    assert alerts("--accept-store").code == 0
    watch.look()
    assert alerts().code == 0
    with store.writing("going on"):
        pass
    content = store.path.read_bytes()
    store.path.write_bytes(content[:5000])
    with pytest.raises(StoreError) as raised:
        watch.look()
    assert [alert.kind for alert in watch.outside.look(raised.value)] == [Kind.STORE]
    broken = alerts("--json")
    assert (broken.code, [row["kind"] for row in broken.json]) == (3, ["store"])


def test_a_test_message_goes_through_each_channel_and_the_answer_says_which_worked(
    tmp_path: Path, mail: MailServer, hook: Webhook, alerts: Callable[..., Done]
) -> None:
    url = hook.url.replace("token-4711", "${HOOK_TOKEN}")
    universe_of(tmp_path, mail.url, url, secrets={"HOOK_TOKEN": FILLED_IN})
    good = alerts("--test")
    assert (good.code, good.out.splitlines()) == (
        0,
        ["mailto #1: took the message", "json #1: took the message"],
    )
    assert "a test" in mail.titles[0] == hook.titles[0]
    hook.status = 500
    bad = alerts("--test", "--json", way=in_a_process)
    assert (bad.code, bad.err) == (3, "")
    tried = bad.json
    assert (tried["mailto #1"], "500" in tried["json #1"]) == ("", True)
    universe_of(tmp_path)
    none = alerts("--test")
    assert (none.code, "names no channel" in none.err) == (3, True)

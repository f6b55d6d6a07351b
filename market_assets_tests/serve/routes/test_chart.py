"""The chart of a symbol over HTTP, and its page in a real browser."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from market_assets.pictures.colours import INCOMPLETE, MARKS
from market_assets.serve.platform import RunState
from market_assets_tests.support.browser import chromium, opened
from market_assets_tests.support.chart_ground import ChartGround
from market_assets_tests.support.serve_ground import HOLE, TOKEN, ServeGround, StandStill, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from playwright.sync_api import Browser, Page

CHART = "/v1/chart?profile=crypto&symbol=BTC"
DAY = f"{CHART}&timeframe=1h&from=2025-02-05&to=2025-02-06"
KEYS, ENVIRON = 'token: "${SERVE_TOKEN}"', {"SERVE_TOKEN": TOKEN}


# The route ----------------------------------------------------------------------------------------


def test_a_chart_has_columns_of_one_length_and_what_is_absent(client):
    chart = client.get(DAY).json()

    assert (chart["level"], chart["base"], chart["made_of"]) == ("1h", "1h", None)
    columns = ("ts", "open", "high", "low", "close", "volume", "state")
    assert {len(chart[name]) for name in columns} == {24}
    assert chart["ts"][HOLE.hour] == "2025-02-05T03:00:00Z"
    assert (chart["close"][HOLE.hour], chart["state"][HOLE.hour]) == (None, "open")
    assert [(part["state"], part["bars"]) for part in chart["absences"]] == [("open", 1)]
    assert chart["first_ts"] == "2025-02-03T00:00:00Z"


def test_longer_bars_are_shown_where_there_would_be_too_many(client):
    chart = client.get(f"{CHART}&timeframe=1h&bars=10").json()

    assert (chart["level"], chart["made_of"], len(chart["ts"])) == ("1d", "1h", 7)
    assert chart["open"][:2] == [1.0, 25.0]
    assert chart["state"] == [None, None, "open", None, None, None, None]
    assert chart["absences"][0]["first_ts"] == "2025-02-05T03:00:00Z"


def test_features_come_as_columns_where_the_level_has_them(client):
    chart = client.get(f"{DAY}&features=rsi_14").json()
    longer = client.get(f"{CHART}&timeframe=1h&bars=10&features=rsi_14").json()

    assert chart["feature_names"] == ["rsi_14"]
    assert chart["features"]["rsi_14"][:4] == [49.0, 50.0, 51.0, None]
    assert (longer["feature_names"], longer["features"]) == ([], {})


def test_a_healed_bar_is_in_the_next_answer_and_an_answer_that_has_not_changed_is_told(ground):
    with ground.served() as client:
        before = client.get(DAY)
        same = client.get(DAY, headers={"If-None-Match": before.headers["etag"]})
        ground.heal()
        after = client.get(DAY, headers={"If-None-Match": before.headers["etag"]})

    assert same.status_code == 304
    assert after.json()["absences"] == []


@pytest.mark.parametrize(
    ("change", "status", "key"),
    [
        ({"profile": "cripto"}, 404, "profile"),
        ({"symbol": "BTD"}, 404, "symbols"),
        ({"timeframe": "5m"}, 404, "timeframe"),
        ({"timeframe": "'; DROP"}, 422, "timeframe"),
        ({"features": "rsi_99"}, 404, "features"),
        ({"features": ",".join("abcdefghi")}, 422, "features"),
        ({"adjusted": "true"}, 404, "adjusted"),
        ({"bars": "1000000"}, 422, "bars"),
        ({"from": "2025-02-06", "to": "2025-02-05"}, 409, "to"),
    ],
)
def test_a_wrong_question_is_told_which_parameter(client, change, status, key):
    question = {"profile": "crypto", "symbol": "BTC", "timeframe": "1h", **change}
    answer = client.get("/v1/chart", params=question)

    assert (answer.status_code, answer.json()["key"]) == (status, key)


def test_a_chart_wants_the_token(ground):
    with ground.served(KEYS, environ=ENVIRON) as client:
        assert client.get(DAY).status_code == 401
        assert client.get("/symbol").status_code == 200


def test_the_page_has_the_colours_of_every_picture():
    style = (files("market_assets.serve") / "page" / "symbol.css").read_text()

    for state, (colour, _) in MARKS.items():
        if state != INCOMPLETE:
            assert f"--{state}: rgb{colour};" in style


def test_the_chart_library_comes_with_its_notice_and_license(client):
    notice = client.get("/page/vendor/NOTICE.txt").text

    assert "https://www.tradingview.com/" in notice
    assert "Apache License" in client.get("/page/vendor/LICENSE.txt").text
    assert 'href="https://www.tradingview.com/"' in client.get("/symbol").text


# In a browser -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def symbol_page(browser, client, timeframe="1h", **options) -> AbstractContextManager[Page]:
    """The page of BTC."""
    url = client.base_url.join(f"/symbol?profile=crypto&timeframe={timeframe}&symbol=BTC")
    return opened(browser, str(url), **options)


class Healing(StandStill):
    """A Dagster whose runs have healed the ground as soon as somebody asks how they are."""

    def __init__(self, ground: ServeGround) -> None:
        super().__init__()
        self._ground = ground

    def run(self, run_id: str) -> RunState | None:
        self._ground.heal()
        return RunState(run_id, "SUCCESS", None, None, {})


def pixels(page: Page, colour: str) -> int:
    """How many pixels of the canvases have a colour."""
    red, green, blue = (int(part) for part in re.findall(r"\d+", colour))
    return page.evaluate(
        """([red, green, blue]) => {
            let count = 0;
            for (const canvas of document.querySelectorAll("#chart canvas")) {
                const { width, height } = canvas;
                const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
                for (let at = 0; at < data.length; at += 4)
                    count += data[at] === red && data[at + 1] === green && data[at + 2] === blue;
            }
            return count;
        }""",
        [red, green, blue],
    )


def test_a_hole_is_shaded_listed_and_its_story_told_by_the_keyboard_alone(browser, client):
    with symbol_page(browser, client) as page:
        page.locator("#gaps tbody tr").wait_for()
        assert "2025-02-05 03:00" in page.inner_text("#gaps tbody tr")
        assert "1 bar (missing)" in page.inner_text("#summary")
        assert pixels(page, "rgb(220, 38, 47)") > 5

        page.focus("#chart")
        page.keyboard.press("p")
        page.locator("#news", has_text="missing, 1 bar, 2025-02-05 03:00").wait_for(
            state="attached"
        )
        page.keyboard.press("Enter")
        page.locator("#story-body", has_text="practice has answered without it").wait_for()
        assert page.evaluate("document.activeElement.id") == "story-title"
        assert page.locator("#repair-start").count() == 0

        page.keyboard.press("Escape")
        assert page.locator("#story").is_hidden()
        assert page.evaluate("document.activeElement.id") == "chart"


def test_features_are_lines_and_the_address_keeps_what_was_chosen(browser, client):
    with symbol_page(browser, client) as page:
        page.click("#features summary")
        page.check('#feature-choice input[value="rsi_14"]')
        page.locator("#legend", has_text="rsi_14").wait_for()
        assert "features=rsi_14" in page.url
        page.reload()
        page.locator("#legend", has_text="rsi_14").wait_for()


def test_zooming_out_shows_longer_candles_with_the_hole_and_zooming_in_the_first_ones(
    browser, tmp_path, clock
):
    ground = ChartGround(tmp_path, clock)
    ground.fill(("05T03:10", "05T03:20", "open"))
    with (
        serving(ground.universe, ground.home, clock) as client,
        symbol_page(browser, client, timeframe="1m") as page,
    ):
        page.locator("#summary", has_text="candles of 1m").wait_for()
        page.focus("#chart")
        page.keyboard.press("a")
        page.locator("#summary", has_text="candles of 15m, made of 1m").wait_for()
        assert "10 bars (missing)" in page.inner_text("#summary")
        page.keyboard.press("p")
        for _ in range(9):
            page.keyboard.press("+")
        page.locator("#summary", has_text="candles of 1m, stored").wait_for()
        assert "10 bars (missing)" in page.inner_text("#summary")


def test_prices_of_any_size_can_be_read(browser, client):
    with symbol_page(browser, client) as page:
        told = page.evaluate(
            """async () => {
                const { decimalsOf, price } = await import("/page/words.js");
                return [[0.00000123, 0.00000124], [100000, 99999.5], [1.17235, 1.1724], [12, 13]]
                    .map((prices) => price(prices[0], decimalsOf(prices)));
            }"""
        )
    assert told == ["0.00000123", "100,000.00", "1.17235", "12.00"]


@pytest.mark.parametrize("width", [360, 3840])
def test_the_page_fits_its_window(browser, client, width):
    viewport = {"width": width, "height": 900}
    with symbol_page(browser, client, viewport=viewport) as page:
        page.locator("#gaps tbody tr").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_with_a_token_a_repair_is_started_and_what_is_there_then_is_shown(browser, ground):
    platform = Healing(ground)
    with (
        ground.served(KEYS, environ=ENVIRON, platform=platform) as client,
        symbol_page(browser, client, allow=("401",)) as page,
    ):
        page.locator("dialog input").fill(TOKEN)
        page.keyboard.press("Enter")
        page.locator("#gaps button").click()
        page.click("#repair-start")
        page.locator("#repair", has_text="Healed").wait_for()
        page.locator("#gaps-note", has_text="Nothing is absent").wait_for()
        assert "nothing" in page.inner_text("#summary")
    ((part, options, _),) = platform.launched.values()
    assert (part.first, part.last, options.symbols) == ("2025-02-05", "2025-02-05", ["BTC"])

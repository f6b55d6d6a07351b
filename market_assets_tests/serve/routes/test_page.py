"""The page: its files, and the overview in a real browser."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from market_assets.serve.routes.page import PAGES
from market_assets_tests.support.browser import chromium, opened
from market_assets_tests.support.serve_ground import TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

FOLDER = files("market_assets.serve") / "page"


# Files --------------------------------------------------------------------------------------------


def test_a_document_comes_with_rules_that_let_no_other_host_in(client) -> None:
    answer = client.get("/")

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    rules = answer.headers["content-security-policy"]
    assert "default-src 'none'" in rules
    assert "script-src 'self'" in rules
    assert "frame-ancestors 'none'" in rules
    assert "unsafe" not in rules
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_a_file_is_asked_for_again_by_its_etag(client) -> None:
    first = client.get("/page/base.js")
    again = client.get("/page/base.js", headers={"If-None-Match": first.headers["etag"]})

    assert first.headers["content-type"] == "text/javascript; charset=utf-8"
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path",
    ["/page/", "/page/nothing.js", "/page/../app.py", "/page/%2e%2e/app.py", "/page/..%2fapp.py"],
)
def test_what_is_no_file_of_the_page_is_not_there(client, path) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("document", PAGES.values())
def test_a_document_loads_only_what_is_shipped_and_has_no_script_of_its_own(document) -> None:
    text = (FOLDER / document).read_text()

    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    assert not re.search(r"<style|style=|\son\w+=", text)
    # A link may lead elsewhere; nothing is loaded from there.
    paths = re.findall(r'<(?!a )[^>]*\b(?:src|href)="([^"#?]+)', text)
    assert all(path.startswith("/") for path in paths)
    for path in paths:
        if path.startswith("/page/"):
            assert (FOLDER / path.removeprefix("/page/")).is_file()


def test_no_script_writes_data_as_markup() -> None:
    for entry in FOLDER.iterdir():
        if entry.name.endswith(".js"):
            assert not re.search(
                r"innerHTML|outerHTML|insertAdjacentHTML|eval\(", entry.read_text()
            )


def test_with_a_token_the_page_is_open_and_the_data_are_not(ground) -> None:
    with ground.served('token: "${T}"', environ={"T": TOKEN}) as client:
        assert client.get("/").status_code == 200
        assert client.get("/page/base.js").status_code == 200
        assert client.get("/v1/status").status_code == 401
        assert client.get("/v1/heat", params={"profile": "crypto"}).status_code == 401


def test_without_a_token_the_page_is_there_under_a_name_of_this_machine_alone(client) -> None:
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 403


# In a browser -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def test_the_overview_tells_what_is_missing_and_leads_to_it(browser, client) -> None:
    with opened(browser, str(client.base_url)) as page:
        page.wait_for_selector("#verdict.bad")
        assert page.inner_text("#verdict") == "6 bars are missing"
        gaps = page.locator("#gaps tbody tr")
        gaps.first.wait_for()
        assert gaps.count() == 1
        assert "2025-02-05 03:00" in gaps.first.inner_text()
        link = gaps.first.locator("a").get_attribute("href")
        assert "symbol=BTC" in link
        assert "at=2025-02-05T03%3A00%3A00Z" in link
        # The heat map has the share of that day in words for those who do not see colours.
        assert (
            page.locator("#heat td.from90 a")
            .get_attribute("aria-label")
            .startswith("BTC 2025-02-05: 95.8 %")
        )


def test_a_cell_of_the_matrix_opens_its_symbols_by_the_keyboard(browser, client) -> None:
    with opened(browser, str(client.base_url)) as page:
        cell = page.locator('button[data-key="crypto 1h"]')
        cell.focus()
        page.keyboard.press("Enter")
        symbols = page.locator("#symbols tbody tr")
        symbols.first.wait_for()
        assert [row.split()[0] for row in symbols.all_inner_texts()] == ["BTC", "ETH"]
        assert cell.get_attribute("aria-expanded") == "true"
        # It was made anew, and the keyboard is still there.
        assert page.evaluate("document.activeElement.dataset.key") == "crypto 1h"


def test_a_healed_hour_is_shown_without_loading_the_page_anew(browser, ground) -> None:
    with ground.served() as client, opened(browser, str(client.base_url)) as page:
        page.wait_for_selector("#verdict.bad")
        ground.heal()
        page.locator("#gaps", has_text="None.").wait_for()


def test_the_token_is_asked_for_kept_for_the_tab_and_in_no_address(browser, ground) -> None:
    with (
        ground.served('token: "${T}"', environ={"T": TOKEN}) as client,
        opened(browser, str(client.base_url), allow=("401",)) as page,
    ):
        addresses: list[str] = []
        page.on("request", lambda request: addresses.append(request.url))
        for given in ("another one", TOKEN):
            page.locator("dialog input").fill(given)
            page.keyboard.press("Enter")
            if given != TOKEN:
                page.locator("dialog", has_text="This is not the token").wait_for()
        page.wait_for_selector("#verdict.bad")
        assert page.evaluate("localStorage.length") == 0
        assert not any(TOKEN in address for address in addresses)


def test_dark_and_light_can_be_chosen_and_stay(browser, client) -> None:
    with opened(browser, str(client.base_url), color_scheme="light") as page:
        paper = "getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(paper)
        page.click("#theme")
        assert page.evaluate(paper) != light
        page.reload()
        assert page.evaluate(paper) != light

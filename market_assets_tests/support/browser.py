"""A real Chromium without a window, over Playwright."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; skips the test where the machine has none."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    # Root has no sandbox, and a small container has little shared memory.
    words = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=words)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, url: str, *, allow: tuple[str, ...] = (), **options) -> Iterator[Page]:
    """A page; fails at the end where it has written an error that is not allowed.

    Args:
        browser: Where.
        url: Its address.
        allow: Parts of errors of the console that may come.
        options: Of the context, such as `color_scheme`.
    """
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(20_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    page.goto(url)
    try:
        yield page
    finally:
        context.close()
    assert [error for error in errors if not any(part in error for part in allow)] == []

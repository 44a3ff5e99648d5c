"""The browser that measurements of pages use: the system's own Chromium.

Not here: what is measured in it (`page_heap.py`, `overlay_speed.py`).
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager

from playwright.sync_api import Page, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium_path() -> str:
    """Where it is; ends the measurement with a sentence where there is none."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    return found or sys.exit("There is no Chromium on this machine.")


@contextmanager
def page_of(chromium: str, height: int) -> Generator[Page]:
    """A page of the usual width in a browser of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser.new_context(viewport={"width": 1280, "height": height}).new_page()
        browser.close()

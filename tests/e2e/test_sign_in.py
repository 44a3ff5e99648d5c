"""A server with a password, reached under another address than its own: nothing without the password, everything with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.backend.support import wait_for
from tests.e2e.conftest import PICTURES, settled

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest.fixture
def address(browser: Browser, tmp_path: Path) -> Iterator[str]:
    """Where a server on all addresses answers beside 127.0.0.1 (all of 127.0.0.0/8 is this machine)."""
    log = tmp_path / "server.log"
    environment = {
        **os.environ,
        "GLASSBOX_HOME": str(tmp_path / "home"),
        "GLASSBOX_PASSWORD": "correct horse",
        "GLASSBOX_IDLE_SECONDS": "1",
        "PYTHONUNBUFFERED": "1",
    }
    command = [sys.executable, "-m", "llm_core.cli", "--no-browser", "--address", "0.0.0.0"]  # noqa: S104
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
    wait_for("the address", lambda: "Glassbox is at" in log.read_text() or process.poll() is not None)
    port = next(line for line in log.read_text().splitlines() if "Glassbox is at" in line).rpartition(":")[2]
    yield f"http://127.0.0.2:{port}"
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(30) == 0, log.read_text()


def test_a_deep_link_asks_for_the_password_and_then_opens(browser: Browser, address: str) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 900})
    page.goto(f"{address}/monitor")
    expect(page).to_have_url(f"{address}/sign-in?next=%2Fmonitor")
    page.screenshot(path=PICTURES / "sign-in-390.png")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1, name="Monitor")).to_be_visible(timeout=30_000)
    settled(page)
    page.close()

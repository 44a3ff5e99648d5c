"""`pip install glassbox-lm` gives the whole of Glassbox: command, pages, pictures, from any folder, in an empty home."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.packaging.support import ROOT, Installation, fetch, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PAGES = sorted(path.stem for path in (ROOT / "pages").glob("*.py") if path.stem != "main" and path.stem[0] != "_")
# Each page through its own frame, as the browser would open it, without one.
OPEN_EVERY_PAGE = """
import json, sys
from pathlib import Path
from streamlit.testing.v1 import AppTest
from llm_core.cli.dashboard import dashboard_file
pages = dashboard_file().parent / "pages"
seen = {}
for name in sys.argv[1:]:
    app = AppTest.from_file(str(pages / "main.py"), default_timeout=60).run()
    if name != "home":
        app.switch_page(f"{name}.py").run()
    seen[name] = {"titles": [title.value for title in app.title], "faults": [fault.value for fault in app.exception]}
print(json.dumps(seen))
"""


def address(page: str) -> str:
    return "" if page == "home" else page.replace("_", "-")


def test_the_wheel_holds_what_the_dashboard_needs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    dashboard = {name.removeprefix("llm_core/_dashboard/") for name in names if name.startswith("llm_core/_dashboard/")}
    assert {"app.py", ".streamlit/config.toml"} <= dashboard
    for path in (ROOT / "pages").glob("*.py"):
        assert f"pages/{path.name}" in dashboard
    for name in ("favicon.png", "logo.svg", "logo-dark.svg", "wordmark-light.svg", "wordmark-dark.svg"):
        assert f"assets/{name}" in dashboard
    for path in (ROOT / "llm_core").rglob("*"):
        if path.suffix in (".py", ".js") and "_dashboard" not in path.parts:
            assert path.relative_to(ROOT).as_posix() in names
    assert not [name for name in names if name.startswith(("tests/", "pages/", "benchmarks/"))]


def test_the_command_works_outside_a_checkout(installation: Installation) -> None:
    environment = installation.environment
    where = "import llm_core, llm_core.workspace.paths as p; print(llm_core.__file__); print(p.default_root())"
    package, workspace = run([str(installation.python), "-c", where], installation.folder, environment).splitlines()
    assert Path(package).is_relative_to(installation.python.parents[1]), "this very wheel, not the checkout"
    assert Path(workspace) == installation.home / "glassbox"
    listed = run([str(installation.command), "presets", "--json"], installation.folder, environment)
    assert "pocket-gpt" in [preset["name"] for preset in json.loads(listed)]
    assert run([str(installation.command), "--version"], installation.folder, environment).startswith("glassbox 0.")
    command = [str(installation.command), "bench"]
    bench = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert bench.returncode == 2 and "Clone the repository" in bench.stderr
    assert not any(installation.folder.iterdir()), "nothing is left in the folder it was called from"


def test_every_page_opens(dashboard: str, installation: Installation) -> None:
    for page in PAGES:
        assert fetch(f"{dashboard}/{address(page)}") == (200, "text/html; charset=utf-8")
    assert fetch(f"{dashboard}/api/status")[0] == 200
    assert (installation.home / "glassbox").stat().st_mode & 0o077 == 0, "the workspace is private"
    environment = {**installation.environment, "PYTHONWARNINGS": "ignore"}
    command = [str(installation.python), "-c", OPEN_EVERY_PAGE, *PAGES]
    seen = json.loads(run(command, installation.folder, environment).splitlines()[-1])
    for page in PAGES:
        assert len(seen[page]["titles"]) == 1 and not seen[page]["faults"], (page, seen[page])


@pytest.mark.e2e
def test_every_page_opens_in_a_browser(browser: Browser, dashboard: str) -> None:
    page = browser.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda fault: faults.append(str(fault)))
    for name in PAGES:
        page.goto(f"{dashboard}/{address(name)}")
        page.wait_for_selector("h1", timeout=60_000)
        page.wait_for_selector("[data-testid='stApp'][data-test-script-state='notRunning']", timeout=60_000)
        assert page.locator("[data-testid='stException']").count() == 0, name
        assert page.locator("h1").count() == 1, name
    logo = page.locator("[data-testid='stSidebarLogo'], [data-testid='stHeaderLogo']").first
    assert logo.evaluate("image => image.naturalWidth") > 0, "the wordmark is there"
    page.close()
    assert not faults

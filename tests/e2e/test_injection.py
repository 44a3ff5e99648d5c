"""Hostile text wherever text comes from elsewhere: names, a text, a prompt, a vocabulary. It is shown, and none of it runs.

Not here: figures (`tests/test_figure_text.py`), the two components alone (`tests/ui/test_in_browser.py`), sign-in (`test_sign_in.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect
from tokenizers import Tokenizer, models, pre_tokenizers

from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.text.tokenizer_library import import_tokenizer
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.registry import Registry
from tests.cli.support import call
from tests.e2e.conftest import Server, open_page, settled

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

# None of them holds a space, so that each is a token of its own.
HOSTILE = (
    "<script>window.hurt=1</script>",
    "<img/src=x/onerror=window.hurt=1>",
    "<svg/onload=window.hurt=1>",
    "[x](javascript:window.hurt=1)",
    "$\\href{javascript:window.hurt=1}{x}$",
    '"><b/onmouseover=window.hurt=1>b</b>',
    "![x](http://evil.test/x.png)",
    "\u202egnol",
    "\u200bzero",
    "\x1b[31mred",
    "=1+1",
    ":red[x]",
    "%{x}",
    "<!--",
    "{{7*7}}",
)
# What a name may be: printable, without slashes.
RUN_NAME = "<img src=x onerror=window.hurt=1>"
TEXT_NAME = '"><svg onload=window.hurt=1> $x$ [x](javascript:window.hurt=1)'
TOKENIZER_NAME = "<b onmouseover=window.hurt=1>b"
SETTINGS = (
    "data.context_length=32",
    "model.num_layers=1",
    "model.hidden_size=16",
    "model.num_heads=2",
    "training.batch_size=4",
    "training.max_steps=4",
    "training.log_interval=1",
    "training.eval_interval=4",
    "training.eval_tokens=500",
    "training.sample_tokens=20",
)
FOUND = """() => ({
  hurt: window.hurt ?? null,
  handlers: [...document.querySelectorAll('*')].flatMap(node => [...node.attributes])
    .filter(attribute => attribute.name.startsWith('on')).map(attribute => attribute.name),
  links: [...document.querySelectorAll('[href],[src]')].map(node => node.getAttribute('href') || node.getAttribute('src'))
    .filter(address => /^(javascript:|http:\\/\\/evil|data:text)/i.test(address)),
})"""


@pytest.fixture(scope="module")
def hostile_run(server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run with a hostile name, trained on a hostile text that a tokenizer with hostile tokens cut; returns its id."""
    workspace = open_workspace(server.home)
    words = ["<unk>", *HOSTILE, "nul\0nul", "x" * 10**6]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    file = tmp_path_factory.mktemp("evil") / "tokenizer.json"
    tokenizer.save(str(file))
    kept = import_tokenizer(workspace, file, TOKENIZER_NAME)
    text = (" ".join(HOSTILE) + "\n") * 200
    record = import_corpus(workspace, text, ImportOptions(kind="paste", name=TEXT_NAME))
    sets = [
        part
        for value in (f"data.dataset={record.id}", f"data.tokenizer={kept.id}", *SETTINGS)
        for part in ("--set", value)
    ]
    home = ("--workspace", str(server.home))
    done = call(dict(os.environ), *home, "train", "--name", RUN_NAME, *sets, "--foreground", "--json")
    assert done.returncode == 0, done.stderr
    with Registry(workspace) as registry:
        return registry.find(RUN_NAME).id


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """A page that notes each dialog and each request that leaves the server."""
    context = browser.new_context(viewport={"width": 1280, "height": 1600})
    page = context.new_page()
    left: list[str] = []
    page.on("dialog", lambda dialog: (left.append(f"dialog {dialog.message}"), dialog.dismiss()))
    page.on(
        "request",
        lambda request: None if request.url.startswith((server.url, "blob:", "data:")) else left.append(request.url),
    )
    yield page
    context.close()
    assert not left


def test_nothing_hostile_runs_on_any_page(page: Page, server: Server, hostile_run: str) -> None:
    dataset, run, prompt = quote(TEXT_NAME, safe=""), f"run={hostile_run}", quote(" ".join(HOSTILE), safe="")
    for address in (
        "",
        f"data?dataset={dataset}",
        f"tokenizer?dataset={dataset}",
        f"train?dataset={dataset}",
        f"runs?{run}",
    ):
        open_page(page, server, address)
        assert page.evaluate(FOUND) == {"hurt": None, "handlers": [], "links": []}, address
    open_page(page, server, f"monitor?{run}")
    expect(page.locator(".js-plotly-plot").first).to_be_visible(timeout=30_000)
    for tab in page.get_by_role("tab").all():
        tab.click()
        settled(page)
    assert page.evaluate(FOUND) == {"hurt": None, "handlers": [], "links": []}
    open_page(page, server, f"attention?{run}&text={prompt}")
    expect(page.locator(".js-plotly-plot").first).to_be_visible(timeout=60_000)
    assert page.evaluate(FOUND) == {"hurt": None, "handlers": [], "links": []}
    open_page(page, server, f"playground?{run}&text={prompt}")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".gt-token").first).to_be_visible(timeout=60_000)
    page.locator(".gt-token").first.hover()
    expect(page.locator(".gt-card")).to_be_visible()
    assert page.evaluate(FOUND) == {"hurt": None, "handlers": [], "links": []}


def test_a_megabyte_of_prompt_is_refused_in_words(page: Page, server: Server, hostile_run: str) -> None:
    open_page(page, server, f"playground?run={hostile_run}")
    box = page.locator("textarea").first
    box.evaluate(
        "(node, text) => { const set = Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value').set;"
        " set.call(node, text); node.dispatchEvent(new Event('input', { bubbles: true })); }",
        "<img/src=x/onerror=window.hurt=1> " * 30_000,
    )
    box.press("Control+Enter")
    settled(page)
    assert page.evaluate("() => window.hurt ?? null") is None
    expect(page.get_by_test_id("stAlert").first).to_be_visible()

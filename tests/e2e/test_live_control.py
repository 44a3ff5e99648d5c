"""A live run under the hands of a person: changed, paused, resumed, reloaded, forked, sent back; and two tabs that disagree."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from llm_core.backend.jobs import submit_run
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.workspace.checkpoints import list_checkpoints
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.metrics_read import acks, read_points, segments, surviving
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder
from tests.backend.support import tiny, wait_for
from tests.e2e.conftest import Server, open_page, settled

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
ENDLESS = (
    "training.max_steps=1000000",
    "training.eval_interval=1000",
    "training.log_interval=20",
    "training.eval_tokens=200",
)
MARKS = "() => (document.querySelector('.gb-plot')?.data ?? []).filter(trace => trace.meta?.marks).flatMap(trace => trace.text)"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 1200})
    yield context.new_page()
    context.close()


def started(workspace: Workspace, name: str) -> JobRecord:
    """A run that trains until somebody stops it, with a checkpoint behind it."""
    if not workspace.datasets.exists() or not any(workspace.datasets.iterdir()):
        import_corpus(workspace, "the statement is executed " * 400, ImportOptions(name="letters", kind="paste"))
    record = submit_run(workspace, tiny("transformer", f"name={name}", *ENDLESS))
    folder = run_folder(workspace, record.id)
    wait_for("the second checkpoint", lambda: len(list_checkpoints(folder)) > 1, 120)
    return record


def state_of(workspace: Workspace, run_id: str) -> str:
    with Registry(workspace) as registry:
        return registry.get(run_id).state


def test_a_live_run_is_changed_paused_resumed_sent_back_forked_and_fought_over(page: Page, server: Server) -> None:
    workspace = open_workspace(server.home)
    record = started(workspace, "steered")
    folder = run_folder(workspace, record.id)
    open_page(page, server, f"monitor?run={record.id}")
    page.get_by_role("button", name="Change", exact=True).click()
    rate = page.get_by_label("Learning rate", exact=True)
    rate.fill("0.0003")
    rate.press("Enter")
    page.get_by_role("button", name="Change it").click()
    expect(page.get_by_text("Learning rate 0.001 → 0.0003: done at step")).to_be_visible(timeout=30_000)
    (answer,) = acks(folder)
    assert answer.accepted and answer.after == {"optimizer.learning_rate": 0.0003}
    page.wait_for_function(f"() => ({MARKS})().some(text => text.includes('learning'))", timeout=30_000)
    wait_for("the new rate", lambda: read_points(folder, "learning_rate").value[-1] <= 0.0003)

    page.reload()
    settled(page)
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible(timeout=30_000)
    assert state_of(workspace, record.id) == "paused"
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_enabled(timeout=60_000)
    page.reload()
    settled(page)

    def is_past_its_checkpoint() -> bool:
        return read_points(folder, "train_loss").step[-1] > list_checkpoints(folder)[-1].step

    wait_for("steps that can be given up", is_past_its_checkpoint)
    page.get_by_role("button", name="Go back").click()
    page.get_by_role("button", name="Go back and train on").click()
    page.wait_for_function(f"() => ({MARKS})().some(text => text.includes('olled back'))", timeout=60_000)

    def has_ghost() -> bool:
        points = read_points(folder, "train_loss")
        return bool(surviving(points, segments(folder)).sum() < len(points))

    wait_for("the stretch that was given up to be no part of the run", has_ghost)

    page.get_by_role("main").get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_text("Stopped on request").first).to_be_visible(timeout=60_000)
    settled(page)
    page.get_by_role("button", name="Fork", exact=True).click()
    page.get_by_role("button", name="Fork", exact=True).last.dblclick()
    expect(page.get_by_text("steered-fork").first).to_be_visible(timeout=60_000)
    expect(page.get_by_role("tab", name="Family")).to_be_visible()
    settled(page)
    with Registry(workspace) as registry:
        (fork,) = [run for run in registry.jobs("train") if run.name.startswith("steered-fork")]
    wait_for("the fork to train", lambda: len(read_points(run_folder(workspace, fork.id), "train_loss")) > 0)
    two_tabs_stop_it_and_one_resumes_what_was_deleted(page, server, workspace, fork)


def two_tabs_stop_it_and_one_resumes_what_was_deleted(
    page: Page, server: Server, workspace: Workspace, run: JobRecord
) -> None:
    other = page.context.new_page()
    for tab in (page, other):
        open_page(tab, server, f"monitor?run={run.id}")
    # Without looking whether the click has arrived: after the first one the run may end within milliseconds.
    stop = "button => button.click()"
    buttons = [tab.get_by_role("main").get_by_role("button", name="Stop", exact=True) for tab in (page, other)]
    handles = [button.element_handle() for button in buttons]
    for handle in handles:
        handle.evaluate(stop)
    expect(page.get_by_text("Stopped on request").first).to_be_visible(timeout=60_000)
    expect(other.get_by_text("Stopped on request").first).to_be_visible(timeout=60_000)
    with Registry(workspace) as registry:
        registry.delete(run.id)
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("There is no").first).to_be_visible(timeout=30_000)
    settled(other)
    with Registry(workspace) as registry:
        assert run.id not in {kept.id for kept in registry.jobs("train")}, "what is deleted does not come back"

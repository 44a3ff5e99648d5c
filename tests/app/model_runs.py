"""A workspace with a finished run of each family, and a page opened on it: what the tests of the pages that look into models share."""

from __future__ import annotations

from pathlib import Path

from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Widget

from llm_core.backend.jobs import submit_run
from llm_core.backend.worker import run_in_foreground
from llm_core.config.timing import Timing
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.workspace.paths import open_workspace
from tests.backend.support import FAMILIES, tiny

MAIN = Path(__file__).resolve().parents[2] / "pages" / "main.py"
CONTEXT = 96


def train_each_family(home: Path) -> dict[str, str]:
    """Runs named after their families, and one of a Transformer on bytes; their ids by name."""
    workspace = open_workspace(home)
    import_corpus(workspace, "the statement is executed (or not)\n" * 120, ImportOptions(name="letters", kind="paste"))
    configs = {family: tiny(family, f"name={family}", f"data.context_length={CONTEXT}") for family in FAMILIES}
    configs["bytes"] = tiny("transformer", "name=bytes", f"data.context_length={CONTEXT}", "data.tokenizer=byte")
    ids: dict[str, str] = {}
    for name, config in configs.items():
        record = submit_run(workspace, config, foreground=True)
        assert run_in_foreground(workspace, record.id, Timing()).state == "finished"
        ids[name] = record.id
    return ids


def open_page(name: str, **query: str) -> AppTest:
    """The page as a link opens it, the frame around it."""
    app = AppTest.from_file(str(MAIN), default_timeout=120)
    app.run()
    app.switch_page(f"{name}.py")
    for key, value in query.items():
        app.query_params[key] = value
    return rerun(app)


def rerun(changed: AppTest | Widget) -> AppTest:
    """Run the page again, after a widget was changed or as it is, and see that nothing was raised."""
    app = changed.run()
    assert not app.exception, app.exception
    return app


def asked(app: AppTest, name: str) -> str:
    """What the address says."""
    values = app.query_params[name]
    return values if isinstance(values, str) else values[0]

"""Train's choice of tokenizer: every kind by link and by hand, with its size where it has one."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.workspace.paths import Workspace
from tests.app.text_support import MAIN, TEXT, run, workspace

__all__ = ["workspace"]


@pytest.mark.parametrize("name", ["byte", "bpe:300", "wordpiece:400", "unigram:400", "word:50", "word"])
def test_a_link_brings_every_kind(workspace: Workspace, name: str) -> None:
    import_corpus(workspace, TEXT, ImportOptions(name="lines", kind="paste"))
    app = AppTest.from_file(str(MAIN), default_timeout=60)
    app.run()
    app.switch_page("train.py")
    app.query_params["dataset"], app.query_params["tokenizer"] = "lines", name
    run(app)
    assert any(f"data.tokenizer={name}" in block.value for block in app.code)
    box = next(box for box in app.selectbox if box.label == "Tokenizer")
    kind, _, size = name.partition(":")
    assert box.value == ("word:" if name == "word" else kind)
    sizes = [number.value for number in app.number_input if number.label == "Vocabulary, entries"]
    assert sizes == ([int(size)] if size else [])
    box.set_value("unigram")
    run(app)
    assert any("data.tokenizer=unigram:" in block.value for block in app.code)

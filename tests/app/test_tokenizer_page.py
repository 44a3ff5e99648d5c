"""The Tokenizer page: two cuts side by side with honest figures; tokenizers trained, loaded, used and deleted there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.text.tokenizer_library import find_tokenizer, list_tokenizers, train_tokenizer
from llm_core.text.tokenizers import train_bpe
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry
from tests.app.text_support import MAIN, TEXT, run, run_until, workspace

__all__ = ["workspace"]


def open_page(**query: str) -> AppTest:
    app = AppTest.from_file(str(MAIN), default_timeout=60)
    app.run()
    app.switch_page("tokenizer.py")
    for key, value in query.items():
        app.query_params[key] = value
    return run(app)


def shown_tokens(app: AppTest, side: int) -> list[dict[str, Any]]:
    views = app.get("bidi_component")
    return json.loads(views[side].proto.json)["tokens"]


def figures(app: AppTest, side: int) -> dict[str, str]:
    metrics = app.metric[4 * side : 4 * side + 4]
    return {metric.label: metric.value for metric in metrics}


def test_a_text_is_cut_by_two_tokenizers_with_their_figures(workspace: Workspace) -> None:
    app = open_page(left="text", right="byte", text="你好 ab")
    assert app.text_area(key="sample").value == "你好 ab"
    assert [token["text"] for token in shown_tokens(app, 0)] == ["你", "好", " ", "a", "b"]
    assert shown_tokens(app, 1)[0] == {"text": "⟨E4⟩", "bytes": "E4", "id": 0xE4}
    assert figures(app, 0) == {"Tokens": "5", "Bytes per token": "1.80", "Unknown": "0 %", "Vocabulary": "5"}
    assert figures(app, 1) == {"Tokens": "9", "Bytes per token": "1.00", "Unknown": "0 %", "Vocabulary": "256"}
    assert any("256 × 128 = 32,768 parameters" in caption.value for caption in app.caption)
    app.number_input(key="model-width").set_value(64)
    run(app)
    assert any("256 × 64 = 16,384 parameters" in caption.value for caption in app.caption)


def test_what_a_tokenizer_does_not_know_is_said(workspace: Workspace) -> None:
    record = import_corpus(workspace, "abcabc " * 40, ImportOptions(name="letters", kind="paste"))
    app = open_page(left=f"char:{record.id}", right="byte", text="ab你é")
    assert figures(app, 0)["Unknown"] == "50.0 %"
    assert "你" in app.warning[0].value and "U\\+4F60" in app.warning[0].value
    tokens = shown_tokens(app, 0)
    assert [("id" in token, token["text"]) for token in tokens] == [
        (True, "a"),
        (True, "b"),
        (False, "你"),
        (False, "é"),
    ]


def test_a_link_to_no_tokenizer_says_so(workspace: Workspace) -> None:
    app = open_page(left="nothing-like-it", right="byte")
    assert "There is no tokenizer" in app.warning[0].value and "Bytes" in app.warning[0].value
    app.button(key="instead-cut-left").click()
    run(app)
    assert not app.warning
    assert app.query_params["left"] == "text"


def test_a_tokenizer_is_trained_with_progress_shown_used_and_deleted(workspace: Workspace) -> None:
    import_corpus(workspace, TEXT, ImportOptions(name="lines", kind="paste"))
    app = open_page(dataset="lines")
    assert app.selectbox(key="tokenizer-text-lines-0").value == "lines"
    app.number_input(key="tokenizer-size-0").set_value(300)
    app.text_input(key="tokenizer-name-0").set_value("small")
    app.button(key="tokenizer-train-0").click()
    run(app)
    run_until(app, lambda: app.success)
    record = find_tokenizer(workspace, "small")
    assert (record.kind, record.vocabulary_size, record.dataset_name) == ("bpe", 300, "lines")
    assert app.selectbox(key="cut-right").value == record.id
    assert app.query_params["right"] == record.id
    assert app.selectbox(key="kept-tokenizer").value == record.id
    merges = app.dataframe[-1].value
    assert len(merges) == 300 - 257
    assert merges["new token"].iloc[0] == "".join(merges.iloc[0][["left", "right"]])
    links = {link.proto.label: link.proto.query_string for link in app.main.get("page_link")}
    assert links["Train a model with it"] == "tokenizer=small&dataset=lines"
    app.checkbox(key=f"drop-sure-{record.id}").check()
    run(app)
    app.button(key=f"drop-{record.id}").click()
    run(app)
    assert list_tokenizers(workspace) == []
    assert any("small was deleted" in message.value for message in app.success)


def test_a_small_text_says_that_it_has_no_more_pairs(workspace: Workspace) -> None:
    import_corpus(workspace, "ab ab ab " * 40, ImportOptions(name="tiny", kind="paste"))
    app = open_page(dataset="tiny")
    app.button(key="tokenizer-train-0").click()
    run(app)
    run_until(app, lambda: app.success)
    assert "entries of the 1,000 asked for" in app.success[0].value


def test_a_name_that_is_taken_is_said_at_the_click(workspace: Workspace) -> None:
    import_corpus(workspace, TEXT, ImportOptions(name="lines", kind="paste"))
    train_tokenizer(workspace, "lines", "byte", name="taken")
    app = open_page(dataset="lines")
    for name, words in {"taken": "has this name", "../up": "cannot hold the character", "char": "on the fly"}.items():
        app.text_input(key="tokenizer-name-0").set_value(name)
        app.button(key="tokenizer-train-0").click()
        run(app)
        assert words in app.error[0].value
    with Registry(workspace) as registry:
        assert registry.jobs("tokenizer") == []


def test_a_tokenizer_file_is_loaded_by_upload(workspace: Workspace) -> None:
    app = open_page()
    content = train_bpe([TEXT], 280).to_json().encode()
    app.file_uploader(key="tokenizer-file-0").set_value(("tokenizer.json", content, "application/json"))
    app.text_input(key="tokenizer-load-name-0").set_value("loaded")
    run(app)
    app.button(key="tokenizer-load-0").click()
    run(app)
    run_until(app, lambda: app.success)
    assert find_tokenizer(workspace, "loaded").origin == "imported"


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "empty"), (b"\x80\x04pickle", "not UTF"), (b'{"vocab": {}}', "has no"), (b"{broken", "no JSON")],
)
def test_a_file_that_is_no_tokenizer_is_named(workspace: Workspace, content: bytes, words: str) -> None:
    app = open_page()
    app.file_uploader(key="tokenizer-file-0").set_value(("tokenizer.json", content, "application/json"))
    run(app)
    app.button(key="tokenizer-load-0").click()
    run(app)
    run_until(app, lambda: app.error)
    assert words in app.error[0].value.replace("\\", "")
    assert list_tokenizers(workspace) == []


def test_a_tokenizer_by_path_only_from_the_folders(workspace: Workspace, tmp_path: Path) -> None:
    outside = tmp_path / "tokenizer.json"
    outside.write_text(train_bpe([TEXT], 280).to_json(), encoding="utf-8")
    app = open_page()
    app.text_input(key="tokenizer-path-0").set_value(str(outside))
    app.button(key="tokenizer-load-0").click()
    run(app)
    assert "outside the import folders" in app.error[0].value
    inside = tmp_path / "books" / "mine.json"
    outside.rename(inside)
    app.text_input(key="tokenizer-path-0").set_value(str(inside))
    app.button(key="tokenizer-load-0").click()
    run(app)
    run_until(app, lambda: app.success)
    assert find_tokenizer(workspace, "mine").vocabulary_size == 280


def test_merges_are_watched_one_by_one(workspace: Workspace) -> None:
    import_corpus(workspace, "the cat the hat " * 40, ImportOptions(name="cats", kind="paste"))
    app = open_page(text="the cat", learn="cats", merges="3")
    assert app.number_input(key="lesson-merges").value == 3
    merges = app.dataframe[0].value
    assert merges["merge"].tolist() == [3, 2, 1]
    assert merges.iloc[-1].tolist()[1:] == ["t", "h", "th", 80]
    assert [token["text"] for token in shown_tokens(app, 2)] == ["the", " ", "c", "at"]
    app.slider[0].set_value(0)
    run(app)
    assert "".join(token["text"] for token in shown_tokens(app, 2)) == "the cat"
    assert len(shown_tokens(app, 2)) == 7
    assert any("all 640 characters of cats" in caption.value for caption in app.caption)
    app.selectbox(key="lesson-source").set_value("text")
    run(app)
    assert app.query_params["learn"] == "text"


@pytest.mark.parametrize("kind", ["wordpiece", "unigram", "word"])
def test_every_kind_is_trained_from_the_form(workspace: Workspace, kind: str) -> None:
    import_corpus(workspace, TEXT, ImportOptions(name="lines", kind="paste"))
    app = open_page(dataset="lines")
    app.segmented_control(key="tokenizer-kind-0").set_value(kind)
    run(app)
    app.number_input(key=f"tokenizer-size-{kind}-0").set_value(300)
    app.button(key="tokenizer-train-0").click()
    run(app)
    run_until(app, lambda: app.success)
    record = find_tokenizer(workspace, f"{kind}-300 lines")
    assert record.kind == kind and record.vocabulary_size <= 300
    assert app.selectbox(key="cut-right").value == record.id
    assert any("no merges" in caption.value for caption in app.caption)

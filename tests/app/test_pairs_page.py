"""Pairs on the Data page: choosing two columns, seeing both before and after the import, and what is wrong said at the click."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from llm_core.config.presets import find_preset
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import find_dataset, import_corpus, list_datasets, open_documents
from llm_core.text.pairs import split_pair
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry
from tests.app.text_support import MAIN, run, run_until, workspace

__all__ = ["workspace"]

PAIRS = [(f"source {number}\nof two lines", f"第{number}个回答") for number in range(40)]


def table() -> bytes:
    rows = [{"zh": answer, "id": str(number), "en": source} for number, (source, answer) in enumerate(PAIRS)]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def open_page(**query: str) -> AppTest:
    app = AppTest.from_file(str(MAIN), default_timeout=60)
    app.run()
    app.switch_page("data.py")
    for key, value in query.items():
        app.query_params[key] = value
    return run(app)


def upload(app: AppTest, name: str = "words.jsonl", content: bytes | None = None) -> None:
    app.file_uploader(key="import-upload-0").set_value((name, table() if content is None else content, "text/plain"))
    run(app)


def test_two_columns_are_chosen_seen_imported_and_shown_side_by_side(workspace: Workspace) -> None:
    app = open_page()
    upload(app)
    answer = app.selectbox(key="import-target-0")
    assert (answer.value, answer.options) == ("", ["None", "id", "en"])
    assert app.dataframe[0].value["zh"].tolist() == [answer for _, answer in PAIRS[:3]]
    app.selectbox(key="import-column-0").set_value("en")
    run(app)
    assert app.selectbox(key="import-target-0").options == ["None", "zh", "id"]
    app.selectbox(key="import-target-0").set_value("zh")
    run(app)
    assert [code.value for code in app.code[:4]] == [*PAIRS[0], *PAIRS[1]]
    assert any("Reading “en”, a model is to write “zh”" in caption.value for caption in app.caption)
    app.button(key="import-0").click()
    run(app)
    run_until(app, lambda: app.success)
    assert [split_pair(document) for document in open_documents(workspace, "words")] == PAIRS
    assert [code.value for code in app.code[:4]] == [*PAIRS[0], *PAIRS[1]]
    assert any("40 pairs" in str(words) for words in app.radio(key="dataset").proto.captions)


def test_pairs_are_counted_and_split_as_pairs(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "books" / "words.jsonl"
    path.write_bytes(table())
    import_corpus(workspace, path, ImportOptions(text_column="en", target_column="zh"))
    app = open_page(dataset="words")
    app.session_state["corpus-tab"] = "Numbers"
    run(app)
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics["Pairs"] == "40" and "Repeated pairs" in metrics
    said = "\n".join(element.value for element in app.markdown)
    sources, answers = (sum(len(pair[side]) for pair in PAIRS) for side in (0, 1))
    assert f"**Source**: {sources:,} characters, the longest 22" in said
    assert f"**Answer**: {answers:,} characters, the longest 6" in said
    app.session_state["corpus-tab"] = "Clean and split"
    run(app)
    assert any("one a row" in element.value for element in app.markdown)
    assert any(" pairs" in metric.value for metric in app.metric)
    shown = app.dataframe[0].value
    assert list(shown.columns) == ["pair", "part", "source", "answer"]
    assert shown["answer"].tolist()[0] == PAIRS[0][1]
    assert not app.warning


def test_a_table_by_path_shows_its_rows_too(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "books" / "words.jsonl"
    path.write_bytes(table())
    app = open_page()
    app.segmented_control(key="import-from-0").set_value("path")
    run(app)
    app.text_input(key="import-path-0").set_value(str(path))
    run(app)
    app.selectbox(key="import-target-0").set_value("en")
    run(app)
    assert [code.value for code in app.code[:2]] == [PAIRS[0][1], PAIRS[0][0]]
    app.button(key="import-0").click()
    run(app)
    run_until(app, lambda: app.success)
    assert find_dataset(workspace, "words").is_pairs


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"en": "a", "zh": "b"}\n{"en": "c", "zh": ""}\n', "Line 2: “zh” is empty"),
        (b'{"en": "a", "zh": "b"}\n', "One pair is not enough"),
        (b'{"en": "a", "zh": "b"}\n{"en": "c\\u001e", "zh": "d"}\n', "U+001E at character 2"),
    ],
)
def test_a_bad_table_of_pairs_is_said_with_its_place(workspace: Workspace, content: bytes, message: str) -> None:
    app = open_page()
    upload(app, content=content)
    app.selectbox(key="import-target-0").set_value("zh")
    app.button(key="import-0").click()
    run(app)
    run_until(app, lambda: app.error)
    assert message in app.error[0].value.replace("\\", "")
    assert [record.name for record in list_datasets(workspace) if not record.builtin] == []


def test_what_would_take_pairs_apart_is_refused_at_the_click(workspace: Workspace) -> None:
    app = open_page()
    upload(app)
    app.selectbox(key="import-target-0").set_value("en")
    run(app)
    app.selectbox(key="import-cleaning-0-duplicates").set_value("line")
    app.button(key="import-0").click()
    run(app)
    assert "half of their text" in app.error[0].value
    with Registry(workspace) as registry:
        assert registry.jobs("import") == []


def test_text_and_tables_of_one_column_ask_for_no_answer(workspace: Workspace) -> None:
    app = open_page()
    assert all(select.key != "import-target-0" for select in app.selectbox)
    upload(app, "lines.csv", b"text\none\ntwo\n")
    assert app.selectbox(key="import-column-0").options == ["text"]
    assert all(select.key != "import-target-0" for select in app.selectbox)
    assert app.dataframe[0].value["text"].tolist() == ["one", "two"]


def test_reversed_words_are_made_by_one_button_and_say_what_to_look_for(workspace: Workspace) -> None:
    app = open_page(dataset="synthetic-reversal")
    assert any("Cross attention" in caption.value for caption in app.caption)
    app.button(key="make-synthetic-reversal").click()
    run(app)
    run_until(app, lambda: app.success)
    source, answer = (code.value for code in app.code[:2])
    assert answer == source[::-1]
    app.session_state["corpus-tab"] = "Use it"
    run(app)
    assert any("--target-column" in code.value for code in app.code)
    links = [element.proto.query_string for element in app.get("page_link")]
    assert any("dataset=synthetic-reversal" in link and "preset=transformer-2017" in link for link in links)
    config = find_preset("transformer-2017").config
    assert (config.data.dataset, config.objective.kind) == ("synthetic-reversal", "sequence-to-sequence")

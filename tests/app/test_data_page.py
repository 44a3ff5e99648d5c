"""The Data page: real texts through the page, by every way in; what goes wrong is said there and leaves nothing."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from llm_core.backend.text_jobs import runs_on
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import find_dataset, import_corpus, list_datasets, open_documents
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry
from tests.app.text_support import MAIN, TEXT, run, run_until, workspace

__all__ = ["workspace"]


def open_page(**query: str) -> AppTest:
    app = AppTest.from_file(str(MAIN), default_timeout=60)
    app.run()
    app.switch_page("data.py")
    for key, value in query.items():
        app.query_params[key] = value
    return run(app)


def choose(app: AppTest, place: str) -> None:
    app.segmented_control(key="import-from-0").set_value(place)
    run(app)


def imported(workspace: Workspace) -> list[str]:
    return [record.name for record in list_datasets(workspace) if not record.builtin]


def test_a_pasted_text_is_imported_chosen_and_shown(workspace: Workspace) -> None:
    app = open_page()
    choose(app, "paste")
    app.text_area(key="import-paste-0").set_value(TEXT)
    app.text_input(key="import-name-paste-0").set_value("my lines")
    app.button(key="import-0").click()
    run(app)
    run_until(app, lambda: app.success)
    assert "my lines is ready" in app.success[0].value
    assert app.query_params["dataset"] == "my lines"
    assert app.radio(key="dataset").value == "my lines"
    assert app.code[0].value == TEXT[:4096]
    assert list(open_documents(workspace, "my lines")) == [TEXT]


def test_an_upload_is_imported_with_its_column_and_its_copy_is_gone(workspace: Workspace) -> None:
    app = open_page()
    table = "id,story\n" + "".join(f'{number},"{number} times\nupon a time"\n' for number in range(60))
    app.file_uploader(key="import-upload-0").set_value(("tales.csv", table.encode(), "text/csv"))
    run(app)
    assert app.selectbox(key="import-column-0").options == ["id", "story"]
    app.selectbox(key="import-column-0").set_value("story")
    app.button(key="import-0").click()
    run(app)
    run_until(app, lambda: app.success)
    record = find_dataset(workspace, "tales")
    assert (record.documents, record.source) == (60, "tales.csv")


def test_a_chinese_file_by_path_is_looked_at_counted_and_split(workspace: Workspace, tmp_path: Path) -> None:
    story = "话说天下大势,分久必合,合久必分。\r\n" * 300
    (tmp_path / "books" / "story.txt").write_bytes(story.encode())
    app = open_page()
    choose(app, "path")
    app.text_input(key="import-path-0").set_value(str(tmp_path / "books" / "story.txt"))
    app.button(key="import-0").click()
    run(app)
    run_until(app, lambda: app.success)
    app.toggle(key="look-white-space").set_value(True)
    run(app)
    assert app.code[0].value.startswith("话说天下大势,分久必合,合久必分。⏎\n")
    app.session_state["corpus-tab"] = "Numbers"
    run(app)
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics["Characters"] == f"{len(story) - 300:,}"
    assert metrics["Bytes (UTF-8)"] == f"{len(story.replace(chr(13), '').encode()):,}"
    assert "久" in list(app.dataframe[0].value["word"])
    app.session_state["corpus-tab"] = "Clean and split"
    run(app)
    assert "300 written as Unix line ends" in "\n".join(element.value for element in app.markdown).replace("\\", "")
    characters = len(story) - 300
    assert f"{int(0.9 * characters):,} characters" in [metric.value for metric in app.metric]
    assert app.code[0].value.endswith(story.replace("\r", "")[: int(0.9 * characters)][-20:])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", r"empty \(0 bytes\)"),
        ("a.txt", b"x", "too short for one validation window"),
        ("a.txt", b"\xff\xfeh\0i\0", "UTF-16LE"),
        ("a.txt", "naïve café\n".encode("latin-1") * 40, "windows-1252"),
        ("a.txt", b"\x80\x04\x95rest", "pickle"),
        ("a.jsonl", b'{"body": "x"}\n[', "Line 2"),
    ],
)
def test_a_bad_upload_is_named_on_the_page_and_leaves_nothing(
    workspace: Workspace, name: str, content: bytes, message: str
) -> None:
    app = open_page()
    app.file_uploader(key="import-upload-0").set_value((name, content, "text/plain"))
    run(app)
    app.button(key="import-0").click()
    run(app)
    run_until(app, lambda: app.error)
    assert re.search(message, app.error[0].value.replace("\\", ""))
    assert imported(workspace) == []
    app.button(key=f"close-{Registry(workspace).jobs('import')[0].id}").click()
    run(app)
    assert not app.error


def test_a_zip_named_txt_is_called_a_zip(workspace: Workspace) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("text.txt", TEXT)
    app = open_page()
    app.file_uploader(key="import-upload-0").set_value(("book.txt", buffer.getvalue(), "text/plain"))
    run(app)
    app.button(key="import-0").click()
    run(app)
    run_until(app, lambda: app.error)
    assert "zip archive" in app.error[0].value and "Unpack it" in app.error[0].value


@pytest.mark.parametrize("name", ["../up", "a\0b", "x" * 300])
def test_a_bad_name_is_refused_at_the_click(workspace: Workspace, name: str) -> None:
    app = open_page()
    choose(app, "paste")
    app.text_area(key="import-paste-0").set_value(TEXT)
    app.text_input(key="import-name-paste-0").set_value(name)
    app.button(key="import-0").click()
    run(app)
    assert "name" in app.error[0].value
    assert imported(workspace) == []
    with Registry(workspace) as registry:
        assert registry.jobs("import") == []


@pytest.mark.parametrize("place", ["outside", "link", "dots", "nothing"])
def test_a_path_outside_the_folders_is_refused_whether_it_exists_or_not(
    workspace: Workspace, tmp_path: Path, place: str
) -> None:
    secret = tmp_path / "secret.txt"
    if place != "nothing":
        secret.write_text(TEXT, encoding="utf-8")
    (tmp_path / "books" / "link.txt").symlink_to(secret)
    typed = {"link": "books/link.txt", "dots": "books/../secret.txt"}.get(place, "secret.txt")
    app = open_page()
    choose(app, "path")
    app.text_input(key="import-path-0").set_value(str(tmp_path) + "/" + typed)
    app.button(key="import-0").click()
    run(app)
    assert "outside the import folders" in app.error[0].value
    assert imported(workspace) == []


def test_without_folders_there_is_no_path(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLASSBOX_IMPORT_ROOTS", "")
    app = open_page()
    choose(app, "path")
    assert app.text_input(key="import-path-0").disabled
    assert any("switched off" in caption.value for caption in app.caption)


@pytest.mark.parametrize("place", ["path", "upload"])
def test_an_import_is_cancelled_and_leaves_nothing(workspace: Workspace, tmp_path: Path, place: str) -> None:
    content = "".join(TEXT.replace("Line", f"Line {number}") * 40 for number in range(60))
    path = tmp_path / "books" / "large.txt"
    path.write_text(content, encoding="utf-8")
    app = open_page()
    choose(app, place)
    if place == "path":
        app.text_input(key="import-path-0").set_value(str(path))
    else:
        app.file_uploader(key="import-upload-0").set_value(("large.txt", content.encode(), "text/plain"))
        run(app)  # the button wakes up once the file is here
    app.button(key="import-0").click()
    run(app)
    again = open_page()  # a reload, or a second tab: the work is there too
    job = Registry(workspace).jobs("import")[0]
    again.button(key=f"cancel-{job.id}").click()
    run(again)
    run_until(again, lambda: any("was cancelled" in element.value for element in again.info))
    assert imported(workspace) == []
    assert [path.name for path in workspace.datasets.iterdir()] == []


def test_a_built_in_text_is_made_by_one_button(workspace: Workspace) -> None:
    app = open_page(dataset="synthetic-addition")
    assert not app.code or "+" not in app.code[0].value
    app.button(key="make-synthetic-addition").click()
    run(app)
    run_until(app, lambda: app.success)
    assert find_dataset(workspace, "synthetic-addition").materialised
    assert app.query_params["dataset"] == "synthetic-addition"
    assert "+" in app.code[0].value


def test_a_link_to_no_text_says_so_and_what_there_is(workspace: Workspace) -> None:
    app = open_page(dataset="nothing-like-it")
    assert "nothing" in app.warning[0].value and "python" in app.warning[0].value
    assert not app.radio
    app.button(key="instead-dataset").click()
    run(app)
    assert app.query_params["dataset"] == "python-reference"


def test_deleting_asks_says_what_is_freed_and_forgets(workspace: Workspace) -> None:
    import_corpus(workspace, TEXT, ImportOptions(name="mine", kind="paste"))
    app = open_page(dataset="mine")
    app.session_state["corpus-tab"] = "Use it"
    run(app)
    identifier = find_dataset(workspace, "mine").id
    assert any("frees" in element.value for element in app.markdown)
    assert app.button(key=f"delete-{identifier}").disabled
    app.checkbox(key=f"delete-sure-{identifier}").check()
    run(app)
    app.button(key=f"delete-{identifier}").click()
    run(app)
    assert "mine was deleted" in app.success[0].value
    assert imported(workspace) == []
    assert app.query_params["dataset"] == "python-reference"


def test_a_text_that_a_waiting_run_needs_is_kept(workspace: Workspace) -> None:
    record = import_corpus(workspace, TEXT, ImportOptions(name="mine", kind="paste"))
    with Registry(workspace) as registry:
        waiting = registry.add("train", "waiting", {"data": {"dataset": "mine"}}, foreground=True)
    app = open_page(dataset="mine")
    app.session_state["corpus-tab"] = "Use it"
    run(app)
    app.checkbox(key=f"delete-sure-{record.id}").check()
    run(app)
    app.button(key=f"delete-{record.id}").click()
    run(app)
    assert "A run that is not finished needs this text" in app.error[0].value
    assert imported(workspace) == ["mine"]
    assert [run.id for run in runs_on(workspace, "mine")] == [waiting.id]

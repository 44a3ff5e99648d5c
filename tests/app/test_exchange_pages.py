"""Bringing a model on Data and exporting one on Runs, through the pages and real workers."""

from __future__ import annotations

from pathlib import Path

from streamlit.testing.v1 import AppTest

from llm_core.backend.exchange_jobs import exports_folder, exports_of
from llm_core.backend.run_archive import write_archive
from llm_core.config.run import RunConfig
from llm_core.workspace.metrics import MetricsWriter
from llm_core.workspace.metrics_read import read_points
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import prepare_run_folder, run_folder
from tests.app.text_support import MAIN, run, run_until, workspace
from tests.models.huggingface.support import change_config, load, save
from tests.models.huggingface.wide_forms import model_of, tokenizer_of

__all__ = ["workspace"]


def open_page(page: str, **query: str) -> AppTest:
    app = AppTest.from_file(str(MAIN), default_timeout=60)
    app.run()
    app.switch_page(page)
    for key, value in query.items():
        app.query_params[key] = value
    return run(app)


def said(app: AppTest) -> str:
    kinds = ("caption", "markdown", "error", "warning", "success", "info")
    return "\n".join(element.value for kind in kinds for element in app.get(kind)).replace("\\", "")


def the_run(workspace: Workspace) -> str:
    with Registry(workspace) as registry:
        (record,) = registry.jobs("train")
    return record.id


def test_a_model_comes_in_and_goes_out_again(workspace: Workspace, tmp_path: Path) -> None:
    folder = save(model_of("modernbert"), tmp_path / "books" / "tiny", tokenizer_of("modernbert"))
    app = open_page("data.py")
    app.text_input(key="import-model-folder-0").set_value(str(folder))
    app.text_input(key="import-model-name-0").set_value("brought")
    app.button(key="import-model-0").click()
    run(app)
    run_until(app, lambda: app.success)
    assert "brought is ready" in said(app) and "brought** · ModernBertForMaskedLM" in said(app)
    assert any("load_checkpoint_model" in block.value and the_run(workspace) in block.value for block in app.code)
    assert [link.proto.query_string for link in app.main.get("page_link") if link.proto.label == "Talk to it"] == [
        f"run={the_run(workspace)}"
    ]
    app.button(key="close-imported-model").click()
    run(app)
    assert not any("load_checkpoint_model" in block.value for block in app.code[:-1])

    run_id = the_run(workspace)
    app = open_page("runs.py", run=run_id)
    assert app.segmented_control(key=f"export-format-{run_id}").options == ["Hugging Face folder"]
    app.button(key=f"export-now-{run_id}-0").click()
    run(app)
    run_until(
        app, lambda: exports_of(workspace, run_id) and any("from_pretrained" in block.value for block in app.code)
    )
    (export,) = exports_of(workspace, run_id)
    assert any(block.value == str(export.path) for block in app.code)
    lines = next(block.value for block in app.code if "from_pretrained" in block.value)
    assert f"folder = {str(export.path)!r}" in lines and "AutoModelForMaskedLM.from_pretrained(folder)" in lines
    assert type(load(export.path)).__name__ == "ModernBertForMaskedLM"
    app.button(key=f"delete-{export.job_id}").click()
    run(app)
    assert list(exports_folder(workspace).iterdir()) == []
    assert not any("from_pretrained" in block.value for block in app.code)


def test_a_run_of_another_workspace_comes_in_with_its_curve(workspace: Workspace, tmp_path: Path) -> None:
    elsewhere = open_workspace(tmp_path / "elsewhere")
    with Registry(elsewhere) as registry:
        record = registry.add("train", "far away", RunConfig(name="far away").model_dump(mode="json"))
    folder = prepare_run_folder(elsewhere, record)
    with MetricsWriter(folder, "000001-a") as writer:
        writer.point("train_loss", 1, 100, 0.5, 2.5)
    write_archive(folder, tmp_path / "run.zip")
    app = open_page("data.py")
    app.segmented_control(key="import-model-from-0").set_value("run")
    run(app)
    app.file_uploader(key="import-model-zip-0").set_value(
        ("run.zip", (tmp_path / "run.zip").read_bytes(), "application/zip")
    )
    app.text_input(key="import-model-name-0").set_value("near")
    run(app)
    app.button(key="import-model-0").click()
    run(app)
    run_until(app, lambda: app.success)
    assert "near is ready" in said(app) and "near** · Transformer" in said(app)
    assert the_run(workspace) == record.id
    assert read_points(run_folder(workspace, record.id), "train_loss").value.tolist() == [2.5]
    assert not list((workspace.root / "uploads").iterdir()), "the copy is gone"


def test_refusals_are_said_at_the_click_and_failures_by_the_job(workspace: Workspace, tmp_path: Path) -> None:
    folder = save(model_of("bert"), tmp_path / "books" / "tiny", tokenizer_of("bert"))
    change_config(folder, hidden_act="relu")
    app = open_page("data.py")
    for typed, words in (
        (str(folder), 'hidden_act = "relu"'),
        ("/etc", "outside the import folders"),
        ("", "not complete"),
    ):
        app.text_input(key="import-model-folder-0").set_value(typed)
        app.button(key="import-model-0").click()
        run(app)
        assert words in app.error[0].value.replace("\\", "")
    change_config(folder, hidden_act="gelu")
    (folder / "model.safetensors").write_bytes(b"\x80\x04no tensors at all")
    app.text_input(key="import-model-folder-0").set_value(str(folder))
    app.button(key="import-model-0").click()
    run(app)
    run_until(app, lambda: app.error)
    assert "pickled weights, which could run code" in app.error[0].value.replace("\\", "")
    with Registry(workspace) as registry:
        assert registry.jobs("train") == []


def test_a_hub_name_without_a_connection_is_said(workspace: Workspace) -> None:
    app = open_page("data.py")
    app.segmented_control(key="import-model-from-0").set_value("hub")
    run(app)
    app.text_input(key="import-model-hub-0").set_value("not a name")
    app.button(key="import-model-0").click()
    run(app)
    assert "cannot be the name of a model on the Hub" in app.error[0].value.replace("\\", "")
    app.text_input(key="import-model-hub-0").set_value("nobody-has-this/model-of-no-one")
    app.button(key="import-model-0").click()
    run(app)
    run_until(app, lambda: app.error)
    assert "Hub" in app.error[0].value and "give the folder" in app.error[0].value

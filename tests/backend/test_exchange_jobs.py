"""Models in and out as jobs: what is refused at the click, what the worker does and looks at again, what is left when it is stopped."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from llm_core.backend.exchange_jobs import (
    delete_export,
    export_run,
    exports_folder,
    exports_of,
    import_model_folder,
    import_model_hub,
)
from llm_core.backend.jobs import submit_run
from llm_core.backend.run_commands import resume_run
from llm_core.backend.worker import run_in_foreground
from llm_core.config.errors import NameTaken, NotFound, Refused, UserError
from llm_core.config.timing import Timing
from llm_core.models.export_formats import FORMATS, formats_of, lines_of_python
from llm_core.models.huggingface.import_model import import_model
from llm_core.workspace.job_progress import request_cancel
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry
from tests.backend.support import tiny, wait_for
from tests.models.huggingface.support import TEXT, bpe_tokenizer, change_config, checkpoint_of, load, save
from tests.models.huggingface.wide_forms import model_of, theirs, tokenizer_of, tokens


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder that pages may read, with BERT in it."""
    save(model_of("bert"), tmp_path / "models" / "tiny bert", tokenizer_of("bert"))
    return tmp_path / "models"


def do(workspace: Workspace, kind: str, config: dict[str, Any], *, cancel: bool = False) -> JobRecord:
    with Registry(workspace) as registry:
        job = registry.add(kind, "job", config, foreground=True)
    if cancel:
        request_cancel(workspace, job.id)
    return run_in_foreground(workspace, job.id, Timing())


def runs(workspace: Workspace) -> list[str]:
    with Registry(workspace) as registry:
        return [run.name for run in registry.jobs("train")]


def imported(workspace: Workspace, models: Path) -> str:
    return import_model(workspace, str(models / "tiny bert")).run_id


def test_a_queued_import_becomes_a_finished_run(workspace: Workspace, models: Path) -> None:
    """By a supervisor and a worker of their own, as from the page."""
    job = import_model_folder(workspace, str(models / "tiny bert"), [models], "brought")

    def ended() -> JobRecord | None:
        with Registry(workspace) as registry:
            record = registry.get(job.id)
        return record if record.is_final else None

    wait_for("the import", ended)
    record = ended()
    assert record is not None and record.state == "finished", record
    assert (record.result["run_name"], record.result["class"]) == ("brought", "BertForMaskedLM")
    with Registry(workspace) as registry:
        assert registry.get(record.result["run_id"]).state == "finished"


def test_what_is_wrong_at_the_click_is_refused_there(workspace: Workspace, models: Path, tmp_path: Path) -> None:
    bert = models / "tiny bert"
    (models / "empty").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (models / "link").symlink_to(tmp_path / "elsewhere")
    for typed in (tmp_path / "elsewhere", models / "link", models / "../elsewhere", workspace.root):
        with pytest.raises(Refused, match="outside the import folders"):
            import_model_folder(workspace, str(typed), [models])
    with pytest.raises(Refused, match="reads no files by path"):
        import_model_folder(workspace, str(bert), [])
    with pytest.raises(NotFound, match="no such folder"):
        import_model_folder(workspace, str(models / "nowhere"), [models])
    with pytest.raises(UserError, match="This is a file"):
        import_model_folder(workspace, str(bert / "config.json"), [models])
    with pytest.raises(UserError, match=r"has no config\.json"):
        import_model_folder(workspace, str(models / "empty"), [models])
    imported(workspace, models)
    with pytest.raises(NameTaken):
        import_model_folder(workspace, str(bert), [models], "tiny bert")
    change_config(bert, hidden_act="relu")
    with pytest.raises(UserError, match='hidden_act = "relu"'):
        import_model_folder(workspace, str(bert), [models])
    for name in ("", "../secrets", "a/b/c", "/etc", "owner/na me"):
        with pytest.raises(UserError, match="cannot be the name of a model on the Hub"):
            import_model_hub(workspace, name)
    with Registry(workspace) as registry:
        assert registry.jobs("import") == []


def test_a_folder_that_became_a_link_to_elsewhere_is_refused_by_the_worker(workspace: Workspace, models: Path) -> None:
    (models / "tiny bert").rename(models.parent / "secret")
    (models / "tiny bert").symlink_to(models.parent / "secret")
    config = {"model": {"folder": str(models / "tiny bert"), "roots": [str(models)]}, "name": ""}
    job = do(workspace, "import", config)
    assert (job.state, runs(workspace)) == ("failed", [])
    assert "outside the import folders" in job.reason and job.remedy


def test_a_hub_name_is_never_a_folder_of_the_worker(
    workspace: Workspace, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where one of that name lies in the folder it works in; and without a connection the message says so."""
    monkeypatch.chdir(models.parent)
    job = do(workspace, "import", {"model": {"hub": "models/tiny-bert"}, "name": ""})
    assert job.state == "failed" and "Hub" in job.reason and "no such folder" not in job.reason
    assert "give the folder" in job.remedy
    assert list((workspace.root / "downloads").iterdir()) == []


@pytest.mark.parametrize("kind", ["import", "export"])
def test_a_cancelled_job_leaves_nothing(kind: str, workspace: Workspace, models: Path) -> None:
    if kind == "import":
        job = do(
            workspace,
            kind,
            {"model": {"folder": str(models / "tiny bert"), "roots": [str(models)]}, "name": ""},
            cancel=True,
        )
        assert runs(workspace) == [] and list(workspace.runs.iterdir()) == []
    else:
        run_id = imported(workspace, models)
        config = {"run": run_id, "step": 0, "format": "hf", "place": "zip"}
        job = do(workspace, kind, config, cancel=True)
        assert list(exports_folder(workspace).iterdir()) == []
    assert job.state == "stopped"


@pytest.mark.parametrize("place", ["folder", "zip"])
def test_an_export_is_listed_loaded_and_deleted(place: Any, workspace: Workspace, models: Path, tmp_path: Path) -> None:
    run_id = imported(workspace, models)
    for number in (1, 2):
        job = do(workspace, "export", {"run": run_id, "step": 0, "format": "hf", "place": place})
        assert job.state == "finished", job.reason
        assert len(exports_of(workspace, run_id)) == number
    newest, first = exports_of(workspace, run_id)
    assert (first.path.name, newest.path.name) == (
        ("tiny bert-step-0-hf", "tiny bert-step-0-hf-2")
        if place == "folder"
        else ("tiny bert-step-0-hf.zip", "tiny bert-step-0-hf-2.zip")
    )
    assert (first.step, first.class_name, first.format) == (0, "BertForMaskedLM", "hf")
    folder = first.path
    if place == "zip":
        with zipfile.ZipFile(first.path) as archive:
            archive.extractall(tmp_path / "unpacked")
        folder = tmp_path / "unpacked" / "tiny bert-step-0-hf"
    found: dict[str, Any] = {}
    exec(lines_of_python("hf", first.class_name, str(folder)), found)  # noqa: S102 - the lines that the page shows
    expected = theirs("bert", load(models / "tiny bert"), tokens())
    assert torch.equal(theirs("bert", found["model"].eval(), tokens()), expected)
    assert found["tokenizer"].mask_token == "[MASK]"
    for export in (newest, first):
        assert delete_export(workspace, export) > 1000
    assert exports_of(workspace, run_id) == [] and list(exports_folder(workspace).iterdir()) == []


def test_a_long_name_of_a_run_is_a_file_name_all_the_same(workspace: Workspace, models: Path) -> None:
    made = import_model(workspace, str(models / "tiny bert"), "..." + "東" * 95)
    job = do(workspace, "export", {"run": made.run_id, "step": 0, "format": "hf", "place": "zip"})
    assert job.state == "finished", job.reason
    (export,) = exports_of(workspace, made.run_id)
    assert export.path.name.startswith("東東") and export.path.parent == exports_folder(workspace)


def test_what_cannot_be_exported_is_refused_at_the_click(workspace: Workspace, models: Path) -> None:
    run_id = imported(workspace, models)
    for format, words in (("gguf", "written as gguf"), ("onnx", "written as onnx")):
        with pytest.raises(UserError, match=words):
            export_run(workspace, run_id, None, format, "folder")
    with pytest.raises(UserError, match="no checkpoint at this step"):
        export_run(workspace, run_id, 7, "hf", "folder")
    with pytest.raises(NotFound):
        export_run(workspace, "nobody", None, "hf", "folder")
    other = submit_run(
        workspace, tiny("transformer", "name=odd", "model.norm=layer", "training.max_steps=1"), foreground=True
    )
    with pytest.raises(UserError, match="norm is layer"):
        export_run(workspace, other.id, None, "hf", "folder")
    with Registry(workspace) as registry:
        assert registry.jobs("export") == []
        registry.cancel(other.id)


def test_every_family_has_the_formats_that_fit_it() -> None:
    assert formats_of("transformer") == ("hf", "gguf") and formats_of("encoder") == formats_of("encoder-decoder") == (
        "hf",
    )
    assert formats_of("lstm") == ("onnx",) and formats_of("ngram") == ()
    for format in FORMATS:
        compile(lines_of_python(format, "T5ForConditionalGeneration", "a'b\\c"), "lines", "exec")


def test_an_imported_run_does_not_go_on_and_says_so(workspace: Workspace, tmp_path: Path) -> None:
    """Its embedding has more rows than its tokenizer has tokens; a run of its own would be another size."""
    config = transformers.LlamaConfig(vocab_size=300, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                                      num_attention_heads=2, max_position_embeddings=32)  # fmt: skip
    folder = save(transformers.LlamaForCausalLM(config), tmp_path / "model", bpe_tokenizer().to_json())
    made = import_model(workspace, str(folder))
    assert made.vocabulary_size > bpe_tokenizer().vocabulary_size and TEXT
    with pytest.raises(Refused, match=r"finished run cannot go on.*new run"):
        resume_run(workspace, made.run_id)
    with Registry(workspace) as registry:
        assert registry.get(made.run_id).state == "finished"
    assert json.loads((checkpoint_of(workspace, made.run_id) / "config.json").read_text())["data"]["dataset"] == ""


def test_the_click_needs_no_torch(models: Path, tmp_path: Path) -> None:
    """In a process of its own: what the pages call to queue imports and exports."""
    import subprocess

    lines = (
        "import sys\n"
        "from pathlib import Path\n"
        "from llm_core.backend.exchange_jobs import import_model_folder, exports_of\n"
        "from llm_core.models.huggingface.before_reading import check_config\n"
        f"print(check_config(Path({str(models / 'tiny bert')!r})).family.class_name)\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "BertForMaskedLM" in done.stdout, done.stderr

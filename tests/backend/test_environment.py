"""What a run was computed with, as its folder says it."""

from __future__ import annotations

import platform

import torch

from llm_core.backend.environment import FACT_LABELS, read_environment
from llm_core.backend.jobs import submit_run
from llm_core.backend.worker import run_in_foreground
from llm_core.config.timing import Timing
from llm_core.text.library import find_dataset
from llm_core.workspace.paths import Workspace
from llm_core.workspace.runs import run_folder
from tests.backend.support import tiny


def test_a_run_says_what_it_was_computed_with(workspace: Workspace) -> None:
    folders = []
    for changes in (["training.max_steps=1"], ["model.kind=ngram", "model.order=2"]):
        record = submit_run(workspace, tiny("lstm", *changes), foreground=True)
        assert run_in_foreground(workspace, record.id, Timing()).state == "finished"
        folders.append(run_folder(workspace, record.id))
    trained, counted = (read_environment(folder) for folder in folders)
    assert trained.keys() <= FACT_LABELS.keys() and counted.keys() <= FACT_LABELS.keys()
    assert trained["data_hash"] == counted["data_hash"] == find_dataset(workspace, "letters").content_hash != ""
    assert (trained["torch"], trained["python"]) == (torch.__version__, platform.python_version())
    assert (trained["device"], trained["num_threads"], trained["precision"], trained["compile"]) == (
        "cpu",
        1,
        "float32",
        False,
    )
    assert trained["device_name"] and "num_threads" not in counted
    assert read_environment(run_folder(workspace, "nothing")) == {}

"""What is known of an import before a worker takes it: a free name, a folder whose config.json can be read. Free of torch.

Not here: everything that needs the headers of the weights (`import_model.py`).
"""

from __future__ import annotations

from pathlib import Path

from llm_core.config.errors import NameTaken
from llm_core.models.huggingface.read_config import ReadConfig, read_config
from llm_core.models.huggingface.source_folder import check_folder, read_config_file
from llm_core.workspace.paths import Workspace, check_name
from llm_core.workspace.registry import Registry


def check_free(workspace: Workspace, name: str) -> None:
    """Raise UserError or NameTaken unless a run may be called so; empty is left to the import."""
    if not name:
        return
    with Registry(workspace) as registry:
        if any(run.name == check_name(name) for run in registry.jobs("train")):
            raise NameTaken("There is a run with this name already", value=name, remedy="Choose another name")


def check_config(folder: Path) -> ReadConfig:
    """What the folder's config.json says; UserError where that is no model that can be imported."""
    return read_config(read_config_file(check_folder(folder)))

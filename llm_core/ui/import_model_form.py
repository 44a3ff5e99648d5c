"""*Bring a model*: a folder of this machine or a model of the Hub, as transformers saves it, or a run of another Glassbox.

Not here: what is checked (`llm_core.backend.exchange_jobs`), progress (`text_jobs.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, cast

import streamlit as st

from llm_core.backend.exchange_jobs import import_model_folder, import_model_hub, import_run_zip
from llm_core.models.huggingface.families import supported_classes
from llm_core.quantities import large
from llm_core.text.import_roots import ROOTS_VARIABLE
from llm_core.ui.guards import may, require
from llm_core.ui.import_form import page_roots
from llm_core.ui.states import attempt, literal
from llm_core.ui.text_jobs import once_key, submitted
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

_FROM = {"folder": "Folder", "hub": "Hub", "run": "Another Glassbox"}
_IMPORTED = "imported-model"


def import_model_form(workspace: Workspace) -> None:
    """The form; submitting it shows the page anew."""
    if not may("import-model"):
        st.caption("Your password opens Glassbox for reading. Models are brought in with the other one.")
        return
    number = st.session_state.setdefault("import-model-form", 0)
    place = st.segmented_control(
        "From", list(_FROM), format_func=_FROM.__getitem__, default="folder", required=True,
        key=f"import-model-from-{number}", label_visibility="collapsed",
    )  # fmt: skip
    file = _zip(number) if place == "run" else None
    typed = "" if place == "run" else _folder(number) if place == "folder" else _hub(number)
    name = st.text_input("Name of the run", key=f"import-model-name-{number}", placeholder="taken from the model")

    def submit() -> None:
        once = once_key("import-model")
        if file is not None:
            require("import-run")
            record = import_run_zip(workspace, file.name, cast("BinaryIO", file), name.strip(), once=once)
        elif place == "folder":
            require("import-model")
            record = import_model_folder(workspace, typed, page_roots(), name.strip(), once=once)
        else:
            require("import-model")
            record = import_model_hub(workspace, typed, name.strip(), once=once)
        st.session_state["import-model-form"] += 1
        submitted(record, "import-model")

    label, waits = ("Import run", file is None) if place == "run" else ("Import model", False)
    if st.button(label, type="primary", icon=":material/input:", key=f"import-model-{number}", disabled=waits):
        attempt(submit)
    if place != "run":
        st.caption(f"Classes of transformers that can be read: {supported_classes()}.")


def _zip(number: int) -> UploadedFile | None:
    return st.file_uploader(
        "A run as a zip, up to 200 MB: on Monitor, under Export", type=["zip"], key=f"import-model-zip-{number}"
    )


def _folder(number: int) -> str:
    roots = page_roots()
    typed = st.text_input(
        "Folder on the machine where Glassbox runs, as `save_pretrained` writes it",
        key=f"import-model-folder-{number}",
        disabled=not roots,
        placeholder=f"{roots[0]}/models/my-model" if roots else "",
    )
    if roots:
        st.caption(f"Folders under {', '.join(f'`{root}`' for root in roots)} can be read.")
    else:
        st.caption(
            "Reading by path is switched off, because this server can be reached from other machines. "
            f"Name the folders in {ROOTS_VARIABLE} where it is started, or use `glassbox import hf` there."
        )
    return typed


def _hub(number: int) -> str:
    typed = st.text_input("Model on the Hugging Face Hub", placeholder="owner/name", key=f"import-model-hub-{number}")
    st.caption('Needs a connection and the package `huggingface_hub`: pip install "glassbox-lm[hub]"')
    return typed


def remember_imported(record: JobRecord) -> None:
    """Have the run that a finished import made shown on this page."""
    st.session_state[_IMPORTED] = record.id


def show_imported(workspace: Workspace) -> None:
    """The run that this session's last import made: where to go with it, and the lines that load it."""
    job_id = st.session_state.get(_IMPORTED)
    if job_id is None:
        return
    with Registry(workspace) as registry:
        result = registry.get(job_id).result
    with st.container(border=True, key="imported-model"):
        size = f" · {large(result['parameters'])} parameters" if result["parameters"] else ""
        st.markdown(f"**{literal(result['run_name'])}** · {literal(result['class'])}{size}")
        for problem in result.get("problems", []):
            st.caption(literal(problem))
        query = {"run": result["run_id"]}
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.page_link("playground.py", label="Talk to it", icon=":material/edit_note:", query_params=query)
            st.page_link("attention.py", label="Look inside", icon=":material/grid_on:", query_params=query)
            st.page_link("runs.py", label="Runs", icon=":material/table_rows:", query_params=query)
            if st.button("Close", key="close-imported-model", type="tertiary"):
                del st.session_state[_IMPORTED]
                st.rerun()
        st.code(
            "from llm_core.models.loading import load_checkpoint_model\n"
            "from llm_core.workspace.checkpoints import find_checkpoint\n"
            "from llm_core.workspace.paths import open_workspace\n"
            "from llm_core.workspace.runs import run_folder\n\n"
            f"folder = run_folder(open_workspace(), {result['run_id']!r})\n"
            "loaded = load_checkpoint_model(find_checkpoint(folder).path)\n"
            "print(loaded.model, loaded.tokenizer.kind)",
            language="python",
        )

"""*Export*: one checkpoint of a run for other programs, as a folder or a zip file; and what has been written so far.

Not here: what is refused (`llm_core.backend.exchange_jobs`), progress (`text_jobs.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, cast

import streamlit as st

from llm_core.backend.exchange_jobs import Export, Place, delete_export, export_run, exports_of
from llm_core.models.export_formats import WORDS, ExportFormat, formats_of, lines_of_python
from llm_core.quantities import size
from llm_core.ui.guards import may, require
from llm_core.ui.states import attempt
from llm_core.ui.text_jobs import finished_job, once_key, show_text_jobs, submitted
from llm_core.workspace.checkpoints import list_checkpoints
from llm_core.workspace.job_record import FINAL
from llm_core.workspace.paths import Workspace
from llm_core.workspace.runs import RunSummary, run_folder

_PLACES: dict[Place, str] = {"folder": "Folder on this machine", "zip": "Zip file to download"}


def export_part(workspace: Workspace, run: RunSummary) -> None:
    """The form of one run, what is being written, and what has been."""
    with st.expander("Export", icon=":material/upload_file:", key=f"export-{run.id}"):
        _form(workspace, run)
    finished_job(workspace, "export")  # what it made is shown below, whoever asked for it
    show_text_jobs(workspace, "export")
    for export in exports_of(workspace, run.id):
        _written(workspace, export)


def _form(workspace: Workspace, run: RunSummary) -> None:
    formats = formats_of(run.kind)
    if not formats:
        st.caption("No other program reads a model of this family. Its run folder holds plain safetensors and JSON.")
        return
    steps = [checkpoint.step for checkpoint in list_checkpoints(run_folder(workspace, run.id))][::-1]
    if not steps:
        comes = "This run has no checkpoint yet. The first one comes with its first evaluation."
        st.caption("This run ended before its first checkpoint." if run.state in FINAL else comes)
        return
    if not may("export-model"):
        st.caption("Your password opens Glassbox for reading. Models are exported with the other one.")
        return
    format: ExportFormat = st.segmented_control(
        "Format", formats, format_func=lambda name: WORDS[name].title, default=formats[0], required=True,
        key=f"export-format-{run.id}",
    )  # fmt: skip
    st.caption(WORDS[format].sentence)
    left, right = st.columns([2, 1])
    with left:
        place: Place = st.segmented_control(
            "As", list(_PLACES), format_func=_PLACES.__getitem__, default="folder", required=True,
            key=f"export-place-{run.id}",
        )  # fmt: skip
    with right:
        step = st.selectbox("After step", steps, format_func=lambda step: f"{step:,}", key=f"export-step-{run.id}")

    # A button of its own for each export: the second half of a double click finds none.
    number = st.session_state.setdefault("export-form", 0)

    def submit() -> None:
        require("export-model")
        record = export_run(workspace, run.id, step, format, place, once=once_key("export"))
        st.session_state["export-form"] = number + 1
        submitted(record, "export")

    if st.button("Export", type="primary", icon=":material/upload_file:", key=f"export-now-{run.id}-{number}"):
        attempt(submit)


def _written(workspace: Workspace, export: Export) -> None:
    with st.container(border=True, key=f"exported-{export.job_id}"):
        what = WORDS[export.format].title + (", zipped" if export.place == "zip" else "")
        st.markdown(f"**{what}** · step {export.step:,} · {size(export.size_bytes)}")
        folder = str(export.path)
        if export.place == "zip":
            folder = export.path.stem  # as it is called once unpacked
            st.download_button(
                "Download",
                data=lambda: _opened(export.path),
                file_name=export.path.name,
                mime="application/zip",
                icon=":material/download:",
                key=f"download-{export.job_id}",
                on_click="ignore",
            )
        else:
            st.code(folder, language=None, wrap_lines=True)
        st.code(lines_of_python(export.format, export.class_name, folder), language="python", wrap_lines=True)
        if may("delete-export") and st.button(
            "Delete", icon=":material/delete:", type="tertiary", key=f"delete-{export.job_id}"
        ):

            def delete() -> None:
                require("delete-export")
                delete_export(workspace, export)

            if attempt(delete):
                st.rerun()


def _opened(path: Path) -> BinaryIO:
    """Read when it is asked for."""
    return cast("BinaryIO", path.open("rb"))

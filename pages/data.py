"""Data: the texts of the workspace; bring one, look at it, count it."""

import secrets

import pandas as pd
import streamlit as st

from llm_core.backend.jobs import submit_job
from llm_core.config.errors import UserError
from llm_core.quantities import size
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import list_datasets, preview
from llm_core.ui.guards import require_role
from llm_core.ui.states import attempt, from_code, literal, page_head, show_error
from llm_core.workspace.job_progress import read_progress
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.registry import Registry

page_head("Data", "Texts to learn from: built-in ones, and your own.")
workspace = open_workspace()

with st.expander("Add text", icon=":material/add:"):
    name = st.text_input("Name", key="paste-name", placeholder="my-text")
    pasted = st.text_area("Paste text", height=160, key="paste-text")
    if st.button("Import", type="primary", key="import-paste"):

        def import_pasted() -> None:
            require_role()
            options = ImportOptions(name=name, kind="paste")
            once = st.session_state.setdefault("once-import", secrets.token_hex(8))
            config = {"source": pasted, "options": options.model_dump(mode="json")}
            st.session_state["import-job"] = submit_job(
                workspace, "import", name or "pasted text", config, once=once
            ).id
            del st.session_state["once-import"]

        attempt(import_pasted)
    st.caption("A file: `glassbox data add PATH --name NAME`")


@st.fragment(run_every=0.5 if st.session_state.get("import-job") else None)
def import_state() -> None:
    """How far the import is, or what went wrong."""
    job_id = st.session_state.get("import-job")
    if job_id is None:
        return
    with Registry(workspace) as registry:
        job = registry.get(job_id)
    if job.is_final:
        del st.session_state["import-job"]
        st.session_state["import-outcome"] = (job.state, job.name, f"{job.reason} {job.remedy}".strip())
        st.rerun()
    progress = read_progress(workspace, job_id) or {}
    st.info(
        literal(f"{job.name}: {progress.get('phase', 'waiting')} {progress.get('done', 0):,}"),
        icon=":material/hourglass:",
    )


import_state()
if outcome := st.session_state.pop("import-outcome", None):
    state, job_name, words = outcome
    if state == "finished":
        st.success(literal(f"{job_name} is ready."))
    else:
        st.error(literal(f"{job_name} {state}. {words}"))

records = {record.id: record for record in list_datasets(workspace)}
left, right = st.columns([1, 2])
with left:
    chosen = st.radio(
        "Text",
        list(records),
        format_func=lambda key: records[key].name + (" · built in" if records[key].builtin else ""),
        key="dataset",
    )
record = records[chosen]
with right:
    st.subheader(record.title or record.name)
    if record.sentence:
        st.write(record.sentence)
    if record.look_for:
        st.caption(f"What to look for inside: {record.look_for}")
    look, numbers, use = st.tabs(["Look", "Numbers", "Use it"])
    with look:
        if not record.materialised:
            st.write("This text is made when it is first used.")
        else:
            try:
                for document in preview(workspace, record.id, 0, 3):
                    st.code(document[:2000], language=None, wrap_lines=True)
            except UserError as error:
                show_error(error)
    with numbers:
        if record.statistics is None:
            st.write("It is counted when it is first used.")
        else:
            with st.container(horizontal=True):
                st.metric("Characters", f"{record.characters:,}", border=True, width="content")
                st.metric("Documents", f"{record.documents:,}", border=True, width="content")
                st.metric("Size", size(record.bytes), border=True, width="content")
                st.metric(
                    "Distinct characters", f"{record.statistics.distinct_characters:,}", border=True, width="content"
                )
            words = pd.DataFrame(record.statistics.top_words[:20], columns=["word", "times"])
            st.dataframe(words, hide_index=True)
    with use:
        st.code(f"glassbox train --preset pocket-gpt --set data.dataset={record.id}", language="bash", wrap_lines=True)
        st.page_link(
            "train.py", label="Train on it", icon=":material/model_training:", query_params={"dataset": record.id}
        )

from_code(
    "glassbox data list\nglassbox data add my-book.txt --name my-book",
    "from llm_core.text.library import list_datasets\nfrom llm_core.workspace.paths import open_workspace\n\n"
    "list_datasets(open_workspace())",
)

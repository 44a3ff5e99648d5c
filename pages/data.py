"""Data: the texts of the workspace; bring one, look at it, count it, see how it is split, use it."""

import streamlit as st

from llm_core.text.uploads import sweep_uploads
from llm_core.ui.corpus_code import data_code
from llm_core.ui.corpus_list import choose_dataset, open_dataset
from llm_core.ui.corpus_tabs import corpus_tabs
from llm_core.ui.import_form import import_form
from llm_core.ui.import_model_form import import_model_form, remember_imported, show_imported
from llm_core.ui.states import from_code, literal, page_head
from llm_core.ui.text_jobs import finished_job, show_text_jobs
from llm_core.workspace.paths import open_workspace

page_head("Data", "Texts to learn from: built-in ones, and your own.")
workspace = open_workspace()
sweep_uploads(workspace)
finished = finished_job(workspace, "import")
if finished is not None:
    if "run_id" in finished.result:
        remember_imported(finished)
    else:
        open_dataset(workspace, finished.result["dataset_id"])

with st.expander("Add text", icon=":material/add:", key="add-text"):
    import_form(workspace)
with st.expander("Bring a model", icon=":material/deployed_code:", key="bring-model"):
    import_model_form(workspace)
show_text_jobs(workspace, "import")
show_imported(workspace)
if deleted := st.session_state.pop("deleted", None):
    st.success(literal(deleted), icon=":material/delete:")

left, right = st.columns([1, 2], gap="medium")
with left:
    record = choose_dataset(workspace)
if record is not None:
    with right:
        corpus_tabs(workspace, record)

from_code(*data_code(record))

"""Tokenizer: the same text cut in two ways; train a tokenizer, load one, see what it learned."""

import streamlit as st

from llm_core.text.uploads import sweep_uploads
from llm_core.ui.bpe_lesson import bpe_lesson
from llm_core.ui.states import from_code, literal, page_head
from llm_core.ui.text_jobs import finished_job, show_text_jobs
from llm_core.ui.tokenizer_compare import compare_tokenizers, sample_text
from llm_core.ui.tokenizer_form import kept_tokenizers, make_tokenizer
from llm_core.workspace.paths import open_workspace

page_head("Tokenizer", "Models read numbers. See how a text is cut into the pieces that get one.")
workspace = open_workspace()
sweep_uploads(workspace)
finished = finished_job(workspace, "tokenizer")
if finished is not None:
    st.session_state["kept-tokenizer"] = st.query_params["right"] = finished.result["tokenizer_id"]

with st.expander("Train or load a tokenizer", icon=":material/add:", key="add-tokenizer"):
    make_tokenizer(workspace)
show_text_jobs(workspace, "tokenizer")
if deleted := st.session_state.pop("tokenizer-deleted", None):
    st.success(literal(deleted), icon=":material/delete:")

text = sample_text()
compare_tokenizers(workspace, text)
bpe_lesson(workspace, text)
kept_tokenizers(workspace)

from_code(
    "glassbox train --preset pocket-gpt --set data.tokenizer=bpe:1000",
    "from llm_core.text.cutting import cut\nfrom llm_core.text.tokenizer_library import open_tokenizer, train_tokenizer\n"
    "from llm_core.workspace.paths import open_workspace\n\nworkspace = open_workspace()\n"
    'train_tokenizer(workspace, "python-reference", "bpe", 1000, "my-bpe")\n'
    'result = cut(open_tokenizer(workspace, "my-bpe"), "Attention, please")\n'
    "print(result.tokens, result.bytes_per_token, result.unknown)",
)

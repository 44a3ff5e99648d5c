"""Tokenizers made and kept: train one, load a tokenizer.json, look at its first merges, use it, delete it.

Forms are numbered as in `import_form.py`, so that a double click asks once. Not here: comparing (`tokenizer_compare.py`).
"""

from __future__ import annotations

import time
from typing import BinaryIO, cast

import pandas as pd
import streamlit as st

from llm_core.backend import text_jobs
from llm_core.config.errors import UserError
from llm_core.quantities import size
from llm_core.text.library import find_dataset, list_datasets
from llm_core.text.tokenizer_library import (
    TokenizerRecord,
    first_merges,
    list_tokenizers,
    open_tokenizer,
)
from llm_core.text.tokenizer_names import MAXIMUM_VOCABULARY, TokenizerKind, sized_kinds
from llm_core.text.visible import visible_white_space
from llm_core.ui.guards import may, require
from llm_core.ui.import_form import page_roots
from llm_core.ui.states import attempt, literal, show_error
from llm_core.ui.text_jobs import once_key, submitted
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.paths import Workspace

_ABOUT: dict[TokenizerKind, str] = {
    "bpe": "Starts from the 256 bytes and joins the most frequent neighbours, again and again, until the vocabulary is "
    "full. Knows every text; common words become one token.",
    "wordpiece": "Pieces as in BERT: ## goes on inside a word, signs stand alone. White space between words is lost.",
    "unigram": "Pieces as in T5: begins with very many and drops those that the text misses least. Knows every text.",
    "word": "What stands between spaces, and the end of a line, as for Penn Treebank and WikiText. Rarer words become <unk>.",
    "byte": "Every byte is a token: 256 of them, nothing to learn, every text in every script is known. Sequences are long.",
    "char": "Every distinct character of the text is a token. Small and easy to read; other characters are unknown.",
}
_SHOWN_MERGES = 50


def make_tokenizer(workspace: Workspace) -> None:
    """The form in two halves: train one, or load one."""
    if not may("train-tokenizer"):
        st.caption("Your password opens Glassbox for reading. Tokenizers are made with the other one.")
        return
    number = st.session_state.setdefault("tokenizer-form", 0)
    train, load = st.tabs(["Train one", "Load a tokenizer.json"], key="tokenizer-tab")
    with train:
        _train(workspace, number)
    with load:
        _load(workspace, number)


def _train(workspace: Workspace, number: int) -> None:
    sized = sized_kinds()
    titles: dict[TokenizerKind, str] = {name: about.title for name, about in sized.items()}
    titles |= {"byte": "Bytes", "char": "Characters"}
    kind: TokenizerKind = st.segmented_control(
        "Kind", list(titles), format_func=lambda name: titles[name], default="bpe", required=True,
        key=f"tokenizer-kind-{number}",
    )  # fmt: skip
    st.caption(literal(_ABOUT[kind]))
    records = {record.name: record for record in list_datasets(workspace)}
    names = list(records)
    index = 0
    asked = st.query_params.get("dataset")
    if asked is not None:
        try:
            index = names.index(find_dataset(workspace, asked).name)
        except UserError as error:
            st.warning(literal(str(error)), icon=":material/search_off:")
    left, middle, right = st.columns(3)
    with left:
        dataset = st.selectbox(
            "Text", names, index=index, format_func=lambda name: records[name].title,
            key=f"tokenizer-text-{asked}-{number}", help="It learns from the training part alone.",
        )  # fmt: skip
    vocabulary = 0
    with middle:
        if kind in sized:
            key = f"tokenizer-size-{number}" if kind == "bpe" else f"tokenizer-size-{kind}-{number}"
            vocabulary = st.number_input(
                "Vocabulary size", sized[kind].minimum, MAXIMUM_VOCABULARY, sized[kind].usual, step=100, key=key,
                help="Doubling it doubles the embedding and shortens sequences by less and less. "
                "A thousand suits a megabyte of text.",
            )  # fmt: skip
    with right:
        name = st.text_input("Name", placeholder="made from kind and text", key=f"tokenizer-name-{number}")
    if st.button("Train", type="primary", icon=":material/school:", key=f"tokenizer-train-{number}"):
        attempt(lambda: _submit_training(workspace, dataset, kind, vocabulary, name.strip()))


def _submit_training(workspace: Workspace, dataset: str, kind: TokenizerKind, vocabulary: int, name: str) -> None:
    require("train-tokenizer")
    once = once_key("tokenizer")
    _sent(text_jobs.train_tokenizer_job(workspace, dataset, kind, vocabulary, name, once=once))


def _load(workspace: Workspace, number: int) -> None:
    file = st.file_uploader(
        "The tokenizer.json of a model: BPE, WordPiece, Unigram or word level",
        key=f"tokenizer-file-{number}",
        max_upload_size=text_jobs.LARGEST_TOKENIZER_BYTES // 1_000_000,
    )
    roots = page_roots()
    typed = ""
    if roots:
        typed = st.text_input(
            "Or its path on the machine where Glassbox runs",
            key=f"tokenizer-path-{number}",
            placeholder=f"{roots[0]}/models/tokenizer.json",
        )
    name = st.text_input("Name", placeholder="taken from the file", key=f"tokenizer-load-name-{number}")
    if st.button("Load", type="primary", icon=":material/input:", key=f"tokenizer-load-{number}"):
        attempt(lambda: _submit_loading(workspace, file, typed, name.strip()))


def _submit_loading(workspace: Workspace, file: object, typed: str, name: str) -> None:
    require("import-tokenizer")
    once = once_key("tokenizer")
    if file is not None:
        stream = cast("BinaryIO", file)
        stream.seek(0)
        _sent(text_jobs.import_tokenizer_upload(workspace, stream.name, stream, name, once=once))
    if not typed.strip():
        raise UserError("No tokenizer.json is chosen", remedy="Choose a file, or give its path")
    _sent(text_jobs.import_tokenizer_path(workspace, typed, page_roots(), name, once=once))


def _sent(record: JobRecord) -> None:
    st.session_state["tokenizer-form"] += 1
    submitted(record, "tokenizer")


def kept_tokenizers(workspace: Workspace) -> None:
    """The tokenizers of the workspace, and one of them from near: its merges, its use, its end."""
    records = {record.id: record for record in list_tokenizers(workspace)}
    st.subheader("Tokenizers of this workspace")
    if not records:
        st.caption("None yet. Train one above, or load one; characters and bytes need none.")
        return
    st.dataframe(
        pd.DataFrame(
            {
                "name": [record.name for record in records.values()],
                "kind": [record.kind for record in records.values()],
                "vocabulary": [record.vocabulary_size for record in records.values()],
                "learned from": [record.dataset_name or "loaded" for record in records.values()],
                "made": [time.strftime("%Y-%m-%d %H:%M", time.localtime(r.created_at)) for r in records.values()],
            }
        ),
        hide_index=True,
        column_config={"vocabulary": st.column_config.NumberColumn(format="localized")},
    )
    if st.session_state.get("kept-tokenizer") not in records:
        st.session_state["kept-tokenizer"] = next(iter(records))
    chosen = st.selectbox(
        "Look at", list(records), format_func=lambda key: records[key].name, key="kept-tokenizer", width=360
    )
    _one(workspace, records[chosen])


def _one(workspace: Workspace, record: TokenizerRecord) -> None:
    merges, use = st.columns([2, 1], gap="medium")
    with merges:
        _merges(workspace, record)
    with use, st.container(border=True):
        st.page_link(
            "train.py",
            label="Train a model with it",
            icon=":material/model_training:",
            query_params={
                "tokenizer": record.name,
                **({"dataset": record.dataset_name} if record.dataset_name else {}),
            },
        )
        sure = st.checkbox(
            "Yes, delete this tokenizer", key=f"drop-sure-{record.id}", disabled=not may("delete-tokenizer"),
            help="Models that were trained with it keep their own copy; only their runs cannot go on without it.",
        )  # fmt: skip
        if st.button("Delete", icon=":material/delete:", key=f"drop-{record.id}", disabled=not sure):
            attempt(lambda: _delete(workspace, record))


def _merges(workspace: Workspace, record: TokenizerRecord) -> None:
    try:
        pairs = _first_merges(str(workspace.root), record.id)
    except UserError as error:
        show_error(error)
        return
    if not pairs:
        st.caption("It has no merges: every piece of its vocabulary stands by itself.")
        return
    st.markdown(f"**The first {len(pairs)} merges**, in the order in which the `tokenizers` library learned them")
    st.dataframe(
        pd.DataFrame(
            {
                "order": range(1, len(pairs) + 1),
                "left": [_drawn(left) for left, _ in pairs],
                "right": [_drawn(right) for _, right in pairs],
                "new token": [_drawn(left + right) for left, right in pairs],
            }
        ),
        hide_index=True,
        height=320,
    )


@st.cache_data(max_entries=32, show_spinner=False)
def _first_merges(root: str, tokenizer_id: str) -> list[tuple[str, str]]:
    from llm_core.workspace.paths import open_workspace

    return first_merges(open_tokenizer(open_workspace(root), tokenizer_id), _SHOWN_MERGES)


def _drawn(text: str) -> str:
    return visible_white_space(text).replace("\n", "")


def _delete(workspace: Workspace, record: TokenizerRecord) -> None:
    require("delete-tokenizer")
    freed = text_jobs.delete_kept_tokenizer(workspace, record.id)
    st.session_state["tokenizer-deleted"] = f"{record.name} was deleted; {size(freed)} are free again."
    st.rerun()

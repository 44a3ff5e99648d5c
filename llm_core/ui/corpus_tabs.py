"""One text looked at from four sides: what it says, what was counted, how it was cleaned and is split, what to do with it.

Not here: choosing it (`corpus_list.py`), bringing it in (`import_form.py`).
"""

from __future__ import annotations

import pandas as pd
import streamlit as st

from llm_core.backend.text_jobs import delete_text, make_builtin, runs_on
from llm_core.config.data import DataConfig
from llm_core.config.errors import UserError
from llm_core.figures.text import length_histogram
from llm_core.quantities import size, three_digits
from llm_core.text.dataset_record import DatasetRecord
from llm_core.text.library import (
    LONGEST_PREVIEW_CHARACTERS,
    cut_versions,
    dataset_folder,
    deletable_bytes,
    preview,
    preview_length,
    split_of,
)
from llm_core.text.pair_preview import read_pairs
from llm_core.text.split_preview import first_documents, text_around_cut
from llm_core.text.splits import Split, split_concerns
from llm_core.text.statistics import CorpusStatistics
from llm_core.text.token_set import open_token_set
from llm_core.text.token_statistics import top_tokens
from llm_core.text.visible import visible_white_space
from llm_core.ui.corpus_code import MADE_FOR_PAIRS
from llm_core.ui.guards import may, require
from llm_core.ui.pair_views import pair_lengths, show_pairs
from llm_core.ui.states import attempt, literal, show_error
from llm_core.ui.text_jobs import once_key, submitted, unfinished_jobs
from llm_core.workspace.paths import Workspace, safe_join

_DOCUMENTS_A_PAGE = 5


def corpus_tabs(workspace: Workspace, record: DatasetRecord) -> None:
    """Title, what it is, and the four tabs; for a built-in text that was never made, the button that makes it."""
    st.subheader(literal(record.title))
    if record.sentence:
        st.write(record.sentence)
    if record.look_for:
        st.caption(f"What to look for inside a model that has learned it: {record.look_for}")
    if not record.materialised:
        _not_made(workspace, record)
        return
    st.caption(
        literal(f"{_origin(record)} · SHA-256 {record.content_hash[:12]}…"), help=f"The whole: {record.content_hash}"
    )
    # Only the open tab is worked out: the others may have to read much of a large text.
    look, numbers, split, use = st.tabs(
        ["Look", "Numbers", "Clean and split", "Use it"], key="corpus-tab", on_change="rerun"
    )
    try:
        if look.open:
            with look:
                _look(workspace, record)
        if numbers.open and record.statistics is not None:
            with numbers:
                _numbers(workspace, record, record.statistics)
        if split.open:
            with split:
                _clean_and_split(workspace, record)
        if use.open:
            with use:
                _use(workspace, record)
    except UserError as error:
        show_error(error)


def _origin(record: DatasetRecord) -> str:
    if record.python_version:
        return f"Made from Python {record.python_version}"
    return "Made from a fixed seed" if record.builtin else f"From {record.source}"


def _not_made(workspace: Workspace, record: DatasetRecord) -> None:
    with st.container(border=True):
        if any(job.config.get("builtin") == record.id for job in unfinished_jobs(workspace, "import")):
            st.write("It is being made now.")
            return
        st.write("This text comes with Glassbox and is made on this machine when it is first used.")
        if st.button(
            "Make it now", icon=":material/auto_awesome:", key=f"make-{record.id}", disabled=not may("make-text")
        ):
            attempt(lambda: _make(workspace, record))
        _train_link(record, "Train on it right away")


def _make(workspace: Workspace, record: DatasetRecord) -> None:
    require("make-text")
    submitted(make_builtin(workspace, record.id, once=once_key(f"make-{record.id}")), f"make-{record.id}")


def _look(workspace: Workspace, record: DatasetRecord) -> None:
    total = preview_length(record)
    entries = 1 if record.is_one_document else _DOCUMENTS_A_PAGE
    pages = max(1, -(-total // entries))
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        visible = st.toggle("Show white space", key="look-white-space", help="Spaces as ·, line ends as ⏎, tabs as ⇥.")
        page = (
            st.number_input("Page", 1, pages, key=f"look-page-{record.id}", width=140, label_visibility="collapsed")
            if pages > 1
            else 1
        )
    first = (page - 1) * entries
    if record.is_pairs:
        pairs = read_pairs(dataset_folder(workspace, record), first, entries)
        st.caption(
            f"Page {page:,} of {pages:,}: pairs {first + 1:,} to {first + len(pairs):,} of {total:,}. "
            "First what a model reads, then what it is to write."
        )
        show_pairs(pairs, visible=visible)
        return
    texts = preview(workspace, record.id, first, entries)
    if record.is_one_document:
        length = LONGEST_PREVIEW_CHARACTERS
        last = min(record.characters, (first + 1) * length)
        st.caption(
            f"Page {page:,} of {pages:,}: characters {first * length + 1:,} to {last:,} of {record.characters:,}"
        )
    else:
        st.caption(f"Page {page:,} of {pages:,}: documents {first + 1:,} to {first + len(texts):,} of {total:,}")
    for number, text in enumerate(texts, start=first + 1):
        if not record.is_one_document:
            is_cut = len(text) == LONGEST_PREVIEW_CHARACTERS
            st.caption(f"Document {number:,}" + (f", its first {len(text):,} characters" if is_cut else ""))
        _text(visible_white_space(text) if visible else text)


def _numbers(workspace: Workspace, record: DatasetRecord, statistics: CorpusStatistics) -> None:
    figures = {
        "Characters": f"{record.characters:,}",
        "Bytes (UTF-8)": f"{record.bytes:,}",
        _documents(record).capitalize(): f"{record.documents:,}",
        "Lines": f"{statistics.lines:,}",
        "Distinct characters": f"{statistics.distinct_characters:,}",
    }
    if not record.is_one_document:
        figures[f"Repeated {_documents(record)}"] = _percent(statistics.repeated_documents_share)
    figures["Repeated lines"] = _percent(statistics.repeated_lines_share)
    with st.container(horizontal=True):
        for label, value in figures.items():
            st.metric(label, value, border=True, width="content")
    sampled = " Repetitions were estimated from a sample." if statistics.is_repetition_sampled else ""
    st.caption(
        "Repeated means exactly equal to an earlier one. A model learns much-repeated text by heart: "
        f"above a few percent, import it with repetitions dropped.{sampled}"
    )
    if record.is_pairs:
        st.markdown("**Lengths**, in characters; each bar reaches twice as far as the one before it")
        pair_lengths(statistics, key=f"lengths-{record.id}")
    else:
        histogram = statistics.length_histogram
        dark = st.context.theme.type == "dark"
        st.markdown(f"**Length**, in {histogram.unit}; each bar reaches twice as far as the one before it")
        st.plotly_chart(
            length_histogram(histogram.edges, histogram.counts, unit=histogram.unit, dark=dark),
            key=f"lengths-{record.id}",
            config={"displayModeBar": False},
        )
    words, characters = st.columns(2)
    with words:
        counted = statistics.words_counted_characters
        sample = f" in the first {counted:,} characters" if counted < record.characters else ""
        st.markdown(f"**Most frequent words**{sample}")
        _table(statistics.top_words, "word", None)
    with characters:
        st.markdown("**Most frequent characters**")
        _table(statistics.top_characters, "character", record.characters)
    _token_table(workspace, record)


def _token_table(workspace: Workspace, record: DatasetRecord) -> None:
    versions = {meta.key: meta for meta in cut_versions(workspace, record.id)}
    st.markdown("**Most frequent tokens**")
    if not versions:
        st.caption("This text was not cut into tokens yet. It is when a model is first trained on it.")
        return
    key = st.selectbox(
        "Cut by",
        list(versions),
        format_func=lambda name: (
            f"{versions[name].tokenizer_kind}, {versions[name].vocabulary_size:,} entries, "
            f"{three_digits(versions[name].bytes_per_token)} bytes a token"
        ),
        key=f"tokens-of-{record.id}",
        width=360,
    )
    meta = versions[key]
    st.caption(f"{meta.train_tokens:,} tokens for training, {meta.validation_tokens:,} for validation")
    _table(_top_tokens(str(safe_join(workspace.tokens, key))), "token", meta.train_tokens)


@st.cache_data(max_entries=8, show_spinner=False)
def _top_tokens(folder: str) -> list[tuple[str, int]]:
    from pathlib import Path

    return [(token.text, token.count) for token in top_tokens(open_token_set(Path(folder)), 100)]


def _table(rows: list[tuple[str, int]] | tuple[tuple[str, int], ...], what: str, total: int | None) -> None:
    frame = pd.DataFrame(
        {what: [_on_one_line(text) for text, _ in rows]},
        dtype="string",
    )
    frame["times"] = [count for _, count in rows]
    if total:
        frame["share"] = [count / total for _, count in rows]
    st.dataframe(
        frame,
        hide_index=True,
        height=320,
        column_config={
            "times": st.column_config.NumberColumn(format="localized"),
            "share": st.column_config.NumberColumn(format="percent"),
        },
    )


def _clean_and_split(workspace: Workspace, record: DatasetRecord) -> None:
    st.markdown("**What cleaning did**")
    st.markdown("\n".join(f"- {literal(line)}" for line in _cleaning_lines(record)))
    st.markdown("**The split**")
    fraction = (
        st.slider(
            "Kept for validation, %",
            1,
            50,
            10,
            key="split-percent",
            help="Try shares here; the one that counts is set with each run (data.validation_fraction).",
        )
        / 100
    )
    split = split_of(workspace, record.id, fraction)
    of_documents = "" if record.is_one_document else f" in {split.train_documents:,} {_documents(record)}"
    of_validation = "" if record.is_one_document else f" in {split.validation_documents:,} {_documents(record)}"
    with st.container(horizontal=True):
        st.metric("Training", f"{split.train_characters:,} characters{of_documents}", border=True, width="content")
        st.metric(
            "Validation", f"{split.validation_characters:,} characters{of_validation}", border=True, width="content"
        )
    for concern in split_concerns(split, fraction, DataConfig().context_length):
        st.warning(literal(str(concern)), icon=":material/warning:")
    if record.is_one_document:
        st.caption("One document: the end of the text is kept for validation, the two parts never overlap.")
    elif record.is_pairs:
        st.caption(
            "Whole pairs go to one side, chosen by their content, so that equal pairs stay together. "
            "In tokens, each source and each answer ends with one <|endoftext|>."
        )
    else:
        st.caption(
            "Whole documents go to one side, chosen by their content, so that equal documents stay together. "
            "Each ends with one <|endoftext|>."
        )
    _boundary(workspace, record, split)


def _boundary(workspace: Workspace, record: DatasetRecord, split: Split) -> None:
    folder = dataset_folder(workspace, record)
    if record.is_one_document:
        before, after = text_around_cut(folder, split)
        st.caption(f"Training ends here, at character {split.train_characters:,}:")
        _text(f"…{before}" if split.train_characters > len(before) else before)
        st.caption("and validation begins:")
        _text(f"{after}…" if split.validation_characters > len(after) else after)
        return
    # Both texts of a pair have to fit beside each other.
    rows = first_documents(folder, split, characters=32) if record.is_pairs else first_documents(folder, split)
    shown = {
        "pair" if record.is_pairs else "document": [row.number for row in rows],
        "part": ["training" if row.side == "train" else "validation" for row in rows],
        "source" if record.is_pairs else "begins with": [_on_one_line(row.text) for row in rows],
    }
    if record.is_pairs:
        shown["answer"] = [_on_one_line(row.target or "") for row in rows]
    st.dataframe(pd.DataFrame(shown), hide_index=True)


def _documents(record: DatasetRecord) -> str:
    return "pairs" if record.is_pairs else "documents"


def _on_one_line(text: str) -> str:
    return visible_white_space(text).replace("\n", "").replace("\t", "")


def _text(text: str) -> None:
    """Text as it is: the widget would drop one line end at either side."""
    st.code(f"\n{text}\n", language=None, wrap_lines=True)


def _cleaning_lines(record: DatasetRecord) -> list[str]:
    statistics = record.statistics
    if record.builtin or statistics is None:
        return ["Nothing: a built-in text is as it was made."]
    cleaning = record.options.get("cleaning", {})
    separator = cleaning.get("document_separator")
    lines = [
        f"Windows line ends: {statistics.line_ends_changed:,} written as Unix line ends"
        if cleaning.get("line_ends")
        else "Line ends: left as they were",
        "Unicode: composed (NFC)" if cleaning.get("unicode_nfc") else "Unicode: left as it was",
        {
            "none": "Repetitions: kept",
            "document": f"Repeated {_documents(record)}: {statistics.dropped_repeated_documents:,} dropped",
            "line": f"Repeated lines: {statistics.dropped_repeated_lines:,} dropped",
        }[cleaning.get("duplicates", "none")],
        _where_documents_come_from(record, separator),
    ]
    if statistics.dropped_empty_documents:
        lines.append(f"Empty {_documents(record)}: {statistics.dropped_empty_documents:,} left out")
    return lines


def _where_documents_come_from(record: DatasetRecord, separator: str | None) -> str:
    if record.is_pairs:
        return f"Pairs: one a row, its answer from the column “{record.options.get('target_column', '')}”"
    if separator:
        return f"Documents were cut at {visible_white_space(separator)!r}".replace("\\n", "")
    return "Documents: as in the source"


def _use(workspace: Workspace, record: DatasetRecord) -> None:
    _train_link(record, "Train a model on it")
    st.page_link(
        "tokenizer.py",
        label="Train a tokenizer on it",
        icon=":material/content_cut:",
        query_params={"dataset": record.name},
    )
    runs = runs_on(workspace, record.id)
    freed = size(deletable_bytes(workspace, record.id))
    what = f"Deleting it frees {freed}, with every version that was cut into tokens."
    if record.builtin:
        what += " It can be made again at any time."
    if runs:
        names = ", ".join(run.name for run in runs[:5]) + ("…" if len(runs) > 5 else "")
        what += f" Runs that used it keep their models, but cannot go on or be scored on it any more: {names}."
    with st.container(border=True):
        st.write(literal(what))
        sure = st.checkbox("Yes, delete this text", key=f"delete-sure-{record.id}", disabled=not may("delete-text"))
        if st.button("Delete", icon=":material/delete:", key=f"delete-{record.id}", disabled=not sure):
            attempt(lambda: _delete(workspace, record))


def _delete(workspace: Workspace, record: DatasetRecord) -> None:
    require("delete-text")
    freed = delete_text(workspace, record.id)
    st.session_state["deleted"] = f"{record.title} was deleted; {size(freed)} are free again."
    if not record.builtin:
        st.query_params.pop("dataset", None)
    st.rerun()


def _train_link(record: DatasetRecord, label: str) -> None:
    link = {"dataset": record.name}
    if record.is_pairs:  # any family can read them, but this one is made for them
        link["preset"] = MADE_FOR_PAIRS
    st.page_link("train.py", label=label, icon=":material/model_training:", query_params=link)


def _percent(share: float) -> str:
    return f"{three_digits(100 * share)} %"

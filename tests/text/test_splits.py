"""Training and validation never overlap, whatever the text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_core.config.errors import UserError
from llm_core.text.cleaning import DocumentPart
from llm_core.text.corpus_file import write_corpus
from llm_core.text.dataset_record import DatasetRecord, ImportOptions, read_record, write_record
from llm_core.text.library import import_corpus, split_of
from llm_core.text.splits import Split, plan_split, split_concerns, split_parts
from llm_core.text.statistics import StatisticsBuilder
from llm_core.workspace.paths import Workspace


def store(folder: Path, documents: list[str]) -> DatasetRecord:
    folder.mkdir(exist_ok=True)
    builder = StatisticsBuilder()
    content_hash = write_corpus(folder, [DocumentPart(text, True) for text in documents], builder)
    record = DatasetRecord(
        id="x",
        name="x",
        title="x",
        documents=builder.documents,
        characters=builder.characters,
        bytes=builder.bytes,
        content_hash=content_hash,
    )
    write_record(folder, record, builder.alphabet())
    assert read_record(folder) == record
    return record


def sides(folder: Path, split: Split) -> tuple[list[str], list[str]]:
    """The documents (or halves of the one document) of training and of validation."""
    documents: dict[str, list[str]] = {"train": [], "validation": []}
    held = {"train": "", "validation": ""}
    for side, text, ends in split_parts(folder, split):
        held[side] += text
        if ends:
            documents[side].append(held[side])
            held[side] = ""
    assert held == {"train": "", "validation": ""}
    return documents["train"], documents["validation"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text("ab你\n", min_size=2, max_size=300), st.sampled_from([0.001, 0.1, 0.25, 0.5]))
def test_one_document_is_cut_once_by_characters(tmp_path: Path, text: str, fraction: float) -> None:
    record = store(tmp_path / "one", [text])
    split = plan_split(tmp_path / "one", record, fraction)
    train, validation = sides(tmp_path / "one", split)
    cut = int((1 - fraction) * len(text))
    assert ("".join(train), "".join(validation)) == (text[:cut], text[cut:])
    assert (split.train_characters, split.validation_characters) == (cut, len(text) - cut)


def test_the_cut_of_a_document_of_many_rows_is_exact(tmp_path: Path) -> None:
    for length in (2**20, 2**20 + 1):
        text = "".join(chr(0x4E00 + index % 20_000) for index in range(length))
        record = store(tmp_path / "one", [text])
        for fraction in (0.1, 0.25, 0.5):
            train, validation = sides(tmp_path / "one", plan_split(tmp_path / "one", record, fraction))
            cut = int((1 - fraction) * length)
            assert train == [text[:cut]]
            assert validation == [text[cut:]]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text("abc", min_size=1, max_size=6), min_size=2, max_size=40), st.sampled_from([0.001, 0.1, 0.5]))
def test_equal_documents_stay_on_one_side(tmp_path: Path, documents: list[str], fraction: float) -> None:
    record = store(tmp_path / "many", documents)
    if len(set(documents)) == 1:
        with pytest.raises(UserError, match="all documents of this text are equal"):
            plan_split(tmp_path / "many", record, fraction)
        return
    split = plan_split(tmp_path / "many", record, fraction)
    train, validation = sides(tmp_path / "many", split)
    assert not set(train) & set(validation)
    assert sorted(train + validation) == sorted(documents)
    assert train and validation
    assert (split.train_documents, split.validation_documents) == (len(train), len(validation))
    assert split.train_characters == sum(map(len, train))
    assert split.validation_characters == sum(map(len, validation))


def test_the_share_is_close_to_the_one_asked_for_and_does_not_depend_on_order(tmp_path: Path) -> None:
    documents = [f"document {number} " * (1 + number % 17) for number in range(2_000)]
    forward, backward = store(tmp_path / "a", documents), store(tmp_path / "b", documents[::-1])
    for fraction in (0.01, 0.1, 0.3):
        split = plan_split(tmp_path / "a", forward, fraction)
        assert split.validation_characters / forward.characters == pytest.approx(fraction, abs=0.001)
        assert sorted(sides(tmp_path / "a", split)[1]) == sorted(
            sides(tmp_path / "b", plan_split(tmp_path / "b", backward, fraction))[1]
        )


def test_the_split_of_a_text_in_the_workspace(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": f"row {number}"}) + "\n" for number in range(100)), encoding="utf-8")
    import_corpus(workspace, path, ImportOptions())
    split = split_of(workspace, "rows", 0.1)
    assert split.train_documents + split.validation_documents == 100
    assert 8 <= split.validation_documents <= 12


def test_two_documents_of_which_the_large_one_is_kept_for_validation_are_said(tmp_path: Path) -> None:
    """Content decides which of the two goes where, so that some such texts are split as asked for and others the wrong way round."""
    found: dict[int, list[UserError]] = {}
    for letters in ("ab", "cd", "ef", "gh", "ij", "kl", "mn", "op"):
        record = store(tmp_path / letters, [letters[0] * 900, letters[1] * 100])
        split = plan_split(tmp_path / letters, record, 0.1)
        found[split.validation_characters] = split_concerns(split, 0.1, 20)
    assert found[100] == []
    (concern,) = found[900]
    assert (concern.value, concern.limit) == ("90% of the characters", "10% asked for (data.validation_fraction)")

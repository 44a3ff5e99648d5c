"""What a model is given to read while it is looked at: an imported BERT its frame, an imported T5 its marks and its own answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_core.config.errors import UserError
from llm_core.generation.opening import OpenedModel, open_model
from llm_core.inspection.reading import MAXIMUM_OWN_ANSWER_TOKENS, read_text
from llm_core.models.huggingface.import_model import import_model
from llm_core.workspace.paths import open_workspace
from tests.models.huggingface.support import checkpoint_of, save
from tests.models.huggingface.wide_forms import model_of, tokenizer_of


def imported(form: str, folder: Path) -> OpenedModel:
    workspace = open_workspace(folder / "home")
    made = import_model(workspace, str(save(model_of(form), folder / form, tokenizer_of(form))))
    return open_model(checkpoint_of(workspace, made.run_id))


def names(opened: OpenedModel, tokens: list[int] | None) -> list[str]:
    return [opened.tokenizer.token_text(token) for token in tokens or []]


def test_an_imported_bert_reads_its_text_between_the_tokens_it_was_trained_with(tmp_path: Path) -> None:
    bert = imported("bert", tmp_path)
    reading = read_text(bert, "w5 [MASK] w6", longest=512)
    assert names(bert, reading.tokens) == ["[CLS]", "w5", "[MASK]", "w6", "[SEP]"]
    assert reading.source is None and reading.answer is None
    with pytest.raises(UserError, match="too long to be looked at as a whole"):
        read_text(bert, "w5 " * 20, longest=10)


def test_an_imported_t5_reads_a_source_and_an_answer(tmp_path: Path) -> None:
    t5 = imported("t5", tmp_path)
    reading = read_text(t5, "w5 [GAP] w6", "[GAP] w7", longest=512)
    assert names(t5, reading.source) == ["w5", "<extra_id_0>", "w6", "</s>"]
    assert names(t5, reading.tokens) == ["<pad>", "<extra_id_0>", "w7"]
    assert not reading.is_own_answer and reading.answer == "[GAP] w7"

    own = read_text(t5, "w5 [GAP] w6", longest=512)
    assert own.is_own_answer and own.tokens[0] == reading.tokens[0]
    assert own.ended or len(own.tokens) == 1 + MAXIMUM_OWN_ANSWER_TOKENS
    assert own == read_text(t5, "w5 [GAP] w6", "", longest=512), "empty is the model's own, the same each time"
    with pytest.raises(UserError, match="source is too short"):
        read_text(t5, "", longest=512)

"""Documents in one row keep apart: numbered from the text's own end tokens, a packed row gives what each document gives alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_core.config.data import DataConfig
from llm_core.config.decoder import TransformerConfig
from llm_core.models.decoder import Decoder
from llm_core.text.batches import RandomWindows
from llm_core.text.cleaning import CleaningOptions
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus
from llm_core.text.packing import document_numbers
from llm_core.text.tokens import prepare_tokens
from llm_core.workspace.paths import Workspace

END = 9


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 5), st.integers(1, 40), st.data())
def test_documents_are_numbered_and_the_end_belongs_to_what_it_ends(
    rows: int, length: int, data: st.DataObject
) -> None:
    row = st.lists(st.integers(7, END), min_size=length, max_size=length)
    tokens = np.array(data.draw(st.lists(row, min_size=rows, max_size=rows)), dtype=np.int64)
    numbers = document_numbers(tokens, END)
    assert numbers.dtype == np.int64 and numbers.shape == tokens.shape
    for row_tokens, row_numbers in zip(tokens.tolist(), numbers.tolist(), strict=True):
        document = 0
        for token, number in zip(row_tokens, row_numbers, strict=True):
            assert number == document
            document += token == END


def test_a_text_of_one_document_is_one_document() -> None:
    tokens = np.arange(12, dtype=np.uint16).reshape(2, 6)
    assert document_numbers(tokens, None).tolist() == [[0] * 6] * 2


@pytest.mark.parametrize("positions", ["rope", "learned"])
def test_a_packed_row_of_a_real_text_equals_each_document_alone(workspace: Workspace, positions: str) -> None:
    lines = "\n".join(f"{number} 从前有山 " * (1 + number % 3) for number in range(200))
    options = ImportOptions(kind="paste", name="lines", cleaning=CleaningOptions(document_separator="\n"))
    import_corpus(workspace, lines, options)
    token_set = prepare_tokens(workspace, DataConfig(dataset="lines", context_length=60))
    end = token_set.tokenizer.end_of_text_id
    inputs, _ = RandomWindows(token_set.train, 3, 60, seed=4).next()
    numbers = document_numbers(inputs, end)
    assert (numbers.max(axis=1) >= 2).all(), "each row holds several documents"
    torch.manual_seed(0)
    config = TransformerConfig.model_validate(
        {"num_layers": 2, "num_heads": 2, "hidden_size": 16, "positions": positions}
    )
    model = Decoder(config, token_set.meta.vocabulary_size, 60).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():  # wide enough that a look into another document shows
            parameter.normal_(0, 0.25)
        packed = model.logits(model(torch.from_numpy(inputs), documents_BT=torch.from_numpy(numbers)).hidden_BTD)
        apart = model.logits(model(torch.from_numpy(inputs)).hidden_BTD)
        assert (packed - apart).abs().max() > 0.01, "without numbers the rows would differ"
        for row, row_numbers in enumerate(numbers):
            for number in np.unique(row_numbers):
                alone = torch.from_numpy(inputs[row][row_numbers == number])[None]
                expected = model.logits(model(alone).hidden_BTD)[0]
                found = packed[row][torch.from_numpy(row_numbers == number)]
                torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)

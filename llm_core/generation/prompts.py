"""From a text that a person wrote to a model that is ready to write, whatever its family.

A causal model goes on with the text. An encoder-decoder reads it as its source, gaps written as `[GAP]`, and begins an answer.
Not here: filling in hidden tokens (`filling.py`), writing (`decoding.py`).
"""

from __future__ import annotations

from llm_core.config.errors import UserError
from llm_core.generation.filling import tokens_with_places
from llm_core.generation.opening import OpenedModel
from llm_core.generation.text_model import TextModel
from llm_core.models.families import families

GAP = "[GAP]"
"""What a person writes for a stretch that the model is to fill."""


def ready_to_write(opened: OpenedModel, text: str) -> tuple[TextModel, list[int]]:
    """The model, and the tokens that writing goes on from.

    Raises:
        UserError: text that the tokenizer does not know, more gaps than there are marks, a source too long, an encoder.
    """
    if "cross" not in families()[opened.config.model.kind].attention:
        return opened.text_model(), opened.tokenizer.encode(text)
    assert opened.vocabulary.start_token is not None
    return opened.text_model(source_tokens(opened, text)), [opened.vocabulary.start_token]


def source_tokens(opened: OpenedModel, text: str) -> list[int]:
    """What the encoder of an encoder-decoder reads: the text, its gaps as marks, and the end."""
    vocabulary = opened.vocabulary
    assert vocabulary.end_token is not None
    if vocabulary.first_mark is None or GAP not in text:
        return [*opened.tokenizer.encode(text), vocabulary.end_token] if text else []
    marks = [vocabulary.first_mark - gap for gap in range(vocabulary.num_marks)]
    if text.count(GAP) > len(marks):
        raise UserError("The text has more gaps than there are marks for them", value=text.count(GAP), limit=len(marks))
    return [*tokens_with_places(text, opened.tokenizer, marks, GAP), vocabulary.end_token]

"""From a text that a person wrote to a model that is ready to write, whatever its family.

A causal model goes on with the text. An encoder-decoder reads it as its source, gaps written as `[GAP]`, and begins an answer.
Not here: filling in hidden tokens (`filling.py`), writing (`decoding.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from llm_core.config.errors import UserError
from llm_core.generation.filling import tokens_with_places
from llm_core.generation.opening import OpenedModel
from llm_core.generation.text_model import TextModel
from llm_core.models.families import families
from llm_core.text.hidden_places import GAP, cut_with_places, fill_place


def ready_to_write(opened: OpenedModel, text: str) -> tuple[TextModel, list[int]]:
    """The model, and the tokens that writing goes on from.

    Raises:
        UserError: text that the tokenizer does not know, more gaps than there are marks, a source empty or too long, an encoder.
    """
    if "cross" not in families()[opened.config.model.kind].attention:
        return opened.text_model(), opened.tokenizer.encode(text)
    assert opened.vocabulary.start_token is not None
    return opened.text_model(source_tokens(opened, text)), [opened.vocabulary.start_token]


def source_tokens(opened: OpenedModel, text: str) -> list[int]:
    """What the encoder of an encoder-decoder reads: the text, its gaps as marks, and the end; nothing where there is no text."""
    vocabulary = opened.vocabulary
    assert vocabulary.end_token is not None
    if not text:
        return []
    marks = list(gap_numbers(opened))
    if not marks or GAP not in text:
        return [*opened.tokenizer.encode(text), vocabulary.end_token]
    if text.count(GAP) > len(marks):
        raise UserError(
            "The text has more gaps than there are marks for them",
            value=text.count(GAP),
            limit=len(marks),
            remedy=f"Write fewer {GAP}",
        )
    return [*tokens_with_places(text, opened.tokenizer, marks, GAP), vocabulary.end_token]


def gap_numbers(opened: OpenedModel) -> dict[int, int]:
    """The tokens that stand for gaps, with the number of each gap, counted from 1."""
    vocabulary = opened.vocabulary
    if vocabulary.first_mark is None:
        return {}
    return {vocabulary.first_mark - gap: gap + 1 for gap in range(vocabulary.num_marks)}


def fill_gaps(opened: OpenedModel, text: str, answer: Sequence[int]) -> str:
    """The source as it was written, its gaps filled with what the answer says.

    A gap that the answer leaves out stays a gap; of one that it fills twice the first counts.
    """
    numbers = gap_numbers(opened)
    answers: dict[int, list[int]] = {}
    words: list[int] = []  # what comes before the first mark belongs to no gap
    for token in answer:
        if token in numbers:
            words = []
            answers.setdefault(numbers[token], words)
        else:
            words.append(token)
    filled: list[str] = []
    gap = 0
    for token in cut_with_places(text, opened.tokenizer, GAP):
        gap += token.token_id is None
        is_filled = token.token_id is None and gap in answers
        filled.append(fill_place(token, GAP, _text(opened, answers[gap])) if is_filled else token.text)
    return "".join(filled)


def _text(opened: OpenedModel, tokens: Sequence[int]) -> str:
    """With the space before its first word, which `decode` may leave out."""
    return b"".join(map(opened.tokenizer.token_bytes, tokens)).decode("utf-8", "replace")

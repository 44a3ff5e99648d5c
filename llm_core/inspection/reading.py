"""From what a person writes to the tokens that a model reads while it is looked at, whatever its family.

A hidden place is written `[MASK]`, a gap in a source or an answer `[GAP]`. Where an encoder-decoder is given no answer, it reads its
own: the likeliest token at each place. Not here: looking (`recording.py`), what may be written for a model that writes
(`llm_core.generation.prompts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from llm_core.config.errors import UserError
from llm_core.config.sampling import SamplingConfig
from llm_core.generation.decoding import Generation
from llm_core.generation.filling import frame_of, tokens_with_places
from llm_core.generation.opening import OpenedModel
from llm_core.generation.prompts import gap_numbers, source_tokens
from llm_core.models.families import families
from llm_core.text.hidden_places import GAP, MASK

MAXIMUM_OWN_ANSWER_TOKENS = 64


@dataclass(frozen=True)
class Reading:
    """What a model reads."""

    tokens: list[int]
    """The text; of an encoder-decoder what its decoder reads: the start token and the answer, without the token that ends it."""
    source: list[int] | None = None
    """What the encoder of an encoder-decoder reads, its end included; None for the other families."""
    answer: str | None = None
    """The answer as text, gaps as `[GAP]`; None for the other families."""
    is_own_answer: bool = False
    ended: bool = True
    """False where the model's own answer was cut off."""


def read_text(opened: OpenedModel, text: str, answer: str | None = None, *, longest: int) -> Reading:
    """The tokens of a text, or of a source and an answer.

    Args:
        answer: for an encoder-decoder; None or empty takes the model's own.
        longest: tokens that can be looked at; a Transformer reads no more than its context in any case.

    Raises:
        UserError: a text that is unknown to the tokenizer, too short or too long; a model without an inside.
    """
    network = opened.require_network()
    if not network.is_recurrent:
        longest = min(longest, network.context_length)
    if "cross" in families()[opened.config.model.kind].attention:
        return _read_pair(opened, text, answer or "", longest)
    mask = opened.vocabulary.mask_token
    if mask is None:
        tokens = opened.tokenizer.encode(text)
    else:
        before, after = frame_of(opened)
        inside = tokens_with_places(text, opened.tokenizer, [mask]) if MASK in text else opened.tokenizer.encode(text)
        tokens = [*before, *inside, *after]
    _check_length("text", tokens, longest)
    return Reading(tokens)


def _read_pair(opened: OpenedModel, text: str, answer: str, longest: int) -> Reading:
    start = opened.vocabulary.start_token
    assert start is not None
    source = source_tokens(opened, text)
    _check_length("source", source, longest)
    if answer:
        tokens = [start, *source_tokens(opened, answer)[:-1]]
        _check_length("answer", tokens, longest)
        return Reading(tokens, source, answer)
    settings = SamplingConfig(
        max_tokens=min(longest - 1, MAXIMUM_OWN_ANSWER_TOKENS), temperature=0.0, seed=opened.config.seed
    )
    generation = Generation(opened.text_model(source), [start], settings)
    written = [token.token for token in generation]
    return Reading([start, *written], source, _with_gaps(opened, written), True, generation.finish == "eos")


def _with_gaps(opened: OpenedModel, tokens: Sequence[int]) -> str:
    """The text of an answer, its marks as `[GAP]`."""
    marks = gap_numbers(opened)
    pieces = groupby(tokens, key=marks.__contains__)
    return "".join(GAP * len(list(ids)) if are_marks else opened.tokenizer.decode(ids) for are_marks, ids in pieces)


def _check_length(what: str, tokens: Sequence[int], longest: int) -> None:
    if 2 <= len(tokens) <= longest:
        return
    is_long = len(tokens) > longest
    raise UserError(
        f"The {what} is too {'long' if is_long else 'short'} to be looked at{' as a whole' if is_long else ''}",
        value=f"{len(tokens):,} token{'' if len(tokens) == 1 else 's'}",
        limit=f"2 to {longest:,} tokens",
        remedy="Choose a shorter piece" if is_long else "Write a little more",
    )

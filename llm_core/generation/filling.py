"""What an encoder would put in the place of each hidden token, and a text with places to fill as tokens.

Not here: writing on (`decoding.py`); an encoder cannot.

Axes: T tokens, M hidden places, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from llm_core.config.errors import UserError
from llm_core.generation.evaluation_mode import evaluation_mode
from llm_core.models.interface import LanguageModel
from llm_core.text.tokenizer_interface import TextTokenizer

MASK = "[MASK]"
"""What a person writes for a place to fill."""


@dataclass(frozen=True)
class Filling:
    """One place and its likeliest tokens."""

    position: int
    candidates: tuple[tuple[int, float], ...]
    """Token and probability, the likeliest first."""


def tokens_with_places(text: str, tokenizer: TextTokenizer, places: Sequence[int], sign: str = MASK) -> list[int]:
    """The text with each `sign` replaced by a token: the i-th by `places[i]`, the last one again where there are more signs.

    Raises:
        UserError: a piece of text that the tokenizer does not know, or no sign in the text.
    """
    pieces = text.split(sign)
    if len(pieces) == 1:
        raise UserError(
            "There is no place to fill in the text", limit=f"at least one {sign}", remedy=f"Write {sign} for it"
        )
    tokens = tokenizer.encode(pieces[0])
    for index, piece in enumerate(pieces[1:]):
        tokens += [places[min(index, len(places) - 1)], *tokenizer.encode(piece)]
    return tokens


def fill_masks(model: LanguageModel, tokens: Sequence[int], mask_token: int, count: int = 10) -> list[Filling]:
    """The `count` likeliest tokens at each place that holds the mask, all places read at once.

    Raises:
        UserError: no such place, or a text longer than the context.
    """
    positions = [position for position, token in enumerate(tokens) if token == mask_token]
    if not positions:
        raise UserError("There is no place to fill in the text", remedy=f"Write {MASK} for it")
    with evaluation_mode(model), torch.inference_mode():
        hidden_1TD = model(torch.tensor([list(tokens)], device=model.device)).hidden_BTD
        probabilities_MV = model.logits(hidden_1TD[0, positions]).float().softmax(-1)
    top = probabilities_MV.topk(min(count, probabilities_MV.shape[-1]), dim=-1)
    return [
        Filling(position, tuple(zip(ids, values, strict=True)))
        for position, ids, values in zip(positions, top.indices.tolist(), top.values.tolist(), strict=True)
    ]

"""What an encoder would put in the place of each hidden token, and a text with places to fill as tokens.

Not here: writing on (`decoding.py`); an encoder cannot.

Axes: T tokens, M hidden places, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from llm_core.config.errors import UserError
from llm_core.generation.evaluation_mode import evaluation_mode
from llm_core.generation.opening import OpenedModel
from llm_core.models.interface import LanguageModel
from llm_core.text.hidden_places import MASK, CutToken, cut_with_places
from llm_core.text.tokenizer_interface import TextTokenizer
from llm_core.text.visible import shown_token
from llm_core.text.vocabulary import special_tokens


@dataclass(frozen=True)
class Filling:
    """One place and its likeliest tokens."""

    position: int
    candidates: tuple[tuple[int, float], ...]
    """Token and probability, the likeliest first."""


@dataclass(frozen=True)
class FilledText:
    """A text whose places are filled."""

    text: str
    """With the likeliest token in each place."""
    cut: list[CutToken]
    """The text as it was given, in tokens and places."""
    fillings: list[Filling]
    """One for each place, in order; positions count in `cut`."""

    def to_json(self, tokenizer: TextTokenizer) -> dict[str, Any]:
        """The text and, for each place, its position and candidates (token, text, p), as JSON values."""
        places = [
            {
                "position": place.position,
                "candidates": [
                    {"token": token, "text": shown_token(tokenizer, token), "p": p} for token, p in place.candidates
                ],
            }
            for place in self.fillings
        ]
        return {"text": self.text, "places": places}


_BEFORE, _AFTER = ("[CLS]", "<s>"), ("[SEP]", "</s>")


def fill_text(opened: OpenedModel, text: str, count: int = 10) -> FilledText:
    """Fill the places of a text, written as `[MASK]`.

    Raises:
        UserError: a model that fills nothing in, no place, text that the tokenizer does not know, a text longer than the context.
    """
    mask = opened.vocabulary.mask_token
    if mask is None:
        raise UserError(
            "This model was not trained to fill in what is hidden",
            value=opened.config.objective.kind,
            limit="the masked objective",
            remedy="Let it write: glassbox generate RUN --prompt TEXT",
        )
    cut = cut_with_places(text, opened.tokenizer, MASK)
    before, after = frame_of(opened)
    tokens = [*before, *(mask if token.token_id is None else token.token_id for token in cut), *after]
    found = fill_masks(opened.require_network(), tokens, mask, count)
    fillings = [Filling(place.position - len(before), place.candidates) for place in found]
    likeliest = {place.position: place.candidates[0][0] for place in fillings}
    filled = [likeliest.get(position, token.token_id) for position, token in enumerate(cut)]
    return FilledText(opened.tokenizer.decode(token for token in filled if token is not None), cut, fillings)


def frame_of(opened: OpenedModel) -> tuple[list[int], list[int]]:
    """What stands around a text: nothing for models trained here, on windows of text; for imported ones as BERT was trained."""
    if opened.config.data.dataset:
        return [], []
    names = special_tokens(opened.tokenizer)
    before, after = ([names[name] for name in choice if name in names][:1] for choice in (_BEFORE, _AFTER))
    return (before, after) if before and after else ([], [])


def tokens_with_places(text: str, tokenizer: TextTokenizer, places: Sequence[int], sign: str = MASK) -> list[int]:
    """The text with each `sign` replaced by a token: the i-th by `places[i]`, the last one again where there are more signs.

    Raises:
        UserError: a piece of text that the tokenizer does not know, or no sign in the text.
    """
    if sign not in text:
        raise no_place(sign)
    tokens: list[int] = []
    seen = 0
    for token_id, _ in cut_with_places(text, tokenizer, sign):
        tokens.append(places[min(seen, len(places) - 1)] if token_id is None else token_id)
        seen += token_id is None
    return tokens


def no_place(sign: str = MASK) -> UserError:
    """A text in which nothing is hidden."""
    return UserError(
        "There is no place to fill in the text", limit=f"at least one {sign}", remedy=f"Write {sign} where one is"
    )


def fill_masks(model: LanguageModel, tokens: Sequence[int], mask_token: int, count: int = 10) -> list[Filling]:
    """The `count` likeliest tokens at each place that holds the mask, all places read at once.

    Raises:
        UserError: no such place, or a text longer than the context.
    """
    positions = [position for position, token in enumerate(tokens) if token == mask_token]
    if not positions:
        raise no_place()
    with evaluation_mode(model), torch.inference_mode():
        hidden_1TD = model(torch.tensor([list(tokens)], device=model.device)).hidden_BTD
        probabilities_MV = model.logits(hidden_1TD[0, positions]).float().softmax(-1)
    top = probabilities_MV.topk(min(count, probabilities_MV.shape[-1]), dim=-1)
    return [
        Filling(position, tuple(zip(ids, values, strict=True)))
        for position, ids, values in zip(positions, top.indices.tolist(), top.values.tolist(), strict=True)
    ]

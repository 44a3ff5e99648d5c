"""How well a model does on validation text, by the measure of its objective; every figure comes with the name it is kept under.

A causal loss is the likelihood of the whole text. The others are means over hidden or answered tokens, with what is hidden chosen by
a fixed seed, so that measurements of one run, and of several on the same text, compare. float32, dropout off; no random stream of the
training moves. Not here: training losses (`trainer.py`).

Axes: B rows, T positions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from llm_core.config.objective_words import objective_words
from llm_core.config.run import RunConfig
from llm_core.generation.evaluation_mode import evaluation_mode
from llm_core.generation.likelihood import Losses, sum_losses, target_losses
from llm_core.models.interface import LanguageModel
from llm_core.objectives.causal import summed_cross_entropy
from llm_core.objectives.interface import Batch, FillingObjective
from llm_core.objectives.train_step import CausalObjective, document_end
from llm_core.text.batches import TokenVector
from llm_core.text.tokenizer_interface import TextTokenizer


def measure(
    config: RunConfig,
    objective: CausalObjective | FillingObjective,
    model: LanguageModel,
    tokens: TokenVector,
    tokenizer: TextTokenizer,
    *,
    limit_tokens: int = 0,
    on_piece: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Figures by metric key; the validation loss (nats per target) comes first.

    Args:
        limit_tokens: measure only this much of the text, from its start; 0 takes all.
        on_piece: called again and again while it lasts.

    Raises:
        UserError: the text is too short for one row.
    """
    words = objective_words()[config.objective.kind]
    if isinstance(objective, CausalObjective):
        tokens = tokens[: limit_tokens + 1] if limit_tokens else tokens
        losses = target_losses(model, tokens, document_end=document_end(config, objective.vocabulary))
        measured = sum_losses(_watched(losses, on_piece), tokens, tokenizer)
        bits = measured.bits_per_byte
        return {words.validation_key: measured.loss} | ({} if bits is None else {"bits_per_byte": bits})
    nats, hits, targets = 0.0, 0, 0
    for batch in objective.validation(tokens, limit_tokens):
        piece_nats, piece_hits = _score(objective, model, batch)
        nats, hits, targets = nats + piece_nats, hits + piece_hits, targets + batch.num_targets
        on_piece()
    return {words.validation_key: nats / targets, words.accuracy_key: hits / targets}


def _watched(losses: Iterator[Losses], on_piece: Callable[[], None]) -> Iterator[Losses]:
    for piece in losses:
        on_piece()
        yield piece


def _score(objective: FillingObjective, model: LanguageModel, batch: Batch) -> tuple[float, int]:
    """Nats of a batch, and how many targets the likeliest token hits."""
    with evaluation_mode(model), torch.inference_mode():
        logits, targets = objective.scores(model, batch)
        nats = summed_cross_entropy(logits, targets)
        # The target of an empty place is no token, so that no token hits it.
        hits = (logits.argmax(-1) == targets).sum()
    return float(nats), int(hits)

"""How likely a given text is: one function behind the validation loss, `glassbox score` and evaluation.

The first token is context only; every later token is a target exactly once. A Transformer reads windows of `context_length` inputs,
each starting `stride` after the one before and predicting only what no earlier window did; a recurrent network reads one stream from
the zero state. A model that learned documents apart is measured so: within a window each document is read alone. Everything is float32
with dropout off, and neither the model's mode nor any random stream is changed.

Axes: B windows side by side, T positions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from llm_core.config.errors import UserError
from llm_core.generation.evaluation_mode import evaluation_mode
from llm_core.models.interface import LanguageModel, State
from llm_core.objectives.causal import cross_entropy_per_target
from llm_core.text.packing import document_numbers
from llm_core.text.tokenizers import TextTokenizer

Tokens = npt.NDArray[np.integer]
Losses = npt.NDArray[np.floating]
# Logits of one forward pass are kept below about this many numbers (256 MB in float32).
_LOGITS_BUDGET = 64_000_000
_BATCH_TOKENS = 16_384
_RECURRENT_PIECE_TOKENS = 1_024


@dataclass(frozen=True)
class Likelihood:
    """Sums over all targets, and the figures that follow from them."""

    nats: float
    tokens: int
    bytes: int
    special_nats: float
    """Part of `nats` that went to special tokens, which have no bytes."""
    unknown_tokens: int

    @property
    def loss(self) -> float:
        """Nats per token."""
        return self.nats / self.tokens

    @property
    def perplexity(self) -> float:
        """exp(nats per token), infinite where that overflows."""
        return math.exp(self.loss) if self.loss < 709 else math.inf

    @property
    def bits_per_byte(self) -> float | None:
        """Code length per byte of the targets' text, special tokens left out of both sums; None when a token was unknown."""
        if self.unknown_tokens or not self.bytes:
            return None
        return (self.nats - self.special_nats) / (math.log(2) * self.bytes)


def likelihood(
    model: LanguageModel,
    tokens: Tokens,
    tokenizer: TextTokenizer,
    *,
    stride: int | None = None,
    limit_tokens: int = 0,
    unknown_tokens: int = 0,
    document_end: int | None = None,
) -> Likelihood:
    """Likelihood of a token sequence.

    Args:
        tokens: the whole sequence, at least two tokens; nothing is added at either end. A memory map is read piece by piece.
        stride: distance between windows, 1 to the context length (the default); ignored by recurrent networks.
        limit_tokens: count only this many targets from the start; 0 counts all.
        unknown_tokens: how many tokens stand for text that the tokenizer does not know, beside those that are its `unknown_id`.
        document_end: as in `target_losses`.

    Raises:
        UserError: fewer than two tokens, or a stride out of bounds.
    """
    if limit_tokens:
        tokens = tokens[: limit_tokens + 1]
    losses = target_losses(model, tokens, stride=stride, document_end=document_end)
    return sum_losses(losses, tokens, tokenizer, unknown_tokens=unknown_tokens)


def sum_losses(
    losses: Iterable[Losses], tokens: Tokens, tokenizer: TextTokenizer, *, unknown_tokens: int = 0
) -> Likelihood:
    """Add up the losses of `tokens[1:]`, given in order in pieces of any length; for any TextModel's `target_nats`."""
    byte_lengths = tokenizer.byte_lengths()
    special_ids = np.array(sorted(tokenizer.special_ids), dtype=np.int64)
    unknown_id = -1 if tokenizer.unknown_id is None else tokenizer.unknown_id
    nats, special_nats, num_bytes, counted = 0.0, 0.0, 0, 0
    for piece in losses:
        targets = np.asarray(tokens[counted + 1 : counted + 1 + len(piece)], dtype=np.int64)
        nats += float(piece.sum(dtype=np.float64))
        special_nats += float(piece[np.isin(targets, special_ids)].sum(dtype=np.float64))
        unknown_tokens += int((targets == unknown_id).sum())
        num_bytes += int(byte_lengths[targets].sum(dtype=np.int64))
        counted += len(piece)
    assert counted == len(tokens) - 1, "every token after the first is a target exactly once"
    return Likelihood(nats, counted, num_bytes, special_nats, unknown_tokens)


def target_losses(
    model: LanguageModel, tokens: Tokens, *, stride: int | None = None, document_end: int | None = None
) -> Iterator[Losses]:
    """-ln p of every token after the first, in order, in pieces.

    Args:
        document_end: the token that ends a document, for a Transformer that learned each document apart; None reads across them.

    Raises:
        UserError: fewer than two tokens, or a stride out of bounds; at the first piece.
    """
    context = model.context_length
    stride = context if stride is None else stride
    if not 1 <= stride <= context:
        raise UserError("The stride is out of bounds", value=stride, limit=f"1 to {context}, the model's context")
    check_scorable(tokens)
    if model.is_recurrent:
        yield from _stream_losses(model, tokens)
    else:
        yield from _window_losses(model, tokens, stride, document_end)


def check_scorable(tokens: Tokens) -> None:
    """Raise UserError for a text in which no token stands after another."""
    if len(tokens) < 2:
        raise UserError("The text is too short to be scored", value=f"{len(tokens)} tokens", limit="at least 2 tokens")


def _stream_losses(model: LanguageModel, tokens: Tokens) -> Iterator[Losses]:
    """One row, read from the zero state to the end; pieces only bound the memory."""
    piece_tokens = max(1, min(_RECURRENT_PIECE_TOKENS, _LOGITS_BUDGET // model.vocabulary_size))
    state: State | None = None
    for start in range(0, len(tokens) - 1, piece_tokens):
        piece_1T = _to_device(tokens[start : start + piece_tokens + 1], model)[None]
        losses_1T, state = _losses(model, piece_1T, state)
        yield losses_1T[0]


def _window_losses(model: LanguageModel, tokens: Tokens, stride: int, document_end: int | None) -> Iterator[Losses]:
    """Full windows side by side, then the last short one alone."""
    context, num_targets = model.context_length, len(tokens) - 1
    # A window at `start` predicts targets start+1 … start+context; those up to start+context-stride were counted before.
    num_full = 1 + (num_targets - context) // stride if num_targets >= context else 0
    rows = max(1, min(_LOGITS_BUDGET // (context * model.vocabulary_size), _BATCH_TOKENS // context))
    counted = 0
    for first in range(0, num_full, rows):
        starts = np.arange(first, min(first + rows, num_full)) * stride
        windows_BT = np.stack([tokens[start : start + context + 1] for start in starts.tolist()])
        losses_BT, _ = _losses(model, _to_device(windows_BT, model), document_end=document_end)
        if first == 0:
            counted = context
            yield losses_BT[0]
            losses_BT = losses_BT[1:]
        counted += stride * len(losses_BT)
        yield losses_BT[:, context - stride :].reshape(-1)
    if counted < num_targets:
        start = num_full * stride
        losses_1T, _ = _losses(model, _to_device(tokens[start:], model)[None], document_end=document_end)
        yield losses_1T[0, counted - start :]


def _losses(
    model: LanguageModel, windows_BT: Tensor, state: State | None = None, document_end: int | None = None
) -> tuple[Losses, State | None]:
    """Losses of all but the first token of each row, and the state after the last but one.

    The mode is switched for one pass at a time, not for the whole iteration: whoever stops iterating half-way, or trains between
    two pieces, finds the model as it was.
    """
    documents: dict[str, Tensor] = {}
    if document_end is not None:
        numbers_BT = document_numbers(windows_BT[:, :-1].cpu().numpy(), document_end)
        documents["documents_BT"] = torch.from_numpy(numbers_BT).to(windows_BT.device)
    with evaluation_mode(model), torch.inference_mode():
        hidden_BTD, state = model(windows_BT[:, :-1], state=state, **documents)
        return losses_of_hidden(model, hidden_BTD, windows_BT[:, 1:]), state


def losses_of_hidden(model: LanguageModel, hidden_BTD: Tensor, targets_BT: Tensor) -> Losses:
    """-ln p of each target; of a large vocabulary only so many logits stand in memory at once as the budget allows."""
    rows, length = targets_BT.shape
    piece = max(1, _LOGITS_BUDGET // (rows * model.vocabulary_size))
    pieces = [
        cross_entropy_per_target(model.logits(hidden_BTD[:, at : at + piece]), targets_BT[:, at : at + piece]).cpu()
        for at in range(0, length, piece)
    ]
    return torch.cat(pieces, dim=1).numpy()


def _to_device(tokens: Tokens, model: LanguageModel) -> Tensor:
    return torch.from_numpy(np.asarray(tokens).astype(np.int64)).to(model.device)

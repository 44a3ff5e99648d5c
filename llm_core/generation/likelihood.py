"""How likely a given text is: one function behind the validation loss, `glassbox score` and evaluation.

The first token is context only; every later token is a target exactly once. A Transformer reads windows of `context_length` inputs,
each starting `stride` after the one before and predicting only what no earlier window did; a recurrent network reads one stream from
the zero state. Everything is float32 with dropout off, and neither the model's mode nor any random stream is changed.

Axes: B windows side by side, T positions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from llm_core.config.errors import UserError
from llm_core.models.interface import LanguageModel, State
from llm_core.objectives.causal import cross_entropy_per_target
from llm_core.text.tokenizers import TextTokenizer

Tokens = npt.NDArray[np.integer]
# Logits of one forward pass are kept below about this many numbers (256 MB in float32).
_LOGITS_BUDGET = 64_000_000
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
) -> Likelihood:
    """Likelihood of a token sequence.

    Args:
        tokens: the whole sequence, at least two tokens; nothing is added at either end.
        stride: distance between windows, 1 to the context length (the default); ignored by recurrent networks.
        limit_tokens: count only about this many targets from the start; 0 counts all.
        unknown_tokens: how many tokens stand for characters that the tokenizer does not know.

    Raises:
        UserError: fewer than two tokens, or a stride out of bounds.
    """
    if limit_tokens:
        tokens = tokens[: limit_tokens + 1]
    if len(tokens) < 2:
        raise UserError("The text is too short to be scored", value=f"{len(tokens)} tokens", limit="at least 2 tokens")
    losses = np.concatenate(list(target_losses(model, tokens, stride=stride)))
    targets = np.asarray(tokens[1:], dtype=np.int64)
    lengths = tokenizer.byte_lengths()
    special = np.isin(targets, list(tokenizer.special_ids))
    return Likelihood(
        nats=float(losses.sum(dtype=np.float64)),
        tokens=len(targets),
        bytes=int(lengths[targets].sum(dtype=np.int64)),
        special_nats=float(losses[special].sum(dtype=np.float64)),
        unknown_tokens=unknown_tokens,
    )


def target_losses(
    model: LanguageModel, tokens: Tokens, *, stride: int | None = None
) -> Iterator[npt.NDArray[np.float32]]:
    """-ln p of every token after the first, in order, in pieces."""
    context = model.context_length
    stride = context if stride is None else stride
    if not 1 <= stride <= context:
        raise UserError("The stride is out of bounds", value=stride, limit=f"1 to {context}, the model's context")
    with _evaluating(model):
        if model.is_recurrent:
            yield from _stream_losses(model, tokens)
        else:
            yield from _window_losses(model, tokens, stride)


@contextmanager
def _evaluating(model: LanguageModel) -> Iterator[None]:
    """Evaluation mode, without autograd or autocast; the former mode comes back whatever happens."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode(), torch.autocast(model.device.type, enabled=False):
            yield
    finally:
        model.train(was_training)


def _stream_losses(model: LanguageModel, tokens: Tokens) -> Iterator[npt.NDArray[np.float32]]:
    """One row, read from the zero state to the end; pieces only bound the memory."""
    state: State | None = None
    for start in range(0, len(tokens) - 1, _RECURRENT_PIECE_TOKENS):
        piece = _to_device(tokens[start : start + _RECURRENT_PIECE_TOKENS + 1], model)[None]
        output = model(piece[:, :-1], state=state)
        state = output.state
        yield cross_entropy_per_target(model.logits(output.hidden_BTD), piece[:, 1:])[0].float().cpu().numpy()


def _window_losses(model: LanguageModel, tokens: Tokens, stride: int) -> Iterator[npt.NDArray[np.float32]]:
    """Full windows side by side, then the last short one alone."""
    context, num_targets = model.context_length, len(tokens) - 1
    # A window at `start` predicts targets start+1 … start+context; those before `start + context - stride` were counted already.
    num_full = 1 + (num_targets - context) // stride if num_targets >= context else 0
    rows = max(1, _LOGITS_BUDGET // (context * model.vocabulary_size))
    rows = min(rows, max(1, 16_384 // context))
    counted = 0
    for first in range(0, num_full, rows):
        starts = np.arange(first, min(first + rows, num_full)) * stride
        windows_BT = _to_device(np.asarray(tokens)[starts[:, None] + np.arange(context + 1)], model)
        losses_BT = _losses(model, windows_BT)
        if first == 0:
            counted = context
            yield losses_BT[0]
            losses_BT = losses_BT[1:]
        counted += stride * len(losses_BT)
        yield losses_BT[:, context - stride :].reshape(-1)
    if counted < num_targets:
        start = num_full * stride
        losses = _losses(model, _to_device(tokens[start:], model)[None])[0]
        yield losses[counted - start :]


def _losses(model: LanguageModel, windows_BT: Tensor) -> npt.NDArray[np.float32]:
    hidden_BTD = model(windows_BT[:, :-1]).hidden_BTD
    return cross_entropy_per_target(model.logits(hidden_BTD), windows_BT[:, 1:]).float().cpu().numpy()


def _to_device(tokens: Tokens, model: LanguageModel) -> Tensor:
    return torch.from_numpy(np.asarray(tokens).astype(np.int64)).to(model.device)

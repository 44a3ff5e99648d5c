"""How much each token moves each prediction, for any family: the map that lets RNNs and Transformers share a page.

Entry (t, s) is the length of the gradient of the logarithm of a predicted token's probability with respect to the vector of token s,
each row divided by its sum. What is predicted differs by family: the next token, the hidden one, the next one of an answer. Gradients
are a local answer: what a small nudge would do (Simonyan et al. 2014; Li et al. 2016 for text).

Axes: T positions of the text or answer, S of the source, R predictions of one backward pass, D embedding width, V vocabulary.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from llm_core.config.errors import UserError
from llm_core.generation.evaluation_mode import evaluation_mode
from llm_core.models.interface import LanguageModel

# One backward pass answers for several predictions, each on its own copy of the text; more copies would only take more memory.
_PREDICTIONS_AT_ONCE = 16

Influence = npt.NDArray[np.float32]


def influence_map(model: LanguageModel, tokens: Sequence[int]) -> Influence:
    """Of a causal model, [T, T]; row = prediction after token t, column = token s. Nothing above the diagonal; each row sums to 1.

    For the last position the likeliest next token stands in for the one that is not there. A row whose gradient is zero everywhere
    (a prediction that is certain) stays zero.

    Raises:
        UserError: an empty text, or for a Transformer one longer than the context.
    """
    tokens_T = _tokens(model, tokens)
    lengths_TT = torch.zeros(len(tokens), len(tokens))
    with _ready(model):
        targets_T = _next_tokens(model, tokens_T, model(tokens_T[None]).hidden_BTD[0, -1])
        for start, end in _stretches(len(tokens)):

            def read(start: int = start, end: int = end) -> Tensor:
                hidden_RTD = model(tokens_T[:end].expand(end - start, -1)).hidden_BTD
                return hidden_RTD[:, start:].diagonal().T

            lengths_TT[start:end, :end] = _gradient_lengths(model, read, targets_T[start:end])
    return _shares(lengths_TT)


def filling_influence_map(model: LanguageModel, tokens: Sequence[int], mask_token: int) -> Influence:
    """Of an encoder, [T, T]; row = token t as the model would fill it in if it were hidden, column = token s. Rows sum to 1.

    Where the text has a mask already, the likeliest token stands in for the one that is not there. The diagonal is 0: a hidden token
    does not tell about itself.

    Raises:
        UserError: an empty text, or one longer than the context.
    """
    tokens_T = _tokens(model, tokens)
    lengths_TT = torch.zeros(len(tokens), len(tokens))
    with _ready(model):
        likeliest_T = model.logits(model(tokens_T[None]).hidden_BTD[0]).argmax(-1)
        targets_T = torch.where(tokens_T == mask_token, likeliest_T, tokens_T)
        for start, end in _stretches(len(tokens)):
            places_R = torch.arange(start, end, device=model.device)
            hidden_one_RT = tokens_T.repeat(end - start, 1)
            hidden_one_RT[:, start:end].fill_diagonal_(mask_token)

            def read(hidden_one_RT: Tensor = hidden_one_RT, places_R: Tensor = places_R) -> Tensor:
                return model(hidden_one_RT).hidden_BTD[torch.arange(len(places_R)), places_R]

            lengths_TT[start:end] = _gradient_lengths(model, read, targets_T[start:end])
    return _shares(lengths_TT.fill_diagonal_(0))


def answer_influence_map(model: LanguageModel, source: Sequence[int], tokens: Sequence[int]) -> Influence:
    """Of an encoder-decoder, [T, S + T]; row = prediction after answer token t, columns = the source, then the answer. Rows sum to 1.

    Args:
        tokens: what the decoder reads, its start token first. The likeliest token stands in for the one after the last.

    Raises:
        UserError: an empty source or answer, or one longer than the context.
    """
    source_S, tokens_T = _tokens(model, source), _tokens(model, tokens)
    lengths_TW = torch.zeros(len(tokens), len(source) + len(tokens))
    with _ready(model):
        last_D = model(tokens_T[None], memory=model.encode(source_S[None])).hidden_BTD[0, -1]
        targets_T = _next_tokens(model, tokens_T, last_D)
        for start, end in _stretches(len(tokens)):

            def read(start: int = start, end: int = end) -> Tensor:
                memory = model.encode(source_S.expand(end - start, -1))
                hidden_RTD = model(tokens_T[:end].expand(end - start, -1), memory=memory).hidden_BTD
                return hidden_RTD[:, start:].diagonal().T

            lengths_TW[start:end, : len(source) + end] = _gradient_lengths(model, read, targets_T[start:end])
    return _shares(lengths_TW)


def _tokens(model: LanguageModel, tokens: Sequence[int]) -> Tensor:
    if not tokens:
        raise UserError("There is nothing to look at", value="0 tokens", remedy="Write a little text")
    return torch.tensor(list(tokens), dtype=torch.int64, device=model.device)


@contextmanager
def _ready(model: LanguageModel) -> Generator[None]:
    # cuDNN's recurrent kernels refuse a backward pass in evaluation mode.
    with evaluation_mode(model), torch.backends.cudnn.flags(enabled=False), torch.no_grad():
        yield


def _stretches(length: int) -> Iterator[tuple[int, int]]:
    for start in range(0, length, _PREDICTIONS_AT_ONCE):
        yield start, min(start + _PREDICTIONS_AT_ONCE, length)


def _next_tokens(model: LanguageModel, tokens_T: Tensor, last_hidden_D: Tensor) -> Tensor:
    return torch.cat([tokens_T[1:], model.logits(last_hidden_D).argmax()[None]])


def _shares(lengths: Tensor) -> Influence:
    return (lengths / lengths.sum(dim=-1, keepdim=True).clamp(min=1e-30)).numpy()


def _gradient_lengths(model: LanguageModel, read: Callable[[], Tensor], targets_R: Tensor) -> Tensor:
    """Gradient lengths of R predictions with respect to each token's vector: of all the texts that `read` embeds, in their order.

    Args:
        read: hidden states (R, D), each from its own copy of the texts, so that the gradient of the sum holds each one's own in its copy.
    """
    with torch.enable_grad(), _vectors_as_leaves(model) as leaves:
        log_probabilities_RV = model.logits(read()).float().log_softmax(-1)
        total = log_probabilities_RV.gather(-1, targets_R[:, None]).sum()
        gradients = torch.autograd.grad(total, leaves)
    return torch.cat([gradient_RTD.float().norm(dim=-1) for gradient_RTD in gradients], dim=1).cpu()


@contextmanager
def _vectors_as_leaves(model: LanguageModel) -> Generator[list[Tensor]]:
    """Gradients reach the embedding's output although the weights want none; passes of other threads go untouched."""
    leaves: list[Tensor] = []
    thread = threading.get_ident()

    def make_leaf(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        if threading.get_ident() != thread:
            return output
        leaves.append(output.detach().requires_grad_(True))
        return leaves[-1]

    hook = model.get_submodule("embed_tokens").register_forward_hook(make_leaf)
    try:
        yield leaves
    finally:
        hook.remove()

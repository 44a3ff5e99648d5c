"""How much each token moves each later prediction, for any family: the map that lets RNNs and Transformers share a page.

Entry (t, s) is the length of the gradient of ln p(token t+1 | …) with respect to the vector of token s, each row divided by its sum.
For the last position the likeliest next token stands in for the one that is not there. Gradients are a local answer: what a small
nudge would do (Simonyan et al. 2014; Li et al. 2016 for text).

Axes: T positions, R predictions of one backward pass, D embedding width, V vocabulary.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
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


def influence_map(model: LanguageModel, tokens: Sequence[int]) -> npt.NDArray[np.float32]:
    """Weights [T, T]; row = prediction after token t, column = token s. Nothing above the diagonal; each row sums to 1.

    A row whose gradient is zero everywhere (a prediction that is certain) stays zero.

    Raises:
        UserError: an empty text, or for a Transformer one longer than the context.
    """
    if not tokens:
        raise UserError("There is nothing to look at", value="0 tokens", remedy="Write a little text")
    tokens_T = torch.tensor(list(tokens), dtype=torch.int64, device=model.device)
    lengths_TT = torch.zeros(len(tokens), len(tokens))
    # cuDNN's recurrent kernels refuse a backward pass in evaluation mode.
    with evaluation_mode(model), torch.backends.cudnn.flags(enabled=False):
        with torch.no_grad():
            likeliest = model.logits(model(tokens_T[None]).hidden_BTD[0, -1]).argmax()
        targets_T = torch.cat([tokens_T[1:], likeliest[None]])
        for start in range(0, len(tokens), _PREDICTIONS_AT_ONCE):
            end = min(start + _PREDICTIONS_AT_ONCE, len(tokens))
            lengths_TT[start:end, :end] = _gradient_lengths(model, tokens_T[:end], targets_T[start:end]).cpu()
    return (lengths_TT / lengths_TT.sum(dim=-1, keepdim=True).clamp(min=1e-30)).numpy()


def _gradient_lengths(model: LanguageModel, tokens_T: Tensor, targets_R: Tensor) -> Tensor:
    """Gradient lengths (R, T) of the last R predictions with respect to each token's vector."""
    num_predictions = len(targets_R)
    with torch.enable_grad(), _vectors_as_leaves(model) as leaves:
        hidden_RTD = model(tokens_T.expand(num_predictions, -1)).hidden_BTD
        # Copy r answers for prediction r only, so the gradient of the sum holds each one's own gradient in its own copy.
        hidden_RD = hidden_RTD[:, -num_predictions:].diagonal().T
        log_probabilities_RV = model.logits(hidden_RD).float().log_softmax(-1)
        total = log_probabilities_RV.gather(-1, targets_R[:, None]).sum()
        (gradient_RTD,) = torch.autograd.grad(total, leaves)
    return gradient_RTD.float().norm(dim=-1)


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

"""How much each token moves each later prediction, for any family: the map that lets RNNs and Transformers share a page.

Entry (t, s) is the length of the gradient of ln p(token t+1 | …) with respect to the vector of token s, each row divided by its sum. For
the last position the likeliest next token stands in for the one that is not there. Gradients are a local answer: what a small nudge would do.
(Simonyan et al. 2014; Li et al. 2016 for text.)

Axes: T positions, D embedding width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from llm_core.models.interface import LanguageModel


def influence_map(model: LanguageModel, tokens: Sequence[int]) -> npt.NDArray[np.float32]:
    """Weights [T, T]; row = prediction after token t, column = token s. Nothing above the diagonal; each row sums to 1."""
    tokens_1T = torch.tensor([list(tokens)], dtype=torch.int64, device=model.device)
    embedding = model.get_submodule("embed_tokens")
    assert isinstance(embedding, nn.Embedding)
    vectors: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        # A leaf of its own, so that gradients reach the vectors although the weights want none.
        leaf = output.detach().requires_grad_(True)
        vectors.append(leaf)
        return leaf

    was_training = model.training
    model.eval()
    hook = embedding.register_forward_hook(keep)
    try:
        # cuDNN's recurrent kernels refuse a backward pass in evaluation mode.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            logits_TV = model.logits(model(tokens_1T).hidden_BTD)[0].float()
            targets_T = torch.cat([tokens_1T[0, 1:], logits_TV[-1:].argmax(-1)])
            log_probability_T = logits_TV.log_softmax(-1).gather(-1, targets_T[:, None])[:, 0]
            rows = [
                torch.autograd.grad(value, vectors[0], retain_graph=True)[0][0].norm(dim=-1)
                for value in log_probability_T
            ]
    finally:
        hook.remove()
        model.train(was_training)
    weights_TT = torch.stack(rows).tril()
    return (weights_TT / weights_TT.sum(dim=-1, keepdim=True).clamp(min=1e-30)).cpu().numpy()

"""From logits to the tokens that may be chosen, cut by cut.

The cuts mean what they mean in transformers and come in its order: repetition penalty, temperature, top-k, top-p, min-p
(transformers, `generation/logits_process.py`, version 5). Not here: drawing many tokens in a row (`decoding.py`).

Axes: V vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from llm_core.config.sampling import SamplingConfig

MINUS_INFINITY = float("-inf")


def repetition_penalised(logits_V: Tensor, seen: Collection[int], penalty: float) -> Tensor:
    """Divide positive logits of tokens already seen by the penalty and multiply negative ones (Keskar et al. 2019, CTRL)."""
    if penalty == 1.0 or not seen:
        return logits_V
    index = torch.tensor(sorted(set(seen)), dtype=torch.int64)
    chosen = logits_V[index]
    return logits_V.index_put((index,), torch.where(chosen > 0, chosen / penalty, chosen * penalty))


def top_k_kept(logits_V: Tensor, k: int) -> Tensor:
    """Keep the k largest; equals of the k-th are kept too. 0 keeps all."""
    if k == 0 or k >= logits_V.numel():
        return logits_V
    threshold = logits_V.topk(k).values[-1]
    return logits_V.masked_fill(logits_V < threshold, MINUS_INFINITY)


def top_p_kept(logits_V: Tensor, p: float) -> Tensor:
    """Keep the smallest set of likeliest tokens whose probability reaches p (Holtzman et al. 2020), at least one."""
    if p >= 1.0:
        return logits_V
    ordered, order = logits_V.sort(descending=False)
    drop = ordered.softmax(-1).cumsum(-1) <= 1.0 - p
    drop[-1] = False
    return logits_V.masked_fill(torch.zeros_like(drop).scatter(0, order, drop), MINUS_INFINITY)


def min_p_kept(logits_V: Tensor, min_p: float) -> Tensor:
    """Keep tokens at least `min_p` times as likely as the likeliest."""
    if min_p <= 0.0:
        return logits_V
    probabilities = logits_V.softmax(-1)
    return logits_V.masked_fill(probabilities < min_p * probabilities.max(), MINUS_INFINITY)


def candidate_probabilities(logits_V: Tensor, seen: Collection[int], settings: SamplingConfig) -> Tensor:
    """Probabilities (V,) from which the next token is drawn; they sum to 1 and tokens cut away have exactly 0.

    Temperature 0 leaves one token: the first of the likeliest.
    """
    logits_V = repetition_penalised(logits_V.double(), seen, settings.repetition_penalty)
    if settings.temperature == 0.0:
        return torch.zeros_like(logits_V).scatter(0, logits_V.argmax(keepdim=True), 1.0)
    # From the largest down, so that a temperature near 0 overflows nowhere; softmax does not see the difference.
    logits_V = (logits_V - logits_V.max()) / settings.temperature
    logits_V = top_k_kept(logits_V, settings.top_k)
    logits_V = top_p_kept(logits_V, settings.top_p)
    logits_V = min_p_kept(logits_V, settings.min_p)
    return logits_V.softmax(-1)


def draw(probabilities_V: Tensor, generator: torch.Generator) -> int:
    """One token by inverse cumulative probability, so that one uniform number decides, whatever the vocabulary's size."""
    cumulative = probabilities_V.cumsum(-1)
    uniform = torch.rand(1, generator=generator, dtype=torch.float64) * cumulative[-1]
    token = int(torch.searchsorted(cumulative, uniform, right=True).item())
    token = min(token, probabilities_V.numel() - 1)
    while probabilities_V[token] == 0.0:  # rounding at the very end of the scale
        token -= 1
    return token


@dataclass(frozen=True)
class Candidate:
    """A token before and after the cuts."""

    token: int
    probability: float
    """At temperature 1, before any cut."""
    candidate_probability: float
    """After temperature and cuts; 0 where the token was cut away."""


def compare_candidates(
    logits_V: Tensor, seen: Collection[int], settings: SamplingConfig, count: int = 20
) -> list[Candidate]:
    """The likeliest tokens with their probability before and after the settings, for the little picture of the Playground."""
    raw = logits_V.double().softmax(-1)
    after = candidate_probabilities(logits_V, seen, settings)
    top = raw.topk(min(count, raw.numel()))
    return [
        Candidate(int(token), float(probability), float(after[token]))
        for token, probability in zip(top.indices.tolist(), top.values.tolist(), strict=True)
    ]

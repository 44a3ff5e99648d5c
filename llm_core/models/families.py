"""The words about each family: title, one sentence, formula. Free of torch, so that pages may read it.

Not here: which class builds a family (`registry.py`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """A family of models as a person meets it."""

    kind: str
    title: str
    sentence: str
    formula: str
    """LaTeX, one display line."""
    is_recurrent: bool


def families() -> dict[str, Family]:
    """All families by kind, simplest first."""
    return {family.kind: family for family in _FAMILIES}


_FAMILIES = (
    Family(
        "rnn",
        "RNN",
        "One vector carries everything read so far, rewritten at every token.",
        r"h_t = \sigma(W_{hh}\,h_{t-1} + W_{xh}\,x_t + b)",
        True,
    ),
    Family(
        "gru",
        "GRU",
        "Two gates decide what of the old vector stays and what is written anew.",
        r"h_t = (1 - z_t) \odot \tanh(W_n x_t + r_t \odot U_n h_{t-1}) + z_t \odot h_{t-1}",
        True,
    ),
    Family(
        "lstm",
        "LSTM",
        "A protected cell keeps what the forget gate lets through, for hundreds of tokens.",
        r"c_t = f_t \odot c_{t-1} + i_t \odot g_t, \qquad h_t = o_t \odot \tanh(c_t)",
        True,
    ),
    Family(
        "transformer",
        "Transformer",
        "Every token looks back at all tokens before it and takes what it needs.",
        r"\mathrm{softmax}\!\left(\frac{Q K^\top}{\sqrt{d_k}}\right) V",
        False,
    ),
)

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
    """LaTeX, one display block."""
    symbols: tuple[tuple[str, str], ...]
    """What each sign of the formula stands for: LaTeX, words."""
    is_recurrent: bool = False
    formula_of: str = "a layer"
    """What the formula computes, to stand after "What … computes"."""
    attention: tuple[str, ...] = ()
    """The attentions there are to look at: "decoder" (each token back), "encoder" (to both sides), "cross" (into the source)."""
    is_counted: bool = False
    """Nothing is trained: the text is counted, once for each order."""


def families() -> dict[str, Family]:
    """All families by kind, simplest first."""
    return {family.kind: family for family in _FAMILIES}


_VECTORS = (
    (r"x_t", "the vector of token t, from the embedding or the layer below"),
    (r"h_t", "what the layer knows after token t, and what it hands on"),
)
_WEIGHTS = (r"W,\ b", "matrices and biases that training finds")

_ATTENTION = (
    (r"Q", "queries: what each token looks for"),
    (r"K", "keys: what each token that may be seen offers"),
    (r"V", "values: what is taken from the tokens that fit"),
    (r"d_k", "the width of a head; its root keeps the scores from growing with it"),
    (r"\mathrm{softmax}", "turns the scores of a row into shares that sum to 1"),
)

_FAMILIES = (
    Family(
        "ngram",
        "n-gram",
        "No network: it counts what followed the last few tokens, and falls back to shorter memories where it saw too little.",
        r"""\begin{aligned}
p_n(w \mid c) &= \frac{\max(a(c\,w) - D, 0)}{a(c\,\cdot)} \\ &\qquad + \gamma(c)\, p_{n-1}(w \mid c')
\end{aligned}""",
        (
            (r"w", "the next token"),
            (r"c,\ c'", "the n − 1 tokens before it, and the same without the first of them"),
            (r"a(c\,w)", "how often they were seen together; for shorter memories, after how many different tokens"),
            (
                r"D",
                "a discount: what is taken off each count for what was never seen; one for counts of 1, of 2, of 3 and more",
            ),
            (r"\gamma(c)", "the share that is left to the shorter memory, so that all probabilities sum to 1"),
        ),
        formula_of="an order",
        is_counted=True,
    ),
    Family(
        "rnn",
        "RNN",
        "One vector carries everything read so far, rewritten at every token.",
        r"h_t = \sigma(W_{hh}\,h_{t-1} + W_{xh}\,x_t + b)",
        (*_VECTORS, _WEIGHTS, (r"\sigma", "the nonlinearity: tanh, relu or the logistic sigmoid")),
        True,
    ),
    Family(
        "gru",
        "GRU",
        "Two gates decide what of the old vector stays and what is written anew.",
        r"""\begin{aligned}
r_t &= \sigma(W_{xr}\,x_t + W_{hr}\,h_{t-1} + b_r) \\
z_t &= \sigma(W_{xz}\,x_t + W_{hz}\,h_{t-1} + b_z) \\
n_t &= \tanh(W_{xn}\,x_t + b_n \\ &\qquad + r_t \odot (W_{hn}\,h_{t-1} + b'_n)) \\
h_t &= (1 - z_t) \odot n_t + z_t \odot h_{t-1}
\end{aligned}""",
        (
            *_VECTORS,
            (r"r_t", "the reset gate: how much of the past the new content may see, 0 to 1"),
            (r"z_t", "the update gate: how much of the past stays, 0 to 1"),
            (r"n_t", "the new content"),
            _WEIGHTS,
            (r"\sigma", "the logistic sigmoid, between 0 and 1"),
            (r"\odot", "number by number"),
        ),
        True,
    ),
    Family(
        "mingru",
        "minGRU",
        "A GRU whose gate looks at the new token alone, so that a whole text is read at once.",
        r"""\begin{aligned}
z_t &= \sigma(W_z\,x_t + b_z) \\
n_t &= W_n\,x_t + b_n \\
h_t &= (1 - z_t) \odot h_{t-1} + z_t \odot n_t
\end{aligned}""",
        (
            *_VECTORS,
            (r"z_t", "the gate: how much of the vector is written anew, 0 to 1"),
            (r"n_t", "the new content"),
            _WEIGHTS,
            (r"\sigma", "the logistic sigmoid, between 0 and 1"),
            (r"\odot", "number by number"),
        ),
        True,
    ),
    Family(
        "lstm",
        "LSTM",
        "A protected cell keeps what the forget gate lets through, for hundreds of tokens.",
        r"""\begin{aligned}
(i_t, f_t, o_t) &= \sigma(W_x\,x_t + W_h\,h_{t-1} + b) \\
g_t &= \tanh(W_{xg}\,x_t + W_{hg}\,h_{t-1} + b_g) \\
c_t &= f_t \odot c_{t-1} + i_t \odot g_t \\
h_t &= o_t \odot \tanh(c_t)
\end{aligned}""",
        (
            *_VECTORS,
            (r"c_t", "the cell, which only the gates can change"),
            (r"f_t,\ i_t,\ o_t", "the gates for forgetting, writing and reading, 0 to 1"),
            (r"g_t", "the new content"),
            _WEIGHTS,
            (r"\sigma", "the logistic sigmoid, between 0 and 1"),
            (r"\odot", "number by number"),
        ),
        True,
    ),
    Family(
        "transformer",
        "Transformer",
        "Every token looks back at all tokens before it and takes what it needs.",
        r"\mathrm{softmax}\!\left(\frac{Q K^\top}{\sqrt{d_k}}\right) V",
        (
            (r"Q", "queries: what each token looks for"),
            (r"K", "keys: what each token before it, and the token itself, offers"),
            (r"V", "values: what is taken from the tokens that fit"),
            (r"d_k", "the width of a head; its root keeps the scores from growing with it"),
            (r"\mathrm{softmax}", "turns the scores of a row into shares that sum to 1; later tokens get 0"),
        ),
        formula_of="an attention head",
        attention=("decoder",),
    ),
    Family(
        "encoder",
        "Encoder",
        "Every token looks to both sides; it fills in hidden tokens, and cannot write. BERT and its kin.",
        r"\mathrm{softmax}\!\left(\frac{Q K^\top}{\sqrt{d_k}}\right) V",
        _ATTENTION,
        formula_of="an attention head",
        attention=("encoder",),
    ),
    Family(
        "encoder-decoder",
        "Encoder-decoder",
        "One half reads a source to both sides, the other writes an answer while it looks back at the source. The Transformer of 2017, T5.",
        r"\mathrm{softmax}\!\left(\frac{Q_{\mathrm{answer}}\, K_{\mathrm{source}}^\top}{\sqrt{d_k}} + B\right) V_{\mathrm{source}}",
        (
            (r"Q_{\mathrm{answer}}", "queries of the answer: what each of its tokens looks for"),
            (
                r"K_{\mathrm{source}},\ V_{\mathrm{source}}",
                "keys and values of the source: what it offers, and what is taken",
            ),
            (r"d_k", "the width of a head; T5 leaves the root out and lets its first weights do the same"),
            (r"B", "a learned number for each distance, in T5's attentions within the source and within the answer"),
            (r"\mathrm{softmax}", "turns the scores of a row into shares that sum to 1"),
        ),
        formula_of="a cross-attention head",
        attention=("encoder", "decoder", "cross"),
    ),
)

"""The parts of a bidirectional Transformer that a causal one does not have: its blocks, its masks, its head.

They compute exactly what BERT, RoBERTa and ModernBERT of transformers compute, each with its settings. Attention itself is that of
`layers.py`, without causality and cache.
Not here: how the parts are stacked (`encoder.py`).

Axes: B batch, T positions, D model width, V vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llm_core.config.encoder import EncoderConfig
from llm_core.config.model import TransformerConfig
from llm_core.models.layers import Attention, LayerInputs


def make_layer_norm(config: EncoderConfig) -> nn.LayerNorm:
    """LayerNorm over the model's width; its bias goes with the other biases."""
    return nn.LayerNorm(config.hidden_size, config.norm_epsilon, bias=config.biases)


class EncoderBlock(nn.Module):
    """Attention, then feed-forward, each added to the stream.

    Pre-norm: x + block(norm(x)); post-norm: norm(x + block(x)). A pre-norm stream enters the first layer just normed,
    so that layer has no norm before its attention.
    """

    def __init__(self, config: EncoderConfig, layer: int) -> None:
        super().__init__()
        self.is_pre_norm = config.norm_placement == "pre"
        self.self_attn = Attention(_attention_settings(config), layer)
        self.attention_norm = nn.Identity() if self.is_pre_norm and layer == 0 else make_layer_norm(config)
        self.mlp = EncoderFeedForward(config)
        self.feed_forward_norm = make_layer_norm(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_BTD: Tensor, shared: LayerInputs) -> Tensor:
        if self.is_pre_norm:
            x_BTD = x_BTD + self.dropout(self.self_attn(self.attention_norm(x_BTD), shared))
            return x_BTD + self.dropout(self.mlp(self.feed_forward_norm(x_BTD)))
        x_BTD = self.attention_norm(x_BTD + self.dropout(self.self_attn(x_BTD, shared)))
        return self.feed_forward_norm(x_BTD + self.dropout(self.mlp(x_BTD)))


def _attention_settings(config: EncoderConfig) -> TransformerConfig:
    """What `layers.Attention` asks of a form: every head its own keys, no norm on them."""
    return TransformerConfig(
        num_heads=config.num_heads,
        hidden_size=config.hidden_size,
        positions=config.positions,
        dropout=config.dropout,
        biases=config.biases,
        qk_norm=False,
    )


class EncoderFeedForward(nn.Module):
    """GELU in its exact form: down(gelu(up(x))) (Hendrycks and Gimpel 2016); or GeGLU: down(gelu(gate(x)) · up(x)) (Shazeer 2020)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.resolved_feed_forward_size
        self.gate_proj = nn.Linear(width, inner, bias=config.biases) if config.activation == "geglu" else None
        self.up_proj = nn.Linear(width, inner, bias=config.biases)
        self.down_proj = nn.Linear(inner, width, bias=config.biases)

    def forward(self, x_BTD: Tensor) -> Tensor:
        if self.gate_proj is None:
            return self.down_proj(F.gelu(self.up_proj(x_BTD)))
        return self.down_proj(F.gelu(self.gate_proj(x_BTD)) * self.up_proj(x_BTD))


class MaskedHead(nn.Module):
    """Scores of the vocabulary: norm(gelu(dense(h))) against the token embeddings, plus a bias for each token."""

    def __init__(self, config: EncoderConfig, vocabulary_size: int) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size, bias=config.biases)
        self.norm = make_layer_norm(config)
        self.bias = nn.Parameter(torch.zeros(vocabulary_size))

    def forward(self, hidden: Tensor, embedding_VD: Tensor) -> Tensor:
        """Logits (..., V) for hidden states (..., D)."""
        return F.linear(self.norm(F.gelu(self.dense(hidden))), embedding_VD, self.bias)


def window_mask(length: int, device: torch.device, window: int) -> Tensor:
    """(1, 1, T, T), True where a position may look: at itself and half the window to each side; everywhere with window 0."""
    mask = torch.ones(length, length, dtype=torch.bool, device=device)
    return (mask.triu(-(window // 2)).tril(window // 2) if window else mask)[None, None]

"""The parts a Transformer is made of: norm, rotation, attention, feed-forward; the positions and masks of a row.

They compute exactly what Qwen3, Llama, Mistral and GPT2LMHeadModel of transformers compute, each with its settings; module names follow
Qwen3, so that its weights map one to one.
Not here: how the parts are stacked (`decoder.py`, `encoder.py`), what is remembered between calls (`state.py`).

Axes: B batch, T new positions, S all positions looked at, D model width, H query heads, K key-value heads, E head width,
F feed-forward width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llm_core.config.model import TransformerConfig
from llm_core.models.interface import LanguageModel
from llm_core.models.state import CachePlaces, KeyValueCache
from llm_core.models.tap import Tap


@dataclass(frozen=True)
class LayerInputs:
    """What every layer of one forward pass shares, besides the stream itself."""

    positions_BT: Tensor
    """Positions inside the text or document, (1, T) when all rows agree."""
    angles: tuple[Tensor, Tensor] | None
    """Cosine and sine (B or 1, 1, T, E) of the positions' angles; None where positions are learned."""
    mask: Tensor | None
    """Boolean, broadcastable to (B, 1, T, S), True where a query may look. None: see `is_causal`."""
    is_causal: bool
    """Without a mask: True looks at the T new positions up to itself, False at all S."""
    cache: KeyValueCache | None
    places: CachePlaces | None
    """Where in the cache the new positions go."""
    tap: Tap | None


class RMSNorm(nn.Module):
    """x / sqrt(mean(x²) + ε) · weight over the last axis, computed in float32 (Zhang and Sennrich 2019)."""

    def __init__(self, size: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype == torch.float64:
            # The reference goes down to float32 even here; following it keeps float64 models comparable to 1e-9.
            single = x.float()
            single = single * torch.rsqrt(single.pow(2).mean(-1, keepdim=True) + self.epsilon)
            return self.weight * single.to(x.dtype)
        return F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), self.epsilon)


def make_norm(config: TransformerConfig) -> nn.Module:
    """The norm of a form, over the model's width."""
    if config.norm == "layer":
        return nn.LayerNorm(config.hidden_size, config.norm_epsilon, bias=config.biases)
    return RMSNorm(config.hidden_size, config.norm_epsilon)


class RotaryAngles(nn.Module):
    """Cosine and sine of every position's angles (Su et al. 2021), both halves of a head sharing one set of frequencies.

    Tables are float32 whatever the weights are, because bfloat16 cannot tell position 257 from 256, and they are no buffers:
    they follow the module to another device, but no change of dtype reaches them and no checkpoint holds them.
    """

    def __init__(self, head_size: int, theta: float, context_length: int) -> None:
        super().__init__()
        self.head_size = head_size
        self.theta = theta
        self.context_length = context_length
        self._make_tables(torch.get_default_device())

    def _make_tables(self, device: torch.device) -> None:
        exponents_E2 = torch.arange(0, self.head_size, 2, dtype=torch.float32, device=device) / self.head_size
        positions_T = torch.arange(self.context_length, dtype=torch.float32, device=device)
        angles_TE2 = positions_T[:, None] * (1.0 / self.theta**exponents_E2)
        angles_TE = torch.cat((angles_TE2, angles_TE2), dim=-1)
        self.cosine_TE, self.sine_TE = angles_TE.cos(), angles_TE.sin()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """torch's hook behind .to(), .cuda() and .to_empty()."""
        super()._apply(fn, recurse)
        device = fn(self.cosine_TE).device
        if device != self.cosine_TE.device:
            self._make_tables(device)
        return self

    def forward(self, positions_BT: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosine and sine, both (B or 1, 1, T, E)."""
        return self.cosine_TE[positions_BT][:, None].to(dtype), self.sine_TE[positions_BT][:, None].to(dtype)


def activation_dtype(model: LanguageModel) -> torch.dtype:
    """The type in which the layers compute: that of autocast where it is on."""
    device = model.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else model.dtype


def rotate(x_BHTE: Tensor, cosine_B1TE: Tensor, sine_B1TE: Tensor) -> Tensor:
    """Turn each pair (x_i, x_{i + E/2}) by its position's angle; the pairing of Hugging Face's Llama family."""
    first, second = x_BHTE.chunk(2, dim=-1)
    return x_BHTE * cosine_B1TE + torch.cat((-second, first), dim=-1) * sine_B1TE


class Attention(nn.Module):
    """Grouped-query attention; by its settings with a norm on queries and keys, rotation, biases."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        width, head_size = config.hidden_size, config.head_size
        self.layer = layer
        self.num_heads = config.num_heads
        self.num_kv_heads = config.resolved_num_kv_heads
        self.head_size = head_size
        self.dropout = config.dropout
        self.scale = head_size**-0.5
        # Three products, not one fused: measured equal within the noise, and names and optimizers see three matrices.
        self.q_proj = nn.Linear(width, self.num_heads * head_size, bias=config.biases)
        self.k_proj = nn.Linear(width, self.num_kv_heads * head_size, bias=config.biases)
        self.v_proj = nn.Linear(width, self.num_kv_heads * head_size, bias=config.biases)
        self.o_proj = nn.Linear(self.num_heads * head_size, width, bias=config.biases)
        self.q_norm = RMSNorm(head_size, config.norm_epsilon) if config.qk_norm else nn.Identity()
        self.k_norm = RMSNorm(head_size, config.norm_epsilon) if config.qk_norm else nn.Identity()

    def forward(self, x_BTD: Tensor, shared: LayerInputs) -> Tensor:
        """Attention output (B, T, D)."""
        batch_size, length, _ = x_BTD.shape
        q_BHTE = self.q_norm(self.q_proj(x_BTD).view(batch_size, length, -1, self.head_size)).transpose(1, 2)
        k_BKSE = self.k_norm(self.k_proj(x_BTD).view(batch_size, length, -1, self.head_size)).transpose(1, 2)
        v_BKSE = self.v_proj(x_BTD).view(batch_size, length, -1, self.head_size).transpose(1, 2)
        if shared.angles is not None:
            q_BHTE = rotate(q_BHTE, *shared.angles)
            k_BKSE = rotate(k_BKSE, *shared.angles)
        if shared.cache is not None and shared.places is not None:
            k_BKSE, v_BKSE = shared.cache.write(self.layer, shared.places, k_BKSE, v_BKSE)
        if shared.tap is not None:
            mask = causal_mask(length, x_BTD.device) if shared.is_causal else shared.mask
            shared.tap.attention(self.layer, q_BHTE, k_BKSE, mask, self.scale, shared.positions_BT)
        out_BHTE = F.scaled_dot_product_attention(
            q_BHTE,
            k_BKSE,
            v_BKSE,
            attn_mask=shared.mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=shared.is_causal,
            scale=self.scale,
            enable_gqa=self.num_kv_heads != self.num_heads,
        )
        return self.o_proj(out_BHTE.transpose(1, 2).reshape(batch_size, length, -1))


def positions_in_row(
    length: int, documents_BT: Tensor | None, padding_BT: Tensor | None, device: torch.device
) -> Tensor:
    """Positions (B or 1, T) from 0 at the start of each row, or of each document in it."""
    counting_T = torch.arange(length, device=device)
    if documents_BT is not None:
        is_first_BT = F.pad(documents_BT[:, 1:] != documents_BT[:, :-1], (1, 0))
        return counting_T - torch.where(is_first_BT, counting_T, 0).cummax(dim=1).values
    if padding_BT is not None:
        # Padding on the left shifts a row's text; its first real token is still position 0.
        return ((~padding_BT).cumsum(dim=1) - 1).clamp(min=0)
    return counting_T[None]


def causal_mask(length: int, device: torch.device, window: int = 0) -> Tensor:
    """(1, 1, T, T), True where a position may look: at itself and before, with a window at the last `window` places alone."""
    mask = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    return (mask.triu(1 - window) if window else mask)[None, None]


def mask_between_texts(mask: Tensor, documents_BT: Tensor | None, padding_BT: Tensor | None) -> Tensor:
    """The mask (1, 1, T, T) with looks into other documents and at padding taken out, (B, 1, T, T)."""
    if documents_BT is not None:
        mask = mask & (documents_BT[:, :, None] == documents_BT[:, None, :])[:, None]
    if padding_BT is not None:
        # A padded query keeps itself, so that no row of the softmax is empty (NaN); its hidden value is void anyway.
        itself = torch.eye(mask.shape[-1], dtype=torch.bool, device=mask.device)
        mask = (mask & ~padding_BT[:, None, None, :]) | itself
    return mask


class FeedForward(nn.Module):
    """SwiGLU: down(silu(gate(x)) · up(x)) (Shazeer 2020); or GELU in its tanh form: down(gelu(up(x))) (Hendrycks and Gimpel 2016)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.resolved_feed_forward_size
        self.gate_proj = nn.Linear(width, inner, bias=config.biases) if config.activation == "swiglu" else None
        self.up_proj = nn.Linear(width, inner, bias=config.biases)
        self.down_proj = nn.Linear(inner, width, bias=config.biases)

    def forward(self, x_BTD: Tensor) -> Tensor:
        if self.gate_proj is None:
            return self.down_proj(F.gelu(self.up_proj(x_BTD), approximate="tanh"))
        return self.down_proj(F.silu(self.gate_proj(x_BTD)) * self.up_proj(x_BTD))

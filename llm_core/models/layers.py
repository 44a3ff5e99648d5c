"""The parts a causal Transformer is made of: norm, rotation, attention, feed-forward.

They compute exactly what Qwen3ForCausalLM of transformers computes; module names follow it, so that weights map one to one.
Not here: how the parts are stacked (`decoder.py`), what is remembered between calls (`state.py`).

Axes: B batch, T new positions, S all positions looked at, D model width, H query heads, K key-value heads, E head width,
F feed-forward width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llm_core.config.model import TransformerConfig
from llm_core.models.state import KeyValueCache
from llm_core.models.tap import Tap


class RMSNorm(nn.Module):
    """x / sqrt(mean(x²) + ε) · weight over the last axis, computed in float32 (Zhang and Sennrich 2019)."""

    def __init__(self, size: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), self.epsilon)


def rotary_angles(positions_BT: Tensor, head_size: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosine and sine (B, 1, T, E) of every position, both halves of a head sharing one set of frequencies (Su et al. 2021).

    Angles are computed in float32 (float64 for a float64 model) whatever the activations are, because bfloat16 cannot tell
    position 257 from 256.
    """
    precise = torch.float64 if dtype == torch.float64 else torch.float32
    exponents_E2 = torch.arange(0, head_size, 2, device=positions_BT.device, dtype=precise) / head_size
    angles_BTE2 = positions_BT.to(precise)[..., None] * theta**-exponents_E2
    angles_B1TE = torch.cat((angles_BTE2, angles_BTE2), dim=-1)[:, None]
    return angles_B1TE.cos().to(dtype), angles_B1TE.sin().to(dtype)


def rotate(x_BHTE: Tensor, cosine_B1TE: Tensor, sine_B1TE: Tensor) -> Tensor:
    """Turn each pair (x_i, x_{i + E/2}) by its position's angle; the pairing of Hugging Face's Llama family."""
    first, second = x_BHTE.chunk(2, dim=-1)
    return x_BHTE * cosine_B1TE + torch.cat((-second, first), dim=-1) * sine_B1TE


class Attention(nn.Module):
    """Grouped-query attention with a norm on queries and keys before the rotation, without biases."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        width, head_size = config.hidden_size, config.head_size
        self.layer = layer
        self.num_heads = config.num_heads
        self.num_kv_heads = config.resolved_num_kv_heads
        self.head_size = head_size
        self.dropout = config.dropout
        self.scale = head_size**-0.5
        self.q_proj = nn.Linear(width, self.num_heads * head_size, bias=False)
        self.k_proj = nn.Linear(width, self.num_kv_heads * head_size, bias=False)
        self.v_proj = nn.Linear(width, self.num_kv_heads * head_size, bias=False)
        self.o_proj = nn.Linear(self.num_heads * head_size, width, bias=False)
        self.q_norm = RMSNorm(head_size, config.norm_epsilon)
        self.k_norm = RMSNorm(head_size, config.norm_epsilon)

    def forward(
        self,
        x_BTD: Tensor,
        angles: tuple[Tensor, Tensor],
        mask: Tensor | None,
        cache: KeyValueCache | None,
        tap: Tap | None,
        positions_BT: Tensor,
    ) -> Tensor:
        """Attention output (B, T, D). `mask` None means plain causal attention among the T positions themselves."""
        batch_size, length, _ = x_BTD.shape
        q_BHTE = self.q_norm(self.q_proj(x_BTD).view(batch_size, length, -1, self.head_size)).transpose(1, 2)
        k_BKTE = self.k_norm(self.k_proj(x_BTD).view(batch_size, length, -1, self.head_size)).transpose(1, 2)
        v_BKTE = self.v_proj(x_BTD).view(batch_size, length, -1, self.head_size).transpose(1, 2)
        q_BHTE = rotate(q_BHTE, *angles)
        k_BKSE = rotate(k_BKTE, *angles)
        v_BKSE = v_BKTE
        if cache is not None:
            k_BKSE, v_BKSE = cache.write(self.layer, k_BKSE, v_BKSE)
        if tap is not None:
            seen = causal_mask(length, x_BTD.device) if mask is None else mask
            tap.attention(self.layer, q_BHTE, k_BKSE, seen, self.scale, positions_BT)
        out_BHTE = F.scaled_dot_product_attention(
            q_BHTE,
            k_BKSE,
            v_BKSE,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=mask is None and length > 1,
            scale=self.scale,
            enable_gqa=self.num_kv_heads != self.num_heads,
        )
        return self.o_proj(out_BHTE.transpose(1, 2).reshape(batch_size, length, -1))


def causal_mask(length: int, device: torch.device) -> Tensor:
    """(1, 1, T, T), True where a position may look: at itself and before."""
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()[None, None]


class FeedForward(nn.Module):
    """SwiGLU: down(silu(gate(x)) · up(x)) (Shazeer 2020)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.resolved_feed_forward_size
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x_BTD)) * self.up_proj(x_BTD))

"""The parts an encoder-decoder is made of: attention with a bias on its scores, feed-forward, blocks with norms before or after, stacks.

By their settings they compute exactly what T5ForConditionalGeneration of transformers computes, and the layers of
torch.nn.Transformer; module names are those of the causal Transformer (`layers.py`).
Not here: what a pass may look at (`encoder_decoder.py`), where positions come from (`relative_positions.py`).

Axes: B batch, T new positions, S all positions looked at, D model width, H heads, E head width, F feed-forward width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llm_core.config.encoder_decoder import EncoderDecoderConfig
from llm_core.models.encoder_decoder_state import EncoderDecoderState
from llm_core.models.relative_positions import RelativePositionBias
from llm_core.models.state import CachePlaces
from llm_core.models.tap import Part, Tap


@dataclass(frozen=True)
class View:
    """What the queries of one kind of attention may look at, the same in every layer of a pass."""

    part: Part
    positions_BT: Tensor
    """The queries' positions, (1, T) when all rows agree."""
    mask: Tensor | None
    """Boolean (B or 1, 1, T, S), True where a query may look; None where every query sees every key."""
    bias: Tensor | None
    """What is added to the scores, (B or 1, H, T, S)."""
    kernel_mask: Tensor | None
    """Mask and bias in one, as the attention kernel takes them."""
    is_causal: bool
    """True where the kernel makes the causal mask by itself, and `kernel_mask` is None."""
    tap: Tap | None


def view(
    part: Part,
    positions_BT: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    tap: Tap | None,
    *,
    is_plainly_causal: bool = False,
) -> View:
    """A view with its kernel mask; `is_plainly_causal` says that the mask is that of plain causal attention."""
    if bias is None:
        return View(part, positions_BT, mask, None, None if is_plainly_causal else mask, is_plainly_causal, tap)
    kernel_mask = bias if mask is None else bias.masked_fill(~mask, float("-inf"))
    return View(part, positions_BT, mask, bias, kernel_mask, False, tap)


@dataclass(frozen=True)
class LayerInputs:
    """What every layer of one forward pass shares, besides the stream itself."""

    own: View
    """Self-attention."""
    source: View | None = None
    """Cross-attention; None in an encoder."""
    memory_BSD: Tensor | None = None
    """The encoder's output, in a pass without a state."""
    state: EncoderDecoderState | None = None
    places: CachePlaces | None = None
    """Where in the state's cache the new positions go."""


def make_norm(config: EncoderDecoderConfig) -> nn.Module:
    """The norm of a form, over the model's width."""
    if config.norm == "layer":
        return nn.LayerNorm(config.hidden_size, config.norm_epsilon, bias=config.biases)
    return nn.RMSNorm(config.hidden_size, config.norm_epsilon)


class Attention(nn.Module):
    """Multi-head attention whose keys and values come from outside: the same text, a cache, or the source."""

    def __init__(self, config: EncoderDecoderConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.head_size = config.head_size
        self.scale = config.head_size**-0.5 if config.scale_scores else 1.0
        self.dropout = config.dropout
        width, inner = config.hidden_size, config.num_heads * config.head_size
        self.q_proj = nn.Linear(width, inner, bias=config.biases)
        self.k_proj = nn.Linear(width, inner, bias=config.biases)
        self.v_proj = nn.Linear(width, inner, bias=config.biases)
        self.o_proj = nn.Linear(inner, width, bias=config.biases)

    def keys_and_values(self, x_BSD: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, H, S, E) of a text."""
        return self._heads(self.k_proj(x_BSD)), self._heads(self.v_proj(x_BSD))

    def forward(self, x_BTD: Tensor, k_BHSE: Tensor, v_BHSE: Tensor, view: View) -> Tensor:
        """Attention output (B, T, D)."""
        q_BHTE = self._heads(self.q_proj(x_BTD))
        if view.tap is not None:
            view.tap.attention(
                self.layer, q_BHTE, k_BHSE, view.mask, self.scale, view.positions_BT, view.bias, view.part
            )
        out_BHTE = F.scaled_dot_product_attention(
            q_BHTE,
            k_BHSE,
            v_BHSE,
            attn_mask=view.kernel_mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=view.is_causal,
            scale=self.scale,
        )
        return self.o_proj(out_BHTE.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.head_size)).transpose(1, 2)


class FeedForward(nn.Module):
    """down(relu(up(x))), or with a gate down(gelu(gate(x)) · up(x)), GELU in its tanh form (Shazeer 2020)."""

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.resolved_feed_forward_size
        self.gate_proj = nn.Linear(width, inner, bias=config.biases) if config.activation == "geglu" else None
        self.up_proj = nn.Linear(width, inner, bias=config.biases)
        self.down_proj = nn.Linear(inner, width, bias=config.biases)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_BTD: Tensor) -> Tensor:
        up_BTF = self.up_proj(x_BTD)
        if self.gate_proj is None:
            return self.down_proj(self.dropout(up_BTF.relu()))
        return self.down_proj(self.dropout(F.gelu(self.gate_proj(x_BTD), approximate="tanh") * up_BTF))


class Block(nn.Module):
    """Self-attention, in a decoder cross-attention, and feed-forward, each added to the stream with a norm before or after."""

    def __init__(self, config: EncoderDecoderConfig, layer: int, *, has_source: bool) -> None:
        super().__init__()
        self.layer = layer
        self.norms_after = config.norm_placement == "after"
        self.self_attn = Attention(config, layer)
        self.self_attn_norm = make_norm(config)
        self.cross_attn = Attention(config, layer) if has_source else None
        self.cross_attn_norm = make_norm(config) if has_source else None
        self.mlp = FeedForward(config)
        self.mlp_norm = make_norm(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_BTD: Tensor, shared: LayerInputs) -> Tensor:
        x_BTD = self._add(x_BTD, self.self_attn_norm, lambda y_BTD: self._look_at_own(y_BTD, shared))
        if self.cross_attn_norm is not None:
            x_BTD = self._add(x_BTD, self.cross_attn_norm, lambda y_BTD: self._look_at_source(y_BTD, shared))
        return self._add(x_BTD, self.mlp_norm, self.mlp)

    def _add(self, x_BTD: Tensor, norm: nn.Module, part: Callable[[Tensor], Tensor]) -> Tensor:
        """x + part(norm(x)), or norm(x + part(x)) as in 2017."""
        if self.norms_after:
            return norm(x_BTD + self.dropout(part(x_BTD)))
        return x_BTD + self.dropout(part(norm(x_BTD)))

    def _look_at_own(self, x_BTD: Tensor, shared: LayerInputs) -> Tensor:
        k_BHSE, v_BHSE = self.self_attn.keys_and_values(x_BTD)
        if shared.state is not None and shared.places is not None:
            k_BHSE, v_BHSE = shared.state.target.write(self.layer, shared.places, k_BHSE, v_BHSE)
        return self.self_attn(x_BTD, k_BHSE, v_BHSE, shared.own)

    def _look_at_source(self, x_BTD: Tensor, shared: LayerInputs) -> Tensor:
        assert self.cross_attn is not None and shared.source is not None
        if shared.state is not None:
            k_BHSE, v_BHSE = shared.state.source(self.layer, like=x_BTD)
        else:
            assert shared.memory_BSD is not None
            k_BHSE, v_BHSE = self.cross_attn.keys_and_values(shared.memory_BSD)
        return self.cross_attn(x_BTD, k_BHSE, v_BHSE, shared.source)


class Stack(nn.Module):
    """All layers of one side, the bias of distances that they share, and the last norm where norms come before."""

    def __init__(self, config: EncoderDecoderConfig, num_layers: int, part: Literal["encoder", "decoder"]) -> None:
        super().__init__()
        self.part: Literal["encoder", "decoder"] = part
        is_decoder = part == "decoder"
        self.layers = nn.ModuleList(Block(config, layer, has_source=is_decoder) for layer in range(num_layers))
        self.relative_bias = None
        if config.positions == "relative":
            self.relative_bias = RelativePositionBias(
                config.num_heads, config.position_buckets, config.position_distance, looks_both_ways=not is_decoder
            )
        norms_before = config.norm_placement == "before"
        self.norm = make_norm(config) if norms_before else nn.Identity()
        self.dropout = nn.Dropout(config.dropout if norms_before else 0.0)

    def bias(self, queries_BT: Tensor, keys_BS: Tensor, dtype: torch.dtype) -> Tensor | None:
        """What distances add to the scores, in the type the layers compute in; None with sinusoidal positions."""
        return None if self.relative_bias is None else self.relative_bias(queries_BT, keys_BS).to(dtype)

    def forward(self, x_BTD: Tensor, shared: LayerInputs) -> Tensor:
        tap = shared.own.tap
        if tap is not None:
            tap.hidden(-1, x_BTD, self.part)
        for layer, block in enumerate(self.layers):
            x_BTD = block(x_BTD, shared)
            if tap is not None:
                tap.hidden(layer, x_BTD, self.part)
        return self.dropout(self.norm(x_BTD))

"""The causal Transformer, in the exact form of Qwen3ForCausalLM (transformers 5): what is trained here loads there unchanged.

Pre-norm blocks of attention and SwiGLU with residual sums, a final norm, and a head that may share the embedding's matrix.
Not here: the parts (`layers.py`), other families, conversion of folders.

Axes: B batch, T new positions, S all positions looked at, D model width, V vocabulary.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llm_core.config.model import TransformerConfig
from llm_core.models.initialisation import embedding_std, initialise
from llm_core.models.interface import LanguageModel, Memory, Output, State
from llm_core.models.layers import Attention, FeedForward, RMSNorm, rotary_angles
from llm_core.models.state import KeyValueCache
from llm_core.models.tap import Tap


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x)); the second half is absent at feed_forward_size 0."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.norm_epsilon)
        self.self_attn = Attention(config, layer)
        self.dropout = nn.Dropout(config.dropout)
        if config.resolved_feed_forward_size:
            self.post_attention_layernorm = RMSNorm(config.hidden_size, config.norm_epsilon)
            self.mlp = FeedForward(config)
        else:
            self.post_attention_layernorm = None
            self.mlp = None

    def forward(
        self,
        x_BTD: Tensor,
        angles: tuple[Tensor, Tensor],
        mask: Tensor | None,
        cache: KeyValueCache | None,
        tap: Tap | None,
        positions_BT: Tensor,
    ) -> Tensor:
        attended = self.self_attn(self.input_layernorm(x_BTD), angles, mask, cache, tap, positions_BT)
        x_BTD = x_BTD + self.dropout(attended)
        if self.mlp is not None and self.post_attention_layernorm is not None:
            x_BTD = x_BTD + self.dropout(self.mlp(self.post_attention_layernorm(x_BTD)))
        return x_BTD


class Decoder(LanguageModel):
    """Causal Transformer language model."""

    is_recurrent: ClassVar[bool] = False
    config: TransformerConfig

    def __init__(self, config: TransformerConfig, vocabulary_size: int, context_length: int) -> None:
        super().__init__()
        self.config = config
        self.vocabulary_size = vocabulary_size
        self.context_length = context_length
        self.embed_tokens = nn.Embedding(vocabulary_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.num_layers))
        self.norm = RMSNorm(config.hidden_size, config.norm_epsilon)
        self.dropout = nn.Dropout(config.dropout)
        self.lm_head = None if config.tie_embeddings else nn.Linear(config.hidden_size, vocabulary_size, bias=False)
        self._initialise_weights()

    def _initialise_weights(self) -> None:
        residual_scale = (2 * self.config.num_layers) ** -0.5
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                continue
            into_stream = name.endswith(("o_proj.weight", "down_proj.weight"))
            initialise(parameter, 0.02 * (residual_scale if into_stream else 1.0))
        head = self.embed_tokens.weight if self.lm_head is None else self.lm_head.weight
        initialise(head, embedding_std(self.config.hidden_size))

    def forward(
        self,
        tokens_BT: Tensor,
        *,
        positions_BT: Tensor | None = None,
        documents_BT: Tensor | None = None,
        padding_BT: Tensor | None = None,
        memory: Memory | None = None,
        state: State | None = None,
        tap: Tap | None = None,
    ) -> Output:
        assert memory is None, "a decoder without cross attention takes no memory"
        assert state is None or isinstance(state, KeyValueCache)
        assert state is None or documents_BT is None, "packed documents are read in one pass"
        if positions_BT is None:
            positions_BT = _positions(tokens_BT, documents_BT, padding_BT, state)
        mask = _attention_mask(tokens_BT, documents_BT, padding_BT, state)
        x_BTD = self.dropout(self.embed_tokens(tokens_BT))
        if tap is not None:
            tap.hidden(-1, x_BTD)
        angles = rotary_angles(positions_BT, self.config.head_size, self.config.rope_theta, _activation_dtype(x_BTD))
        for layer, block in enumerate(self.layers):
            x_BTD = block(x_BTD, angles, mask, state, tap, positions_BT)
            if tap is not None:
                tap.hidden(layer, x_BTD)
        if state is not None:
            state.advance(_new_tokens(tokens_BT, padding_BT))
        return Output(self.norm(x_BTD), state)

    def logits(self, hidden: Tensor) -> Tensor:
        weight = self.embed_tokens.weight if self.lm_head is None else self.lm_head.weight
        return F.linear(hidden, weight)

    def initial_state(
        self,
        batch_size: int,
        max_length: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        memory: Memory | None = None,
    ) -> KeyValueCache:
        config = self.config
        device = self.device if device is None else torch.device(device)
        shape = (config.num_layers, batch_size, config.resolved_num_kv_heads, max_length, config.head_size)
        keys = torch.zeros(shape, device=device, dtype=dtype or self.dtype)
        return KeyValueCache(keys, torch.zeros_like(keys), torch.zeros(batch_size, dtype=torch.int64, device=device))


def _activation_dtype(x_BTD: Tensor) -> torch.dtype:
    """The type in which the layers compute: that of autocast where it is on."""
    kind = x_BTD.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x_BTD.dtype


def _new_tokens(tokens_BT: Tensor, padding_BT: Tensor | None) -> Tensor:
    """How many real tokens each row brings (B)."""
    if padding_BT is None:
        return torch.full((tokens_BT.shape[0],), tokens_BT.shape[1], dtype=torch.int64, device=tokens_BT.device)
    return (~padding_BT).sum(dim=1)


def _positions(
    tokens_BT: Tensor, documents_BT: Tensor | None, padding_BT: Tensor | None, state: KeyValueCache | None
) -> Tensor:
    """Positions (B or 1, T): from 0 at the start of each row or document, going on after what a state has read."""
    length = tokens_BT.shape[1]
    counting_T = torch.arange(length, device=tokens_BT.device)
    if state is not None:
        return state.lengths_B[:, None] + counting_T
    if documents_BT is not None:
        starts_BT = torch.zeros_like(documents_BT, dtype=torch.bool)
        starts_BT[:, 1:] = documents_BT[:, 1:] != documents_BT[:, :-1]
        return counting_T - torch.cummax(torch.where(starts_BT, counting_T, 0), dim=1).values
    if padding_BT is not None:
        # Padding on the left shifts a row's text; its first real token is still position 0.
        return ((~padding_BT).cumsum(dim=1) - 1).clamp(min=0)
    return counting_T[None]


def _attention_mask(
    tokens_BT: Tensor, documents_BT: Tensor | None, padding_BT: Tensor | None, state: KeyValueCache | None
) -> Tensor | None:
    """Where each query may look, boolean and broadcastable to (B, 1, T, S); None for plain causal attention."""
    length, device = tokens_BT.shape[1], tokens_BT.device
    if state is not None:
        used = state.reserve(tokens_BT)
        # Slots hold positions, so causality among slots is enough: a later slot is a later token or has not been written.
        slots_S = torch.arange(used, device=device)
        last_BT = state.lengths_B[:, None] + torch.arange(length, device=device)
        return (slots_S <= last_BT[..., None])[:, None]
    if documents_BT is None and padding_BT is None:
        return None
    mask = torch.ones(length, length, dtype=torch.bool, device=device).tril()[None, None]
    if documents_BT is not None:
        mask = mask & (documents_BT[:, :, None] == documents_BT[:, None, :])[:, None]
    if padding_BT is not None:
        # A padded query keeps itself, so that no row of the softmax is empty (NaN); its hidden value is void anyway.
        itself = torch.eye(length, dtype=torch.bool, device=device)
        mask = (mask & ~padding_BT[:, None, None, :]) | itself
    return mask

"""The causal Transformer: by its settings exactly the Qwen3, Llama, Mistral or GPT-2 language model of transformers 5.

Pre-norm blocks of attention and feed-forward with residual sums, a final norm, and a head that may share the embedding's matrix.
Not here: the parts (`layers.py`), other families, conversion of folders.

Axes: B batch, T new positions, S all positions looked at, D model width, V vocabulary.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llm_core.config.errors import UserError
from llm_core.config.model import TransformerConfig
from llm_core.models.initialisation import embedding_std, initialise
from llm_core.models.interface import LanguageModel, Memory, Output, State
from llm_core.models.layers import (
    Attention,
    FeedForward,
    LayerInputs,
    RotaryAngles,
    activation_dtype,
    causal_mask,
    make_norm,
    mask_between_texts,
    positions_in_row,
)
from llm_core.models.state import CachePlaces, KeyValueCache
from llm_core.models.tap import Tap


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x)); the second half is absent at feed_forward_size 0."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = make_norm(config)
        self.self_attn = Attention(config, layer)
        self.dropout = nn.Dropout(config.dropout)
        if config.resolved_feed_forward_size:
            self.post_attention_layernorm = make_norm(config)
            self.mlp = FeedForward(config)
        else:
            self.post_attention_layernorm = None
            self.mlp = None

    def forward(self, x_BTD: Tensor, shared: LayerInputs) -> Tensor:
        x_BTD = x_BTD + self.dropout(self.self_attn(self.input_layernorm(x_BTD), shared))
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
        learned = config.positions == "learned"
        self.embed_positions = nn.Embedding(context_length, config.hidden_size) if learned else None
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.num_layers))
        self.rotary = None if learned else RotaryAngles(config.head_size, config.rope_theta, context_length)
        self.norm = make_norm(config)
        self.dropout = nn.Dropout(config.dropout)
        self.lm_head = None if config.tie_embeddings else nn.Linear(config.hidden_size, vocabulary_size, bias=False)
        self._initialise_weights()

    def _initialise_weights(self) -> None:
        residual_scale = (2 * self.config.num_layers) ** -0.5
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                if name.endswith("bias"):
                    nn.init.zeros_(parameter)
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
        """As the interface says; with a state, `documents_BT` is refused and padding may stand anywhere in a row.

        Raises:
            UserError: more tokens than the context length, or than the state has room for; memory; documents with a state.
        """
        assert state is None or isinstance(state, KeyValueCache), "a Transformer goes on from a Transformer's state"
        self._check(tokens_BT, documents_BT, memory, state)
        shared = self._layer_inputs(tokens_BT, positions_BT, documents_BT, padding_BT, state, tap)
        x_BTD = self.embed_tokens(tokens_BT)
        if self.embed_positions is not None:
            x_BTD = x_BTD + self.embed_positions(shared.positions_BT)
        x_BTD = self.dropout(x_BTD)
        if tap is not None:
            tap.hidden(-1, x_BTD)
        for layer, block in enumerate(self.layers):
            x_BTD = block(x_BTD, shared)
            if tap is not None:
                tap.hidden(layer, x_BTD)
        if state is not None and shared.places is not None:
            state.advance(shared.places, tokens_BT.shape[1], padding_BT)
        return Output(self.norm(x_BTD), state)

    def _check(
        self, tokens_BT: Tensor, documents_BT: Tensor | None, memory: Memory | None, state: KeyValueCache | None
    ) -> None:
        if memory is not None:
            raise UserError("This model takes no source text", remedy="Choose an encoder-decoder model")
        if state is not None and documents_BT is not None:
            raise UserError("Packed documents are read in one pass, without a state", remedy="Leave the state out")
        if tokens_BT.shape[1] > self.context_length:
            raise UserError(
                "The text is longer than the model's context",
                value=f"{tokens_BT.shape[1]} tokens",
                limit=f"{self.context_length} tokens",
                remedy="Cut the text, or train a model with a longer context",
            )

    def _layer_inputs(
        self,
        tokens_BT: Tensor,
        positions_BT: Tensor | None,
        documents_BT: Tensor | None,
        padding_BT: Tensor | None,
        state: KeyValueCache | None,
        tap: Tap | None,
    ) -> LayerInputs:
        length, device = tokens_BT.shape[1], tokens_BT.device
        places = None if state is None else state.places(length, padding_BT)
        if positions_BT is None:
            if places is not None:
                positions_BT = _positions_of_places(places, length, device)
            else:
                positions_BT = positions_in_row(length, documents_BT, padding_BT, device)
        if places is not None:
            mask, is_causal = _mask_over_cache(places, length, device, self.config.window)
        else:
            mask = _mask_over_row(length, documents_BT, padding_BT, device, self.config.window)
            is_causal = mask is None
        angles = None if self.rotary is None else self.rotary(positions_BT, activation_dtype(self))
        return LayerInputs(positions_BT, angles, mask, is_causal, state, places, tap)

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
        """An empty cache. Raises UserError for more room than the context length, beyond which no position is known."""
        if max_length > self.context_length:
            raise UserError(
                "The state would be longer than the model's context",
                value=f"{max_length} tokens",
                limit=f"{self.context_length} tokens",
                remedy="Ask for less, and cut the text when the context is full",
            )
        config = self.config
        return KeyValueCache.empty(
            (config.num_layers, batch_size, config.resolved_num_kv_heads, max_length, config.head_size),
            device=self.device if device is None else device,
            dtype=self.dtype if dtype is None else dtype,
        )


def _positions_of_places(places: CachePlaces, length: int, device: torch.device) -> Tensor:
    """In a cache a token's place is its position; padding, which has neither, counts as position 0."""
    if places.slots_BT is not None:
        return places.slots_BT.where(places.slots_BT < places.used, 0)
    assert places.start is not None
    return torch.arange(places.start, places.start + length, device=device)[None]


def _mask_over_cache(places: CachePlaces, length: int, device: torch.device, window: int) -> tuple[Tensor | None, bool]:
    """Mask over the places in use, and whether plain causal attention among the new tokens does without one.

    Causality among places is enough: a later place holds a later token, or none yet.
    """
    is_whole = not window or places.used <= window
    if places.start == 0 and is_whole:
        return None, True
    if places.start is not None and length == 1 and is_whole:
        return None, False
    slots_BT = places.slots_BT
    if slots_BT is None:
        assert places.start is not None
        slots_BT = torch.arange(places.start, places.used, device=device)[None]
    back_BTS = slots_BT[..., None] - torch.arange(places.used, device=device)
    mask_BTS = back_BTS >= 0
    return (mask_BTS if is_whole else mask_BTS & (back_BTS < window))[:, None], False


def _mask_over_row(
    length: int, documents_BT: Tensor | None, padding_BT: Tensor | None, device: torch.device, window: int
) -> Tensor | None:
    """Where each query may look, boolean and broadcastable to (B, 1, T, T); None for plain causal attention."""
    if documents_BT is None and padding_BT is None and (not window or length <= window):
        return None
    return mask_between_texts(causal_mask(length, device, window), documents_BT, padding_BT)

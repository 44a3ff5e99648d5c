"""The encoder-decoder: by its settings exactly T5, T5 v1.1 or the Transformer of Vaswani et al. 2017.

The encoder reads the whole source both ways; the decoder writes the target from left to right and looks at the source in every layer.
Source and target share one embedding.
Not here: the parts (`encoder_decoder_layers.py`), positions (`relative_positions.py`), training pairs (`llm_core.objectives`).

Axes: B batch, T new target positions, S source positions or all positions looked at, D model width, V vocabulary.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llm_core.config.encoder_decoder import EncoderDecoderConfig
from llm_core.config.errors import UserError
from llm_core.models.encoder_decoder_layers import Block, LayerInputs, Stack, View, view
from llm_core.models.encoder_decoder_state import EncoderDecoderState
from llm_core.models.initialisation import embedding_std, initialise
from llm_core.models.interface import LanguageModel, Memory, Output, State
from llm_core.models.layers import activation_dtype, causal_mask, mask_between_texts, positions_in_row
from llm_core.models.relative_positions import SinusoidalPositions
from llm_core.models.state import CachePlaces, KeyValueCache
from llm_core.models.tap import Tap


class EncoderDecoder(LanguageModel):
    """Language model of a target text given a source text; `context_length` bounds each of them."""

    is_recurrent: ClassVar[bool] = False
    config: EncoderDecoderConfig

    def __init__(self, config: EncoderDecoderConfig, vocabulary_size: int, context_length: int) -> None:
        super().__init__()
        self.config = config
        self.vocabulary_size = vocabulary_size
        self.context_length = context_length
        width = config.hidden_size
        self.embed_tokens = nn.Embedding(vocabulary_size, width)
        self.embedding_scale = width**0.5 if config.scale_embeddings else 1.0
        self.sinusoids = SinusoidalPositions(context_length, width) if config.positions == "sinusoidal" else None
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = Stack(config, config.num_layers, "encoder")
        self.decoder = Stack(config, config.resolved_num_decoder_layers, "decoder")
        self.output_scale = width**-0.5 if config.scale_output else 1.0
        self.lm_head = None if config.tie_embeddings else nn.Linear(width, vocabulary_size, bias=False)
        self._initialise_weights()

    def _initialise_weights(self) -> None:
        """As T5 does, each product keeping the size of its input, but with logits near 0, so that the first loss is chance."""
        config, width = self.config, self.config.hidden_size
        for name, parameter in self.named_parameters():
            if name.endswith("relative_bias.weight"):
                initialise(parameter, width**-0.5)
            elif parameter.dim() == 2:
                # Scores that are not scaled start as small as if they were.
                starts_small = name.endswith("q_proj.weight") and not config.scale_scores
                initialise(parameter, (parameter.shape[1] * (config.head_size if starts_small else 1)) ** -0.5)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
        # T5's targets hold the same few marks again and again: their logits must lie closer to 0 for the first loss to be chance.
        head_std = (0.75 if config.scale_output else 1.0) * embedding_std(width) / self.output_scale
        if self.lm_head is None:
            initialise(self.embed_tokens.weight, head_std)
        else:
            initialise(self.lm_head.weight, head_std)
            initialise(self.embed_tokens.weight, 1.0 / self.embedding_scale)

    def encode(self, tokens_BS: Tensor, *, padding_BS: Tensor | None = None, tap: Tap | None = None) -> Memory:
        """What the decoder looks at. Hidden values at padding are void, and nobody looks at them.

        Raises:
            UserError: a source longer than the context length.
        """
        length, device = tokens_BS.shape[1], tokens_BS.device
        self._check_length("source", length)
        positions_BS = positions_in_row(length, None, padding_BS, device)
        mask = None
        if padding_BS is not None:
            everywhere = torch.ones(1, 1, length, length, dtype=torch.bool, device=device)
            mask = mask_between_texts(everywhere, None, padding_BS)
        bias = self.encoder.bias(positions_BS, positions_BS, activation_dtype(self))
        own = view("encoder", positions_BS, mask, bias, tap)
        return Memory(self.encoder(self._embed(tokens_BS, positions_BS), LayerInputs(own)), padding_BS)

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
        """Hidden states of target tokens, given the source as `memory` or in a state that was made from it, never both.

        Raises:
            UserError: no source or two; packed documents; chosen positions with a state; more tokens than the context length,
                or than the state has room for.
        """
        assert state is None or isinstance(state, EncoderDecoderState), "goes on from an encoder-decoder's state"
        self._check_length("target", tokens_BT.shape[1])
        self._check_arguments(positions_BT, documents_BT, memory, state)
        places = None if state is None else state.target.places(tokens_BT.shape[1], padding_BT)
        if places is None:
            own = self._view_of_row(tokens_BT, positions_BT, padding_BT, tap)
        else:
            own = self._view_of_cache(tokens_BT, places, tap)
        if state is None:
            assert memory is not None
            memory_BSD, source_padding_BS = memory
        else:
            memory_BSD, source_padding_BS = None, state.source_padding_BS
        source = view("cross", own.positions_BT, _mask_over_source(source_padding_BS, tokens_BT), None, tap)
        shared = LayerInputs(own, source, memory_BSD, state, places)
        hidden_BTD = self.decoder(self._embed(tokens_BT, own.positions_BT), shared)
        if state is not None and places is not None:
            state.advance(places, tokens_BT.shape[1], padding_BT)
        return Output(hidden_BTD, state)

    def logits(self, hidden: Tensor) -> Tensor:
        weight = self.embed_tokens.weight if self.lm_head is None else self.lm_head.weight
        return F.linear(hidden * self.output_scale, weight)

    def initial_state(
        self,
        batch_size: int,
        max_length: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        memory: Memory | None = None,
    ) -> EncoderDecoderState:
        """A state that has the source's keys and values and has written nothing.

        Raises:
            UserError: no memory, one of another number of rows, or more room than the context length.
        """
        if memory is None:
            raise _no_source()
        if memory.hidden_BSD.shape[0] != batch_size:
            raise UserError(
                "The sources are not as many as the rows of the state",
                value=f"{memory.hidden_BSD.shape[0]} sources",
                limit=f"{batch_size} rows",
                remedy="Encode one source for each row, or multiply rows with select",
            )
        self._check_length("target", max_length)
        config = self.config
        device = self.device if device is None else device
        dtype = self.dtype if dtype is None else dtype
        target = KeyValueCache.empty(
            (config.resolved_num_decoder_layers, batch_size, config.num_heads, max_length, config.head_size),
            device=device,
            dtype=dtype,
        )
        keys: list[Tensor] = []
        values: list[Tensor] = []
        for block in self.decoder.layers:
            assert isinstance(block, Block) and block.cross_attn is not None
            k_BHSE, v_BHSE = block.cross_attn.keys_and_values(memory.hidden_BSD)
            keys.append(k_BHSE)
            values.append(v_BHSE)
        padding_BS = None if memory.padding_BS is None else memory.padding_BS.to(device)
        return EncoderDecoderState(
            target, torch.stack(keys).to(device, dtype), torch.stack(values).to(device, dtype), padding_BS
        )

    def _embed(self, tokens_BT: Tensor, positions_BT: Tensor) -> Tensor:
        x_BTD = self.embed_tokens(tokens_BT) * self.embedding_scale
        if self.sinusoids is not None:
            x_BTD = x_BTD + self.sinusoids(positions_BT, x_BTD.dtype)
        return self.dropout(x_BTD)

    def _view_of_row(
        self, tokens_BT: Tensor, positions_BT: Tensor | None, padding_BT: Tensor | None, tap: Tap | None
    ) -> View:
        """Each target token looks at itself and those before it in the same pass."""
        length, device = tokens_BT.shape[1], tokens_BT.device
        if positions_BT is None:
            positions_BT = positions_in_row(length, None, padding_BT, device)
        mask = mask_between_texts(causal_mask(length, device), None, padding_BT)
        bias = self.decoder.bias(positions_BT, positions_BT, activation_dtype(self))
        return view("decoder", positions_BT, mask, bias, tap, is_plainly_causal=padding_BT is None)

    def _view_of_cache(self, tokens_BT: Tensor, places: CachePlaces, tap: Tap | None) -> View:
        """Each target token looks at itself and the places before its own; in a cache a place is a position."""
        length, device = tokens_BT.shape[1], tokens_BT.device
        keys_1S = torch.arange(places.used, device=device)[None]
        if places.slots_BT is not None:
            # Padding stands past the end; it counts as position 0 and is void.
            positions_BT = places.slots_BT.where(places.slots_BT < places.used, 0)
        else:
            assert places.start is not None
            positions_BT = keys_1S[:, places.start :]
        is_single = places.start is not None and length == 1
        mask = None if is_single else (keys_1S[:, None, :] <= positions_BT[:, :, None])[:, None]
        bias = self.decoder.bias(positions_BT, keys_1S, activation_dtype(self))
        return view("decoder", positions_BT, mask, bias, tap, is_plainly_causal=places.start == 0 and not is_single)

    def _check_length(self, which: str, length: int) -> None:
        if length > self.context_length:
            raise UserError(
                f"The {which} is longer than the model's context",
                value=f"{length} tokens",
                limit=f"{self.context_length} tokens",
                remedy="Cut the text, or train a model with a longer context",
            )

    def _check_arguments(
        self,
        positions_BT: Tensor | None,
        documents_BT: Tensor | None,
        memory: Memory | None,
        state: EncoderDecoderState | None,
    ) -> None:
        if documents_BT is not None:
            raise UserError("An encoder-decoder reads one text a row", remedy="Give each document its own row")
        if state is not None and memory is not None:
            raise UserError("The source is in the state already", remedy="Leave the memory out")
        if state is not None and positions_BT is not None:
            raise UserError("With a state, positions are counted on", remedy="Leave the positions out")
        if state is None and memory is None:
            raise _no_source()


def _no_source() -> UserError:
    return UserError("This model writes about a source text", remedy="Encode the source and hand over its memory")


def _mask_over_source(padding_BS: Tensor | None, tokens_BT: Tensor) -> Tensor | None:
    """Where a target token may look in the source, (B, 1, T, S); None for everywhere."""
    return None if padding_BS is None else ~padding_BS[:, None, None, :].expand(-1, 1, tokens_BT.shape[1], -1)

"""The bidirectional Transformer: by its settings exactly the masked language model BERT, RoBERTa or ModernBERT of transformers 5.

Every position looks to both sides, so it is trained to fill in hidden tokens (`llm_core.objectives.masked`) and cannot write.
Not here: the parts (`encoder_layers.py`, `layers.py`), the pooler of published BERTs, which filling in does not use.

Axes: B batch, T positions, S source positions, D model width, V vocabulary.
"""

from __future__ import annotations

from typing import ClassVar, NoReturn

import torch
from torch import Tensor, nn

from llm_core.config.encoder import EncoderConfig
from llm_core.config.errors import UserError
from llm_core.models.encoder_layers import EncoderBlock, MaskedHead, make_layer_norm, window_mask
from llm_core.models.initialisation import embedding_std, initialise
from llm_core.models.interface import LanguageModel, Memory, Output, State
from llm_core.models.layers import LayerInputs, RotaryAngles, activation_dtype, mask_between_texts, positions_in_row
from llm_core.models.relative_positions import sinusoids
from llm_core.models.tap import Tap

_OWN_SCORE = 7.0


class Encoder(LanguageModel):
    """Masked language model. `logits` are distributions over the token at each position itself, not over the next."""

    is_recurrent: ClassVar[bool] = False
    config: EncoderConfig

    def __init__(self, config: EncoderConfig, vocabulary_size: int, context_length: int) -> None:
        super().__init__()
        self.config = config
        self.vocabulary_size = vocabulary_size
        self.context_length = context_length
        width, learned = config.hidden_size, config.positions == "learned"
        self.embed_tokens = nn.Embedding(vocabulary_size, width)
        self.embed_positions = nn.Embedding(context_length + config.position_offset, width) if learned else None
        self.embed_types = nn.Embedding(config.token_types, width) if config.token_types else None
        self.embed_norm = make_layer_norm(config)
        self.dropout = nn.Dropout(config.dropout)
        self.rotary = None if learned else RotaryAngles(config.head_size, config.rope_theta, context_length)
        self.local_rotary = None if learned else RotaryAngles(config.head_size, config.local_rope_theta, context_length)
        self.layers = nn.ModuleList(EncoderBlock(config, layer) for layer in range(config.num_layers))
        self.norm = make_layer_norm(config) if config.norm_placement == "pre" else nn.Identity()
        self.head = MaskedHead(config, vocabulary_size)
        self._initialise_weights()

    def _initialise_weights(self) -> None:
        # A post-norm stream is brought back to unit size after every sum; only a pre-norm one grows with depth.
        residual_scale = (2 * self.config.num_layers) ** -0.5 if self.config.norm_placement == "pre" else 1.0
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                if name.endswith("bias"):
                    nn.init.zeros_(parameter)
            elif name.startswith("embed"):
                # All three tables alike: the norm after their sum keeps the ratio, and positions must not drown the tokens.
                initialise(parameter, embedding_std(self.config.hidden_size))
            else:
                into_stream = name.endswith(("o_proj.weight", "down_proj.weight"))
                initialise(parameter, 0.02 * (residual_scale if into_stream else 1.0))
        if self.embed_positions is not None:
            self._begin_by_looking_near()

    def _begin_by_looking_near(self) -> None:
        """Learned positions begin as waves and keys as queries, so that a token first looks at those near it.

        Found by Trockman and Kolter (2023) in trained networks. Without it a small BERT stays at guessing by frequency for thousands of
        steps (docs/log.md): to learn where the next place is, it must know already that the next place matters.
        """
        assert self.embed_positions is not None
        config, places = self.config, self.embed_positions.weight
        length, width = places.shape
        waves = sinusoids(length, width + width % 2)[:, :width].to(places)
        # A token's score with itself: softmax then prefers what is near without being blind to the rest.
        std = (_OWN_SCORE / (width * config.head_size**0.5)) ** 0.5
        with torch.no_grad():
            places.copy_(2**0.5 * embedding_std(width) * waves)
            for block in self.layers:
                assert isinstance(block, EncoderBlock)
                initialise(block.self_attn.q_proj.weight, std)
                block.self_attn.k_proj.weight.copy_(block.self_attn.q_proj.weight)

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
        """Hidden states, each of the whole text. Positions count from 0, whatever row of the learned ones that is.

        Raises:
            UserError: more tokens than the context length; a memory or a state, which an encoder does not take.
        """
        if state is not None:
            _refuse_to_write()
        if memory is not None:
            raise UserError("This model takes no source text", remedy="Choose an encoder-decoder model")
        if tokens_BT.shape[1] > self.context_length:
            raise UserError(
                "The text is longer than the model's context",
                value=f"{tokens_BT.shape[1]} tokens",
                limit=f"{self.context_length} tokens",
                remedy="Cut the text, or train a model with a longer context",
            )
        if positions_BT is None:
            positions_BT = positions_in_row(tokens_BT.shape[1], documents_BT, padding_BT, tokens_BT.device)
        everywhere = self._layer_inputs(tokens_BT, positions_BT, documents_BT, padding_BT, tap, is_local=False)
        nearby = everywhere
        if self.config.window:
            nearby = self._layer_inputs(tokens_BT, positions_BT, documents_BT, padding_BT, tap, is_local=True)
        x_BTD = self._embed(tokens_BT, positions_BT)
        if tap is not None:
            tap.hidden(-1, x_BTD)
        for layer, block in enumerate(self.layers):
            x_BTD = block(x_BTD, nearby if self.config.is_local(layer) else everywhere)
            if tap is not None:
                tap.hidden(layer, x_BTD)
        return Output(self.norm(x_BTD), None)

    def _embed(self, tokens_BT: Tensor, positions_BT: Tensor) -> Tensor:
        x_BTD = self.embed_tokens(tokens_BT)
        if self.embed_types is not None:
            x_BTD = x_BTD + self.embed_types.weight[0]
        if self.embed_positions is not None:
            x_BTD = x_BTD + self.embed_positions(positions_BT + self.config.position_offset)
        return self.dropout(self.embed_norm(x_BTD))

    def _layer_inputs(
        self,
        tokens_BT: Tensor,
        positions_BT: Tensor,
        documents_BT: Tensor | None,
        padding_BT: Tensor | None,
        tap: Tap | None,
        *,
        is_local: bool,
    ) -> LayerInputs:
        """What the global layers share, or the local ones: angles of their own, a mask where not all is seen."""
        length, window = tokens_BT.shape[1], self.config.window if is_local else 0
        rotary = self.local_rotary if is_local else self.rotary
        angles = None if rotary is None else rotary(positions_BT, activation_dtype(self))
        mask, is_cut = None, window > 0 and window // 2 < length - 1
        if documents_BT is not None or padding_BT is not None or is_cut:
            mask = mask_between_texts(window_mask(length, tokens_BT.device, window), documents_BT, padding_BT)
        return LayerInputs(positions_BT, angles, mask, is_causal=False, cache=None, places=None, tap=tap)

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of the token at each position; the costly part, so hand in the hidden positions only."""
        return self.head(hidden, self.embed_tokens.weight)

    def encode(self, tokens_BS: Tensor, *, padding_BS: Tensor | None = None, tap: Tap | None = None) -> Memory:
        return Memory(self(tokens_BS, padding_BT=padding_BS, tap=tap).hidden_BTD, padding_BS)

    def initial_state(
        self,
        batch_size: int,
        max_length: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        memory: Memory | None = None,
    ) -> State:
        """Always a UserError: there is nothing to go on from."""
        _refuse_to_write()


def _refuse_to_write() -> NoReturn:
    raise UserError(
        "An encoder does not write: it reads a whole text at once and fills in what is hidden",
        remedy="Choose a causal model to go on with a text",
    )

"""Recurrent language models: Elman network, GRU, LSTM, numerically equal to torch.nn.RNN, GRU and LSTM; and the minimal GRU.

Layers are torch's own modules, one per layer, so that the fused kernels are used; only the sigmoid network, which torch does not
offer, runs a loop of ours with the input product taken out of it. One stream per row: the state is carried from call to call.
Not here: the minimal GRU's layer (`minimal_gru.py`), what training switches off (`recurrent_dropout.py`), gates over time for
inspection (`rnn_replay.py`).

Axes: B batch, T new positions, D embedding width, U recurrent units, L layers, V vocabulary.
"""

from __future__ import annotations

import itertools
import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llm_core.config.errors import UserError
from llm_core.config.recurrent import GRUConfig, LSTMConfig, MinGRUConfig, RecurrentConfig
from llm_core.models.initialisation import embedding_std, initialise
from llm_core.models.interface import LanguageModel, Memory, Output, State
from llm_core.models.minimal_gru import MinimalGRU
from llm_core.models.recurrent_dropout import ForwardMasks, draw_masks
from llm_core.models.rnn_replay import replay_gates
from llm_core.models.state import RecurrentState
from llm_core.models.tap import Tap


class SigmoidRNN(nn.Module):
    """h_t = sigmoid(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh), with the parameter names and shapes of torch.nn.RNN."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.weight_ih_l0 = nn.Parameter(torch.empty(hidden_size, input_size))
        self.weight_hh_l0 = nn.Parameter(torch.empty(hidden_size, hidden_size))
        self.bias_ih_l0 = nn.Parameter(torch.empty(hidden_size))
        self.bias_hh_l0 = nn.Parameter(torch.empty(hidden_size))

    def forward(self, x_BTD: Tensor, hidden_1BU: Tensor) -> tuple[Tensor, Tensor]:
        projected_BTU = F.linear(x_BTD, self.weight_ih_l0, self.bias_ih_l0 + self.bias_hh_l0)
        hidden_BU = hidden_1BU[0]
        outputs: list[Tensor] = []
        for projected_BU in projected_BTU.unbind(1):
            hidden_BU = torch.sigmoid(projected_BU + F.linear(hidden_BU, self.weight_hh_l0))
            outputs.append(hidden_BU)
        return torch.stack(outputs, dim=1), hidden_BU[None]


def _build_layer(config: RecurrentConfig, input_size: int) -> nn.Module:
    width = config.hidden_size
    if isinstance(config, MinGRUConfig):
        return MinimalGRU(input_size, width)
    if isinstance(config, LSTMConfig):
        return nn.LSTM(input_size, width, batch_first=True)
    if isinstance(config, GRUConfig):
        return nn.GRU(input_size, width, batch_first=True)
    if config.nonlinearity == "sigmoid":
        return SigmoidRNN(input_size, width)
    return nn.RNN(input_size, width, nonlinearity=config.nonlinearity, batch_first=True)


class RecurrentModel(LanguageModel):
    """Embedding, recurrent layers with dropout between them, and a linear head."""

    is_recurrent: ClassVar[bool] = True
    config: RecurrentConfig

    def __init__(self, config: RecurrentConfig, vocabulary_size: int, context_length: int) -> None:
        super().__init__()
        self.config = config
        self.vocabulary_size = vocabulary_size
        self.context_length = context_length
        self.embed_tokens = nn.Embedding(vocabulary_size, config.resolved_embedding_size)
        sizes = [config.resolved_embedding_size] + [config.hidden_size] * (config.num_layers - 1)
        self.layers = nn.ModuleList(_build_layer(config, size) for size in sizes)
        self.dropout = nn.Dropout(config.dropout)
        self.lm_head = None if config.tie_embeddings else nn.Linear(config.hidden_size, vocabulary_size, bias=False)
        self._initialise_weights()

    def _initialise_weights(self) -> None:
        """torch's own bound 1/√U for the recurrent layers; forget gates open, so that gradients reach back from the start."""
        bound = 1 / math.sqrt(self.config.hidden_size)
        with torch.no_grad():
            for parameter in self.layers.parameters():
                parameter.uniform_(-bound, bound)
            if isinstance(self.config, LSTMConfig):
                for name, parameter in self.layers.named_parameters():
                    if name.endswith("bias_ih_l0"):
                        parameter[self.config.hidden_size : 2 * self.config.hidden_size] = 1.0
        # Inputs of unit size suit gates; only a matrix that is also the head has to start small.
        initialise(self.embed_tokens.weight, 1.0)
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
        """As the interface says; positions are ignored, a recurrent network counts for itself.

        With a state, the first document of a row goes on from it; each further one starts anew.

        Raises:
            UserError: a source text, or documents with padding among them.
        """
        if memory is not None:
            raise UserError("This model takes no source text", remedy="Choose an encoder-decoder model")
        if documents_BT is not None and padding_BT is not None:
            raise UserError("Packed documents fill their rows", value="padding", remedy="Leave one of the two out")
        if state is None:
            state = self.initial_state(len(tokens_BT), 0)
        assert isinstance(state, RecurrentState), "a recurrent network goes on from a recurrent state"
        masks = self._draw_masks(len(tokens_BT)) if self.training else ForwardMasks()
        if padding_BT is None and documents_BT is None:
            return self._read(tokens_BT, state, masks, tap)
        assert tap is None, "gates are shown for one text a row"
        if padding_BT is not None:
            return self._read_padded(tokens_BT, padding_BT, state, masks)
        assert documents_BT is not None
        return self._read_documents(tokens_BT, documents_BT, state, masks)

    def _draw_masks(self, batch_size: int) -> ForwardMasks:
        config = self.config
        return draw_masks(
            self.layers,
            [config.resolved_embedding_size] + [config.hidden_size] * config.num_layers,
            batch_size,
            locked_dropout=config.locked_dropout,
            weight_drop=0.0 if isinstance(config, MinGRUConfig) else config.weight_drop,
        )

    def _read(self, tokens_BT: Tensor, state: RecurrentState, masks: ForwardMasks, tap: Tap | None) -> Output:
        x_BTU = masks.lock(0, self.dropout(self.embed_tokens(tokens_BT)))
        if tap is not None:
            tap.hidden(-1, x_BTU)
        last_hidden: list[Tensor] = []
        last_cell: list[Tensor] = []
        for index, layer in enumerate(self.layers):
            hidden_1BU = state.hidden_LBU[index : index + 1].to(x_BTU.dtype)
            cell_1BU = None if state.cell_LBU is None else state.cell_LBU[index : index + 1].to(x_BTU.dtype)
            if tap is not None:
                cell_BU = None if cell_1BU is None else cell_1BU[0]
                tap.gates(index, replay_gates(self.config, layer, x_BTU, hidden_1BU[0], cell_BU))
            if cell_1BU is None:
                x_BTU, hidden_1BU = masks.run(index, layer, x_BTU, hidden_1BU)
            else:
                x_BTU, (hidden_1BU, cell_1BU) = masks.run(index, layer, x_BTU, (hidden_1BU, cell_1BU))
                last_cell.append(cell_1BU)
            last_hidden.append(hidden_1BU)
            if tap is not None:
                tap.hidden(index, x_BTU)
            x_BTU = masks.lock(index + 1, self.dropout(x_BTU))
        cell_LBU = torch.cat(last_cell) if last_cell else None
        return Output(x_BTU, RecurrentState(torch.cat(last_hidden), cell_LBU, state.lengths_B + tokens_BT.shape[1]))

    def _read_documents(
        self, tokens_BT: Tensor, documents_BT: Tensor, state: RecurrentState, masks: ForwardMasks
    ) -> Output:
        """Rows are read on together up to the next place where any of them begins a document; those that do forget."""
        begins_BT = F.pad(documents_BT[:, 1:] != documents_BT[:, :-1], (1, 0))
        cuts = [0, *begins_BT.any(dim=0).nonzero()[:, 0].tolist(), tokens_BT.shape[1]]
        pieces: list[Tensor] = []
        for start, end in itertools.pairwise(cuts):
            output = self._read(tokens_BT[:, start:end], state.restart(begins_BT[:, start]), masks, None)
            assert isinstance(output.state, RecurrentState)
            pieces.append(output.hidden_BTD)
            state = output.state
        return Output(torch.cat(pieces, dim=1), state)

    def _read_padded(self, tokens_BT: Tensor, padding_BT: Tensor, state: RecurrentState, masks: ForwardMasks) -> Output:
        """Rows of unequal length: all read on together until the shortest ends, then the others, and so on."""
        order_BT = padding_BT.to(torch.uint8).argsort(dim=1, stable=True)  # real tokens first, in their order
        tokens_BT = tokens_BT.gather(1, order_BT)
        lengths_B = (~padding_BT).sum(dim=1)
        hidden_BTU = self.embed_tokens.weight.new_zeros(*tokens_BT.shape, self.config.hidden_size)
        start = 0
        for end in sorted({length for length in lengths_B.tolist() if length}):
            rows = (lengths_B >= end).nonzero()[:, 0]
            output = self._read(tokens_BT[rows, start:end], state.select(rows), masks.select(rows), None)
            assert isinstance(output.state, RecurrentState)
            hidden_BTU[rows, start:end] = output.hidden_BTD.to(hidden_BTU.dtype)
            state = state.replace(rows, output.state)
            start = end
        back_BTU = order_BT.argsort(dim=1)[..., None].expand_as(hidden_BTU)
        return Output(hidden_BTU.gather(1, back_BTU), state)

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
    ) -> RecurrentState:
        device = self.device if device is None else torch.device(device)
        hidden = torch.zeros(
            self.config.num_layers, batch_size, self.config.hidden_size, device=device, dtype=dtype or self.dtype
        )
        cell = torch.zeros_like(hidden) if isinstance(self.config, LSTMConfig) else None
        return RecurrentState(hidden, cell, torch.zeros(batch_size, dtype=torch.int64, device=device))

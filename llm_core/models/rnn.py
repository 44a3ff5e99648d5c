"""Recurrent language models: Elman network, GRU, LSTM, numerically equal to torch.nn.RNN, GRU and LSTM.

Layers are torch's own modules, one per layer, so that the fused kernels are used; only the sigmoid network, which torch does not
offer, runs a loop of ours with the input product taken out of it. One stream per row: the state is carried from call to call.
Not here: gates over time for inspection (`rnn_replay.py`).

Axes: B batch, T new positions, D embedding width, U recurrent units, L layers, V vocabulary.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llm_core.config.errors import UserError
from llm_core.config.model import GRUConfig, LSTMConfig, RNNConfig
from llm_core.models.initialisation import embedding_std, initialise
from llm_core.models.interface import LanguageModel, Memory, Output, State
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


def _build_layer(config: RNNConfig | GRUConfig | LSTMConfig, input_size: int) -> nn.Module:
    width = config.hidden_size
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
    config: RNNConfig | GRUConfig | LSTMConfig

    def __init__(self, config: RNNConfig | GRUConfig | LSTMConfig, vocabulary_size: int, context_length: int) -> None:
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
                for layer in self.layers:
                    layer.bias_ih_l0[self.config.hidden_size : 2 * self.config.hidden_size] = 1.0  # pyright: ignore
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
        """Positions are ignored: a recurrent network counts for itself. Raises UserError for packed or padded input."""
        if documents_BT is not None or padding_BT is not None:
            raise UserError(
                "A recurrent network reads one unbroken stream per row",
                value="packed documents" if documents_BT is not None else "padding",
                remedy="Give each document a row of its own, or choose a Transformer",
            )
        batch_size, length = tokens_BT.shape
        if state is None:
            state = self.initial_state(batch_size, length)
        assert isinstance(state, RecurrentState)
        x_BTU = self.dropout(self.embed_tokens(tokens_BT))
        if tap is not None:
            tap.hidden(-1, x_BTU)
        last_hidden: list[Tensor] = []
        last_cell: list[Tensor] = []
        for index, layer in enumerate(self.layers):
            hidden_1BU = state.hidden_LBU[index : index + 1].to(x_BTU.dtype)
            cell_1BU = None if state.cell_LBU is None else state.cell_LBU[index : index + 1].to(x_BTU.dtype)
            if tap is not None:
                tap.gates(
                    index,
                    replay_gates(self.config, layer, x_BTU, hidden_1BU[0], None if cell_1BU is None else cell_1BU[0]),
                )
            if cell_1BU is None:
                x_BTU, hidden_1BU = layer(x_BTU, hidden_1BU.contiguous())
            else:
                x_BTU, (hidden_1BU, cell_1BU) = layer(x_BTU, (hidden_1BU.contiguous(), cell_1BU.contiguous()))
                last_cell.append(cell_1BU)
            last_hidden.append(hidden_1BU)
            if tap is not None:
                tap.hidden(index, x_BTU)
            x_BTU = self.dropout(x_BTU)
        new_state = RecurrentState(
            torch.cat(last_hidden), torch.cat(last_cell) if last_cell else None, state.lengths_B + length
        )
        return Output(x_BTU, new_state)

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

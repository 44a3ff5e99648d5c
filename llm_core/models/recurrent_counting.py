"""How large and how costly a recurrent network is, in closed form. Free of torch.

Not here: the other families, what the numbers mean (`counting_base.py`).
"""

from __future__ import annotations

from llm_core.config.recurrent import LSTMConfig, MinGRUConfig, RecurrentConfig
from llm_core.models.counting_base import NeuralCounting, ParameterCount, RowShape

_BLOCKS = {"rnn": 1, "gru": 3, "mingru": 2, "lstm": 4}
"""Blocks of `hidden_size` rows in the matrix of a layer."""
# Numbers that torch's CPU kernels keep for each unit and step, the layer's input counted with them: states; gates, their parts and
# states; for the LSTM the workspace of oneDNN, measured; for the minimal GRU both gates, the product and the states.
_KEPT_PER_UNIT = {"rnn": 2, "gru": 8, "mingru": 5, "lstm": 16}
_KEEPS_ITS_OUTPUT = ("mingru", "lstm")
# What a measurement reads at a time (`llm_core.generation.likelihood`): pieces of one stream within a budget of logits.
_PIECE_TOKENS, _LOGITS = 1_024, 64_000_000


class RecurrentCounting(NeuralCounting):
    """Closed forms of RNN, GRU, minimal GRU and LSTM. A context bounds a training row, not the network."""

    def __init__(self, config: RecurrentConfig) -> None:
        self._config = config
        self._blocks = _BLOCKS[config.kind]

    def parameters(self, vocabulary_size: int, context_length: int, train_tokens: int | None) -> ParameterCount:
        config, matrices, biases = self._config, self._matrices(), self._biases()
        return ParameterCount(
            embedding=vocabulary_size * config.resolved_embedding_size,
            recurrent=matrices + biases,
            head=0 if config.tie_embeddings else vocabulary_size * config.hidden_size,
        )

    def forward_flops(self, vocabulary_size: int, row: RowShape) -> int:
        return 2 * (row.read * self._matrices() + row.scored * vocabulary_size * self._config.hidden_size)

    def state_values(self, context_length: int) -> int:
        """h of every layer, for an LSTM c too; a longer text takes no more."""
        vectors = 2 if isinstance(self._config, LSTMConfig) else 1
        return vectors * self._config.num_layers * self._config.hidden_size

    def kept_values(self, num_rows: int, row: RowShape) -> int:
        config, units = self._config, self._config.hidden_size
        # Dropout keeps its mask; what it lets through is a second copy of outputs that the layer keeps as one tensor itself.
        masks = int(config.dropout > 0)
        copies = int((config.dropout > 0 or config.locked_dropout > 0) and config.kind in _KEEPS_ITS_OUTPUT)
        per_token = config.num_layers * units * (_KEPT_PER_UNIT[config.kind] + masks + copies)
        per_token += units + masks * config.resolved_embedding_size  # and what the head multiplies
        thinned = 0
        if not isinstance(config, MinGRUConfig) and config.weight_drop:
            thinned = 2 * config.num_layers * self._blocks * units * units
        return num_rows * row.read * per_token + thinned

    def evaluation_tokens(self, vocabulary_size: int, row: RowShape) -> int:
        return max(1, min(_PIECE_TOKENS, _LOGITS // vocabulary_size))

    def widest_values(self, row: RowShape) -> int:
        return (2 * self._blocks + 2) * self._config.hidden_size

    def _matrices(self) -> int:
        config, units = self._config, self._config.hidden_size
        inputs = config.resolved_embedding_size + (config.num_layers - 1) * units
        carried = 0 if isinstance(config, MinGRUConfig) else config.num_layers * units
        return self._blocks * units * (inputs + carried)

    def _biases(self) -> int:
        """torch's layers have one for the input and one for the state."""
        sides = 1 if isinstance(self._config, MinGRUConfig) else 2
        return sides * self._blocks * self._config.hidden_size * self._config.num_layers

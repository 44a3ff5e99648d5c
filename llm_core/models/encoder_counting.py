"""How large and how costly an encoder is, in closed form. Free of torch.

Published sizes of BERT and RoBERTa count the network without the head that fills in (`total - head`, the token embeddings being
the head's matrix too) and with a pooler, D² + D parameters for the next-sentence task that nothing here trains or has. Published
sizes of ModernBERT are without a head and without a pooler.
"""

from __future__ import annotations

from llm_core.config.encoder import EncoderConfig
from llm_core.models.counting_base import NeuralCounting, ParameterCount, RowShape

# Rows that a measurement reads at a time (`llm_core.training.measurement`).
_EVALUATED_ROWS = 32


class EncoderCounting(NeuralCounting):
    """Closed forms of BERT, RoBERTa and ModernBERT; FLOPs are counted for each token read, hidden or not.

    A local layer counts what it may look at, as if it were nowhere near an end of the row.
    """

    def __init__(self, config: EncoderConfig) -> None:
        self._config = config
        self._inner_matrices = 3 if config.activation == "geglu" else 2

    def parameters(self, vocabulary_size: int, context_length: int, train_tokens: int | None) -> ParameterCount:
        """`head` is its transform, norm and bias; its matrix is the embedding's."""
        config, d, f = self._config, self._config.hidden_size, self._config.resolved_feed_forward_size
        layers, biases, matrices = config.num_layers, int(config.biases), self._inner_matrices
        positions = context_length + config.position_offset if config.positions == "learned" else 0
        norm = d * (1 + biases)
        return ParameterCount(
            embedding=d * (vocabulary_size + positions + config.token_types),
            attention=layers * 4 * (d * d + biases * d),
            feed_forward=layers * (matrices * d * f + biases * ((matrices - 1) * f + d)),
            # Two in each layer and one after the embeddings; pre-norm leaves out the first layer's first and adds one at the end.
            norm=(2 * layers + 1) * norm,
            head=d * d + biases * d + norm + vocabulary_size,
        )

    def forward_flops(self, vocabulary_size: int, row: RowShape) -> int:
        config, d, length = self._config, self._config.hidden_size, row.read
        matrices = config.num_layers * d * (4 * d + self._inner_matrices * config.resolved_feed_forward_size)
        nearby = min(2 * (config.window // 2) + 1, length)
        looked_at = sum(nearby if config.is_local(layer) else length for layer in range(config.num_layers))
        return length * (2 * matrices + 4 * d * looked_at) + row.scored * 2 * d * (d + vocabulary_size)

    def state_values(self, context_length: int) -> int:
        """Nothing: it reads a text whole and remembers none of it."""
        return 0

    def kept_values(self, num_rows: int, row: RowShape) -> int:
        config, d, f = self._config, self._config.hidden_size, self._config.resolved_feed_forward_size
        # Two norms, each with what comes in and goes out; queries, keys, values and the sum of values.
        stream_and_attention = 2 * 2 * d + 4 * d
        feed_forward = (4 if config.activation == "geglu" else 2) * f
        # With dropout no fused kernel runs: probabilities, their mask and their product are kept, and the masks of the stream.
        dropout = 2 * d + 3 * config.num_heads * row.read if config.dropout else config.num_heads
        read = row.read * (config.num_layers * (stream_and_attention + feed_forward + dropout) + 2 * d)
        return num_rows * (read + row.scored * 4 * d)

    def evaluation_tokens(self, vocabulary_size: int, row: RowShape) -> int:
        return _EVALUATED_ROWS * row.read

    def widest_values(self, row: RowShape) -> int:
        d = self._config.hidden_size
        return 2 * d + max(4 * self._config.resolved_feed_forward_size, 4 * d)

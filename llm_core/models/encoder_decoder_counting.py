"""How large and how costly an encoder-decoder is, in closed form. Free of torch.

FLOPs are counted for a row, a source read and a target written; for each token means each token of the text that the row was made from.
Not here: the other families, what the numbers mean (`counting_base.py`).
"""

from __future__ import annotations

from llm_core.config.encoder_decoder import EncoderDecoderConfig
from llm_core.models.counting_base import NeuralCounting, ParameterCount, RowShape

# Rows that a measurement reads at a time (`llm_core.training.measurement`).
_EVALUATED_ROWS = 32


class EncoderDecoderCounting(NeuralCounting):
    """Closed forms of T5, T5 v1.1 and the Transformer of 2017; biases of distances count as attention."""

    def __init__(self, config: EncoderDecoderConfig) -> None:
        self._config = config
        self._inner = config.num_heads * config.head_size
        self._inner_matrices = 3 if config.activation == "geglu" else 2
        self._decoder_layers = config.resolved_num_decoder_layers

    def whole_row(self, context_length: int) -> RowShape:
        return RowShape(context_length, read=context_length, scored=context_length, written=context_length)

    def parameters(self, vocabulary_size: int, context_length: int, train_tokens: int | None) -> ParameterCount:
        config, d, f = self._config, self._config.hidden_size, self._config.resolved_feed_forward_size
        encoder_layers, decoder_layers, biases = config.num_layers, self._decoder_layers, int(config.biases)
        attention = 4 * d * self._inner + biases * (3 * self._inner + d)
        feed_forward = self._inner_matrices * d * f + biases * ((self._inner_matrices - 1) * f + d)
        norm = d * (1 + biases if config.norm == "layer" else 1)
        last_norms = 2 if config.norm_placement == "before" else 0
        distances = 2 * config.position_buckets * config.num_heads if config.positions == "relative" else 0
        return ParameterCount(
            embedding=vocabulary_size * d,
            attention=(encoder_layers + 2 * decoder_layers) * attention + distances,
            feed_forward=(encoder_layers + decoder_layers) * feed_forward,
            norm=(2 * encoder_layers + 3 * decoder_layers + last_norms) * norm,
            head=0 if config.tie_embeddings else vocabulary_size * d,
        )

    def forward_flops(self, vocabulary_size: int, row: RowShape) -> int:
        d, inner, source, target = self._config.hidden_size, self._inner, row.read, row.written
        feed_forward = self._inner_matrices * d * self._config.resolved_feed_forward_size
        encoder = source * (2 * (4 * d * inner + feed_forward) + 4 * inner * source)
        # Queries and sums of the look at the source are the target's, keys and values the source's.
        own = target * (2 * (4 * d * inner + feed_forward) + 4 * inner * target)
        across = target * (2 * 2 * d * inner + 4 * inner * source) + source * 2 * 2 * d * inner
        head = row.scored * 2 * d * vocabulary_size
        return self._config.num_layers * encoder + self._decoder_layers * (own + across) + head

    def state_values(self, context_length: int) -> int:
        """Keys and values of every decoder layer, of a whole source and of a whole target."""
        return 2 * self._decoder_layers * self._inner * (context_length + context_length)

    def kept_values(self, num_rows: int, row: RowShape) -> int:
        config, d, inner, source, target = self._config, self._config.hidden_size, self._inner, row.read, row.written
        # A LayerNorm keeps what comes in and what goes out, an RMSNorm also the vector before its weights.
        norm = (3 if config.norm == "rms" else 2) * d + (d if config.dropout else 0)
        feed_forward = norm + self._kept_feed_forward()
        of_source = 2 * inner * self._decoder_layers * source  # keys and values that the decoder looks at
        encoder = source * (norm + 4 * inner + self._kept_scores(source, is_biased=True) + feed_forward)
        own = target * (norm + 4 * inner + self._kept_scores(target, is_biased=True) + feed_forward)
        across = target * (norm + 2 * inner + self._kept_scores(source, is_biased=False))
        around = (source + target) * (norm + (2 * d if config.dropout else 0))
        return num_rows * (config.num_layers * encoder + self._decoder_layers * (own + across) + of_source + around)

    def _kept_feed_forward(self) -> int:
        """Gated: gate, its GELU, up and product; ReLU: what comes out. Dropout keeps its mask, and of ReLU what it lets through."""
        f, has_dropout = self._config.resolved_feed_forward_size, bool(self._config.dropout)
        return (4 + int(has_dropout)) * f if self._config.activation == "geglu" else (3 if has_dropout else 1) * f

    def _kept_scores(self, keys: int, *, is_biased: bool) -> int:
        """Per query. A fused kernel keeps one number a head; it runs neither with dropout nor with a bias that learns."""
        if self._config.dropout:
            return 3 * self._config.num_heads * keys
        learns = is_biased and self._config.positions == "relative"
        return self._config.num_heads * (keys if learns else 1)

    def evaluation_tokens(self, vocabulary_size: int, row: RowShape) -> int:
        return _EVALUATED_ROWS * row.read

    def widest_values(self, row: RowShape) -> int:
        d = self._config.hidden_size
        return 2 * d + max(4 * self._config.resolved_feed_forward_size, 4 * self._inner)

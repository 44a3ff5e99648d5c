"""How large and how costly a causal Transformer is, in closed form. Free of torch.

Not here: the other families, what the numbers mean (`counting_base.py`).
"""

from __future__ import annotations

from llm_core.config.decoder import TransformerConfig
from llm_core.models.counting_base import NeuralCounting, ParameterCount, RowShape

# What a measurement reads at a time (`llm_core.generation.likelihood`): whole windows within a budget of logits.
_WINDOW_TOKENS, _LOGITS = 16_384, 64_000_000


class DecoderCounting(NeuralCounting):
    """Closed forms of GPT-2, Llama, Mistral and Qwen3. Attention counts the whole context, without halving for causality."""

    def __init__(self, config: TransformerConfig) -> None:
        self._config = config
        self._keys = config.resolved_num_kv_heads * config.head_size
        self._queries = config.num_heads * config.head_size
        self._inner_matrices = 3 if config.activation == "swiglu" else 2

    def parameters(self, vocabulary_size: int, context_length: int, train_tokens: int | None) -> ParameterCount:
        config, d, f = self._config, self._config.hidden_size, self._config.resolved_feed_forward_size
        layers, biases = config.num_layers, int(config.biases)
        norm = d * (1 + biases if config.norm == "layer" else 1)
        norms_of_layer = (2 if f else 1) * norm + (2 * config.head_size if config.qk_norm else 0)
        feed_forward_biases = (self._inner_matrices - 1) * f + d if f else 0
        return ParameterCount(
            embedding=d * (vocabulary_size + (context_length if config.positions == "learned" else 0)),
            attention=layers * (self._attention_matrices() + biases * (self._queries + 2 * self._keys + d)),
            feed_forward=layers * (self._inner_matrices * d * f + biases * feed_forward_biases),
            norm=layers * norms_of_layer + norm,
            head=0 if config.tie_embeddings else vocabulary_size * d,
        )

    def forward_flops(self, vocabulary_size: int, row: RowShape) -> int:
        config, d = self._config, self._config.hidden_size
        matrices = self._attention_matrices() + self._inner_matrices * d * config.resolved_feed_forward_size
        looked_at = min(config.window or row.read, row.read)
        per_token = config.num_layers * (2 * matrices + 4 * self._queries * looked_at)
        return row.read * per_token + row.scored * 2 * vocabulary_size * d

    def state_values(self, context_length: int) -> int:
        """Keys and values of every layer."""
        return 2 * self._config.num_layers * self._keys * context_length

    def kept_values(self, num_rows: int, row: RowShape) -> int:
        config, d, f = self._config, self._config.hidden_size, self._config.resolved_feed_forward_size
        # A LayerNorm keeps what comes in and what goes out, an RMSNorm also the vector before its weights.
        norm = (3 if config.norm == "rms" else 2) * d
        attention = norm + 2 * self._queries + 2 * self._keys
        if config.qk_norm:
            attention += 2 * (self._queries + self._keys)
        # SwiGLU keeps gate, silu, up and product; GELU what goes in and what comes out.
        feed_forward = norm + (4 if config.activation == "swiglu" else 2) * f if f else 0
        # With dropout no fused kernel runs: probabilities, their mask and their product are kept, and the masks of the stream.
        dropout = 2 * d + 3 * config.num_heads * row.read if config.dropout else config.num_heads
        return num_rows * row.read * (config.num_layers * (attention + feed_forward + dropout) + norm)

    def evaluation_tokens(self, vocabulary_size: int, row: RowShape) -> int:
        return max(1, min(_WINDOW_TOKENS, _LOGITS // vocabulary_size))

    def widest_values(self, row: RowShape) -> int:
        d = self._config.hidden_size
        return 2 * d + max(4 * self._config.resolved_feed_forward_size, 4 * d)

    def _attention_matrices(self) -> int:
        return 2 * self._config.hidden_size * (self._queries + self._keys)

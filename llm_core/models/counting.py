"""How large and how costly a model is, in closed form, without building it. Free of torch, so that pages may call it.

Parameters follow the modules exactly (a test compares them). FLOPs follow the convention of PaLM (Chowdhery et al. 2022, appendix B):
two per multiply-add, matrix products only, attention over the whole context without halving for causality, backward twice the forward.
Not here: speed and time, which need a measurement (`llm_core.backend.estimates`).
"""

from __future__ import annotations

from dataclasses import dataclass

from llm_core.config.model import GRUConfig, LSTMConfig, ModelConfig, TransformerConfig
from llm_core.config.run import RunConfig


@dataclass(frozen=True)
class ParameterCount:
    """Parameters by what they are for. A tied head counts once, under `embedding`."""

    embedding: int
    attention: int
    feed_forward: int
    recurrent: int
    norm: int
    head: int

    @property
    def total(self) -> int:
        return self.embedding + self.attention + self.feed_forward + self.recurrent + self.norm + self.head


def count_parameters(config: ModelConfig, vocabulary_size: int, context_length: int) -> ParameterCount:
    """Exact parameter count of `build_model(config, vocabulary_size, context_length)`."""
    if isinstance(config, TransformerConfig):
        return _count_transformer(config, vocabulary_size, context_length)
    units, gates = config.hidden_size, number_of_gates(config)
    inputs = [config.resolved_embedding_size] + [units] * (config.num_layers - 1)
    return ParameterCount(
        embedding=vocabulary_size * config.resolved_embedding_size,
        attention=0,
        feed_forward=0,
        recurrent=sum(gates * units * (size + units) + 2 * gates * units for size in inputs),
        norm=0,
        head=0 if config.tie_embeddings else vocabulary_size * units,
    )


def _count_transformer(config: TransformerConfig, vocabulary_size: int, context_length: int) -> ParameterCount:
    d, e, layers, biases = config.hidden_size, config.head_size, config.num_layers, int(config.biases)
    queries, keys = config.num_heads * e, config.resolved_num_kv_heads * e
    f, matrices = config.resolved_feed_forward_size, 3 if config.activation == "swiglu" else 2
    norm = d * (1 + biases if config.norm == "layer" else 1)
    norms_of_layer = (2 if f else 1) * norm + (2 * e if config.qk_norm else 0)
    feed_forward = matrices * d * f + biases * ((matrices - 1) * f + d) if f else 0
    return ParameterCount(
        embedding=d * (vocabulary_size + (context_length if config.positions == "learned" else 0)),
        attention=layers * (2 * d * (queries + keys) + biases * (queries + 2 * keys + d)),
        feed_forward=layers * feed_forward,
        recurrent=0,
        norm=layers * norms_of_layer + norm,
        head=0 if config.tie_embeddings else vocabulary_size * d,
    )


def number_of_gates(config: ModelConfig) -> int:
    """Blocks of `hidden_size` rows in a recurrent layer's matrices: 1 for RNN, 3 for GRU, 4 for LSTM."""
    if isinstance(config, LSTMConfig):
        return 4
    return 3 if isinstance(config, GRUConfig) else 1


def forward_flops_per_token(config: ModelConfig, vocabulary_size: int, context_length: int) -> int:
    """Floating-point operations to read one token in a context of the given length."""
    count = count_parameters(config, vocabulary_size, context_length)
    head = vocabulary_size * config.hidden_size
    if isinstance(config, TransformerConfig):
        without_biases = count_parameters(config.model_copy(update={"biases": False}), vocabulary_size, context_length)
        matrices = without_biases.attention + without_biases.feed_forward + head
        looked_at = min(config.window or context_length, context_length)
        return 2 * matrices + 4 * config.num_layers * config.num_heads * config.head_size * looked_at
    biases = 2 * number_of_gates(config) * config.hidden_size * config.num_layers
    return 2 * (count.recurrent - biases + head)


def training_flops_per_token(config: ModelConfig, vocabulary_size: int, context_length: int) -> int:
    """Forward and backward: three times the forward."""
    return 3 * forward_flops_per_token(config, vocabulary_size, context_length)


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes a training process needs at its peak, by what they are for."""

    weights_bytes: int
    gradients_bytes: int
    optimizer_bytes: int
    activations_bytes: int
    logits_bytes: int
    evaluation_bytes: int
    """What a pass over validation text needs; it comes on top, because the allocator keeps what the last step used."""
    runtime_bytes: int

    @property
    def total_bytes(self) -> int:
        return (
            self.weights_bytes
            + self.gradients_bytes
            + self.optimizer_bytes
            + self.activations_bytes
            + self.logits_bytes
            + self.evaluation_bytes
            + self.runtime_bytes
        )


# Resident memory of a worker that has imported torch and its kernels and done one step of a tiny model, measured on Linux with
# torch 2.13 (CPU build); see docs/log.md.
RUNTIME_BYTES = 400_000_000
# Tokens that a measurement of the validation text reads at a time (`llm_core.generation.likelihood`): whole windows of a
# Transformer within a budget of logits, pieces of one stream of a recurrent network.
_WINDOW_TOKENS, _PIECE_TOKENS, _LOGITS = 16_384, 1_024, 64_000_000


def training_memory(run: RunConfig, vocabulary_size: int) -> MemoryEstimate:
    """Peak memory of training: float32 weights, gradients and moments, activations kept for the backward pass, logits, evaluation.

    Measured on two cores in 40 steps and two evaluations, resident peak against this estimate: pocket-gpt 625 MB (602), twice as
    wide with batch 32 1,097 MB (1,090), shakespeare-cpu 599 MB (562), pocket-lstm 429 MB (445).
    """
    parameters = count_parameters(run.model, vocabulary_size, run.data.context_length).total
    tokens = run.training.batch_size * run.data.context_length
    moments = {"adamw": 2, "adam": 2, "sgd": 1 if run.optimizer.momentum else 0}[run.optimizer.kind]
    return MemoryEstimate(
        weights_bytes=4 * parameters,
        gradients_bytes=4 * parameters,
        optimizer_bytes=4 * moments * parameters,
        activations_bytes=4 * tokens * _kept_values_per_token(run.model),
        # Logits, their log-softmax and their gradient live at the same time.
        logits_bytes=3 * 4 * tokens * vocabulary_size,
        evaluation_bytes=_evaluation_bytes(run.model, vocabulary_size),
        runtime_bytes=RUNTIME_BYTES,
    )


def _evaluation_bytes(config: ModelConfig, vocabulary_size: int) -> int:
    """Nothing is kept for a backward pass, so the widest moment counts: inside one layer, or the logits and their softmax."""
    if isinstance(config, TransformerConfig):
        tokens = max(1, min(_WINDOW_TOKENS, _LOGITS // vocabulary_size))
        layer = 2 * config.hidden_size + max(4 * config.resolved_feed_forward_size, 4 * config.hidden_size)
    else:
        tokens = max(1, min(_PIECE_TOKENS, _LOGITS // vocabulary_size))
        layer = (2 * number_of_gates(config) + 2) * config.hidden_size
    return 4 * tokens * max(layer, 2 * vocabulary_size)


def inference_memory_bytes(config: ModelConfig, vocabulary_size: int, context_length: int, batch_size: int = 1) -> int:
    """Weights in float32 and the state of a full context."""
    weights = 4 * count_parameters(config, vocabulary_size, context_length).total
    if isinstance(config, TransformerConfig):
        state = 2 * config.num_layers * config.resolved_num_kv_heads * config.head_size * context_length
    else:
        state = 2 * config.num_layers * config.hidden_size
    return weights + 4 * batch_size * state


def _kept_values_per_token(config: ModelConfig) -> int:
    """Numbers the backward pass needs again, per token, counted from the operations of one layer."""
    if isinstance(config, TransformerConfig):
        d, f = config.hidden_size, config.resolved_feed_forward_size
        kv = 2 * config.resolved_num_kv_heads * config.head_size
        # norm in and out, q and k before and after norm and rotation, v, attention out, residual; gate, silu, up, product.
        attention = 4 * d + 3 * d + 2 * kv
        feed_forward = 2 * d + 4 * f if f else 0
        dropout = 2 * d if config.dropout else 0
        return config.num_layers * (attention + feed_forward + dropout) + 3 * d
    gates = number_of_gates(config)
    per_layer = (2 * gates + 2) * config.hidden_size + (config.hidden_size if config.dropout else 0)
    return config.num_layers * per_layer + config.resolved_embedding_size

"""How large and how costly an encoder is, in closed form, without building it. Free of torch, so that pages may call it.

Parameters follow the modules exactly; floating-point operations follow the convention of `counting.py`.

Published sizes of BERT and RoBERTa count the network without the head that fills in (`total - head`, the token embeddings being
the head's matrix too) and with a pooler, D² + D parameters for the next-sentence task that nothing here trains or has. Published
sizes of ModernBERT are without a head and without a pooler.
"""

from __future__ import annotations

from llm_core.config.encoder import EncoderConfig
from llm_core.models.counting import ParameterCount


def count_encoder(config: EncoderConfig, vocabulary_size: int, context_length: int) -> ParameterCount:
    """Exact parameter count of `Encoder(config, vocabulary_size, context_length)`; `head` is its transform, norm and bias."""
    d, f, layers, biases = config.hidden_size, config.resolved_feed_forward_size, config.num_layers, int(config.biases)
    matrices = 3 if config.activation == "geglu" else 2
    positions = context_length + config.position_offset if config.positions == "learned" else 0
    norm = d * (1 + biases)
    return ParameterCount(
        embedding=d * (vocabulary_size + positions + config.token_types),
        attention=layers * 4 * (d * d + biases * d),
        feed_forward=layers * (matrices * d * f + biases * ((matrices - 1) * f + d)),
        recurrent=0,
        # Two in each layer and one after the embeddings; pre-norm leaves out the first layer's first and adds one at the end.
        norm=(2 * layers + 1) * norm,
        head=d * d + biases * d + norm + vocabulary_size,
    )


def forward_flops_per_row(config: EncoderConfig, vocabulary_size: int, length: int, places: int) -> int:
    """Floating-point operations to read a row of `length` tokens and to score `places` of them (all of them, or the hidden ones).

    A local layer counts what it may look at, as if it were nowhere near an end of the row.
    """
    without_biases = count_encoder(config.model_copy(update={"biases": False}), vocabulary_size, length)
    matrices = without_biases.attention + without_biases.feed_forward
    nearby = min(2 * (config.window // 2) + 1, length)
    looked_at = sum(nearby if config.is_local(layer) else length for layer in range(config.num_layers))
    head = config.hidden_size * (config.hidden_size + vocabulary_size)
    return length * (2 * matrices + 4 * config.hidden_size * looked_at) + places * 2 * head


def training_flops_per_row(config: EncoderConfig, vocabulary_size: int, length: int, places: int) -> int:
    """Forward and backward: three times the forward."""
    return 3 * forward_flops_per_row(config, vocabulary_size, length, places)

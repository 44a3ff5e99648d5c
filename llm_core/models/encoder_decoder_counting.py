"""How large an encoder-decoder is, in closed form, without building it. Free of torch, so that pages may call it.

Not here: other families (`counting.py`), floating-point operations and memory.
"""

from __future__ import annotations

from llm_core.config.encoder_decoder import EncoderDecoderConfig
from llm_core.models.counting import ParameterCount


def count_encoder_decoder(config: EncoderDecoderConfig, vocabulary_size: int) -> ParameterCount:
    """Exact parameter count of `EncoderDecoder(config, vocabulary_size, …)`; biases of distances count as attention."""
    d, f, inner = config.hidden_size, config.resolved_feed_forward_size, config.num_heads * config.head_size
    encoder_layers, decoder_layers = config.num_layers, config.resolved_num_decoder_layers
    biases = int(config.biases)
    attention = 4 * d * inner + biases * (3 * inner + d)
    matrices = 3 if config.activation == "geglu" else 2
    feed_forward = matrices * d * f + biases * ((matrices - 1) * f + d)
    norm = d * (1 + biases if config.norm == "layer" else 1)
    last_norms = 2 if config.norm_placement == "before" else 0
    distances = 2 * config.position_buckets * config.num_heads if config.positions == "relative" else 0
    return ParameterCount(
        embedding=vocabulary_size * d,
        attention=(encoder_layers + 2 * decoder_layers) * attention + distances,
        feed_forward=(encoder_layers + decoder_layers) * feed_forward,
        recurrent=0,
        norm=(2 * encoder_layers + 3 * decoder_layers + last_norms) * norm,
        head=0 if config.tie_embeddings else vocabulary_size * d,
    )

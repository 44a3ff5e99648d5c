"""What a config.json of T5 or T5 v1.1 says, as the settings of our encoder-decoder.

Keys that are not there have the defaults of the class in transformers 5.23. Not here: keys of all classes (`read_config.py`).
"""

from __future__ import annotations

from llm_core.models.huggingface.config_reader import ConfigReader, Shape, unsupported

_FORMS = {"relu": ("relu", "relu", False), "gated-gelu": ("geglu", "gelu_new", True)}
"""For each form of the feed-forward block: our word, and what older versions note beside it (`dense_act_fn`, `is_gated_act`)."""


def read_t5(reader: ConfigReader) -> Shape:
    """The shape of an encoder-decoder. Whether its matrices are tied follows from what is stored, as in transformers 5."""
    form = reader.take("feed_forward_proj", "relu")
    if form not in _FORMS:
        raise unsupported("feed_forward_proj", form, " or ".join(_FORMS))
    activation, function, is_gated = _FORMS[form]
    reader.fixed("dense_act_fn", function)
    reader.fixed("is_gated_act", is_gated)
    reader.fixed("tie_encoder_decoder", False)
    # The word says in truth whether the output is scaled; transformers 5 saves that under a name of its own.
    scaled = reader.take("tie_word_embeddings", True)
    if scaled not in (True, False, None):
        raise unsupported("tie_word_embeddings", scaled, "true or false")
    num_layers = reader.setting("num_layers", "num_layers", 6)
    num_heads = reader.setting("num_heads", "num_heads", 8)
    hidden_size = reader.setting("d_model", "hidden_size", 512)
    head_size = reader.setting("d_kv", "size_per_head", 64)
    if not head_size:
        raise unsupported("d_kv", head_size, "at least 1")
    inner = reader.setting("d_ff", "feed_forward_size", 2048)
    num_decoder_layers = reader.setting("num_decoder_layers", "num_decoder_layers", num_layers, null=num_layers)
    for key, value in (("d_ff", inner), ("num_decoder_layers", num_decoder_layers)):
        if not value:
            raise unsupported(key, value, "at least 1")
    settings: dict[str, object] = {
        "num_layers": num_layers,
        "num_decoder_layers": num_decoder_layers,
        "num_heads": num_heads,
        "hidden_size": hidden_size,
        "size_per_head": 0 if head_size * num_heads == hidden_size else head_size,
        "feed_forward_size": inner,
        "activation": activation,
        "tie_embeddings": True,
        "scale_output": reader.flag("scale_decoder_outputs", scaled is not False),
        "position_buckets": reader.setting("relative_attention_num_buckets", "position_buckets", 32),
        "position_distance": reader.setting("relative_attention_max_distance", "position_distance", 128),
        "norm_epsilon": reader.setting("layer_norm_epsilon", "norm_epsilon", 1e-6),
    }
    # Relative positions have no end; the older key says how long the rows of pre-training were.
    return Shape(settings, reader.vocabulary(32_128), reader.context("n_positions", 512))

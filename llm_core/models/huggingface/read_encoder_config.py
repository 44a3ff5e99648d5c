"""What a config.json of BERT, RoBERTa or ModernBERT says, as the settings of our encoder.

Keys that are not there have the defaults of the class in transformers 5.23. Not here: keys of all classes (`read_config.py`).
"""

from __future__ import annotations

from typing import Any, cast

from llm_core.models.huggingface.config_reader import ConfigReader, Shape, unsupported
from llm_core.models.huggingface.families import BERT, MODERNBERT, Family

_FULL, _WINDOWED = "full_attention", "sliding_attention"
_USUAL_GLOBAL_EVERY = 3


def read_encoder(reader: ConfigReader, family: Family) -> Shape:
    """The shape of a masked language model."""
    reader.fixed("tie_word_embeddings", True)
    return _modernbert(reader) if family is MODERNBERT else _bert(reader, family)


def _bert(reader: ConfigReader, family: Family) -> Shape:
    reader.fixed("is_decoder", False)
    reader.fixed("hidden_act", "gelu")
    reader.fixed("position_embedding_type", "absolute")
    offset = 0
    if family is not BERT:
        # RoBERTa counts positions from the row after the one that bears the padding token's number.
        offset = 1 + reader.whole("pad_token_id", 1, 0, 1023)
    settings = {
        **_sizes(reader, inner=3072, num_layers=12),
        "position_offset": offset,
        "token_types": reader.setting("type_vocab_size", "token_types", 2),
        "norm_epsilon": reader.setting("layer_norm_eps", "norm_epsilon", 1e-12),
    }
    if not settings["token_types"]:
        raise unsupported("type_vocab_size", 0, "at least 1")
    vocabulary_size = reader.vocabulary(30_522 if family is BERT else 50_265)
    return Shape(settings, vocabulary_size, reader.context("max_position_embeddings", 512, offset))


def _modernbert(reader: ConfigReader) -> Shape:
    reader.fixed("hidden_activation", "gelu")
    reader.fixed("classifier_activation", "gelu")  # the head of the language model has it too
    reader.fixed("decoder_bias", True)
    biases = reader.flag("norm_bias", False)
    for key in ("attention_bias", "mlp_bias", "classifier_bias"):
        why = "norm_bias, attention_bias, mlp_bias and classifier_bias are supported together only"
        reader.fixed(key, biases, default=False, why=why)
    settings = {
        **_sizes(reader, inner=1152, num_layers=22),
        "biases": biases,
        "norm_epsilon": reader.setting("norm_eps", "norm_epsilon", 1e-5),
        **_thetas(reader),
    }
    settings |= _local_layers(reader, cast("int", settings["num_layers"]))
    return Shape(settings, reader.vocabulary(50_368), reader.context("max_position_embeddings", 8_192))


def _sizes(reader: ConfigReader, *, inner: int, num_layers: int) -> dict[str, object]:
    return {
        "num_layers": reader.setting("num_hidden_layers", "num_layers", num_layers),
        "num_heads": reader.setting("num_attention_heads", "num_heads", 12),
        "hidden_size": reader.setting("hidden_size", "hidden_size", 768),
        "feed_forward_size": reader.setting("intermediate_size", "feed_forward_size", inner),
    }


def _thetas(reader: ConfigReader) -> dict[str, object]:
    """The bases of global and local layers, from the one key of transformers 5 or the two of earlier ones; scaling is refused."""
    if reader.take("rope_scaling", None):
        reader.fixed("rope_scaling", None)
    given = reader.take("rope_parameters", None) or {}
    if not isinstance(given, dict) or not given.keys() <= {_FULL, _WINDOWED}:
        raise unsupported("rope_parameters", given, f"one for {_FULL}, one for {_WINDOWED}")
    found: dict[str, object] = {}
    for kind, ours, older, default in (
        (_FULL, "rope_theta", "global_rope_theta", 160_000.0),
        (_WINDOWED, "local_rope_theta", "local_rope_theta", 10_000.0),
    ):
        inner: Any = cast("dict[str, Any]", given).get(kind) or {}
        theta = reader.setting(older, ours, default)
        if not isinstance(inner, dict) or not inner.keys() <= {"rope_type", "rope_theta"}:
            raise unsupported("rope_parameters", given, 'only "rope_type" and "rope_theta" of a kind of layer')
        fields = cast("dict[str, Any]", inner)
        if fields.get("rope_type", "default") != "default":
            raise unsupported("rope_parameters", given, '"rope_type": "default"')
        name = f"rope_parameters.{kind}.rope_theta"
        found[ours] = ConfigReader({name: fields.get("rope_theta", theta)}, reader.settings).setting(name, ours, theta)
    return found


def _local_layers(reader: ConfigReader, num_layers: int) -> dict[str, object]:
    """How far local layers look and how often a layer is global; other patterns than every n-th layer are refused."""
    every = reader.setting("global_attn_every_n_layers", "global_every", _USUAL_GLOBAL_EVERY)
    window = reader.setting("local_attention", "window", 128)
    kinds = reader.take("layer_types", None)
    # With few layers several patterns are the same; what the older key says goes first.
    candidates = [every, _USUAL_GLOBAL_EVERY, *range(1, num_layers + 1)]
    if kinds is not None:
        fitting = [each for each in candidates if kinds == _pattern(num_layers, each)]
        if not fitting:
            raise unsupported("layer_types", kinds, f"{num_layers} layers, the first and then every n-th {_FULL}")
        every = fitting[0]
    if _WINDOWED not in _pattern(num_layers, every):
        return {"window": 0}
    if not window:
        raise unsupported("local_attention", window, "at least 1")
    return {"window": window, "global_every": every}


def _pattern(num_layers: int, every: int) -> list[str]:
    return [_WINDOWED if layer % every else _FULL for layer in range(num_layers)]

"""What a config.json of GPT-2, Llama, Qwen3 or Mistral says, as the settings of our decoder.

Keys that are not there have the defaults of the class in transformers 5.23. Not here: keys of all classes (`read_config.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from llm_core.models.huggingface.config_reader import ConfigReader, Shape, unsupported
from llm_core.models.huggingface.families import GPT2, LLAMA, MISTRAL, QWEN3, Family

_FULL, _WINDOWED = "full_attention", "sliding_attention"


@dataclass(frozen=True)
class _Defaults:
    """Sizes that a class of transformers has where its config.json says none."""

    vocabulary: int
    context: int
    inner: int = 0
    kv_heads: int = 0
    """0 is one for each head."""


_DEFAULTS = {
    QWEN3: _Defaults(151_936, 32_768, 22_016, 32),
    LLAMA: _Defaults(32_000, 2_048, 11_008),
    MISTRAL: _Defaults(32_000, 131_072, 14_336, 8),
    GPT2: _Defaults(50_257, 1_024),
}


def read_decoder(reader: ConfigReader, family: Family) -> Shape:
    """The shape of a causal Transformer."""
    settings = _gpt2(reader) if family is GPT2 else _llama_like(reader, family)
    settings["tie_embeddings"] = reader.flag("tie_word_embeddings", family is GPT2)
    if family in (QWEN3, MISTRAL):
        settings["window"] = _window(reader, family, cast("int", settings["num_layers"]))
    defaults = _DEFAULTS[family]
    context_key = "n_positions" if family is GPT2 else "max_position_embeddings"
    return Shape(settings, reader.vocabulary(defaults.vocabulary), reader.context(context_key, defaults.context))


def _gpt2(reader: ConfigReader) -> dict[str, object]:
    reader.fixed("activation_function", "gelu_new")
    reader.fixed("scale_attn_weights", True)
    reader.fixed("scale_attn_by_inverse_layer_idx", False)
    reader.fixed("reorder_and_upcast_attn", False)
    hidden_size = reader.setting("n_embd", "hidden_size", 768)
    return {
        "num_layers": reader.setting("n_layer", "num_layers", 12),
        "num_heads": reader.setting("n_head", "num_heads", 12),
        "hidden_size": hidden_size,
        "feed_forward_size": reader.setting("n_inner", "feed_forward_size", 4 * hidden_size, null=4 * hidden_size),
        "norm_epsilon": reader.setting("layer_norm_epsilon", "norm_epsilon", 1e-5),
    }


def _llama_like(reader: ConfigReader, family: Family) -> dict[str, object]:
    reader.fixed("hidden_act", "silu")
    num_heads = reader.setting("num_attention_heads", "num_heads", 32)
    hidden_size = reader.setting("hidden_size", "hidden_size", 4096)
    shared_width = hidden_size // num_heads
    defaults = _DEFAULTS[family]
    head_size = reader.setting("head_dim", "size_per_head", 128 if family is QWEN3 else shared_width, null=shared_width)
    settings: dict[str, object] = {
        "num_layers": reader.setting("num_hidden_layers", "num_layers", 32),
        "num_heads": num_heads,
        "num_kv_heads": reader.setting(
            "num_key_value_heads", "num_kv_heads", defaults.kv_heads or num_heads, null=num_heads
        ),
        "hidden_size": hidden_size,
        "size_per_head": 0 if head_size * num_heads == hidden_size else head_size,
        "feed_forward_size": reader.setting("intermediate_size", "feed_forward_size", defaults.inner),
        "norm_epsilon": reader.setting("rms_norm_eps", "norm_epsilon", 1e-6),
        "rope_theta": _rope_theta(reader),
    }
    if family is LLAMA:
        biases = reader.flag("attention_bias", False)
        reader.fixed("mlp_bias", biases, default=False, why="attention_bias and mlp_bias are supported together only")
        settings["biases"] = biases
    elif family is QWEN3:
        reader.fixed("attention_bias", False)
    return settings


def _rope_theta(reader: ConfigReader) -> float:
    """The base, from the one key of transformers 5 or the two of earlier ones; any scaling is refused."""
    if reader.take("partial_rotary_factor", None) is not None:
        reader.fixed("partial_rotary_factor", 1.0)
    theta = reader.setting("rope_theta", "rope_theta", 10_000.0)
    scaling, parameters = (_rope(reader, key, theta) for key in ("rope_scaling", "rope_parameters"))
    if scaling is not None and parameters is not None:
        raise unsupported("rope_scaling", reader.take("rope_scaling", None), "null beside rope_parameters")
    if scaling is not None or parameters is not None:
        theta = scaling if parameters is None else parameters
    return float(theta)  # pyright: ignore[reportArgumentType]  # checked above to be a number


def _rope(reader: ConfigReader, key: str, theta: float) -> float | None:
    """The base that one of the two keys leads to; None where it is absent, null or empty."""
    given = reader.take(key, None)
    if not given:
        return None
    inner = dict(cast("dict[str, Any]", given)) if isinstance(given, dict) else {"rope_type": given}
    kind = inner.pop("rope_type", None) or inner.pop("type", None) or "default"
    inner.pop("type", None)
    own_theta = inner.pop("rope_theta", theta)
    if kind != "default" or inner.pop("partial_rotary_factor", 1.0) != 1.0 or inner:
        raise unsupported(key, given, '{"rope_type": "default", "rope_theta": …}')
    name = f"{key}.rope_theta"
    return ConfigReader({name: own_theta}, reader.settings).setting(name, "rope_theta", theta)


def _window(reader: ConfigReader, family: Family, num_layers: int) -> int:
    """How far every layer looks back; Qwen3 may also mix layers with and without a window, which we do not."""
    in_use = family is MISTRAL or reader.flag("use_sliding_window", False)
    if in_use and reader.take("sliding_window", 4096) == 0:
        raise unsupported("sliding_window", 0, "null or at least 1")
    window = reader.setting("sliding_window", "window", 4096, null=0) if in_use else 0
    if family is MISTRAL:
        return window
    reader.take("sliding_window", None)
    first_windowed = reader.whole("max_window_layers", 28, 0, 2**31)
    kinds = reader.take("layer_types", None)
    if kinds is None:
        kinds = [_WINDOWED if window and layer >= first_windowed else _FULL for layer in range(num_layers)]
    if kinds == [_FULL] * num_layers:
        return 0
    if kinds == [_WINDOWED] * num_layers and window:
        return window
    raise unsupported("layer_types", kinds, f"{num_layers} layers, all with the same window or all without")

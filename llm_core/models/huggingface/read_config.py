"""A config.json of Hugging Face as our settings: every key is used, known to change nothing, or refused by name.

Keys that are not there have the defaults of the class in transformers 5.23. Not here: which file it is (`source_folder.py`), the
other way (`write_config.py`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, cast

from pydantic import ValidationError

from llm_core.config.data import MAXIMUM_CONTEXT_TOKENS
from llm_core.config.errors import UserError
from llm_core.config.model import TransformerConfig
from llm_core.config.run import user_error
from llm_core.config.schema import SettingDescription, describe_settings
from llm_core.models.huggingface.families import FAMILIES, GPT2, LLAMA, MISTRAL, QWEN3, Family, supported_classes

MAXIMUM_VOCABULARY = 4_000_000
_FULL, _WINDOWED = "full_attention", "sliding_attention"

# What acts in training alone (dropout, initialisation), in generation, in other heads than the language model's, or is a note.
_WITHOUT_EFFECT: Final = frozenset(
    """
    _attn_implementation _commit_hash _name_or_path attention_dropout attn_pdrop bad_words_ids begin_suppress_tokens
    bos_token_id chunk_size_feed_forward cross_attention_hidden_size decoder_start_token_id diversity_penalty do_sample dtype
    early_stopping embd_pdrop encoder_no_repeat_ngram_size eos_token_id exponential_decay_length_penalty finetuning_task
    forced_bos_token_id forced_eos_token_id gradient_checkpointing id2label initializer_range keys_to_ignore_at_inference label2id
    length_penalty max_length min_length n_ctx no_repeat_ngram_size num_beam_groups num_beams num_labels num_return_sequences
    output_attentions output_hidden_states output_scores pad_token_id predict_special_tokens prefix pretraining_tp problem_type
    remove_invalid_values repetition_penalty resid_pdrop return_dict return_dict_in_generate sep_token_id summary_activation
    summary_first_dropout summary_proj_to_labels summary_type summary_use_proj suppress_tokens task_specific_params temperature
    tf_legacy_loss tie_encoder_decoder tokenizer_class top_k top_p torch_dtype torchscript transformers_version typical_p
    use_bfloat16 use_cache
    """.split()  # noqa: SIM905 - sixty quoted names are harder to read
)


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


@dataclass(frozen=True)
class ReadConfig:
    """What a config.json says about the network."""

    family: Family
    model: TransformerConfig
    vocabulary_size: int
    """Rows of the embedding; may be more than the tokenizer knows."""
    context_length: int


def read_config(values: dict[str, Any]) -> ReadConfig:
    """The settings that a config.json (parsed) asks for.

    Raises:
        UserError: another class, a known key with a value that we do not compute, an unknown key, a size out of bounds; each names
            the key and its value.
    """
    family = _family(values)
    reader = _Reader(values)
    for key in ("architectures", "model_type"):
        reader.take(key, None)
    reader.fixed("is_encoder_decoder", False)
    reader.fixed("add_cross_attention", False)
    reader.fixed("pruned_heads", {})
    reader.fixed("quantization_config", None)
    reader.fixed("auto_map", None)
    reader.fixed("per_layer_config", None)
    settings = _gpt2(reader) if family is GPT2 else _llama_like(reader, family)
    settings |= family.fixed
    settings["tie_embeddings"] = reader.flag("tie_word_embeddings", family is GPT2)
    defaults = _DEFAULTS[family]
    vocabulary_size = reader.whole("vocab_size", defaults.vocabulary, 1, MAXIMUM_VOCABULARY)
    context_key = "n_positions" if family is GPT2 else "max_position_embeddings"
    context_length = reader.whole(context_key, defaults.context, 2, MAXIMUM_CONTEXT_TOKENS)
    if family in (QWEN3, MISTRAL):
        settings["window"] = _window(reader, family, cast("int", settings["num_layers"]))
    reader.finish(family)
    try:
        model = TransformerConfig.model_validate(settings)
    except ValidationError as error:
        what = user_error(error)
        raise UserError(
            f"config.json: {what.what}", value=what.value, limit=what.limit,
            remedy=what.remedy or "Give the config.json that belongs to the weights",
        ) from error  # fmt: skip
    return ReadConfig(family, model, vocabulary_size, context_length)


def _family(values: dict[str, Any]) -> Family:
    named = values.get("architectures")
    model_type = values.get("model_type")
    if named is None:
        found = [family for family in FAMILIES if family.model_type == model_type]
    else:
        found = [family for family in FAMILIES if [family.class_name] == named]
    if not found:
        shown = f"architectures = {json.dumps(named)}, model_type = {json.dumps(model_type)}"
        raise UserError(
            "This model is of a class that cannot be imported",
            value=shown,
            limit=supported_classes(),
            remedy="Give a folder with a language model of one of these classes",
        )
    if model_type not in (None, found[0].model_type):
        raise UserError(
            "The config.json contradicts itself: its class and its model_type are of different families",
            value=f"architectures = {json.dumps(named)}, model_type = {json.dumps(model_type)}",
            limit=f"{found[0].class_name} goes with {found[0].model_type}",
            remedy="Save the model again with save_pretrained of transformers",
        )
    return found[0]


def _gpt2(reader: _Reader) -> dict[str, object]:
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


def _llama_like(reader: _Reader, family: Family) -> dict[str, object]:
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


def _rope_theta(reader: _Reader) -> float:
    """The base, from the one key of transformers 5 or the two of earlier ones; any scaling is refused."""
    if reader.take("partial_rotary_factor", None) is not None:
        reader.fixed("partial_rotary_factor", 1.0)
    theta = reader.setting("rope_theta", "rope_theta", 10_000.0)
    scaling, parameters = (_rope(reader, key, theta) for key in ("rope_scaling", "rope_parameters"))
    if scaling is not None and parameters is not None:
        raise _unsupported("rope_scaling", reader.take("rope_scaling", None), "null beside rope_parameters")
    if scaling is not None or parameters is not None:
        theta = scaling if parameters is None else parameters
    return float(theta)  # pyright: ignore[reportArgumentType]  # checked above to be a number


def _rope(reader: _Reader, key: str, theta: float) -> float | None:
    """The base that one of the two keys leads to; None where it is absent, null or empty."""
    given = reader.take(key, None)
    if not given:
        return None
    inner = dict(cast("dict[str, Any]", given)) if isinstance(given, dict) else {"rope_type": given}
    kind = inner.pop("rope_type", None) or inner.pop("type", None) or "default"
    inner.pop("type", None)
    own_theta = inner.pop("rope_theta", theta)
    if kind != "default" or inner.pop("partial_rotary_factor", 1.0) != 1.0 or inner:
        raise _unsupported(key, given, '{"rope_type": "default", "rope_theta": …}')
    name = f"{key}.rope_theta"
    return _Reader({name: own_theta}).setting(name, "rope_theta", theta)


def _window(reader: _Reader, family: Family, num_layers: int) -> int:
    """How far every layer looks back; Qwen3 may also mix layers with and without a window, which we do not."""
    in_use = family is MISTRAL or reader.flag("use_sliding_window", False)
    if in_use and reader.take("sliding_window", 4096) == 0:
        raise _unsupported("sliding_window", 0, "null or at least 1")
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
    raise _unsupported("layer_types", kinds, f"{num_layers} layers, all with the same window or all without")


class _Reader:
    """Takes keys out of a config and knows which were not asked for."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values
        self._asked: set[str] = set()

    def take(self, key: str, default: Any) -> Any:
        self._asked.add(key)
        return self._values.get(key, default)

    def fixed(self, key: str, expected: object, *, default: object = ..., why: str = "") -> None:
        """Refuse every value but one, which is also the class's default unless another is given."""
        value = self.take(key, expected if default is ... else default)
        if value is None and expected in (False, {}):
            return
        if value != expected or isinstance(value, bool) != isinstance(expected, bool):
            raise _unsupported(key, value, f"{key} = {json.dumps(expected)}", why)

    def flag(self, key: str, default: bool) -> bool:
        value = self.take(key, default)
        if not isinstance(value, bool):
            raise _unsupported(key, value, "true or false")
        return value

    def whole(self, key: str, default: int, minimum: float | None, maximum: float | None) -> int:
        value = self.take(key, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise _unsupported(key, value, "a whole number")
        return int(_within(key, value, minimum, maximum))

    def setting(self, key: str, name: str, default: Any, *, null: Any = ...) -> Any:
        """The value of one of our own settings, within the bounds declared for it.

        Args:
            default: when the key is not there. null: when its value is null; without it null is refused.
        """
        value = self.take(key, default)
        if value is None and null is not ...:
            value = null
        described = _settings()[name]
        if isinstance(value, bool) or not isinstance(value, int if described.type == "integer" else (int, float)):
            raise _unsupported(key, value, "a whole number" if described.type == "integer" else "a number")
        _within(key, value, described.minimum, described.maximum)
        return value

    def finish(self, family: Family) -> None:
        """Refuse what nobody asked for and what is not known to be without effect."""
        unknown = sorted(self._values.keys() - self._asked - _WITHOUT_EFFECT)
        if unknown:
            shown = ", ".join(f"{key} = {_short(self._values[key])}" for key in unknown[:8])
            raise UserError(
                f"config.json holds keys that {family.class_name} is not known to have, so the model may compute something else",
                value=shown + (f" and {len(unknown) - 8} more" if len(unknown) > 8 else ""),
                remedy="Remove them from config.json if they change nothing",
            )


def _settings() -> dict[str, SettingDescription]:
    return {row.path: row for row in describe_settings(TransformerConfig)}


def _within(key: str, value: float, minimum: float | None, maximum: float | None) -> float:
    if (minimum is not None and value < minimum) or (maximum is not None and not value <= maximum):
        raise UserError(
            f"config.json: {key} is out of bounds",
            value=f"{key} = {value}",
            limit=f"{minimum or 0:,} to {maximum:,}" if maximum is not None else f"at least {minimum:,}",
            remedy="Glassbox cannot hold such a model; give another",
        )
    return value


def _unsupported(key: str, value: object, supported: str, why: str = "") -> UserError:
    return UserError(
        f"config.json: this value of {key} is not supported" + (f" ({why})" if why else ""),
        value=f"{key} = {_short(value)}",
        limit=supported,
        remedy="Give a model without it; Glassbox would compute something else than transformers",
    )


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 100 else text[:100] + "…"

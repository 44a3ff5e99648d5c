"""A config.json of Hugging Face as our settings: every key is used, known to change nothing, or refused by name.

Keys that are not there have the defaults of the class in transformers 5.23. Not here: which file it is (`source_folder.py`), the
keys of single classes (`read_decoder_config.py`, `read_encoder_config.py`, `read_t5_config.py`), the other way (`write_config.py`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from llm_core.config.errors import UserError
from llm_core.config.model import EncoderConfig
from llm_core.config.run import user_error
from llm_core.models.huggingface.config_reader import ConfigReader, Shape
from llm_core.models.huggingface.families import FAMILIES, T5, ExchangedConfig, Family, supported_classes
from llm_core.models.huggingface.read_decoder_config import read_decoder
from llm_core.models.huggingface.read_encoder_config import read_encoder
from llm_core.models.huggingface.read_t5_config import read_t5


@dataclass(frozen=True)
class ReadConfig:
    """What a config.json says about the network."""

    family: Family
    model: ExchangedConfig
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
    reader = ConfigReader(values, family.settings)
    for key in ("architectures", "model_type"):
        reader.take(key, None)
    reader.fixed("is_encoder_decoder", family is T5)
    reader.fixed("add_cross_attention", False)
    reader.fixed("pruned_heads", {})
    reader.fixed("quantization_config", None)
    reader.fixed("auto_map", None)
    reader.fixed("per_layer_config", None)
    shape = _shape(reader, family)
    reader.finish(family)
    try:
        model = family.settings.model_validate({**shape.settings, **family.fixed})
    except ValidationError as error:
        what = user_error(error)
        raise UserError(
            f"config.json: {what.what}", value=what.value, limit=what.limit,
            remedy=what.remedy or "Give the config.json that belongs to the weights",
        ) from error  # fmt: skip
    return ReadConfig(family, model, shape.vocabulary_size, shape.context_length)


def _shape(reader: ConfigReader, family: Family) -> Shape:
    if family is T5:
        return read_t5(reader)
    if family.settings is EncoderConfig:
        return read_encoder(reader, family)
    return read_decoder(reader, family)


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

"""The shape of a model: one frozen class for each family, told apart by `kind`.

Not here: the families' settings (their own files), the modules (`llm_core.models`), parameter counts (`llm_core.models.counting`).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from llm_core.config.decoder import TransformerConfig
from llm_core.config.encoder import EncoderConfig
from llm_core.config.encoder_decoder import EncoderDecoderConfig
from llm_core.config.ngram import NgramConfig
from llm_core.config.recurrent import GRUConfig, LSTMConfig, MinGRUConfig, RecurrentConfig, RNNConfig

__all__ = [
    "MODEL_CONFIGS",
    "EncoderConfig",
    "EncoderDecoderConfig",
    "GRUConfig",
    "LSTMConfig",
    "MinGRUConfig",
    "ModelConfig",
    "NeuralConfig",
    "NgramConfig",
    "RNNConfig",
    "RecurrentConfig",
    "TransformerConfig",
]

NeuralConfig = RecurrentConfig | TransformerConfig | EncoderConfig | EncoderDecoderConfig
ModelConfig = Annotated[NgramConfig | NeuralConfig, Field(discriminator="kind")]

MODEL_CONFIGS: dict[str, type[NgramConfig] | type[NeuralConfig]] = {
    "ngram": NgramConfig,
    "rnn": RNNConfig,
    "gru": GRUConfig,
    "mingru": MinGRUConfig,
    "lstm": LSTMConfig,
    "transformer": TransformerConfig,
    "encoder": EncoderConfig,
    "encoder-decoder": EncoderDecoderConfig,
}

"""Which class builds which family: the only place that goes from a kind to code.

A new family adds its config to `llm_core/config/model.py`, its words to `families.py` and its class here.
"""

from __future__ import annotations

from llm_core.config.model import EncoderConfig, EncoderDecoderConfig, ModelConfig, NgramConfig, TransformerConfig
from llm_core.models.decoder import Decoder
from llm_core.models.encoder import Encoder
from llm_core.models.encoder_decoder import EncoderDecoder
from llm_core.models.interface import LanguageModel
from llm_core.models.rnn import RecurrentModel


def build_model(config: ModelConfig, vocabulary_size: int, context_length: int) -> LanguageModel:
    """A freshly initialised network; the caller seeds torch first."""
    assert not isinstance(config, NgramConfig), "what is counted is no network: see `ngram.py`"
    if isinstance(config, TransformerConfig):
        return Decoder(config, vocabulary_size, context_length)
    if isinstance(config, EncoderConfig):
        return Encoder(config, vocabulary_size, context_length)
    if isinstance(config, EncoderDecoderConfig):
        return EncoderDecoder(config, vocabulary_size, context_length)
    return RecurrentModel(config, vocabulary_size, context_length)

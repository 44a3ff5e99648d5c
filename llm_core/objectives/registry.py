"""Which class serves which objective: the only place that goes from a kind to code."""

from __future__ import annotations

from llm_core.config.masking import MaskingConfig
from llm_core.config.objective import SequenceToSequenceConfig
from llm_core.config.run import RunConfig
from llm_core.config.span_corruption import SpanCorruptionConfig
from llm_core.objectives.interface import FillingObjective
from llm_core.objectives.masked_objective import FindWordStarts, MaskedObjective
from llm_core.objectives.pair_objective import PairObjective
from llm_core.objectives.span_objective import SpanObjective
from llm_core.objectives.train_step import CausalObjective
from llm_core.objectives.word_starts import WordStarts
from llm_core.text.tokenizer_interface import TextTokenizer
from llm_core.text.vocabulary import ModelVocabulary, model_vocabulary

TrainingObjective = CausalObjective | FillingObjective


def objective_for(config: RunConfig, tokenizer: TextTokenizer) -> TrainingObjective:
    """The objective of a run on text of this tokenizer."""
    hides_words = isinstance(config.objective, MaskingConfig) and config.objective.whole_words
    vocabulary = model_vocabulary(tokenizer, config.objective)
    return build_objective(config, vocabulary, WordStarts(tokenizer) if hides_words else None)


def build_objective(
    config: RunConfig, vocabulary: ModelVocabulary, word_starts: FindWordStarts | None = None
) -> TrainingObjective:
    """The objective of a run.

    Args:
        word_starts: finds the first tokens of words; needed where whole words are hidden.
    """
    if isinstance(config.objective, MaskingConfig):
        return MaskedObjective(config, vocabulary, word_starts)
    if isinstance(config.objective, SpanCorruptionConfig):
        return SpanObjective(config, vocabulary)
    if isinstance(config.objective, SequenceToSequenceConfig):
        return PairObjective(config, vocabulary)
    return CausalObjective(config, vocabulary)

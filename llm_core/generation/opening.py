"""A checkpoint ready to be used, of whatever family: a network or counts, its settings, its tokenizer with all the ids it knows.

Not here: reading weights (`llm_core.models.loading`), keeping models in memory (`llm_core.backend.model_cache`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from llm_core.config.encoder import EncoderConfig
from llm_core.config.encoder_decoder import EncoderDecoderConfig
from llm_core.config.errors import UserError
from llm_core.config.run import RunConfig, load_config
from llm_core.generation.answer_text_model import AnswerTextModel
from llm_core.generation.ngram_text_model import NgramTextModel
from llm_core.generation.text_model import NeuralTextModel, TextModel
from llm_core.models.families import families
from llm_core.models.interface import LanguageModel
from llm_core.models.loading import WEIGHTS_FILE, load_checkpoint_model
from llm_core.models.ngram import NgramModel
from llm_core.models.ngram_files import load_ngrams
from llm_core.objectives.train_step import document_end
from llm_core.text.tokenizers import TextTokenizer, tokenizer_from_json
from llm_core.text.vocabulary import ModelVocabulary, extend_tokenizer, model_vocabulary


@dataclass(frozen=True)
class OpenedModel:
    """What a checkpoint holds; exactly one of `network` and `counts` is there."""

    config: RunConfig
    tokenizer: TextTokenizer
    """With the ids that the objective added."""
    vocabulary: ModelVocabulary
    network: LanguageModel | None
    """In evaluation mode, gradients off."""
    counts: NgramModel | None = None

    @property
    def size_bytes(self) -> int:
        """Memory of the weights or the counts."""
        if self.counts is not None:
            return sum(t.keys_G.nbytes + t.discounted_G.nbytes + t.backoff.nbytes for t in self.counts.orders)
        tensors = self.require_network().state_dict().values()
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def require_network(self) -> LanguageModel:
        """The network; UserError for a model that has none."""
        if self.network is None:
            raise UserError(
                "An n-gram model has no inside to look at: it is a table of counts",
                remedy="Look at its next-token probabilities in the Playground",
            )
        return self.network

    def text_model(self, source: Sequence[int] | None = None) -> TextModel:
        """What writes and scores.

        Args:
            source: for an encoder-decoder, the tokens to answer.

        Raises:
            UserError: an encoder, which cannot write; an encoder-decoder without a source.
        """
        if self.counts is not None:
            return NgramTextModel(self.counts, self.tokenizer)
        network = self.require_network()
        if isinstance(self.config.model, EncoderConfig):
            raise UserError(
                "An encoder does not write: it reads a whole text at once and fills in what is hidden",
                remedy='Let it fill them in: glassbox fill RUN --text "… [MASK] …"',
            )
        if isinstance(self.config.model, EncoderDecoderConfig):
            if source is None:
                raise UserError(
                    "An encoder-decoder finds an answer likely or not for a source, so one text alone has no likelihood",
                    remedy="Let it answer a source: glassbox generate RUN --prompt SOURCE",
                )
            return AnswerTextModel(network, self.tokenizer, source)
        return NeuralTextModel(network, self.tokenizer, document_end=document_end(self.config, self.vocabulary))


def open_model(folder: Path, *, device: torch.device | str = "cpu") -> OpenedModel:
    """The model of one checkpoint folder. Raises UserError where something does not fit or cannot be read."""
    config = load_config((folder / "config.json").read_bytes())
    if families()[config.model.kind].is_counted:
        tokenizer = tokenizer_from_json((folder / "tokenizer.json").read_text(encoding="utf-8"))
        vocabulary = model_vocabulary(tokenizer, config.objective)
        return OpenedModel(config, tokenizer, vocabulary, None, load_ngrams(folder / WEIGHTS_FILE))
    loaded = load_checkpoint_model(folder, device=device)
    vocabulary = model_vocabulary(loaded.tokenizer, config.objective).with_rows(loaded.model.vocabulary_size)
    return OpenedModel(config, extend_tokenizer(loaded.tokenizer, vocabulary), vocabulary, loaded.model)

"""What a run makes of the same texts at every evaluation, by the measure of its objective: goes on, fills in, answers.

Sampling draws from a generator of its own, so a run learns the same whether it is watched or not. Not here: when
(`loop.py`), keeping samples (`llm_core.backend.worker_train`).

Axes: B rows, T positions, M hidden places.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from llm_core.config.sampling import SamplingConfig
from llm_core.generation.answer_text_model import AnswerTextModel
from llm_core.generation.decoding import Generation, generate
from llm_core.generation.filling import MASK, fill_masks
from llm_core.generation.text_model import NeuralTextModel
from llm_core.objectives.interface import NO_TARGET, Batch
from llm_core.objectives.masked_objective import MaskedObjective
from llm_core.objectives.pair_objective import PairObjective
from llm_core.objectives.span_objective import SpanObjective
from llm_core.objectives.validation_windows import SEED
from llm_core.text.batches import TokenVector
from llm_core.text.pair_batches import TokenPairs
from llm_core.text.tokenizer_interface import TextTokenizer
from llm_core.text.vocabulary import extend_tokenizer
from llm_core.training.trainer import Trainer

_NUM_PAIRS = 3
_SHOWN_TOKENS = 64


@dataclass(frozen=True)
class WrittenSample:
    """One text and what the model made of it."""

    prompt: str
    text: str
    seed: int
    expected: str = ""
    """What it should have been, where that is known."""


def default_prompts(tokenizer: TextTokenizer, validation_text: str) -> tuple[str, ...]:
    """The first words of the validation text, at most 24 characters of it, cut at a space."""
    # The text was cut between two tokens, perhaps in the middle of a character.
    start = validation_text.partition("\ufffd")[0].lstrip()[:24]
    if " " in start:
        start = start.rpartition(" ")[0]
    known, unknown = tokenizer.encode_known(start)
    return (start,) if known and not unknown else ("",)


def write_samples(
    trainer: Trainer, tokenizer: TextTokenizer, validation: TokenVector, prompts: tuple[str, ...] = ()
) -> list[WrittenSample]:
    """What the model as it is now makes of the run's texts.

    Args:
        validation: the validation tokens, which texts to fill and sources come from.
        prompts: what a causal model goes on from; empty takes the first words of the validation text.
    """
    trainer.model.eval()
    try:
        match trainer.objective:
            case MaskedObjective() as objective:
                return [_fill(trainer, objective, tokenizer, validation)]
            case SpanObjective() as objective:
                return [_fill_gaps(trainer, objective, tokenizer, validation)]
            case PairObjective() as objective:
                pairs = TokenPairs(validation, objective.vocabulary.end_of_text, trainer.config.data.context_length)
                rows = [objective.batch([pair]) for pair in islice(pairs, _NUM_PAIRS)]
                return [_answer(trainer, tokenizer, row) for row in rows]
            case _:
                start = tokenizer.decode(validation[:_SHOWN_TOKENS].tolist())
                return _go_on(trainer, tokenizer, prompts or default_prompts(tokenizer, start))
    finally:
        trainer.model.train()


def _go_on(trainer: Trainer, tokenizer: TextTokenizer, prompts: Iterable[str]) -> list[WrittenSample]:
    model = NeuralTextModel(trainer.model, tokenizer)
    samples: list[WrittenSample] = []
    for prompt in prompts:
        tokens, unknown = tokenizer.encode_known(prompt)
        generation = generate(model, tokens, _settings(trainer))
        # What the tokenizer does not know was not read, so it is not shown as read.
        read = tokenizer.decode(tokens) if unknown else prompt
        samples.append(WrittenSample(read, generation.text, generation.seed))
    return samples


def _fill(
    trainer: Trainer, objective: MaskedObjective, tokenizer: TextTokenizer, validation: TokenVector
) -> WrittenSample:
    """The first row of the text with the likeliest token in each hidden place."""
    mask = objective.vocabulary.mask_token
    assert mask is not None
    row_1T = _first_row(trainer.config.data.context_length, validation)
    batch = objective.hide(row_1T, np.random.Generator(np.random.PCG64(SEED)))
    positions = batch.arrays["positions_BM"][0][batch.arrays["targets_BM"][0] != NO_TARGET]
    tokens = row_1T[0].tolist()
    hidden = list(tokens)
    for position in positions.tolist():  # all of them behind the mask: a sample shows what is asked
        hidden[position] = mask
    filled = list(hidden)
    for place in fill_masks(trainer.model, hidden, mask, count=1):
        filled[place.position] = place.candidates[0][0]
    known = extend_tokenizer(tokenizer, objective.vocabulary)
    parts = [MASK.encode() if token == mask else known.token_bytes(token) for token in hidden]
    shown = b"".join(parts).decode("utf-8", "replace")
    return WrittenSample(shown, known.decode(filled), SEED, expected=tokenizer.decode(tokens))


def _fill_gaps(
    trainer: Trainer, objective: SpanObjective, tokenizer: TextTokenizer, validation: TokenVector
) -> WrittenSample:
    row_1L = _first_row(objective.window_length, validation)
    batch = objective.corrupt(row_1L, np.random.Generator(np.random.PCG64(SEED)))
    return _answer(trainer, tokenizer, batch)


def _answer(trainer: Trainer, tokenizer: TextTokenizer, batch: Batch) -> WrittenSample:
    """The likeliest answer to the source of a batch of one."""
    vocabulary = trainer.objective.vocabulary
    assert vocabulary.start_token is not None
    known = extend_tokenizer(tokenizer, vocabulary)
    source, targets = batch.arrays["source_BS"][0].tolist(), batch.arrays["targets_BT"][0]
    target = targets[targets != NO_TARGET].tolist()
    longest = min(2 * len(target), trainer.model.context_length - 1)
    settings = SamplingConfig(max_tokens=longest, temperature=0.0, seed=trainer.config.seed)
    generation = Generation(AnswerTextModel(trainer.model, known, source), [vocabulary.start_token], settings)
    tokens = [written.token for written in generation]
    return WrittenSample(
        _named(known, source[:-1]), _named(known, tokens), generation.seed, expected=_named(known, target[:-1])
    )


def _named(tokenizer: TextTokenizer, tokens: Sequence[int]) -> str:
    """Text with special tokens by their names: a mask or a gap must be seen."""
    parts = [
        f" {tokenizer.token_text(token)} ".encode() if token in tokenizer.special_ids else tokenizer.token_bytes(token)
        for token in tokens
    ]
    return b"".join(parts).decode("utf-8", "replace")


def _first_row(window_length: int, validation: TokenVector) -> np.ndarray:
    return np.asarray(validation[: min(window_length, _SHOWN_TOKENS)], dtype=np.int64)[None]


def _settings(trainer: Trainer) -> SamplingConfig:
    training = trainer.config.training
    return SamplingConfig(
        max_tokens=training.sample_tokens, temperature=training.sample_temperature, seed=trainer.config.seed
    )

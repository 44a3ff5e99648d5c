"""Is this loss normal? The levels to compare it with, and one sentence of figures.

Levels are in nats per token: chance (ln V, every token equally likely), the unigram level (knowing only how often each token occurs,
counted while the text was cut), what n-gram models reach, once they are counted, and a text known by heart. Not here: drawing them
(`llm_core.ui.guides`), what a curve does over time (`llm_core.training.health_rules`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from llm_core.backend.ngram_levels import NgramLevels, read_levels
from llm_core.config.errors import UserError
from llm_core.config.objective import ObjectiveConfig
from llm_core.config.objective_words import ObjectiveWords, objective_words
from llm_core.config.run import RunConfig, config_from_dict
from llm_core.quantities import loss_faces, three_digits
from llm_core.text.token_set import TokenSet
from llm_core.text.tokens import find_tokens
from llm_core.text.vocabulary import model_vocabulary
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.paths import Workspace
from llm_core.workspace.runs import RunSummary, summarise_run

# Below this gap training and validation are told apart by noise alone.
NOTABLE_GAP_NATS = 0.3
# The order whose n-gram level is always named.
SHOWN_ORDER = 3
# Weights begin so small that every token is about equally likely (`llm_core.models.initialisation`).
FIRST_LOSS_TOLERANCE_NATS = 0.05
# A training loss below this share of what counting reaches comes from knowing the very text.
BY_HEART_SHARE = 0.5


@dataclass(frozen=True)
class Levels:
    """What a loss is compared with, in nats per token."""

    vocabulary_size: int
    unigram_nats: float
    bytes_per_token: float
    token_word: str
    """One token of this text, in words: character, byte or token."""
    ngrams: NgramLevels | None = None
    """What n-gram models of this text reach; None until they are counted."""

    @property
    def chance_nats(self) -> float:
        """ln V."""
        return math.log(self.vocabulary_size)


def levels_of(tokens: TokenSet, objective: ObjectiveConfig) -> Levels:
    """The levels of a text as it was cut, for the vocabulary that the objective needs."""
    size = model_vocabulary(tokens.tokenizer, objective).size
    meta = tokens.meta
    word = token_word(meta.tokenizer_kind)
    ngrams = read_levels(tokens.path)
    return Levels(size, meta.unigram_entropy_nats, meta.bytes_per_token, word, ngrams)


def token_word(tokenizer_kind: str) -> str:
    """What one token is called: a character, a byte, a word, or a token."""
    return {"char": "character", "byte": "byte", "word": "word"}.get(tokenizer_kind, "token")


def is_by_heart(train_loss: float, levels: Levels) -> bool:
    """Whether the training text is known better than its language can be: the level of memorising then means something."""
    counted = levels.unigram_nats if levels.ngrams is None else levels.ngrams.nats[levels.ngrams.best_order]
    return train_loss < BY_HEART_SHARE * counted


def first_loss_remark(first_loss: float | None, levels: Levels | None) -> str:
    """What the loss before the first step says; empty where it is as expected or unknown.

    Args:
        first_loss: validation loss at step 0, of weights that nobody trained before.
    """
    if first_loss is None or levels is None or not math.isfinite(first_loss):
        return ""
    expected = levels.chance_nats
    if abs(first_loss - expected) <= FIRST_LOSS_TOLERANCE_NATS:
        return ""
    figures = f"The first loss was {three_digits(first_loss)} instead of about ln {levels.vocabulary_size:,} = {three_digits(expected)}"
    if first_loss > expected:
        return f"{figures}: the fresh weights were sure of wrong tokens, so the first steps go into forgetting that."
    return f"{figures}: these weights knew something of the text before the first step."


def band_remark(loss: float, span: tuple[float, float] | None, num_runs: int) -> str:
    """Where the loss stands among earlier runs after as many tokens; empty where none came so far."""
    if span is None:
        return ""
    low, high = span
    who = "An earlier run of this text" if num_runs == 1 else f"{num_runs} earlier runs of this text"
    if num_runs == 1 or three_digits(low) == three_digits(high):
        return f"{who} stood at {three_digits(low)} after as many tokens."
    side = "within" if low <= loss <= high else "below" if loss < low else "above"
    return f"{who} stood between {three_digits(low)} and {three_digits(high)} after as many tokens: this one is {side}."


def in_unit(nats: float, unit: str, levels: Levels) -> float:
    """A loss in nats per token, in another unit."""
    if unit == "perplexity":
        return math.exp(nats)
    if unit == "bits/byte":
        return nats / (math.log(2) * levels.bytes_per_token)
    return nats


def verdict_of_figures(summary: RunSummary, words: ObjectiveWords, levels: Levels | None) -> str:
    """One line on the figures of a run; empty before the first measurement."""
    if summary.val_loss is None:
        return ""
    if words.is_code_length:
        return verdict(summary.val_loss, summary.train_loss, summary.bits_per_byte, levels)
    return filling_verdict(summary.val_loss, summary.accuracy, levels, words.kind)


def verdict_on(workspace: Workspace, record: JobRecord) -> str:
    """The same line, with everything it needs looked up."""
    config = config_from_dict(record.config)
    levels = levels_of_run(workspace, config)
    return verdict_of_figures(summarise_run(workspace, record), objective_words()[config.objective.kind], levels)


def levels_of_run(workspace: Workspace, config: RunConfig) -> Levels | None:
    """The levels of a run's text; None where it was not cut yet, or is gone."""
    try:
        tokens = find_tokens(workspace, config.data)
    except UserError:
        return None
    return None if tokens is None else levels_of(tokens, config.objective)


def filling_verdict(val_loss: float, accuracy: float | None, levels: Levels | None, objective: str) -> str:
    """The loss of an objective that is no code length, and how often the likeliest token is right."""
    words = objective_words()[objective]
    target = words.axis_title.removeprefix("loss, nats per ")
    sentences = [f"{three_digits(val_loss)} nats per {target}."]
    if accuracy is not None:
        sentences.append(f"The likeliest token is right in {100 * accuracy:.1f} % of the places.")
    if levels is not None:
        gap = levels.chance_nats - val_loss
        sentences.append(f"{three_digits(gap)} nats better than chance." if gap > 0 else "Not better than chance yet.")
    return " ".join([*sentences, "It does not compare with the loss of next tokens."])


def verdict(val_loss: float, train_loss: float | None, bits_per_byte: float | None, levels: Levels | None) -> str:
    """The loss with its other faces, where it stands, and how validation compares with training.

    Args:
        val_loss, train_loss: nats per token.
        levels: None when the text's counts are gone.
    """
    word = f"{levels.token_word}s" if levels else "tokens"
    sentences = [loss_faces(val_loss, bits_per_byte, word) + "."]
    if levels is not None:
        sentences.append(_place(val_loss, levels))
    if train_loss is not None and math.isfinite(train_loss):
        gap = val_loss - train_loss
        if gap > NOTABLE_GAP_NATS:
            sentences.append(
                f"Validation is {three_digits(gap)} above training: the model begins to learn its text by heart."
            )
        else:
            sentences.append("Validation follows training.")
    return " ".join(sentences)


def _place(val_loss: float, levels: Levels) -> str:
    counting = f"knowing only how often each {levels.token_word} occurs"
    if levels.ngrams is not None and val_loss < levels.ngrams.nats[SHOWN_ORDER]:
        best = levels.ngrams.nats[levels.ngrams.best_order]
        side = "below" if val_loss < best else "above"
        return f"Below the {SHOWN_ORDER}-gram level, {three_digits(abs(val_loss - best))} nats {side} the best n-gram."
    if val_loss < levels.unigram_nats:
        return f"{three_digits(levels.unigram_nats - val_loss)} nats better than {counting}."
    if val_loss < levels.chance_nats:
        return f"Better than chance, not yet better than {counting}."
    return "Not better than chance yet."

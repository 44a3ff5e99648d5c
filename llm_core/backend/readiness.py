"""What stands in the way of a run before it starts, and what is unwise about it. Free of torch.

Blocking problems stop a submission; warnings say the consequence and let the person go on.
Not here: bounds of single settings (`llm_core.config` enforces those).
"""

from __future__ import annotations

from dataclasses import dataclass

from llm_core.backend.devices import memory_bytes
from llm_core.backend.loggers.registry import logger_problems
from llm_core.backend.notices import webhook_of
from llm_core.backend.text_length import TextLength, bounding_tokens, text_length, tokens_of_step
from llm_core.backend.vocabulary import guess_vocabulary
from llm_core.config.errors import UserError
from llm_core.config.ngram import NgramConfig
from llm_core.config.objective import CausalConfig, SequenceToSequenceConfig
from llm_core.config.run import RunConfig
from llm_core.models.counting import count_parameters, training_memory
from llm_core.objectives.row_shape import row_shape
from llm_core.text.dataset_record import DatasetRecord
from llm_core.text.library import find_dataset
from llm_core.text.pair_batches import no_pairs, torn_pairs
from llm_core.training.budget import steps_of_budget
from llm_core.workspace.paths import Workspace


@dataclass(frozen=True)
class Readiness:
    """Problems that stop a run, and warnings that do not."""

    blocking: list[UserError]
    warnings: list[UserError]
    can_be_estimated: bool = True
    """False where text or tokenizer do not exist, so that the size of the vocabulary is unknown."""


def check_readiness(workspace: Workspace, config: RunConfig) -> Readiness:
    """Everything that can be known without reading the text."""
    blocking: list[UserError] = []
    warnings: list[UserError] = []
    try:
        dataset = find_dataset(workspace, config.data.dataset)
        vocabulary_size = guess_vocabulary(workspace, config).size
        row = row_shape(config)
    except UserError as error:
        return Readiness([error], [], can_be_estimated=False)
    if isinstance(config.objective, SequenceToSequenceConfig) and not dataset.is_pairs:
        return Readiness([no_pairs(dataset.name)], [], can_be_estimated=False)
    if isinstance(config.objective, CausalConfig) and config.objective.within_documents and dataset.is_pairs:
        blocking.append(torn_pairs())
    blocking += [*logger_problems(config.logging), *_webhook_problem(config)]
    blocking += _short_validation(dataset, config)
    characters = dataset.characters
    length = text_length(workspace, config, vocabulary_size)
    train_tokens = bounding_tokens(length)
    count = count_parameters(config.model, vocabulary_size, config.data.context_length, train_tokens=train_tokens)
    parameters = count.total
    if characters and parameters > 10 * characters and not count.is_upper_bound:
        warnings.append(
            UserError(
                f"The model has {parameters:,} parameters for {characters:,} characters of text",
                remedy="Expect it to learn the text by heart; take more text, a smaller model, or some dropout",
            )
        )
    epochs = _epochs(config, length)
    if epochs is not None and epochs > 50:
        warnings.append(UserError(f"The text will be read about {epochs:,.0f} times", remedy="Fewer steps will do"))
    needed = training_memory(config, vocabulary_size, row=row, train_tokens=train_tokens).total_bytes
    available = memory_bytes()
    if config.hardware.device in ("auto", "cpu") and needed > available:
        warnings.append(
            UserError(
                "Training may need more memory than this machine has",
                value=f"{needed / 1e9:.1f} GB",
                limit=f"{available / 1e9:.1f} GB",
                remedy="Lower the batch, the context or the width",
            )
        )
    return Readiness(blocking, warnings)


def blocking_error(problems: list[UserError]) -> UserError:
    """The first blocking problem, as the error that a submission raises."""
    return problems[0]


def _short_validation(dataset: DatasetRecord, config: RunConfig) -> list[UserError]:
    """That not even one window can fill the part kept for validation; what depends on the cutting is said after it."""
    by_sign = config.data.tokenizer in ("char", "byte")
    if not dataset.characters or not dataset.is_one_document or dataset.is_pairs or not by_sign:
        return []
    train_characters = int((1 - config.data.validation_fraction) * dataset.characters)
    # A character that is trained on takes a byte at least.
    most = (dataset.bytes if config.data.tokenizer == "byte" else dataset.characters) - train_characters
    if most > config.data.context_length:
        return []
    return [
        UserError(
            "The text is too short for one validation window",
            value=f"{most:,} {'bytes' if config.data.tokenizer == 'byte' else 'characters'} kept for validation",
            limit=f"at least {config.data.context_length + 1:,}",
            remedy="Bring more text, or shorten the context",
        )
    ]


def _webhook_problem(config: RunConfig) -> list[UserError]:
    try:
        webhook_of(config)
    except UserError as error:
        return [error]
    return []


def _epochs(config: RunConfig, length: TextLength | None) -> float | None:
    """How often the text will be read; None where its length is a guess, or where it is counted instead."""
    if length is None or not length.is_exact or isinstance(config.model, NgramConfig):
        return None
    per_step, train_tokens = tokens_of_step(config, length), max(1, length.tokens)
    steps = steps_of_budget(config.training, tokens_per_step=per_step, train_tokens=train_tokens)
    return None if steps is None else steps * per_step / train_tokens

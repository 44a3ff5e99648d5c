"""A run of an n-gram model: every order counted, measured and drawn; the wanted one kept as the run's checkpoint.

Not here: the counting (`llm_core.training.counting`), how a run begins and ends (`worker_train.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llm_core.backend.endings import Cancelled
from llm_core.backend.run_control import RunControl
from llm_core.backend.run_progress import RunProgress
from llm_core.config.ngram import NgramConfig
from llm_core.config.run import RunConfig
from llm_core.config.sampling import SamplingConfig
from llm_core.generation.decoding import generate
from llm_core.generation.ngram_text_model import NgramTextModel
from llm_core.models.loading import WEIGHTS_FILE
from llm_core.models.ngram import NgramModel
from llm_core.models.ngram_files import save_ngrams
from llm_core.text.token_set import TokenSet
from llm_core.training.budget import tokens_to_count
from llm_core.training.checkpoint_state import CONFIG_FILE, STATE_FILE, TOKENIZER_FILE, void
from llm_core.training.counting import CountedOrder, count_order
from llm_core.training.loop import TrainResult
from llm_core.training.samples import default_prompts
from llm_core.workspace.checkpoints import write_checkpoint
from llm_core.workspace.metrics import MetricsWriter
from llm_core.workspace.metrics_read import segments

_SHOWN_TOKENS = 64


def count_run(
    folder: Path,
    config: RunConfig,
    tokens: TokenSet,
    lease_token: str,
    writer: MetricsWriter,
    progress: RunProgress,
    control: RunControl,
) -> tuple[TrainResult, dict[str, Any]]:
    """Count order by order; how it ended, and the figures of `glassbox train --json`.

    Raises:
        Cancelled: somebody asked for the end. Nothing is kept: a resumed run counts from the beginning.
    """
    assert isinstance(config.model, NgramConfig)
    order = config.model.order
    known = segments(folder)
    if known:
        writer.begin_segment(known[-1].id, -1)
    train = tokens.train[: tokens_to_count(config.training, len(tokens.train))]
    end_of_text = tokens.tokenizer.end_of_text_id if tokens.meta.documents > 1 else None
    seconds = 0.0
    counted: CountedOrder | None = None
    for step in range(1, order + 1):
        progress.phase, progress.fraction = f"counting order {step} of {order}", (step - 1) / order

        def look() -> None:
            if control.stop_is_wanted():
                raise Cancelled

        look()
        counted = count_order(train, tokens.validation, tokens.tokenizer, step, end_of_text, look)
        seconds += counted.seconds
        _record(writer, step, len(train), seconds, counted)
        progress.values = {
            "parameters": counted.model.num_ngrams,
            "step": step,
            "max_steps": order,
            "val_loss": counted.validation.loss,
        }
        for prompt in _beginnings(config, tokens):
            _write_sample(writer, step, config, counted.model, tokens, prompt)
        writer.commit()
    assert counted is not None, "an order is at least 1"
    _note_fallbacks(writer, counted.model)
    write_checkpoint(
        folder,
        order,
        _writers(config, counted.model, tokens, len(train)),
        kind="weights",
        lease_token=lease_token,
        extra={"val_loss": counted.validation.loss},
    )
    writer.event("checkpoint", f"Counts of order {order} kept.", step=order)
    writer.commit()
    summary = {
        "steps": order,
        "tokens": len(train),
        "train_loss": counted.train.loss,
        "val_loss": counted.validation.loss,
        "bits_per_byte": counted.validation.bits_per_byte,
        "tokens_per_second": len(train) / max(counted.seconds, 1e-9),
        "seconds": seconds,
        "parameters": counted.model.num_ngrams,
    }
    part = "" if len(train) == len(tokens.train) else f" on the first {len(train):,} of {len(tokens.train):,} tokens"
    return TrainResult("finished", f"Every order is counted{part}.", "", counted.train.loss), summary


def _record(writer: MetricsWriter, step: int, tokens: int, seconds: float, counted: CountedOrder) -> None:
    values = {"train_loss": counted.train.loss, "val_loss": counted.validation.loss}
    if counted.validation.bits_per_byte is not None:
        values["bits_per_byte"] = counted.validation.bits_per_byte
    for key, value in values.items():
        writer.point(key, step, tokens, seconds, value)


def _beginnings(config: RunConfig, tokens: TokenSet) -> tuple[str, ...]:
    """The beginnings of samples: those that are asked for, else the first words of the validation text."""
    start = tokens.tokenizer.decode(tokens.validation[:_SHOWN_TOKENS].tolist())
    return config.training.sample_prompts or default_prompts(tokens.tokenizer, start)


def _write_sample(
    writer: MetricsWriter, step: int, config: RunConfig, model: NgramModel, tokens: TokenSet, prompt: str
) -> None:
    temperature = config.training.sample_temperature
    settings = SamplingConfig(max_tokens=config.training.sample_tokens, temperature=temperature, seed=config.seed)
    known, unknown = tokens.tokenizer.encode_known(prompt)
    generation = generate(NgramTextModel(model, tokens.tokenizer), known, settings)
    read = tokens.tokenizer.decode(known) if unknown else prompt
    writer.sample(step, read, generation.text, {"seed": generation.seed, "temperature": temperature})


def _note_fallbacks(writer: MetricsWriter, model: NgramModel) -> None:
    orders = [str(order) for order, table in enumerate(model.orders, start=1) if table.used_fallback]
    if orders:
        writer.event(
            "fallback",
            f"The counts of order {', '.join(orders)} allow no discount, so 0.5, 1 and 1.5 were taken there.",
            step=model.order,
        )


def _writers(
    config: RunConfig, model: NgramModel, tokens: TokenSet, num_counted: int
) -> dict[str, Callable[[Path], None]]:
    def write_text(text: str) -> Callable[[Path], None]:
        return lambda path: void(path.write_text(text, encoding="utf-8"))

    state = {"step": model.order, "tokens": num_counted, "num_ngrams": model.num_ngrams}
    return {
        WEIGHTS_FILE: lambda path: save_ngrams(model, path),
        STATE_FILE: write_text(json.dumps(state, indent=1)),
        CONFIG_FILE: write_text(config.model_dump_json(indent=1)),
        TOKENIZER_FILE: write_text(tokens.tokenizer.to_json()),
    }

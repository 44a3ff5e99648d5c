"""Named starting points: whole configurations that are known to work, with a sentence each.

The numbers of the CPU presets were tuned on two cores; `docs/log.md` and `benchmarks/results` say what was measured.
Not here: how long one takes on this machine (`llm_core.backend.estimates` works that out).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llm_core.config.data import DataConfig
from llm_core.config.errors import NotFound
from llm_core.config.learning import OptimizerConfig, ScheduleConfig, TrainingConfig
from llm_core.config.model import LSTMConfig, RNNConfig, TransformerConfig
from llm_core.config.run import RunConfig


@dataclass(frozen=True)
class Preset:
    """A configuration with the words that introduce it."""

    name: str
    title: str
    sentence: str
    scale: Literal["cpu", "gpu"]
    config: RunConfig


def presets() -> dict[str, Preset]:
    """All presets by name, small ones first."""
    return {preset.name: preset for preset in (*_cpu_presets(), *_gpu_presets())}


def preset_names() -> list[str]:
    """The names in the order they are offered."""
    return list(presets())


def find_preset(name: str) -> Preset:
    """One preset; raises NotFound listing the names there are."""
    found = presets().get(name)
    if found is None:
        raise NotFound("There is no preset of this name", value=name, limit=", ".join(preset_names()))
    return found


def preset(name: str) -> RunConfig:
    """The configuration of one preset; raises NotFound listing the names there are."""
    return find_preset(name).config


def _cpu_presets() -> tuple[Preset, ...]:
    return (
        Preset(
            name="pocket-gpt",
            title="Pocket Transformer",
            sentence="A small Transformer on the Python language reference, letter by letter. Minutes on two CPU cores.",
            scale="cpu",
            config=RunConfig(
                data=DataConfig(dataset="python-reference", tokenizer="char", context_length=128),
                model=TransformerConfig(num_layers=4, num_heads=4, hidden_size=128),
                optimizer=OptimizerConfig(learning_rate=2e-3),
                training=TrainingConfig(batch_size=12, max_steps=2_000, log_interval=5, eval_interval=200),
            ),
        ),
        Preset(
            name="pocket-lstm",
            title="Pocket LSTM",
            sentence="One LSTM layer on the Python language reference, letter by letter. The quickest good model here.",
            scale="cpu",
            config=RunConfig(
                data=DataConfig(dataset="python-reference", tokenizer="char", context_length=64),
                model=LSTMConfig(num_layers=1, hidden_size=256),
                optimizer=OptimizerConfig(learning_rate=4e-3, weight_decay=0.01),
                training=TrainingConfig(batch_size=32, max_steps=2_500, log_interval=10, eval_interval=250),
            ),
        ),
        Preset(
            name="pocket-rnn",
            title="Pocket RNN",
            sentence="The plain recurrent network of the textbooks. Watch where its memory ends.",
            scale="cpu",
            config=RunConfig(
                data=DataConfig(dataset="python-reference", tokenizer="char", context_length=64),
                model=RNNConfig(num_layers=1, hidden_size=256),
                optimizer=OptimizerConfig(learning_rate=2e-3, weight_decay=0.01),
                training=TrainingConfig(batch_size=32, max_steps=2_500, log_interval=10, eval_interval=250),
            ),
        ),
        Preset(
            name="shakespeare-cpu",
            title="Shakespeare on a CPU",
            sentence="The well-known recipe: letters, 4 layers, 4 heads, 128 wide, context 64, 2,000 steps.",
            scale="cpu",
            config=RunConfig(
                data=DataConfig(dataset="tinyshakespeare", tokenizer="char", context_length=64),
                model=TransformerConfig(num_layers=4, num_heads=4, hidden_size=128),
                optimizer=OptimizerConfig(learning_rate=2e-3),
                training=TrainingConfig(batch_size=12, max_steps=2_000, eval_interval=250),
            ),
        ),
    )


def _gpu_presets() -> tuple[Preset, ...]:
    return (
        Preset(
            name="shakespeare-gpu",
            title="Shakespeare on a GPU",
            sentence="6 layers, 6 heads, 384 wide, context 256, with dropout because the text is small.",
            scale="gpu",
            config=RunConfig(
                data=DataConfig(dataset="tinyshakespeare", tokenizer="char", context_length=256),
                model=TransformerConfig(num_layers=6, num_heads=6, hidden_size=384, dropout=0.2),
                optimizer=OptimizerConfig(learning_rate=1e-3, beta2=0.99),
                training=TrainingConfig(batch_size=64, max_steps=5_000, eval_interval=250),
            ),
        ),
        Preset(
            name="gpt-124m",
            title="GPT, 124 million class",
            sentence="The size of the smallest GPT-2, in the modern form. Bring a large text and a large GPU.",
            scale="gpu",
            config=RunConfig(
                data=DataConfig(dataset="python-source", tokenizer="bpe:32000", context_length=1_024),
                model=TransformerConfig(num_layers=12, num_heads=12, hidden_size=768),
                optimizer=OptimizerConfig(learning_rate=6e-4),
                schedule=ScheduleConfig(kind="trapezoid", warmup_steps=250, final_fraction=0.0),
                training=TrainingConfig(
                    batch_size=32,
                    gradient_accumulation_steps=16,
                    max_steps=5_000,
                    eval_interval=250,
                    eval_tokens=1_000_000,
                ),
            ),
        ),
        Preset(
            name="gpt-350m",
            title="GPT, 350 million class",
            sentence="The size of the middle GPT-2, in the modern form. Bring a larger text still.",
            scale="gpu",
            config=RunConfig(
                data=DataConfig(dataset="python-source", tokenizer="bpe:32000", context_length=1_024),
                model=TransformerConfig(num_layers=24, num_heads=16, hidden_size=1_024),
                optimizer=OptimizerConfig(learning_rate=3e-4),
                schedule=ScheduleConfig(kind="trapezoid", warmup_steps=500, final_fraction=0.0),
                training=TrainingConfig(
                    batch_size=16,
                    gradient_accumulation_steps=32,
                    max_steps=10_000,
                    eval_interval=500,
                    eval_tokens=1_000_000,
                ),
            ),
        ),
        Preset(
            name="lstm-wikitext",
            title="LSTM on words",
            sentence="Two LSTM layers of 650 units with tied embeddings, for WikiText-2 or a text like it.",
            scale="gpu",
            config=RunConfig(
                data=DataConfig(dataset="wikitext-2", tokenizer="bpe:16000", context_length=70),
                model=LSTMConfig(num_layers=2, hidden_size=650, dropout=0.5, tie_embeddings=True),
                optimizer=OptimizerConfig(learning_rate=1e-3, gradient_clip=0.25),
                training=TrainingConfig(
                    batch_size=64, max_steps=None, max_epochs=40.0, eval_interval=500, eval_tokens=0
                ),
            ),
        ),
    )

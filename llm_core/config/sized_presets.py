"""Whole configurations by what they need: minutes on two CPU cores, or a GPU.

The numbers of the CPU presets were tuned on two cores; `docs/log.md` and `benchmarks/results` say what was measured.
Not here: the published forms of Transformers (`form_presets.py`).
"""

from __future__ import annotations

from llm_core.config.data import DataConfig
from llm_core.config.learning import OptimizerConfig, ScheduleConfig, TrainingConfig
from llm_core.config.model import GRUConfig, LSTMConfig, MinGRUConfig, NgramConfig, RNNConfig, TransformerConfig
from llm_core.config.preset import Preset
from llm_core.config.run import RunConfig


def cpu_presets() -> tuple[Preset, ...]:
    """Minutes on two CPU cores."""
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
            name="pocket-gru",
            title="Pocket GRU",
            sentence="Two gates in place of the LSTM's three: fewer parameters, nearly as good.",
            scale="cpu",
            config=RunConfig(
                data=DataConfig(dataset="python-reference", tokenizer="char", context_length=64),
                model=GRUConfig(num_layers=1, hidden_size=256),
                optimizer=OptimizerConfig(learning_rate=3e-3, weight_decay=0.01),
                training=TrainingConfig(batch_size=32, max_steps=2_500, log_interval=10, eval_interval=250),
            ),
        ),
        Preset(
            name="pocket-mingru",
            title="Pocket minGRU",
            sentence="A recurrent network whose gates see the new token alone, so that a whole text is read at once.",
            scale="cpu",
            config=RunConfig(
                data=DataConfig(dataset="python-reference", tokenizer="char", context_length=64),
                model=MinGRUConfig(num_layers=3, hidden_size=192),
                optimizer=OptimizerConfig(learning_rate=3e-3, weight_decay=0.01),
                training=TrainingConfig(batch_size=32, max_steps=2_500, log_interval=10, eval_interval=250),
            ),
        ),
        Preset(
            name="pocket-ngram",
            title="Counting: a 5-gram",
            sentence="No network at all: counts of up to five letters. What every network here has to beat.",
            scale="cpu",
            config=RunConfig(data=DataConfig(dataset="python-reference", tokenizer="char"), model=NgramConfig(order=5)),
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


def gpu_presets() -> tuple[Preset, ...]:
    """For one GPU, or many hours on a CPU."""
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
            title="LSTM on WikiText",
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

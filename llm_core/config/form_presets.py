"""The published forms of Transformers as presets: each at a size that two CPU cores train in minutes, and at a published one.

Not here: the forms (`decoder.py`, `encoder.py`, `encoder_decoder.py`).
"""

from __future__ import annotations

from llm_core.config.data import DataConfig
from llm_core.config.decoder import decoder_forms
from llm_core.config.encoder import encoder_presets
from llm_core.config.encoder_decoder import encoder_decoder_forms
from llm_core.config.learning import OptimizerConfig, ScheduleConfig, TrainingConfig
from llm_core.config.masking import MaskingConfig
from llm_core.config.model import EncoderConfig, EncoderDecoderConfig, TransformerConfig
from llm_core.config.objective import OBJECTIVE_CONFIGS, OBJECTIVES_OF, ObjectiveConfig, SequenceToSequenceConfig
from llm_core.config.preset import Preset
from llm_core.config.run import RunConfig
from llm_core.config.span_corruption import SpanCorruptionConfig

_ENCODERS = {
    "bert": (
        "BERT",
        "Reads to both sides and fills in hidden letters: learned positions, norms after each sum (Devlin et al. 2019).",
    ),
    "roberta": (
        "RoBERTa",
        "BERT with what is hidden drawn anew at every reading, and without sentence types (Liu et al. 2019).",
    ),
    "modernbert": (
        "ModernBERT",
        "BERT with what was learned since: rotary positions, local windows, GeGLU (Warner et al. 2024).",
    ),
}


def form_presets() -> tuple[Preset, ...]:
    """Every form on the Python language reference, letter by letter; the Transformer of 2017 on pairs."""
    return (
        *(_small(form.name, form.title, form.sentence, form.small) for form in decoder_forms().values()),
        *(_small_encoder(name) for name in _ENCODERS),
        *(_small_encoder_decoder(name) for name in encoder_decoder_forms()),
    )


def published_presets() -> tuple[Preset, ...]:
    """Sizes as they were published, for large texts and large GPUs, or to see what they would need.

    The objective adds its own tokens, so that the tokenizers of encoders and encoder-decoders have fewer than were published.
    """
    decoders, encoders, encoder_decoders = decoder_forms(), encoder_presets(), encoder_decoder_forms()
    return (
        _published("gpt2-124m", "GPT-2, 124 million", decoders["gpt2"].config, 50_257, 1024),
        _published("llama-7b", "Llama, 7 billion", decoders["llama"].config, 32_000, 2048),
        _published("mistral-7b", "Mistral, 7 billion", decoders["mistral"].config, 32_000, 8192),
        _published("qwen3-0.6b", "Qwen3, 0.6 billion", decoders["qwen3"].config, 151_936, 4096),
        _published("bert-base", "BERT, base", encoders["bert"], 30_521, 512),
        _published("roberta-base", "RoBERTa, base", encoders["roberta"], 50_264, 512),
        _published(
            "modernbert-base", "ModernBERT, base", encoders["modernbert"], 50_367, 1024, MaskingConfig(rate=0.3)
        ),
        _published("t5-small", "T5, small", encoder_decoders["t5"].config, 32_027, 512),
    )


def _small(name: str, title: str, sentence: str, model: TransformerConfig) -> Preset:
    config = RunConfig(
        data=DataConfig(dataset="python-reference", tokenizer="char", context_length=128),
        model=model,
        optimizer=OptimizerConfig(learning_rate=2e-3),
        training=TrainingConfig(batch_size=12, max_steps=2_000, log_interval=5, eval_interval=200),
    )
    return Preset(name, title, sentence, "cpu", config)


def _small_encoder(name: str) -> Preset:
    title, sentence = _ENCODERS[name]
    config = RunConfig(
        data=DataConfig(dataset="python-reference", tokenizer="char", context_length=64),
        model=encoder_presets()[f"{name}-small"],
        objective=MaskingConfig(rate=0.3 if name == "modernbert" else 0.15),
        optimizer=OptimizerConfig(learning_rate=1.5e-3),
        schedule=ScheduleConfig(warmup_steps=400),
        training=TrainingConfig(batch_size=32, max_steps=2_000, log_interval=5, eval_interval=200),
    )
    return Preset(name, title, sentence, "cpu", config)


def _small_encoder_decoder(name: str) -> Preset:
    form = encoder_decoder_forms()[name]
    is_2017 = name == "transformer-2017"
    objective = SequenceToSequenceConfig() if is_2017 else SpanCorruptionConfig(num_sentinels=32)
    config = RunConfig(
        data=DataConfig(
            dataset="synthetic-reversal" if is_2017 else "python-reference",
            tokenizer="char",
            context_length=32 if is_2017 else 128,
        ),
        model=form.small,
        objective=objective,
        optimizer=OptimizerConfig(learning_rate=5e-3 if name == "t5" else 2e-3),
        schedule=ScheduleConfig(warmup_steps=200),
        training=TrainingConfig(batch_size=16, max_steps=2_000, log_interval=5, eval_interval=200),
    )
    return Preset(name, form.title, form.sentence, "cpu", config)


def _published(
    name: str,
    title: str,
    model: TransformerConfig | EncoderConfig | EncoderDecoderConfig,
    vocabulary: int,
    context_length: int,
    objective: ObjectiveConfig | None = None,
) -> Preset:
    config = RunConfig(
        data=DataConfig(dataset="python-source", tokenizer=f"bpe:{vocabulary}", context_length=context_length),
        model=model,
        objective=objective or OBJECTIVE_CONFIGS[OBJECTIVES_OF[model.kind][0]](),
        optimizer=OptimizerConfig(learning_rate=3e-4),
        schedule=ScheduleConfig(kind="trapezoid", warmup_steps=1_000, final_fraction=0.0),
        training=TrainingConfig(
            batch_size=8,
            gradient_accumulation_steps=32,
            max_steps=20_000,
            eval_interval=1_000,
            eval_tokens=1_000_000,
        ),
    )
    sentence = "The published size, to see what it needs, or for a large text and large GPUs."
    return Preset(name, title, sentence, "gpu", config)

"""What a run writes while it learns: the same prompts, the same seed, at every evaluation.

Sampling draws from a generator of its own, so a run learns the same whether it is watched or not.
"""

from __future__ import annotations

from dataclasses import dataclass

from llm_core.config.sampling import SamplingConfig
from llm_core.generation.decoding import generate
from llm_core.generation.text_model import NeuralTextModel
from llm_core.text.tokenizer_interface import TextTokenizer
from llm_core.training.trainer import Trainer


@dataclass(frozen=True)
class WrittenSample:
    """One prompt and what the model made of it."""

    prompt: str
    text: str
    seed: int


def default_prompts(tokenizer: TextTokenizer, validation_text: str) -> tuple[str, ...]:
    """The first words of the validation text, at most 24 characters of it, cut at a space."""
    start = validation_text.lstrip()[:24]
    if " " in start:
        start = start.rpartition(" ")[0]
    known, unknown = tokenizer.encode_known(start)
    return (start,) if known and not unknown else ("",)


def write_samples(trainer: Trainer, tokenizer: TextTokenizer, prompts: tuple[str, ...]) -> list[WrittenSample]:
    """One continuation of each prompt with the model as it is now."""
    training = trainer.config.training
    settings = SamplingConfig(
        max_tokens=training.sample_tokens, temperature=training.sample_temperature, seed=trainer.config.seed
    )
    trainer.model.eval()
    try:
        model = NeuralTextModel(trainer.model, tokenizer)
        samples: list[WrittenSample] = []
        for prompt in prompts:
            tokens, _ = tokenizer.encode_known(prompt)
            generation = generate(model, tokens, settings)
            samples.append(WrittenSample(prompt, generation.text, generation.seed))
        return samples
    finally:
        trainer.model.train()

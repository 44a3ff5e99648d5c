"""How fast a cached model writes, against transformers' `generate` with a model of the same size.

    python -m benchmarks.generation_speed

Batch of one, sampling at temperature 1, key-value cache on both sides, float32, CPU. Ours also reports the ten likeliest tokens at every
place, which the peer does not; it is measured as the pages use it. Not here: training (`training_speed.py`).
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.results import compare, print_rates, timed, write_result
from llm_core.config.model import TransformerConfig
from llm_core.config.sampling import SamplingConfig
from llm_core.generation.decoding import generate
from llm_core.generation.text_model import NeuralTextModel
from llm_core.models.registry import build_model
from llm_core.text.tokenizers import CharacterTokenizer

ALPHABET = "".join(chr(code) for code in range(48, 48 + 65))
NEW_TOKENS = 100
SIZES = {"4 layers x 128": (4, 4, 128), "6 layers x 384": (6, 6, 384)}


def main() -> int:
    """Measure both sizes and keep the result."""
    found = {name: measure(*size) for name, size in SIZES.items()}
    for name, values in found.items():
        print_rates(f"{name} (writing {NEW_TOKENS} tokens)", "tokens/s", values)
    print(f"Kept in {write_result('generation-speed', found)}")
    return 0


def measure(layers: int, heads: int, width: int, new_tokens: int = NEW_TOKENS, rounds: int = 9) -> dict[str, Any]:
    """Tokens per second, prompt of one token included, of both."""
    contestants: dict[str, Callable[[], float]] = {
        "transformers generate (GPT-2)": _peer(layers, heads, width, new_tokens),
        "Glassbox": _ours(layers, heads, width, new_tokens),
    }
    return compare(contestants, against="transformers generate (GPT-2)", rounds=rounds)


def _ours(layers: int, heads: int, width: int, new_tokens: int) -> Callable[[], float]:
    tokenizer = CharacterTokenizer(ALPHABET)
    config = TransformerConfig(num_layers=layers, num_heads=heads, hidden_size=width)
    model = NeuralTextModel(build_model(config, tokenizer.vocabulary_size, new_tokens + 8).eval(), tokenizer)
    settings = SamplingConfig(max_tokens=new_tokens, temperature=1.0, seed=0)
    return lambda: timed(lambda: generate(model, [0], settings), new_tokens)


def _peer(layers: int, heads: int, width: int, new_tokens: int) -> Callable[[], float]:
    from transformers import GPT2Config, GPT2LMHeadModel

    size = {"n_positions": new_tokens + 8, "n_embd": width, "n_layer": layers, "n_head": heads}
    config = GPT2Config(vocab_size=len(ALPHABET), bos_token_id=None, eos_token_id=None, **size)
    model: Any = GPT2LMHeadModel(config).eval()
    prompt_1T = torch.zeros(1, 1, dtype=torch.int64)
    mask_1T = torch.ones_like(prompt_1T)

    def write() -> None:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")
            text_1T = model.generate(
                prompt_1T, attention_mask=mask_1T, max_new_tokens=new_tokens, do_sample=True, top_k=0
            )
        assert text_1T.shape == (1, new_tokens + 1), "the peer must write as many tokens"

    return lambda: timed(write, new_tokens)


if __name__ == "__main__":
    sys.exit(main())

"""What a run writes from when nobody said so: the first words of its validation text, whole ones that the tokenizer knows."""

from __future__ import annotations

import pytest

from llm_core.text.subword_training import train_bpe
from llm_core.text.tokenizer_interface import TextTokenizer
from llm_core.text.tokenizers import CharacterTokenizer
from llm_core.training.samples import default_prompts

BYTES = train_bpe(["the cat sat on the mat " * 20], 260)
LETTERS = CharacterTokenizer("abcdefghijklmnopqrstuvwxyz ")


@pytest.mark.parametrize(
    ("tokenizer", "text", "prompt"),
    [
        (LETTERS, "  the cat sat on the mat and slept", "the cat sat on the mat"),
        (LETTERS, "a" * 40, "a" * 24),
        (BYTES, "Grüße aus K\ufffdln", "Grüße aus"),
        (BYTES, "\ufffd\ufffd", ""),
        (LETTERS, "the Cat", "the"),
        (LETTERS, "The cat", ""),
        (LETTERS, "", ""),
    ],
)
def test_the_first_whole_words_are_taken(tokenizer: TextTokenizer, text: str, prompt: str) -> None:
    assert default_prompts(tokenizer, text) == (prompt,)

"""Made-up texts in which one ability is all there is to learn, so that it can be found inside a model.

Lines of characters, or pairs of words, made from a seed with Python's own generator; the same on every platform and version.
Not here: their names and descriptions (`builtin.py`).
"""

from __future__ import annotations

import random
import string
from collections.abc import Iterator, Sequence

INDUCTION_ALPHABET = string.ascii_letters + string.digits
INDUCTION_PERIODS = tuple(period for period in range(5, 17) if period != 11)
HELD_OUT_PERIOD = 11
"""Never occurs in the induction text: a model that repeats at this period has learned to look back for what came before,
not to look back a fixed number of places."""

BRACKETS = ("()", "[]", "{}", "<>")
DEEPEST_BRACKET = 8
SEED = 1337

_INDUCTION_LINES = 20_000
_BRACKET_LINES = 12_000
_LARGEST_ADDEND = 99
_REVERSAL_PAIRS = 20_000
_REVERSAL_LETTERS = range(3, 11)


def induction_document(
    rng: random.Random, period: int, copies: int, alphabet: Sequence[str] = INDUCTION_ALPHABET
) -> str:
    """`period` different random symbols, the same stretch written `copies` times over, without a line end.

    Symbols within a stretch differ, so what follows a symbol is never in doubt after the first copy.

    Raises:
        ValueError: the alphabet has fewer than `period` symbols.
    """
    return "".join(rng.sample(alphabet, period)) * copies


def induction_lines(seed: int = SEED, num_lines: int = _INDUCTION_LINES) -> Iterator[str]:
    """Repeated random stretches; period random from 5 to 16 without HELD_OUT_PERIOD, 3 to 6 copies."""
    rng = random.Random(seed)
    for _ in range(num_lines):
        yield induction_document(rng, rng.choice(INDUCTION_PERIODS), rng.randint(3, 6)) + "\n"


def bracket_document(rng: random.Random, pairs: int, deepest: int = DEEPEST_BRACKET) -> str:
    """A properly nested word of `pairs` pairs of four kinds of brackets, at most `deepest` open at once."""
    open_brackets: list[str] = []
    word: list[str] = []
    opened = 0
    while opened < pairs or open_brackets:
        can_open = opened < pairs and len(open_brackets) < deepest
        if can_open and (not open_brackets or rng.random() < 0.6):
            kind = rng.choice(BRACKETS)
            open_brackets.append(kind[1])
            word.append(kind[0])
            opened += 1
        else:
            word.append(open_brackets.pop())
    return "".join(word)


def bracket_lines(seed: int = SEED, num_lines: int = _BRACKET_LINES) -> Iterator[str]:
    """Nested brackets of 4 to 32 pairs a line."""
    rng = random.Random(seed)
    for _ in range(num_lines):
        yield bracket_document(rng, rng.randint(4, 32)) + "\n"


def addition_lines(seed: int = SEED) -> Iterator[str]:
    """Every sum of two numbers from 0 to 99 once, such as `27+48=75`, in random order.

    No line occurs twice, so a right answer in the validation part was not seen in training as it stands.
    """
    rng = random.Random(seed)
    addends = range(_LARGEST_ADDEND + 1)
    sums = [(first, second) for first in addends for second in addends]
    rng.shuffle(sums)
    for first, second in sums:
        yield f"{first}+{second}={first + second}\n"


def reversal_pairs(seed: int = SEED, num_pairs: int = _REVERSAL_PAIRS) -> Iterator[tuple[str, str]]:
    """Random words of 3 to 10 small letters, each with the same word backwards; no word occurs twice."""
    rng = random.Random(seed)
    seen: set[str] = set()
    while len(seen) < num_pairs:
        word = "".join(rng.choices(string.ascii_lowercase, k=rng.choice(_REVERSAL_LETTERS)))
        if word not in seen:
            seen.add(word)
            yield word, word[::-1]

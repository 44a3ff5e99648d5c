"""Byte-pair encoding learned step by step, so that one can watch: which two pieces are joined next, and how often they stand together.

Sennrich et al. 2016 on bytes, with GPT-2's words (Radford et al. 2019): text is first cut into words, spaces leading, and pieces are
joined within words alone. Counts are kept up to date instead of being made anew for each merge. Of equally frequent pairs the greatest
pair of byte strings wins; the `tokenizers` library, which trains the large vocabularies, breaks ties by the pieces' ids and so differs.
Not here: encoding with the merges (`subword.py`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from tokenizers import pre_tokenizers

Pair = tuple[bytes, bytes]


@dataclass(frozen=True)
class Merge:
    """One learned join."""

    left: bytes
    right: bytes
    count: int
    """How often the two stood side by side when they were joined."""

    @property
    def joined(self) -> bytes:
        """The new piece."""
        return self.left + self.right


def byte_characters() -> dict[int, str]:
    """GPT-2's sign for each byte: printable ones stand for themselves, the others for the characters from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [value for value in range(256) if value not in printable]
    return {value: chr(value) for value in printable} | {value: chr(256 + n) for n, value in enumerate(others)}


def count_words(texts: Iterable[str]) -> Counter[bytes]:
    """GPT-2's words of the texts, as bytes, and how often each occurs. A text is cut as a whole; give documents one by one."""
    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    byte_of = {character: value for value, character in byte_characters().items()}
    visible: Counter[str] = Counter()
    for text in texts:
        visible.update(word for word, _ in splitter.pre_tokenize_str(text))
    return Counter({bytes(byte_of[character] for character in word): count for word, count in visible.items()})


def learn_merges(words: Mapping[bytes, int], most: int) -> Iterator[Merge]:
    """The merges in the order they are learned, at most `most`; ends early when no two pieces are left to join.

    Each merge touches only the words that hold its pair.
    """
    pieces = {word: [word[at : at + 1] for at in range(len(word))] for word in words}
    counts: Counter[Pair] = Counter()
    holders: defaultdict[Pair, set[bytes]] = defaultdict(set)
    for word, parts in pieces.items():
        for pair in pairwise(parts):
            counts[pair] += words[word]
            holders[pair].add(word)
    for _ in range(most):
        if not counts:
            return
        best = max(counts, key=lambda pair: (counts[pair], pair))
        yield Merge(*best, counts[best])
        for word in holders.pop(best):
            before = pieces[word]
            after = _joined(before, best)
            pieces[word] = after
            _recount(counts, holders, word, words[word], before, after)


def _recount(
    counts: Counter[Pair],
    holders: defaultdict[Pair, set[bytes]],
    word: bytes,
    times: int,
    before: list[bytes],
    after: list[bytes],
) -> None:
    """Take the word's former pairs out of the counts and put its present ones in."""
    now = set(pairwise(after))
    for pair in pairwise(before):
        counts[pair] -= times
        if pair not in now:
            holders[pair].discard(word)
        if counts[pair] <= 0:
            del counts[pair]
            holders.pop(pair, None)
    for pair in pairwise(after):
        counts[pair] += times
        holders[pair].add(word)


def _joined(parts: list[bytes], pair: Pair) -> list[bytes]:
    """The pieces of a word with every occurrence of the pair joined, from the left."""
    result: list[bytes] = []
    at = 0
    while at < len(parts):
        if at + 1 < len(parts) and (parts[at], parts[at + 1]) == pair:
            result.append(parts[at] + parts[at + 1])
            at += 2
        else:
            result.append(parts[at])
            at += 1
    return result

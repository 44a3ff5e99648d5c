"""Byte-pair encoding learned step by step, so that one can watch: which two pieces are joined next, and how often they stand together.

Sennrich et al. 2016 on bytes, with GPT-2's words (Radford et al. 2019): text is first cut into words, spaces leading, and pieces are
joined within words alone. Counts are kept up to date instead of being made anew for each merge. Of equally frequent pairs the greatest
pair of byte strings wins; the `tokenizers` library, which trains the large vocabularies, breaks ties by the pieces' ids and so differs.
Not here: what a page shows of it (`bpe_lesson.py`), tokenizers for models (`subword_training.py`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from tokenizers import pre_tokenizers

from llm_core.text.subword import byte_signs

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


def words_of(text: str) -> Iterator[bytes]:
    """GPT-2's words of a text in their order, as bytes; joined they are the text."""
    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    byte_of = {character: value for value, character in byte_signs().items()}
    for word, _ in splitter.pre_tokenize_str(text):
        yield bytes(byte_of[character] for character in word)


def count_words(texts: Iterable[str]) -> Counter[bytes]:
    """How often each of GPT-2's words occurs. A text is cut as a whole; give documents one by one."""
    counts: Counter[bytes] = Counter()
    for text in texts:
        counts.update(words_of(text))
    return counts


class PairCounts:
    """How often each pair stands side by side, with the most frequent one at hand.

    Pairs lie in a set for each count. A new pair is never more frequent than the one it was joined from, so the highest count only falls.
    """

    def __init__(self) -> None:
        self._count_of: dict[Pair, int] = {}
        self._pairs_with: defaultdict[int, set[Pair]] = defaultdict(set)
        self._highest = 0

    def add(self, pair: Pair, times: int) -> None:
        """Count a pair so many times more; fewer where `times` is negative."""
        before = self._count_of.get(pair, 0)
        self._pairs_with[before].discard(pair)
        if before + times <= 0:
            self._count_of.pop(pair, None)
            return
        self._count_of[pair] = before + times
        self._pairs_with[before + times].add(pair)
        self._highest = max(self._highest, before + times)

    def most_frequent(self) -> tuple[Pair, int] | None:
        """The pair to be joined next and its count; the greatest of equally frequent ones. None when there is none."""
        while self._highest and not self._pairs_with[self._highest]:
            self._pairs_with.pop(self._highest)
            self._highest -= 1
        return (max(self._pairs_with[self._highest]), self._highest) if self._highest else None


def learn_merges(words: Mapping[bytes, int], most: int) -> Iterator[Merge]:
    """The merges in the order they are learned, at most `most`; ends early when no two pieces are left to join.

    Each merge touches only the words that hold its pair, and of their pairs only those around it.
    """
    pieces = {word: [word[at : at + 1] for at in range(len(word))] for word in words}
    counts = PairCounts()
    holders: defaultdict[Pair, set[bytes]] = defaultdict(set)
    for word, parts in pieces.items():
        for pair in pairwise(parts):
            counts.add(pair, words[word])
            holders[pair].add(word)
    for _ in range(most):
        best = counts.most_frequent()
        if best is None:
            return
        pair, count = best
        yield Merge(*pair, count)
        for word in holders.pop(pair):
            pieces[word], gone, come = _join(pieces[word], pair)
            for old in gone:
                counts.add(old, -words[word])
            for new in come:
                counts.add(new, words[word])
                holders[new].add(word)


def cut_by_merges(word: bytes, rank_of: Mapping[Pair, int]) -> list[bytes]:
    """A word in the pieces that these merges leave, the earliest merge first.

    Args:
        rank_of: the place of each pair in the order in which they were learned.
    """
    parts = [word[at : at + 1] for at in range(len(word))]
    while True:
        possible = [pair for pair in pairwise(parts) if pair in rank_of]
        if not possible:
            return parts
        parts, _, _ = _join(parts, min(possible, key=rank_of.__getitem__))


def _join(parts: list[bytes], pair: Pair) -> tuple[list[bytes], list[Pair], list[Pair]]:
    """The pieces of a word with every occurrence of the pair joined, from the left; the pairs that are gone, those that have come."""
    left, right = pair
    result: list[bytes] = []
    gone: list[Pair] = []
    come: list[Pair] = []
    at = 0
    while (first := _find(parts, pair, at)) < len(parts):
        end = first + 2
        while parts[end : end + 2] == [left, right]:
            end += 2
        before, after = parts[max(first - 1, 0) : first], parts[end : end + 1]
        joined = [left + right] * ((end - first) // 2)
        gone += pairwise([*before, *parts[first:end], *after])
        come += pairwise([*before, *joined, *after])
        result += parts[at:first] + joined
        at = end
    return result + parts[at:], gone, come


def _find(parts: list[bytes], pair: Pair, start: int) -> int:
    """Where the pair next stands; the length where it does not."""
    left, right = pair
    try:
        while True:
            start = parts.index(left, start, len(parts) - 1)
            if parts[start + 1] == right:
                return start
            start += 1
    except ValueError:
        return len(parts)

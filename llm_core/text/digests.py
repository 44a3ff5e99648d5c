"""Remembering which texts were seen: exactly, for removing repetitions, or as a sample, for measuring their share.

Not here: what counts as one text (`cleaning.py`, `statistics.py` decide).
"""

from __future__ import annotations

import hashlib

DIGEST_BYTES = 16
_EMPTY = bytes(DIGEST_BYTES)
_FULLEST = 0.75


def digest(text: str) -> bytes:
    """Sixteen bytes that two different texts do not share (BLAKE2b)."""
    return hashlib.blake2b(text.encode("utf-8"), digest_size=DIGEST_BYTES).digest()


class DigestSet:
    """An exact set of digests in one flat table: about 20 to 40 bytes each, where a Python set takes 110.

    Open addressing with linear probing; the digest's own first bytes choose the slot.
    """

    def __init__(self) -> None:
        self._num_slots = 2**12
        self._table = bytearray(self._num_slots * DIGEST_BYTES)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, value: bytes) -> bool:
        """Add a digest; False when it was there already."""
        if value == _EMPTY:  # would read as a free slot; a digest of all zeros stands one further
            value = b"\1" + _EMPTY[1:]
        if not self._put(self._table, self._num_slots - 1, value):
            return False
        self._count += 1
        if self._count > _FULLEST * self._num_slots:
            self._grow()
        return True

    @staticmethod
    def _put(table: bytearray, mask: int, value: bytes) -> bool:
        slot = int.from_bytes(value[:8], "little") & mask
        while True:
            place = slot * DIGEST_BYTES
            found = bytes(table[place : place + DIGEST_BYTES])
            if found == value:
                return False
            if found == _EMPTY:
                table[place : place + DIGEST_BYTES] = value
                return True
            slot = (slot + 1) & mask

    def _grow(self) -> None:
        num_slots = self._num_slots * 2
        table = bytearray(num_slots * DIGEST_BYTES)
        for place in range(0, len(self._table), DIGEST_BYTES):
            value = bytes(self._table[place : place + DIGEST_BYTES])
            if value != _EMPTY:
                self._put(table, num_slots - 1, value)
        self._table, self._num_slots = table, num_slots


class RepetitionShare:
    """The share of texts that repeat an earlier one; exact up to `capacity` distinct texts, then from a sample.

    The sample holds all texts whose hash falls under a limit that is halved whenever the sample is full, so every text is
    in it with the same probability, however often it occurs. For 2^17 distinct texts the error is below half a percent.
    """

    def __init__(self, capacity: int = 2**17) -> None:
        self._capacity = capacity
        self._limit = 2**64
        self._occurrences: dict[int, int] = {}

    def add(self, text: str) -> None:
        """Count one text."""
        self.add_hash(int.from_bytes(digest(text)[:8], "little"))

    def add_hash(self, value: int) -> None:
        """Count one text by a 64-bit hash of it."""
        if value >= self._limit:
            return
        self._occurrences[value] = self._occurrences.get(value, 0) + 1
        if len(self._occurrences) > self._capacity:
            self._limit //= 2
            self._occurrences = {key: count for key, count in self._occurrences.items() if key < self._limit}

    @property
    def is_sampled(self) -> bool:
        """Whether the share is an estimate."""
        return self._limit < 2**64

    @property
    def share(self) -> float:
        """Repetitions per text, 0 to 1; 0 when nothing was counted."""
        total = sum(self._occurrences.values())
        return 1 - len(self._occurrences) / total if total else 0.0

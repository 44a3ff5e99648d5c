"""A list of numbers that grows at its end without being copied each time, as one numpy array.

Not here: what the numbers are (`run_curves.py`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FIRST_ROOM = 1_024
# Room for a quarter more: a long curve is copied every few hours, and wastes little.
GROWTH = 1.25


class Column:
    """Numbers of one type; `values` is a view that stays as it is while more are appended."""

    def __init__(self, dtype: npt.DTypeLike = np.float64) -> None:
        self._room: npt.NDArray[Any] = np.empty(0, dtype=dtype)
        self._length = 0

    @property
    def values(self) -> npt.NDArray[Any]:
        """The numbers so far; not to be written to."""
        view = self._room[: self._length]
        view.flags.writeable = False
        return view

    @property
    def size_bytes(self) -> int:
        """Memory taken, the room to grow included."""
        return self._room.nbytes

    def append(self, numbers: npt.NDArray[Any]) -> None:
        """More numbers behind the present ones; earlier views do not see them."""
        length = self._length + len(numbers)
        if length > len(self._room):
            room = np.empty(max(FIRST_ROOM, int(GROWTH * length)), dtype=self._room.dtype)
            room[: self._length] = self._room[: self._length]
            self._room = room
        self._room[self._length : length] = numbers
        self._length = length

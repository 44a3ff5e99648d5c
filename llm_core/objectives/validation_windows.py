"""Validation text row by row, always the same rows: what objectives that hide tokens are measured on. Free of torch.

Not here: what is done to the rows (the objectives), sums over them (`llm_core.training.measurement`).

Axes: B rows, T positions.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from llm_core.config.errors import UserError

ROWS = 32
"""Rows of a validation batch."""
SEED = 0
"""Of what is hidden, so that measurements of one run, and of several on one text, compare."""


def validation_windows(
    tokens: npt.NDArray[np.integer], length: int, limit_tokens: int
) -> Iterator[npt.NDArray[np.int64]]:
    """Whole rows of `length` tokens side by side from the start; a rest that fills no row is left out, unless it is all there is.

    Args:
        limit_tokens: read about this much, at least one row; 0 reads all.

    Raises:
        UserError: fewer than two tokens.
    """
    length = min(length, len(tokens))
    if length < 2:
        raise UserError(
            "The text is too short to be measured", value=f"{len(tokens)} tokens", limit="at least 2 tokens"
        )
    num_rows = max(1, min(limit_tokens or len(tokens), len(tokens)) // length)
    for start in range(0, num_rows, ROWS):
        rows = min(ROWS, num_rows - start)
        yield np.asarray(tokens[start * length : (start + rows) * length], dtype=np.int64).reshape(rows, length)

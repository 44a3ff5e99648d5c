"""Which document each token of a row belongs to, so that attention can be kept inside documents packed into one row.

Models take the numbers as `documents_BT`: a token then sees its own document alone, and positions restart in each.
Not here: the windows themselves (`batches.py`), the mask (`llm_core.models.layers`).

Axes: B rows of a batch, T positions of a window.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Documents_BT = npt.NDArray[np.int64]


def document_numbers(tokens_BT: npt.NDArray[np.integer], end_of_text: int | None) -> Documents_BT:
    """Number the documents in each row from 0; the token that ends a document belongs to it.

    A row may begin in the middle of a document: what is left of it is the row's document 0, read from position 0.

    Args:
        tokens_BT: the inputs of a batch.
        end_of_text: the id that ends a document; None for a text of one document, whose rows are document 0 throughout.

    Returns:
        int64 of the shape of `tokens_BT`.
    """
    if end_of_text is None:
        return np.zeros(tokens_BT.shape, dtype=np.int64)
    is_end_BT = tokens_BT == end_of_text
    return np.cumsum(is_end_BT, axis=-1, dtype=np.int64) - is_end_BT

"""A counted model to a safetensors file and back. Not here: counting (`ngram.py`), checkpoint folders (`llm_core.workspace`)."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from llm_core.config.errors import UserError
from llm_core.models.ngram import NgramModel, OrderTable

_PARTS = ("keys", "discounted", "backoff")


def save_ngrams(model: NgramModel, path: Path) -> None:
    """Write the tables, `order-1.keys` and so on, and what else there is to know as the file's metadata."""
    tensors = {
        f"order-{order}.{part}": table
        for order, tables in enumerate(model.orders, start=1)
        for part, table in zip(_PARTS, (tables.keys_G, tables.discounted_G, tables.backoff), strict=True)
    }
    facts = {
        "vocabulary_size": model.vocabulary_size,
        "end_of_text": model.end_of_text,
        "discounts": [list(table.discounts) for table in model.orders],
        "used_fallback": [table.used_fallback for table in model.orders],
    }
    save_file(tensors, path, metadata={"ngram": json.dumps(facts)})


def load_ngrams(path: Path) -> NgramModel:
    """Read what `save_ngrams` wrote. Raises UserError for anything else."""
    try:
        with safe_open(path, framework="np") as file:
            facts = json.loads((file.metadata() or {})["ngram"])
            orders = tuple(
                OrderTable(
                    *(file.get_tensor(f"order-{order}.{part}") for part in _PARTS),
                    discounts=(discounts[0], discounts[1], discounts[2]),
                    used_fallback=bool(used_fallback),
                )
                for order, (discounts, used_fallback) in enumerate(
                    zip(facts["discounts"], facts["used_fallback"], strict=True), start=1
                )
            )
            return NgramModel(int(facts["vocabulary_size"]), facts["end_of_text"], orders)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise UserError(
            "The counts cannot be read", value=path.name, remedy=f"Use another checkpoint ({error})"
        ) from error

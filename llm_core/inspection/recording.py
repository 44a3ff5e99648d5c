"""One forward pass over a text, and everything its layers hand to a tap.

Not here: what is made of it (`attention.py`, `units.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from llm_core.config.errors import UserError
from llm_core.generation.evaluation_mode import evaluation_mode
from llm_core.models.interface import LanguageModel
from llm_core.models.tap import RecordingTap


def record(model: LanguageModel, tokens: Sequence[int]) -> RecordingTap:
    """What the layers compute for one text, with dropout off; the model's mode comes back.

    Raises:
        UserError: an empty text, or for a Transformer one longer than the context.
    """
    if not tokens:
        raise UserError("There is nothing to look at", value="0 tokens", remedy="Write a little text")
    tap = RecordingTap()
    tokens_1T = torch.tensor([list(tokens)], dtype=torch.int64, device=model.device)
    with evaluation_mode(model), torch.inference_mode():
        model(tokens_1T, tap=tap)
    return tap

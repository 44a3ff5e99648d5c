"""A model as it is outside training, for the length of a block: dropout off, weights and sums in their own precision."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch

from llm_core.models.interface import LanguageModel


@contextmanager
def evaluation_mode(model: LanguageModel) -> Generator[None]:
    """Evaluation mode without autocast; the former mode comes back whatever happens."""
    was_training = model.training
    if was_training:  # a model that other threads share is not touched
        model.eval()
    try:
        with torch.autocast(model.device.type, enabled=False):
            yield
    finally:
        if was_training:
            model.train()

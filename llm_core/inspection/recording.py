"""One forward pass over a text, and everything its layers hand to a tap.

Not here: what is made of it (`attention.py`, `units.py`), tokens out of a text (`reading.py`).

Axes: T tokens that look, S tokens looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from llm_core.config.errors import UserError
from llm_core.generation.evaluation_mode import evaluation_mode
from llm_core.models.families import families
from llm_core.models.interface import LanguageModel
from llm_core.models.tap import Part, RecordedAttention, RecordingTap


@dataclass(frozen=True)
class RecordedPart:
    """One kind of attention over one text: who looks at what, and every layer's queries and keys."""

    part: Part
    rows: list[int]
    """Tokens that look."""
    columns: list[int]
    """Tokens looked at; those of the rows but for cross-attention."""
    layers: list[RecordedAttention]


def record(model: LanguageModel, tokens: Sequence[int], *, source: Sequence[int] | None = None) -> RecordingTap:
    """What the layers compute for one text, with dropout off; the model's mode comes back.

    Args:
        tokens: the text; of an encoder-decoder what the decoder reads, its start token first.
        source: what the encoder of an encoder-decoder reads.

    Raises:
        UserError: an empty text, or for a Transformer one longer than the context.
    """
    tap = RecordingTap()
    with evaluation_mode(model), torch.inference_mode():
        memory = None if source is None else model.encode(_row(model, source), tap=tap)
        model(_row(model, tokens), memory=memory, tap=tap)
    return tap


def record_part(
    model: LanguageModel, tokens: Sequence[int], *, source: Sequence[int] | None = None, part: str | None = None
) -> RecordedPart:
    """One kind of attention of a model.

    Args:
        part: "decoder", "encoder" or "cross"; None takes the last that the family has, which is its only one but in an encoder-decoder.

    Raises:
        UserError: as `record`; a model without attention, a part that it does not have.
    """
    parts = families()[model.config.kind].attention
    if not parts:
        raise UserError("A recurrent network has no attention", remedy="Look at its influence map and its units")
    chosen = parts[-1] if part is None else part
    if chosen not in parts:
        raise UserError("This model has no such attention", value=chosen, limit=", ".join(parts))
    tap = record(model, tokens, source=source)
    rows = list(tokens)
    if chosen == "cross":
        assert source is not None, "an encoder-decoder does not run without a source"
        return RecordedPart("cross", rows, list(source), _in_order(tap.cross_attentions))
    if chosen == "encoder":
        # A model of one stack hands everything over as the decoder's.
        if source is None:
            return RecordedPart("encoder", rows, rows, _in_order(tap.attentions))
        return RecordedPart("encoder", list(source), list(source), _in_order(tap.encoder_attentions))
    return RecordedPart("decoder", rows, rows, _in_order(tap.attentions))


def _row(model: LanguageModel, tokens: Sequence[int]) -> torch.Tensor:
    if not tokens:
        raise UserError("There is nothing to look at", value="0 tokens", remedy="Write a little text")
    return torch.tensor([list(tokens)], dtype=torch.int64, device=model.device)


def _in_order(layers: dict[int, RecordedAttention]) -> list[RecordedAttention]:
    return [layers[layer] for layer in range(len(layers))]

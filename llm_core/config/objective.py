"""What a model is asked to predict: one frozen class for each objective, told apart by `kind`, and which family takes which.

Not here: how text is hidden (`masking.py`, `span_corruption.py` hold the settings, `llm_core.objectives` the choosing).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from llm_core.config.masking import MaskingConfig
from llm_core.config.setting import Settings, setting
from llm_core.config.span_corruption import SpanCorruptionConfig


class CausalConfig(Settings):
    """Each token is predicted from the ones before it."""

    kind: Literal["causal"] = "causal"
    within_documents: bool = setting(
        False,
        label="Keep documents apart",
        help="Where several documents share a row, none looks into another. Without it a text may learn from the one before.",
    )


class SequenceToSequenceConfig(Settings):
    """The second column of a data set of pairs is predicted, token by token, from the first."""

    kind: Literal["sequence-to-sequence"] = "sequence-to-sequence"


ObjectiveConfig = Annotated[
    CausalConfig | MaskingConfig | SpanCorruptionConfig | SequenceToSequenceConfig, Field(discriminator="kind")
]

OBJECTIVE_CONFIGS: dict[
    str, type[CausalConfig] | type[MaskingConfig] | type[SpanCorruptionConfig] | type[SequenceToSequenceConfig]
] = {
    "causal": CausalConfig,
    "masked": MaskingConfig,
    "span-corruption": SpanCorruptionConfig,
    "sequence-to-sequence": SequenceToSequenceConfig,
}

_CAUSAL = ("causal",)
OBJECTIVES_OF: dict[str, tuple[str, ...]] = {
    "ngram": _CAUSAL,
    "rnn": _CAUSAL,
    "gru": _CAUSAL,
    "mingru": _CAUSAL,
    "lstm": _CAUSAL,
    "transformer": _CAUSAL,
    "encoder": ("masked",),
    "encoder-decoder": ("span-corruption", "sequence-to-sequence"),
}
"""The objectives that fit each family; the first is taken when nothing is said."""

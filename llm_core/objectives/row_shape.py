"""What a training row of a run holds, in tokens, before any text is read. Free of torch.

Not here: the rows themselves (`*_objective.py`), what they cost (`llm_core.models.counting`).
"""

from __future__ import annotations

from llm_core.config.masking import MaskingConfig
from llm_core.config.objective import SequenceToSequenceConfig
from llm_core.config.run import RunConfig
from llm_core.config.span_corruption import SpanCorruptionConfig
from llm_core.models.counting import RowShape, whole_row
from llm_core.objectives.span_corruption import span_lengths


def row_shape(config: RunConfig) -> RowShape:
    """One row of the run's batches. Pairs are taken at their longest, which is what memory has to hold.

    Raises:
        UserError: a context too short to hide a part of it, or more gaps than marks.
    """
    context, objective = config.data.context_length, config.objective
    if isinstance(objective, MaskingConfig):
        # As `masked.places_per_row`, which comes with torch.
        return RowShape(context, read=context, scored=max(1, round(objective.rate * context)))
    if isinstance(objective, SpanCorruptionConfig):
        spans = span_lengths(context, objective)
        return RowShape(context, read=spans.source, scored=spans.target, written=spans.target)
    if isinstance(objective, SequenceToSequenceConfig):
        return RowShape(2 * context, read=context, scored=context, written=context)
    return whole_row(config.model, context)

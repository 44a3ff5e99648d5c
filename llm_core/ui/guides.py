"""The lines that a loss chart draws to compare with, in the unit of the chart.

Not here: the levels themselves and the sentence under the chart (`llm_core.backend.verdict`), drawing (`live_plot.py`).
"""

from __future__ import annotations

from llm_core.backend.verdict import SHOWN_ORDER, Levels, in_unit, is_by_heart
from llm_core.quantities import three_digits
from llm_core.ui.live_plot import Guide


def guides(levels: Levels, unit: str, objective: str = "causal", train_loss: float | None = None) -> list[Guide]:
    """The levels as lines in the unit of the chart: "nats", "perplexity" or "bits/byte".

    A hidden token can be guessed by its frequency as any other, but not by an n-gram, which sees one side; and an answer holds
    tokens that the text does not.

    Args:
        train_loss: in nats; once it has come far below what counting reaches, the level of a text known by heart is shown.
    """
    size = levels.vocabulary_size
    chance, unigram = (in_unit(nats, unit, levels) for nats in (levels.chance_nats, levels.unigram_nats))
    chance_words = (
        f"chance: ln {size:,} = {three_digits(chance)}" if unit == "nats" else f"chance: {three_digits(chance)}"
    )
    unigram_words = f"each {levels.token_word} by its frequency: {three_digits(unigram)}"
    found: list[Guide] = [{"value": chance, "label": chance_words}]
    if objective in ("causal", "masked"):
        found.append({"value": unigram, "label": unigram_words})
    if levels.ngrams is not None and objective == "causal":
        best = levels.ngrams.best_order
        names = {SHOWN_ORDER: f"{SHOWN_ORDER}-gram"} | {best: f"best n-gram ({best})"}
        for order, name in names.items():
            value = in_unit(levels.ngrams.nats[order], unit, levels)
            found.append({"value": value, "label": f"{name}: {three_digits(value)}"})
    if train_loss is not None and is_by_heart(train_loss, levels):
        value = in_unit(0.0, unit, levels)
        found.append({"value": value, "label": f"the training text by heart: {three_digits(value)}"})
    return found

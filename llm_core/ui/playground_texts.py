"""What the Playground puts into its text box first, by what the run was trained to do, and what its text box is called.

Not here: the pictures and answers (`pages/playground.py`, `playground_filling.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from llm_core.config.run import RunConfig
from llm_core.config.span_corruption import SpanCorruptionConfig
from llm_core.text.hidden_places import GAP, MASK, hide_here_and_there
from llm_core.text.validation_excerpt import first_validation_pair, validation_excerpt
from llm_core.ui.model_choice import ChosenRun
from llm_core.workspace.paths import Workspace

_LONGEST_BEGINNING_CHARACTERS = 60
# Of tokens that are letters there may be more, and fewer of them are hidden.
_LONGEST_TOKENS = {True: 160, False: 56}
_MASK_EVERY = {True: 14, False: 9}
_GAP_EVERY = {True: 40, False: 16}
_GAP_TOKENS = {True: 5, False: 3}
_EXAMPLES = {"masked": f"The cat sat on the {MASK} and slept.", "span-corruption": f"The cat sat on {GAP} and slept."}


@dataclass(frozen=True)
class TextBox:
    """The box that a person writes into."""

    label: str
    button: str
    help: str | None
    sign: str = ""
    """What stands in it for something to fill in, and is no text."""


@dataclass(frozen=True)
class FirstText:
    """What stands in the box first."""

    text: str
    truth: str = ""
    """What was hidden in it, or its true answer; empty where nobody knows."""


def text_box(objective: str) -> TextBox:
    """The box for a model of this objective."""
    return {
        "masked": TextBox("Text with something hidden", "Fill in", f"Write {MASK} for each hidden token.", MASK),
        "span-corruption": TextBox(
            "What it reads", "Generate", f"Write {GAP} for each stretch that the model is to fill.", GAP
        ),
        "sequence-to-sequence": TextBox("What it reads", "Generate", "The source; the model writes its answer."),
    }.get(objective, TextBox("Beginning", "Generate", None))


def first_text(workspace: Workspace, chosen: ChosenRun, config: RunConfig, step: int | str) -> FirstText:
    """A text that the model knows and was never trained on, with something hidden where it fills something in."""
    objective = config.objective.kind
    if objective == "sequence-to-sequence":
        pair = first_validation_pair(workspace, config.data)
        return FirstText(pair.source, pair.target) if pair else FirstText("")
    if objective == "causal":
        written = chosen.known_text(_LONGEST_BEGINNING_CHARACTERS)
        return FirstText(written or validation_excerpt(workspace, config.data, _LONGEST_BEGINNING_CHARACTERS // 2))
    tokenizer = chosen.tokenizer(step)
    are_letters = tokenizer.kind in ("char", "byte")
    longest = min(_LONGEST_TOKENS[are_letters], config.data.context_length - 2)
    whole = validation_excerpt(workspace, config.data, longest)
    if not whole:
        example = _EXAMPLES[objective]
        is_known = not any(tokenizer.encode_known(piece)[1] for piece in example.split(text_box(objective).sign))
        return FirstText(example if is_known else "")
    if isinstance(config.objective, SpanCorruptionConfig):
        every = max(_GAP_EVERY[are_letters], longest // config.objective.num_sentinels)
        return FirstText(hide_here_and_there(whole, tokenizer, GAP, every=every, count=_GAP_TOKENS[are_letters]), whole)
    return FirstText(hide_here_and_there(whole, tokenizer, MASK, every=_MASK_EVERY[are_letters]), whole)

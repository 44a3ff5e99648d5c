"""What the losses of each objective are called, in the metrics and in front of people. Free of torch.

A causal loss is a code length: it has bits per byte and compares with other models of the same text. The others are means over chosen
tokens given the rest; they keep names and axes of their own, so that nobody compares them by mistake.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ObjectiveWords:
    """Names and titles of one objective's figures."""

    kind: str
    title: str
    sentence: str
    formula: str
    """LaTeX, one display block: the loss."""
    train_key: str
    validation_key: str
    axis_title: str
    accuracy_key: str = ""
    """Share of targets that the likeliest token hits, on validation text; empty where it is not measured."""

    @property
    def is_code_length(self) -> bool:
        """Whether the loss gives bits per byte."""
        return self.kind == "causal"


def objective_words() -> dict[str, ObjectiveWords]:
    """All objectives by kind."""
    return {words.kind: words for words in _WORDS}


_WORDS = (
    ObjectiveWords(
        "causal",
        "Next token",
        "Each token is predicted from the ones before it.",
        r"\mathcal{L} = -\sum_t \ln p(x_t \mid x_1, \dots, x_{t-1})",
        "train_loss",
        "val_loss",
        "loss, nats per token",
    ),
    ObjectiveWords(
        "masked",
        "Hidden tokens",
        "Some tokens are hidden, and predicted from those to both sides.",
        r"\mathcal{L} = -\sum_{t \in \mathrm{hidden}} \ln p(x_t \mid x_{\setminus \mathrm{hidden}})",
        "masked_train_loss",
        "masked_val_loss",
        "loss, nats per hidden token",
        "masked_accuracy",
    ),
    ObjectiveWords(
        "span-corruption",
        "Hidden stretches",
        "Stretches of the text are cut out, and written by the decoder one after the other.",
        r"\mathcal{L} = -\sum_t \ln p(y_t \mid y_1, \dots, y_{t-1}, x_{\setminus \mathrm{gaps}})",
        "span_train_loss",
        "span_val_loss",
        "loss, nats per target token",
        "span_accuracy",
    ),
    ObjectiveWords(
        "sequence-to-sequence",
        "Answers to sources",
        "The answer of a pair is predicted, token by token, from its source.",
        r"\mathcal{L} = -\sum_t \ln p(y_t \mid y_1, \dots, y_{t-1}, x)",
        "target_train_loss",
        "target_val_loss",
        "loss, nats per answer token",
        "target_accuracy",
    ),
)

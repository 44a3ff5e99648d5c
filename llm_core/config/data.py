"""Which text a run reads, how it is cut into tokens, and how much of it is kept aside.

Not here: importing text (`llm_core.text.library`), training a tokenizer (`llm_core.text.tokenizer_library`).
"""

from __future__ import annotations

from llm_core.config.setting import Settings, setting

MAXIMUM_CONTEXT_TOKENS = 131_072


class DataConfig(Settings):
    """Text, tokenizer, context and validation split of a run."""

    dataset: str = setting(
        "python-reference", label="Text", help="Name or id of a text in the workspace.", level="simple"
    )
    tokenizer: str = setting(
        "char",
        label="Tokenizer",
        help="How text is cut: char, byte, bpe:<size>, wordpiece:<size>, unigram:<size>, word:<size> with so many entries, word with "
        "every word of the text, or the name of a tokenizer in the workspace.",
        level="simple",
    )
    context_length: int = setting(
        128,
        label="Context",
        help="How many tokens the model sees at once while training. Doubling it doubles memory and more than doubles attention.",
        unit="tokens",
        level="simple",
        minimum=2,
        maximum=MAXIMUM_CONTEXT_TOKENS,
    )
    validation_fraction: float = setting(
        0.1,
        label="Validation share",
        help="Share of the text that is never trained on and only used to measure.",
        minimum=0.001,
        maximum=0.5,
    )

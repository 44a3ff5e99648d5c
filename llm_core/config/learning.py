"""How a run learns: optimizer, schedule, budget, and how often it is looked at.

Not here: the optimizers and the loop themselves (`llm_core.training`).
"""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from llm_core.config.setting import Settings, setting


class OptimizerConfig(Settings):
    """How gradients become new weights."""

    kind: Literal["adamw", "adam", "sgd"] = setting(
        "adamw",
        label="Optimizer",
        help="AdamW suits nearly everything here; SGD needs a far larger rate and more patience.",
        level="simple",
        choice_labels={"adamw": "AdamW", "adam": "Adam", "sgd": "SGD"},
    )
    learning_rate: float = setting(
        1e-3,
        label="Learning rate",
        help="Size of a step. 0.001 is a good start for small models; ten times more usually diverges, ten times less crawls.",
        level="simple",
        minimum=1e-8,
        maximum=100.0,
    )
    weight_decay: float = setting(
        0.1,
        label="Weight decay",
        help="Pulls the matrices a little towards zero at each step, against over-fitting.",
        minimum=0.0,
        maximum=10.0,
    )
    beta1: float = setting(
        0.9, label="Beta 1", help="Memory of the average gradient (Adam).", minimum=0.0, maximum=0.9999
    )
    beta2: float = setting(
        0.95, label="Beta 2", help="Memory of the squared gradient (Adam).", minimum=0.0, maximum=0.99999
    )
    epsilon: float = setting(
        1e-8, label="Epsilon", help="Keeps Adam from dividing by zero.", minimum=1e-16, maximum=1e-1
    )
    momentum: float = setting(
        0.9, label="Momentum", help="Memory of the direction (SGD only).", minimum=0.0, maximum=0.9999
    )
    gradient_clip: float = setting(
        1.0,
        label="Gradient clip",
        help="Longest gradient let through; longer ones are shortened to it. 0 switches it off.",
        minimum=0.0,
        maximum=1e6,
    )


class ScheduleConfig(Settings):
    """How the learning rate changes over the run."""

    kind: Literal["cosine", "trapezoid", "constant"] = setting(
        "cosine",
        label="Schedule",
        help="Cosine falls smoothly to the end; trapezoid stays high and falls in a line at the end; constant never falls.",
        level="simple",
        choice_labels={"cosine": "Cosine", "trapezoid": "Trapezoid", "constant": "Constant"},
    )
    warmup_steps: int = setting(
        100,
        label="Warm-up",
        help="Steps over which the rate rises from near 0 to its peak.",
        unit="steps",
        minimum=0,
        maximum=10_000_000,
    )
    final_fraction: float = setting(
        0.1, label="Final rate", help="The rate at the end as a share of its peak.", minimum=0.0, maximum=1.0
    )
    decay_fraction: float = setting(
        0.4, label="Decay share", help="Share of the run in which a trapezoid falls.", minimum=0.0, maximum=1.0
    )


class TrainingConfig(Settings):
    """Batch, budget, and how often the run is measured, sampled and saved."""

    batch_size: int = setting(
        12,
        label="Batch",
        help="Pieces of text read side by side in one step. Doubling it doubles memory and steadies the learning.",
        unit="rows",
        level="simple",
        minimum=1,
        maximum=65_536,
    )
    gradient_accumulation_steps: int = setting(
        1,
        label="Gradient accumulation",
        help="Batches added up before one step; a way to a larger batch without more memory.",
        unit="batches",
        minimum=1,
        maximum=65_536,
    )
    max_steps: int | None = setting(
        2_000,
        label="Steps",
        help="A step reads one batch and changes the weights once. The run ends after this many.",
        unit="steps",
        level="simple",
        minimum=1,
        maximum=1_000_000_000,
    )
    max_tokens: int | None = setting(
        None,
        label="Tokens",
        help="The run ends after reading this many tokens. An n-gram counts the first so many of the text.",
        unit="tokens",
        minimum=1,
        maximum=10**15,
    )
    max_epochs: float | None = setting(
        None,
        label="Epochs",
        help="The run ends after reading the text this many times. An n-gram counts it once; below 1, only that share of it.",
        unit="epochs",
        minimum=0.000001,
        maximum=1e6,
    )
    max_minutes: float | None = setting(
        None,
        label="Minutes",
        help="The run ends after about this long; the number of steps is chosen once, from its first steps.",
        unit="minutes",
        level="simple",
        minimum=0.001,
        maximum=1e6,
    )
    log_interval: int = setting(
        10,
        label="Log every",
        help="Steps between two points of the loss curve.",
        unit="steps",
        minimum=1,
        maximum=1_000_000,
    )
    eval_interval: int = setting(
        200,
        label="Evaluate every",
        help="Steps between two measurements on the validation text.",
        unit="steps",
        level="simple",
        minimum=1,
        maximum=100_000_000,
    )
    eval_tokens: int = setting(
        50_000,
        label="Evaluation size",
        help="Validation tokens measured during the run; 0 takes all. The last measurement always takes all.",
        unit="tokens",
        minimum=0,
        maximum=10**12,
    )
    sample_interval: int = setting(
        0,
        label="Sample every",
        help="Steps between two written samples; 0 writes them at every evaluation.",
        unit="steps",
        minimum=0,
        maximum=100_000_000,
    )
    sample_tokens: int = setting(
        160, label="Sample length", help="Tokens written in one sample.", unit="tokens", minimum=1, maximum=4_096
    )
    sample_prompts: tuple[str, ...] = setting(
        (),
        label="Sample prompts",
        help="What the samples start from; empty takes the first words of the validation text.",
    )
    sample_temperature: float = setting(
        0.8,
        label="Sample temperature",
        help="How adventurous samples are; 0 always takes the likeliest token.",
        minimum=0.0,
        maximum=2.0,
    )
    checkpoint_interval: int = setting(
        0,
        label="Checkpoint every",
        help="Steps between two saved checkpoints; 0 saves at every evaluation.",
        unit="steps",
        minimum=0,
        maximum=100_000_000,
    )
    checkpoint_bytes: int = setting(
        2_000_000_000,
        label="Checkpoint space",
        help="Disk space a run may fill with checkpoints before older ones are thinned. More than 200 are thinned in any case.",
        unit="bytes",
        minimum=0,
        maximum=10**15,
    )

    @model_validator(mode="after")
    def _has_a_budget(self) -> TrainingConfig:
        if self.max_steps is None and self.max_tokens is None and self.max_epochs is None and self.max_minutes is None:
            raise ValueError("the run has no end. Set one of max_steps, max_tokens, max_epochs or max_minutes.")
        return self

"""Where and in what precision a run computes.

Not here: what the machine has (`llm_core.backend.devices`), how "auto" is decided (`llm_core.training.execution`).
"""

from __future__ import annotations

from typing import Literal

from llm_core.config.setting import Settings, setting


class HardwareConfig(Settings):
    """Device, precision, compilation and threads."""

    device: Literal["auto", "cpu", "cuda", "mps"] = setting(
        "auto",
        label="Device",
        help="Automatic takes a GPU when there is one.",
        level="simple",
        choice_labels={"auto": "Automatic", "cpu": "CPU", "cuda": "GPU (CUDA)", "mps": "GPU (Apple)"},
    )
    precision: Literal["auto", "float32", "bfloat16"] = setting(
        "auto",
        label="Precision",
        help="bfloat16 is faster where the chip is good at it; automatic measures on a CPU and uses it on a GPU. Weights stay float32.",
        choice_labels={"auto": "Automatic", "float32": "float32", "bfloat16": "bfloat16"},
    )
    compile: Literal["auto", "on", "off"] = setting(
        "auto",
        label="Compile",
        help="Let torch fuse the model's operations. Costs 10 to 60 seconds; automatic does it only for long runs.",
        choice_labels={"auto": "Automatic", "on": "On", "off": "Off"},
    )
    num_threads: int = setting(
        0, label="Threads", help="CPU threads; 0 takes all cores.", unit="threads", minimum=0, maximum=1_024
    )
    num_processes: int = setting(
        1,
        label="Processes",
        help="Processes that share each batch of one run: one for each GPU. The sum of their work is that of one large batch.",
        unit="processes",
        minimum=1,
        maximum=64,
    )

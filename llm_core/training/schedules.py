"""The learning rate over a run, as a pure function. Free of torch, so that a page can draw it.

Not here: who sets the rate at each step (`trainer.py`).
"""

from __future__ import annotations

import math

from llm_core.config.learning import ScheduleConfig


def learning_rate(step: int, total_steps: int, schedule: ScheduleConfig, peak: float) -> float:
    """The rate of update number `step` (from 1) of `total_steps`.

    Warm-up rises in a line and reaches the peak at step `warmup_steps`; it never starts at exactly 0, which would waste the first
    update. cosine falls from the peak to `final_fraction` of it along half a cosine (Loshchilov and Hutter 2017); trapezoid stays at
    the peak and falls in a line over the last `decay_fraction` of the run (also called warm-up, stable, decay); constant stays.
    A warm-up longer than a tenth of the run is shortened to that, so that short runs still learn.
    """
    warmup = min(schedule.warmup_steps, max(1, total_steps // 10)) if schedule.warmup_steps else 0
    if step < warmup:
        return peak * step / warmup
    if schedule.kind == "constant" or total_steps <= 1:
        return peak
    floor = peak * schedule.final_fraction
    if schedule.kind == "cosine":
        progress = min(1.0, (step - warmup) / max(1, total_steps - warmup))
        return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * progress))
    decay = max(1, round(total_steps * schedule.decay_fraction))
    remaining = max(0, total_steps - step)
    return floor + (peak - floor) * min(1.0, remaining / decay)

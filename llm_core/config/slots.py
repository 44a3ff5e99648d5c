"""How many jobs of a workspace run at once. Not here: which GPU each gets (`llm_core.backend.device_slots`)."""

from __future__ import annotations

from llm_core.config.environment import EnvironmentSettings
from llm_core.config.setting import setting


class Slots(EnvironmentSettings):
    """The rest waits in the queue."""

    training_slots: int = setting(
        0,
        help="Runs that train at once; 0 is one for each GPU, or one where there is none.",
        unit="runs",
        minimum=0,
        maximum=64,
    )
    short_job_slots: int = setting(
        2, help="Imports, tokenizers, probes and exports that run beside them.", unit="jobs", minimum=1, maximum=64
    )

"""Every time constant of the processes, so that tests can run them in fractions of a second.

Read once at the start of a process from the environment (GLASSBOX_LEASE_SECONDS and so on) and passed on; never global.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from pydantic import ValidationError

from llm_core.config.run import user_error
from llm_core.config.setting import Settings, setting


class Timing(Settings):
    """How long the processes wait for each other, in seconds."""

    lease_seconds: float = setting(
        30.0, help="Silence after which a worker is taken for dead.", unit="seconds", minimum=0.2, maximum=3600
    )
    start_seconds: float = setting(
        60.0, help="Time a new worker has for its first sign of life.", unit="seconds", minimum=0.2, maximum=3600
    )
    heartbeat_seconds: float = setting(
        2.0, help="How often a worker says that it lives.", unit="seconds", minimum=0.05, maximum=600
    )
    stall_seconds: float = setting(
        300.0,
        help="How long a worker may stand still within a step (compiling, say) before it counts as hung.",
        unit="seconds",
        minimum=0.2,
        maximum=86_400,
    )
    poll_seconds: float = setting(
        0.5, help="How often the supervisor looks at the queue.", unit="seconds", minimum=0.02, maximum=60
    )
    idle_seconds: float = setting(
        60.0, help="How long a supervisor without work stays.", unit="seconds", minimum=0.1, maximum=86_400
    )
    term_grace_seconds: float = setting(
        10.0, help="Time between asking a process to end and ending it.", unit="seconds", minimum=0.1, maximum=600
    )
    commit_seconds: float = setting(
        0.5, help="How often points reach the disk.", unit="seconds", minimum=0.02, maximum=60
    )
    inference_idle_seconds: float = setting(
        600.0, help="How long an unused inference process stays.", unit="seconds", minimum=0.2, maximum=86_400
    )
    watch_seconds: float = setting(
        2.0,
        help="How often the web server makes sure that a supervisor runs.",
        unit="seconds",
        minimum=0.05,
        maximum=600,
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Timing:
        """The defaults, overridden by GLASSBOX_<NAME>; raises UserError for a value out of bounds."""
        environment = os.environ if environment is None else environment
        values = {
            name: environment[key] for name in cls.model_fields if (key := f"GLASSBOX_{name.upper()}") in environment
        }
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise user_error(error) from error

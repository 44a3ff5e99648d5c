"""Every time constant of the processes, so that tests can run them in fractions of a second."""

from __future__ import annotations

from llm_core.config.environment import EnvironmentSettings
from llm_core.config.setting import setting


class Timing(EnvironmentSettings):
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

"""How compute threads wait for each other: hardly spinning, so that two busy processes do not stand in each other's way.

torch's thread library (GNU OpenMP) lets a thread that is done spin for some milliseconds before it sleeps. Where something else wants
the core, a browser or a second training, the spinning keeps back the very thread that it waits for, and a step takes ten times as
long. The library reads its environment once, when it is loaded, so this is called before torch is imported.
"""

from __future__ import annotations

import os

# About 50 microseconds: longer than the pause between two operations of a step.
SPIN_COUNT = "1000"


def thread_environment() -> dict[str, str]:
    """What to add to the environment of a process that computes; a person's own choice stays."""
    if "OMP_WAIT_POLICY" in os.environ or "GOMP_SPINCOUNT" in os.environ:
        return {}
    return {"GOMP_SPINCOUNT": SPIN_COUNT}

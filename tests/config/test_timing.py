"""Time constants come from the environment and are bounded."""

from __future__ import annotations

import pytest

from llm_core.config.errors import UserError
from llm_core.config.timing import Timing


def test_environment_overrides_the_defaults() -> None:
    timing = Timing.from_environment({"GLASSBOX_LEASE_SECONDS": "0.5", "UNRELATED": "x"})
    assert timing.lease_seconds == 0.5
    assert timing.idle_seconds == 60


@pytest.mark.parametrize("value", ["-1", "soon", "inf", "nan", "1e9"])
def test_values_out_of_bounds_are_refused(value: str) -> None:
    with pytest.raises(UserError, match="lease_seconds"):
        Timing.from_environment({"GLASSBOX_LEASE_SECONDS": value})

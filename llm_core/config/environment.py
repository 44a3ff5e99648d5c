"""Settings of the processes, read from the environment: GLASSBOX_<NAME>.

Read once at the start of a process and passed on; never global. Not here: settings of a run (`run.py`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Self

from pydantic import ValidationError

from llm_core.config.run import user_error
from llm_core.config.setting import Settings


class EnvironmentSettings(Settings):
    """A group of settings whose values an environment may override."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """The defaults, overridden by GLASSBOX_<NAME>; raises UserError for a value out of bounds."""
        environment = os.environ if environment is None else environment
        values = {
            name: environment[key] for name in cls.model_fields if (key := f"GLASSBOX_{name.upper()}") in environment
        }
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise user_error(error) from error

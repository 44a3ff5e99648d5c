"""RunConfig: everything that decides a run, in one frozen value that is saved as JSON and read back.

Not here: presets (`presets.py`), overrides from the command line (`overrides.py`), listing fields (`schema.py`).
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import ValidationError, model_validator

from llm_core.config.data import DataConfig
from llm_core.config.errors import UserError
from llm_core.config.hardware import HardwareConfig
from llm_core.config.learning import OptimizerConfig, ScheduleConfig, TrainingConfig
from llm_core.config.logging import LoggingConfig
from llm_core.config.model import MODEL_CONFIGS, ModelConfig, TransformerConfig
from llm_core.config.objective import OBJECTIVE_CONFIGS, OBJECTIVES_OF, CausalConfig, ObjectiveConfig
from llm_core.config.setting import Settings, setting


class RunConfig(Settings):
    """A whole run. The same value makes the same run on the same machine."""

    schema_version: Literal[1] = 1
    name: str = setting("", label="Name", help="A name of your own; empty takes one from the preset.", level="simple")
    group: str = setting(
        "",
        label="Group",
        help="What the run belongs to: a race, a sweep, or a word of your own. It changes no number.",
        maximum_characters=100,
    )
    seed: int = setting(
        1337,
        label="Seed",
        help="Where all chance starts. The same seed gives the same run.",
        minimum=0,
        maximum=2**63 - 1,
    )
    data: DataConfig = DataConfig()
    model: ModelConfig = TransformerConfig()
    objective: ObjectiveConfig = CausalConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    training: TrainingConfig = TrainingConfig()
    hardware: HardwareConfig = HardwareConfig()
    logging: LoggingConfig = LoggingConfig()

    @model_validator(mode="before")
    @classmethod
    def _usual_objective(cls, values: Any) -> Any:
        """Who names a family and no objective means the usual one of that family."""
        if not isinstance(values, dict) or "objective" in values or "model" not in values:
            return values  # pyright: ignore[reportUnknownVariableType]
        model: Any = values["model"]  # pyright: ignore[reportUnknownVariableType]
        kind: Any = model.get("kind") if isinstance(model, dict) else model.kind  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]
        fitting = OBJECTIVES_OF.get(str(kind), ("causal",))
        return {**values, "objective": OBJECTIVE_CONFIGS[fitting[0]]()}

    @model_validator(mode="after")
    def _objective_fits(self) -> RunConfig:
        fitting = OBJECTIVES_OF[self.model.kind]
        if self.objective.kind not in fitting:
            raise ValueError(
                f"a model of kind {self.model.kind} cannot learn by the objective {self.objective.kind}. "
                f"Set objective.kind to {' or '.join(fitting)}."
            )
        if (
            isinstance(self.objective, CausalConfig)
            and self.objective.within_documents
            and self.model.kind != "transformer"
        ):
            raise ValueError(
                f"a model of kind {self.model.kind} does not read rows of several documents. "
                "Set objective.within_documents to false, or choose a Transformer."
            )
        return self

    @model_validator(mode="after")
    def _batch_can_be_shared(self) -> RunConfig:
        processes = self.hardware.num_processes
        if processes > 1 and self.model.kind not in _SHARED:
            raise ValueError(
                f"a model of kind {self.model.kind} is trained in one process: it carries its state from batch to batch or is counted. "
                "Set hardware.num_processes to 1."
            )
        if processes > self.training.batch_size:
            raise ValueError(
                f"{processes} processes cannot share a batch of {self.training.batch_size} rows. "
                "Set training.batch_size to as many at least, or lower hardware.num_processes."
            )
        return self


_SHARED = ("transformer", "encoder", "encoder-decoder")


def config_from_dict(values: Any) -> RunConfig:
    """A RunConfig from plain JSON values.

    Raises:
        UserError: naming the first wrong setting, its value and what would be accepted.
    """
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise user_error(error) from error


def load_config(text: str | bytes) -> RunConfig:
    """A RunConfig from JSON text; raises UserError where the text or a setting is wrong."""
    remedy = "Give a config.json as a run folder holds it"
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: not UTF-8, not JSON, or a number of thousands of digits
        raise UserError("The configuration is not JSON", value=str(error), remedy=remedy) from error
    if not isinstance(values, dict):
        raise UserError("The configuration is JSON, but not one object with settings", remedy=remedy)
    return config_from_dict(values)


_KINDS = (*MODEL_CONFIGS, *OBJECTIVE_CONFIGS)


def user_error(error: ValidationError) -> UserError:
    """The first complaint of pydantic, in the words of Glassbox."""
    details = error.errors(include_url=False)
    first = details[0]
    path = ".".join(str(part) for part in first["loc"] if part not in _KINDS)
    message = first["msg"].removeprefix("Value error, ")
    more = f" ({len(details) - 1} more)" if len(details) > 1 else ""
    if first["type"] == "extra_forbidden":
        return UserError(f"There is no setting {path}{more}", remedy="`glassbox presets --fields` lists every setting")
    subject = f"Setting {path}" if path else "The settings"
    value = None if isinstance(first["input"], dict) else first["input"]
    return UserError(f"{subject}: {message}{more}", value=value, remedy=_bounds_remedy(first))


def _bounds_remedy(detail: Any) -> str:
    context = detail.get("ctx", {})
    if "ge" in context:
        return f"Give at least {context['ge']:,}"
    if "le" in context:
        return f"Give at most {context['le']:,}"
    if "expected" in context:
        return f"Choose {context['expected']}"
    return ""

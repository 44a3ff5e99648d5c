"""Which loggers there are, what each needs, and what stands in the way of those that a run asks for. Imports none of them.

Not here: feeding them (`metrics_writer.py`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from llm_core.backend.loggers.interface import Logger
from llm_core.backend.loggers.mlflow_logger import ADDRESS_VARIABLE, MlflowLogger
from llm_core.backend.loggers.tensorboard_logger import TensorBoardLogger
from llm_core.backend.loggers.wandb_logger import KEY_VARIABLE, MODE_VARIABLE, OFFLINE_MODES, WandbLogger
from llm_core.config.errors import UserError
from llm_core.config.logging import LoggingConfig

Environment = Mapping[str, str]


def _nothing_missing(_environment: Environment) -> UserError | None:
    return None


def _mlflow_address(environment: Environment) -> UserError | None:
    if environment.get(ADDRESS_VARIABLE):
        return None
    remedy = f"Set {ADDRESS_VARIABLE} where Glassbox is started, for example to http://127.0.0.1:5000"
    return UserError("MLflow is switched on, and no server is named", remedy=remedy)


def _wandb_key(environment: Environment) -> UserError | None:
    if environment.get(KEY_VARIABLE) or environment.get(MODE_VARIABLE) in OFFLINE_MODES:
        return None
    remedy = f"Set {KEY_VARIABLE} where Glassbox is started, or {MODE_VARIABLE}=offline to keep everything here"
    return UserError("Weights & Biases is switched on, and there is no key", remedy=remedy)


@dataclass(frozen=True)
class LoggerKind:
    """One logger: its setting below `logging`, what has to be installed, what else has to be there."""

    setting: str
    make: type[Logger]
    module: str
    requirement: str
    """What pip installs."""
    missing: Callable[[Environment], UserError | None] = _nothing_missing


LOGGERS = (
    LoggerKind("tensorboard", TensorBoardLogger, "tensorboardX", "tensorboardX>=2.6.5"),
    LoggerKind("mlflow", MlflowLogger, "mlflow", "mlflow-skinny>=3.17", _mlflow_address),
    LoggerKind("wandb", WandbLogger, "wandb", "wandb>=0.31", _wandb_key),
)


def kinds_of(config: LoggingConfig) -> list[LoggerKind]:
    """The loggers that are switched on."""
    return [kind for kind in LOGGERS if getattr(config, kind.setting)]


def logger_problems(config: LoggingConfig, environment: Environment | None = None) -> list[UserError]:
    """What stands in the way of the loggers that are switched on, with the command or variable that helps."""
    environment = os.environ if environment is None else environment
    return [problem for kind in kinds_of(config) if (problem := problem_of(kind, environment)) is not None]


def problem_of(kind: LoggerKind, environment: Environment) -> UserError | None:
    """What stands in the way of one logger; None when it can begin."""
    if find_spec(kind.module) is None:
        title = kind.make.title
        command = f'{sys.executable} -m pip install "{kind.requirement}"'
        return UserError(f"{title} is switched on, and its package is not installed", remedy=f"Install it: {command}")
    return kind.missing(environment)

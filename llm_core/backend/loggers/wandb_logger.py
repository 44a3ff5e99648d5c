"""Weights & Biases: curves, settings and samples with the key in WANDB_API_KEY, or kept on this machine with WANDB_MODE=offline.

Its other variables (WANDB_PROJECT, WANDB_ENTITY, WANDB_BASE_URL, ...) count as well. Only what `Logger` is told is sent: no code, no
console output, nothing about the repository.
"""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from llm_core.backend.loggers.interface import Logger, PromptNumbers, RunFacts, settings_to_tell
from llm_core.config.run import RunConfig

KEY_VARIABLE, MODE_VARIABLE = "WANDB_API_KEY", "WANDB_MODE"
OFFLINE_MODES = ("offline", "disabled", "dryrun")
_PROJECT_VARIABLE, _PROJECT = "WANDB_PROJECT", "glassbox"
# A server that does not answer must not keep the process of an ended run: the client would wait for minutes.
_START_SECONDS, _FINISH_SECONDS = 20, 10
_GOOD_ENDS = ("finished", "stopped", "paused")


class WandbLogger(Logger):
    """One W&B run for each run, under the same id, so that a resumed run goes on in it."""

    title = "Weights & Biases"

    def __init__(self) -> None:
        self._prompts = PromptNumbers()
        self._wandb: Any = None
        self._run: Any = None

    def start(self, config: RunConfig, facts: RunFacts) -> None:
        self._wandb = import_module("wandb")
        self._run = self._wandb.init(
            project=os.environ.get(_PROJECT_VARIABLE) or _PROJECT,
            id=facts.run_id,
            resume="allow",
            name=facts.name,
            dir=str(facts.folder),
            config=settings_to_tell(config),
            settings=self._wandb.Settings(
                console="off",
                silent=True,
                save_code=False,
                disable_git=True,
                symlink=False,
                init_timeout=_START_SECONDS,
                finish_timeout=_FINISH_SECONDS,
            ),
        )
        _remove_links(facts.folder / "wandb")
        # Its own counter only goes up; ours is a value beside the others, so that a roll-back can be told.
        self._run.define_metric("*", step_metric="step")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log({"step": step, **values})

    def text(self, step: int, prompt: str, sample: str) -> None:
        markup = f"<pre>{html.escape(prompt + sample)}</pre>"
        self._run.log({"step": step, f"samples/{self._prompts.of(prompt)}": self._wandb.Html(markup, inject=False)})

    def finish(self, state: str, summary: Mapping[str, Any]) -> None:
        self._run.summary.update({"state": state, **summary})
        self._run.finish(exit_code=0 if state in _GOOD_ENDS else 1)


def _remove_links(folder: Path) -> None:
    """A run folder holds no links, so that it can be copied and brought in elsewhere; one to a log of the client is always made."""
    for path in folder.rglob("*"):
        if path.is_symlink():
            path.unlink(missing_ok=True)

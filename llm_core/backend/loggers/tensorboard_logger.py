"""TensorBoard event files in `runs/<id>/tensorboard`, ready for `tensorboard --logdir`.

Written by tensorboardX, which needs only what Streamlit brings (numpy, protobuf, packaging). Reading them is TensorBoard's own work.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from llm_core.backend.loggers.interface import Logger, PromptNumbers, RunFacts, settings_to_tell
from llm_core.config.run import RunConfig

FOLDER = "tensorboard"
# A killed run loses no more than this; TensorBoard itself would wait for two minutes.
_FLUSH_SECONDS = 2


class TensorBoardLogger(Logger):
    """One event file for each stretch of the run. A resumed run names the step after which the stretch before no longer counts."""

    title = "TensorBoard"

    def __init__(self) -> None:
        self._prompts = PromptNumbers()
        self._writer: Any = None
        self._settings = ""
        self._facts: RunFacts | None = None

    def start(self, config: RunConfig, facts: RunFacts) -> None:
        self._facts = facts
        self._settings = json.dumps(settings_to_tell(config), indent=1, ensure_ascii=False)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        writer = self._open()
        for key, value in values.items():
            writer.add_scalar(key, value, step)

    def text(self, step: int, prompt: str, sample: str) -> None:
        self._open().add_text(f"samples/{self._prompts.of(prompt)}", _verbatim(prompt + sample), step)

    def rewind(self, step: int) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = self._new_file(purge_step=step + 1)

    def finish(self, state: str, summary: Mapping[str, Any]) -> None:
        writer = self._open()
        writer.add_text("end", _verbatim(json.dumps({"state": state, **summary}, indent=1, default=str)))
        writer.close()

    def _open(self) -> Any:
        """The present file; the first one of a new run begins with its settings."""
        if self._writer is None:
            self._writer = self._new_file(purge_step=None)
            self._writer.add_text("settings", _verbatim(self._settings))
        return self._writer

    def _new_file(self, purge_step: int | None) -> Any:
        from tensorboardX import SummaryWriter

        assert self._facts is not None, "start comes first"
        folder = self._facts.folder / FOLDER
        # Files are named by the second and read in the order of their names: two that begin within one second need a number.
        number = len(list(folder.glob("events.*")))
        return SummaryWriter(
            str(folder), purge_step=purge_step, flush_secs=_FLUSH_SECONDS, filename_suffix=f".{number:06d}"
        )


def _verbatim(text: str) -> str:
    """TensorBoard reads Markdown; indented, text stays what it is."""
    return "\n".join(f"    {line}" for line in text.splitlines())

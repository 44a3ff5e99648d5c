"""Asking the inference process: generate, look inside, score. Free of torch; used by the web server and by tests.

The process is started on demand and ends itself after a while without questions. Not here: the answers (`inference_server.py`).
"""

from __future__ import annotations

import time
from typing import Any

from llm_core.backend import wire
from llm_core.backend.launcher import start_detached
from llm_core.config.errors import UserError
from llm_core.config.sampling import SamplingConfig
from llm_core.workspace.locks import is_locked
from llm_core.workspace.paths import Workspace

_START_SECONDS = 30.0


class InferenceClient:
    """Speaks to the one inference process of a workspace. Holds no connection; safe to share between threads."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def request(self, method: str, *, timeout_seconds: float = 60.0, **parameters: Any) -> dict[str, Any]:
        """One question, one answer.

        Raises:
            UserError: what the process answers with when the question cannot be answered, or when it does not start.
        """
        message = wire.encode({"method": method, "parameters": parameters})
        try:
            answer = self._exchange(message, timeout_seconds)
        except (FileNotFoundError, ConnectionError):
            self._start()
            try:
                answer = self._exchange(message, timeout_seconds)
            except OSError as error:
                raise self._silent(error) from error
        except (OSError, ValueError) as error:
            raise self._silent(error) from error
        if "error" in answer:
            error = answer["error"]
            raise UserError(
                error["what"], value=error.get("value"), limit=error.get("limit"), remedy=error.get("remedy") or ""
            )
        result: dict[str, Any] = answer["result"]
        return result

    def start_generation(self, run_id: str, step: int | None, prompt: str, settings: SamplingConfig) -> str:
        """Begin to write; returns the id to poll. `step` None takes the newest checkpoint, also of a run in training."""
        answer = self.request(
            "start", run_id=run_id, step=step, prompt=prompt, settings=settings.model_dump(mode="json")
        )
        return str(answer["id"])

    def poll_generation(self, generation_id: str, after: int = 0) -> dict[str, Any]:
        """State, text and the tokens from number `after` on."""
        return self.request("poll", id=generation_id, after=after)

    def stop_generation(self, generation_id: str) -> dict[str, Any]:
        """Ask it to end after its present token; what is written stays."""
        return self.request("stop", id=generation_id)

    def next_token(self, run_id: str, step: int | None, prompt: str, settings: SamplingConfig) -> dict[str, Any]:
        """The likeliest next tokens before and after temperature and cuts."""
        return self.request(
            "next_token", run_id=run_id, step=step, prompt=prompt, settings=settings.model_dump(mode="json")
        )

    def attention(self, run_id: str, step: int | None, text: str) -> dict[str, Any]:
        """Exact attention of every layer and head: tokens, weights [L, H, T, T], scores and their chance levels."""
        return self.request("attention", run_id=run_id, step=step, text=text)

    def influence(self, run_id: str, step: int | None, text: str) -> dict[str, Any]:
        """How much each token moves each later prediction: tokens, weights [T, T]."""
        return self.request("influence", run_id=run_id, step=step, text=text)

    def units(self, run_id: str, step: int | None, text: str) -> dict[str, Any]:
        """Hidden units of a recurrent network over the text: tokens, states [L, T, U], order of units by variance."""
        return self.request("units", run_id=run_id, step=step, text=text)

    def score(self, run_id: str, step: int | None, text: str) -> dict[str, Any]:
        """Likelihood of a text, with the probability of each token."""
        return self.request("score", run_id=run_id, step=step, text=text)

    def _exchange(self, message: bytes, timeout_seconds: float) -> dict[str, Any]:
        with wire.connect(self.workspace.inference_socket, timeout_seconds) as connection:
            connection.sendall(message)
            return wire.decode(wire.read_line(connection, wire.MAXIMUM_ANSWER_BYTES))

    def _start(self) -> None:
        """Start the process unless another caller has, and wait until it listens."""
        workspace = self.workspace
        if not is_locked(workspace.inference_lock):
            start_detached(
                "llm_core.backend.inference_server", ["--workspace", str(workspace.root)], workspace.inference_log
            )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                wire.connect(workspace.inference_socket, 5.0).close()
            except OSError as error:
                if time.monotonic() > deadline:
                    raise self._silent(error) from error
                time.sleep(0.05)
            else:
                return

    def _silent(self, error: Exception) -> UserError:
        return UserError(
            "The inference process does not answer",
            value=str(error),
            remedy=f"Its log is {self.workspace.inference_log}",
        )

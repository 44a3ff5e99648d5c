"""Asking the inference process: generate, look inside, score. Free of torch; used by the web server and by tests.

The process is started on demand and ends itself after a while without questions. What it has written is read from disk when it
is no longer there. Not here: the answers (`inference_methods.py`).
"""

from __future__ import annotations

import subprocess
import time
from typing import Any

from llm_core.backend import wire
from llm_core.backend.generation_files import KeptGeneration, read_generation
from llm_core.backend.launcher import start_detached
from llm_core.config.errors import NotFound, Refused, UserError
from llm_core.config.sampling import SamplingConfig
from llm_core.workspace.locks import is_locked
from llm_core.workspace.paths import Workspace

MAXIMUM_INSPECTED_TOKENS = 512
"""So many tokens can be looked at as a whole; for a Transformer no more than its context either."""

_START_SECONDS = 90.0
_ATTEMPTS = 2
_KINDS: dict[str, type[UserError]] = {"NotFound": NotFound, "Refused": Refused}


class InferenceClient:
    """Speaks to the one inference process of a workspace. Holds no connection; safe to share between threads."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def request(self, method: str, *, timeout_seconds: float = 60.0, **parameters: Any) -> dict[str, Any]:
        """One question, one answer; the process is started when there is none.

        Raises:
            UserError: what the process answers with when the question cannot be answered, or that it does not answer.
        """
        message = wire.encode({"method": method, "parameters": parameters})
        for attempt in range(_ATTEMPTS):
            try:
                return _result(self._exchange(message, timeout_seconds))
            except (FileNotFoundError, ConnectionError) as error:
                # It is not there, or is leaving because nobody has asked for a while.
                if attempt + 1 == _ATTEMPTS:
                    raise self._silent(error) from error
                self._start()
            except OSError as error:
                raise self._silent(error) from error
        raise AssertionError("the last attempt returns or raises")

    def start_generation(self, run_id: str, step: int | None, prompt: str, settings: SamplingConfig) -> str:
        """Begin to write; returns the id to poll. `step` None takes the newest checkpoint, also of a run in training."""
        answer = self.request(
            "start", run_id=run_id, step=step, prompt=prompt, settings=settings.model_dump(mode="json")
        )
        return str(answer["id"])

    def poll_generation(self, generation_id: str, after: int = 0) -> dict[str, Any]:
        """State, text and the tokens from number `after` on; `state` is `running`, `done`, `stopped` or `failed`.

        Raises:
            NotFound: there is no such generation, or it was so long ago that it is no longer kept.
        """
        message = wire.encode({"method": "poll", "parameters": {"id": generation_id, "after": after}})
        try:
            return _result(self._exchange(message, 20.0))
        except (FileNotFoundError, ConnectionError):
            return read_generation(self.workspace, generation_id).answer(after)
        except OSError:
            return read_generation(self.workspace, generation_id).answer(after, is_alive=True)

    def stop_generation(self, generation_id: str) -> None:
        """Ask it to end after its present token; what is written stays. Nothing happens when nobody is writing it."""
        message = wire.encode({"method": "stop", "parameters": {"id": generation_id}})
        try:
            _result(self._exchange(message, 20.0))
        except (FileNotFoundError, ConnectionError):
            return
        except OSError as error:
            raise self._silent(error) from error

    def kept_generation(self, generation_id: str) -> KeptGeneration:
        """What was asked and what was written so far, from disk; raises NotFound."""
        return read_generation(self.workspace, generation_id)

    def next_token(self, run_id: str, step: int | None, prompt: str, settings: SamplingConfig) -> dict[str, Any]:
        """The likeliest next tokens before and after temperature and cuts."""
        return self.request(
            "next_token", run_id=run_id, step=step, prompt=prompt, settings=settings.model_dump(mode="json")
        )

    def fill(self, run_id: str, step: int | None, text: str) -> dict[str, Any]:
        """What an encoder puts in each `[MASK]` of a text: the filled `text`, and `places`, each with its position among the tokens and
        ten `candidates` (token, text, p), the likeliest first."""
        return self.request("fill", run_id=run_id, step=step, text=text)

    def attention(
        self,
        run_id: str,
        step: int | None,
        text: str,
        layer: int = 0,
        part: str | None = None,
        answer: str | None = None,
    ) -> dict[str, Any]:
        """Attention: `tokens` look at `columns`; `thumbnails` of all heads [L, H, T, S], exact `weights` of one layer [H, T, S],
        where that layer may look (`visible` [T, S]), scores [L, H] and chance [L].

        Args:
            part: "encoder", "decoder" or "cross" of an encoder-decoder, which is taken when None.
            answer: of an encoder-decoder to `text`, its source; None takes the model's own, which comes back as `answer`.
        """
        return self.request("attention", run_id=run_id, step=step, text=text, layer=layer, part=part, answer=answer)

    def influence(self, run_id: str, step: int | None, text: str, answer: str | None = None) -> dict[str, Any]:
        """How much each token moves each prediction: tokens, columns (source and answer of an encoder-decoder), weights [T, S]."""
        return self.request("influence", run_id=run_id, step=step, text=text, answer=answer)

    def units(self, run_id: str, step: int | None, text: str) -> dict[str, Any]:
        """Hidden units of a recurrent network over the text: tokens, states [L, T, U], order of units by variance."""
        return self.request("units", run_id=run_id, step=step, text=text)

    def score(self, run_id: str, step: int | None, text: str) -> dict[str, Any]:
        """Likelihood of a text, with the probability of each token."""
        return self.request("score", run_id=run_id, step=step, text=text)

    def step_batch(self, run_id: str, step: int) -> dict[str, Any]:
        """The batch of a training step, drawn again and scored by the checkpoint before it; see `step_batch.step_batch`."""
        return self.request("step_batch", timeout_seconds=120.0, run_id=run_id, step=step)

    def _exchange(self, message: bytes, timeout_seconds: float) -> dict[str, Any]:
        with wire.connect(self.workspace.inference_socket, timeout_seconds) as connection:
            connection.sendall(message)
            return wire.decode(wire.read_line(connection, wire.MAXIMUM_ANSWER_BYTES))

    def _start(self) -> None:
        """Start the process unless another caller has, and wait until it listens."""
        workspace = self.workspace
        started: subprocess.Popen[bytes] | None = None
        deadline = time.monotonic() + _START_SECONDS
        while True:
            # One that is leaving holds the lock for a moment and no longer listens: it is waited for, then replaced.
            if (started is None or started.poll() is not None) and not is_locked(workspace.inference_lock):
                started = start_detached(
                    "llm_core.backend.inference_server", ["--workspace", str(workspace.root)], workspace.inference_log
                )
            try:
                wire.connect(workspace.inference_socket, 5.0).close()
            except OSError as error:
                if time.monotonic() > deadline:
                    raise self._silent(error) from error
                time.sleep(0.05)
            else:
                return

    def _silent(self, error: Exception) -> UserError:
        what = "The inference process does not answer"
        if isinstance(error, TimeoutError):
            what = "The inference process takes too long: the machine is busy or the text is long for this model"
        return UserError(
            what, value=str(error), remedy=f"Try again, or with less text; its log is {self.workspace.inference_log}"
        )


def _result(answer: dict[str, Any]) -> dict[str, Any]:
    if "error" in answer:
        error = answer["error"]
        kind = _KINDS.get(error.get("kind", ""), UserError)
        raise kind(error["what"], value=error.get("value"), limit=error.get("limit"), remedy=error.get("remedy") or "")
    result: dict[str, Any] = answer["result"]
    return result

"""The inference process: one per workspace, loads checkpoints, writes text and looks inside models for the pages.

It is niced and computes on one thread, so that a training beside it keeps its speed, and ends itself after a while without questions.
Numbers from outside are bounded here. Not here: generations in flight (`generations.py`), the wire (`wire.py`).
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from llm_core.backend import wire
from llm_core.backend.generations import Generations
from llm_core.config.errors import UserError
from llm_core.config.run import user_error
from llm_core.config.sampling import SamplingConfig
from llm_core.config.timing import Timing
from llm_core.generation.decoding import starting_tokens
from llm_core.generation.likelihood import target_losses
from llm_core.generation.sampling import compare_candidates
from llm_core.generation.text_model import NeuralTextModel
from llm_core.inspection.attention import attention_weights
from llm_core.inspection.head_scores import head_scores
from llm_core.inspection.influence import influence_map
from llm_core.inspection.units import recurrent_units
from llm_core.models.loading import LoadedModel, load_checkpoint_model
from llm_core.workspace.checkpoints import find_checkpoint
from llm_core.workspace.locks import FileLock
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.runs import run_folder

_LOADED_BYTES = 2_000_000_000
_MAXIMUM_INSPECTED_TOKENS = 512
_MAXIMUM_PROMPT_CHARACTERS = 200_000


class ModelCache:
    """Checkpoints in memory, the least recently used let go when they are too many bytes. Thread-safe."""

    def __init__(self, workspace: Workspace, budget_bytes: int = _LOADED_BYTES) -> None:
        self._workspace = workspace
        self._budget_bytes = budget_bytes
        self._loaded: OrderedDict[Path, LoadedModel] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, run_id: str, step: int | None) -> tuple[LoadedModel, int]:
        """The model of a checkpoint and its step; None takes the newest there is at this moment."""
        checkpoint = find_checkpoint(run_folder(self._workspace, run_id), step)
        with self._lock:
            loaded = self._loaded.get(checkpoint.path)
            if loaded is None:
                loaded = load_checkpoint_model(checkpoint.path)
                self._loaded[checkpoint.path] = loaded
            self._loaded.move_to_end(checkpoint.path)
            while len(self._loaded) > 1 and sum(map(_size_bytes, self._loaded.values())) > self._budget_bytes:
                self._loaded.popitem(last=False)
        return loaded, checkpoint.step


def _size_bytes(loaded: LoadedModel) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in loaded.model.state_dict().values())


class Methods:
    """Everything that can be asked, one method each; parameters come from outside."""

    def __init__(self, workspace: Workspace) -> None:
        self._models = ModelCache(workspace)
        self.generations = Generations()

    def ping(self) -> dict[str, Any]:
        return {"pid": os.getpid()}

    def start(self, run_id: str, step: int | None, prompt: str, settings: dict[str, Any]) -> dict[str, Any]:
        loaded, at_step = self._models.get(run_id, step)
        tokens = loaded.tokenizer.encode(_bounded(prompt))
        model = NeuralTextModel(loaded.model, loaded.tokenizer)
        return {"id": self.generations.start(model, tokens, _settings(settings), at_step)}

    def poll(self, id: str, after: int = 0) -> dict[str, Any]:
        return self.generations.poll(id, max(0, after))

    def stop(self, id: str) -> dict[str, Any]:
        self.generations.stop(id)
        return {"id": id}

    def next_token(self, run_id: str, step: int | None, prompt: str, settings: dict[str, Any]) -> dict[str, Any]:
        loaded, at_step = self._models.get(run_id, step)
        tokens = loaded.tokenizer.encode(_bounded(prompt)) or starting_tokens(loaded.tokenizer)
        logits_V = NeuralTextModel(loaded.model, loaded.tokenizer).start().read(tokens)
        candidates = compare_candidates(logits_V, set(tokens), _settings(settings))
        return {
            "step": at_step,
            "tokens": [
                {
                    "id": candidate.token,
                    "text": loaded.tokenizer.token_text(candidate.token),
                    "p": candidate.probability,
                    "p_after": candidate.candidate_probability,
                    "kept": candidate.candidate_probability > 0,
                }
                for candidate in candidates
            ],
        }

    def attention(self, run_id: str, step: int | None, text: str) -> dict[str, Any]:
        loaded, at_step = self._models.get(run_id, step)
        if loaded.model.is_recurrent:
            raise UserError("A recurrent network has no attention", remedy="Look at its influence map and its units")
        tokens = self._inspected(loaded, text)
        weights_LHTT = attention_weights(loaded.model, tokens)
        scores = head_scores(weights_LHTT, tokens)
        return {
            "step": at_step,
            "tokens": [loaded.tokenizer.token_text(token) for token in tokens],
            "weights": weights_LHTT,
            "scores": {
                name: {"values": score.values_LH, "chance": score.chance, "sentence": score.sentence}
                for name, score in scores.items()
            },
        }

    def influence(self, run_id: str, step: int | None, text: str) -> dict[str, Any]:
        loaded, at_step = self._models.get(run_id, step)
        tokens = self._inspected(loaded, text)
        names = [loaded.tokenizer.token_text(token) for token in tokens]
        return {"step": at_step, "tokens": names, "weights": influence_map(loaded.model, tokens)}

    def units(self, run_id: str, step: int | None, text: str) -> dict[str, Any]:
        loaded, at_step = self._models.get(run_id, step)
        tokens = self._inspected(loaded, text)
        units = recurrent_units(loaded.model, tokens)
        names = [loaded.tokenizer.token_text(token) for token in tokens]
        return {
            "step": at_step,
            "tokens": names,
            "states": units.states_LTU,
            "order": units.order_LU,
            "gates": units.gates,
        }

    def score(self, run_id: str, step: int | None, text: str) -> dict[str, Any]:
        import numpy as np

        loaded, at_step = self._models.get(run_id, step)
        tokens = loaded.tokenizer.encode(_bounded(text))
        if len(tokens) < 2:
            raise UserError("The text is too short to be scored", value=f"{len(tokens)} tokens", limit="at least 2")
        losses = np.concatenate(list(target_losses(loaded.model, np.array(tokens))))
        return {
            "step": at_step,
            "tokens": [
                {
                    "id": token,
                    "text": loaded.tokenizer.token_text(token),
                    "p": None if index == 0 else float(np.exp(-losses[index - 1])),
                }
                for index, token in enumerate(tokens)
            ],
            "nats": float(losses.sum(dtype=np.float64)),
        }

    def _inspected(self, loaded: LoadedModel, text: str) -> list[int]:
        limit = min(
            _MAXIMUM_INSPECTED_TOKENS,
            _MAXIMUM_INSPECTED_TOKENS if loaded.model.is_recurrent else loaded.model.context_length,
        )
        tokens = loaded.tokenizer.encode(_bounded(text))
        if not 2 <= len(tokens) <= limit:
            raise UserError(
                "This text cannot be looked at as a whole",
                value=f"{len(tokens):,} tokens",
                limit=f"2 to {limit:,} tokens",
                remedy="Choose a shorter piece" if len(tokens) > limit else "Write a little more",
            )
        return tokens


def _bounded(text: str) -> str:
    if len(text) > _MAXIMUM_PROMPT_CHARACTERS:
        raise UserError(
            "The text is too long",
            value=f"{len(text):,} characters",
            limit=f"{_MAXIMUM_PROMPT_CHARACTERS:,} characters",
            remedy="Use `glassbox score --file` for long texts",
        )
    return text


def _settings(values: dict[str, Any]) -> SamplingConfig:
    from pydantic import ValidationError

    try:
        return SamplingConfig.model_validate(values)
    except ValidationError as error:
        raise user_error(error) from error


class InferenceServer:
    """Answers until nobody asks any more."""

    def __init__(self, workspace: Workspace, timing: Timing) -> None:
        self._timing = timing
        self._listener = wire.listen(workspace.inference_socket)
        self._methods = Methods(workspace)
        self._asked_at = time.monotonic()
        self._stopping = False

    def stop(self, *_: object) -> None:
        """Leave at the next look."""
        self._stopping = True

    def serve(self) -> None:
        """One thread per question; questions are few and short."""
        self._listener.settimeout(min(0.5, self._timing.inference_idle_seconds / 2))
        with self._listener:
            while not self._stopping and not self._is_idle():
                try:
                    connection, _ = self._listener.accept()
                except TimeoutError:
                    continue
                self._asked_at = time.monotonic()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()
        self._methods.generations.stop_all()

    def _is_idle(self) -> bool:
        if self._methods.generations.are_running():
            self._asked_at = time.monotonic()
        return time.monotonic() - self._asked_at > self._timing.inference_idle_seconds

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(10.0)
            try:
                request = wire.decode(wire.read_line(connection, wire.MAXIMUM_REQUEST_BYTES))
            except (ValueError, OSError):
                return  # whoever it was did not finish the question
            answer = self._answer_to(request)
            try:
                connection.sendall(wire.encode(answer))
            except OSError:
                return  # nobody waits for the answer any more

    def _answer_to(self, request: Any) -> dict[str, Any]:
        names = ("ping", "start", "poll", "stop", "next_token", "attention", "influence", "units", "score")
        try:
            if request["method"] not in names:
                raise UserError("The inference process does not know this question", value=request["method"])
            method: Callable[..., dict[str, Any]] = getattr(self._methods, request["method"])
            return {"result": method(**request["parameters"])}
        except UserError as error:
            return {"error": error.to_dict()}
        except Exception as error:  # one bad question must not end the process; the log keeps the whole story
            traceback.print_exc()
            return {
                "error": {
                    "what": f"The inference process met a fault: {type(error).__name__}",
                    "remedy": "Its log tells more",
                }
            }


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the process."""
    parser = argparse.ArgumentParser(
        prog="glassbox inference", description="Answers the pages' questions about models."
    )
    parser.add_argument("--workspace", required=True)
    workspace = open_workspace(parser.parse_args(arguments).workspace)
    lock = FileLock(workspace.inference_lock)
    if not lock.try_acquire():
        return 0
    os.nice(5)
    torch.set_num_threads(1)
    with lock:
        server = InferenceServer(workspace, Timing.from_environment())
        signal.signal(signal.SIGTERM, server.stop)
        signal.signal(signal.SIGINT, server.stop)
        server.serve()
        workspace.inference_socket.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

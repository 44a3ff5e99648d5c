"""Generations in flight: each has an id and a thread, is polled by number of token, and can be stopped; no text is ever lost.

Not here: how text is written (`llm_core.generation.decoding`), how it is kept (`generation_files.py`).
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llm_core.backend.generation_files import GenerationFile, forget_oldest, read_generation
from llm_core.backend.process_log import say_where_it_broke
from llm_core.config.errors import Refused
from llm_core.config.sampling import SamplingConfig
from llm_core.generation.decoding import GeneratedToken, Generation
from llm_core.generation.text_model import TextModel
from llm_core.workspace.paths import Workspace

_MAXIMUM_KEPT = 50
_MAXIMUM_RUNNING = 4


@dataclass
class _InFlight:
    id: str
    generation: Generation
    asked: dict[str, Any]
    state: str = "running"
    error: str = ""
    tokens: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    stop: threading.Event = field(default_factory=threading.Event)

    def figures(self) -> dict[str, Any]:
        """Everything but the tokens."""
        generation = self.generation
        return {
            "id": self.id,
            "state": self.state,
            "text": generation.text,
            "prompt_tokens": self.asked["prompt_tokens"],
            "new_tokens": generation.num_tokens,
            "tokens_per_second": generation.tokens_per_second,
            "first_token_seconds": generation.first_token_seconds,
            "seed": generation.seed,
            "finish": generation.finish,
            "truncated": generation.truncated,
            "step": self.asked["step"],
            "error": self.error,
        }


class Generations:
    """Starts, polls and stops. Thread-safe."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._known: OrderedDict[str, _InFlight] = OrderedDict()
        self._lock = threading.Lock()

    def start(
        self,
        model: TextModel,
        prompt: list[int],
        settings: SamplingConfig,
        asked: Mapping[str, Any],
        gaps: Mapping[int, int] | None = None,
    ) -> str:
        """Begin a generation.

        Args:
            asked: what the request was, JSON values, kept beside the text: `run_id`, `run_name`, `step`, `prompt`, `settings`;
                `prompt_tokens` where more was read than the prompt.
            gaps: the tokens that name gaps of a source, with the number of each.

        Raises:
            Refused: too many are under way.
        """
        stop = threading.Event()
        generation = Generation(model, prompt, settings, stop.is_set)
        generation_id = secrets.token_hex(8)
        facts = {"prompt_tokens": len(generation.prompt), **asked, "seed": generation.seed}
        flight = _InFlight(generation_id, generation, facts, stop=stop)
        with self._lock:
            if sum(other.state == "running" for other in self._known.values()) >= _MAXIMUM_RUNNING:
                raise Refused(
                    "Several texts are being written already",
                    limit=f"{_MAXIMUM_RUNNING} at once",
                    remedy="Stop one, or wait",
                )
            self._known[generation_id] = flight
            ended = [key for key, other in self._known.items() if other.state != "running"]
            for key in ended[: max(0, len(self._known) - _MAXIMUM_KEPT)]:
                del self._known[key]
        file = GenerationFile(self._workspace, generation_id, facts)
        forget_oldest(self._workspace)
        threading.Thread(target=_write, args=(flight, file, gaps or {}), daemon=True).start()
        return generation_id

    def poll(self, generation_id: str, after: int) -> dict[str, Any]:
        """Everything about one generation, with its tokens from number `after` on; raises NotFound when there is none."""
        with self._lock:
            flight = self._known.get(generation_id)
        if flight is None:
            return read_generation(self._workspace, generation_id).answer(after)
        figures = flight.figures()  # before the tokens, so that a final state comes with all of them
        return {**figures, "tokens": flight.tokens[after:]}

    def stop(self, generation_id: str) -> None:
        """End it after its present token; one that is not being written stays as it is."""
        with self._lock:
            flight = self._known.get(generation_id)
        if flight is not None:
            flight.stop.set()

    def stop_all(self, wait_seconds: float = 2.0) -> None:
        """End all of them, and give each a moment to write its end."""
        with self._lock:
            for flight in self._known.values():
                flight.stop.set()
        deadline = time.monotonic() + wait_seconds
        while self.are_running() and time.monotonic() < deadline:
            time.sleep(0.01)

    def are_running(self) -> bool:
        """Whether anything is being written."""
        with self._lock:
            return any(flight.state == "running" for flight in self._known.values())


def _write(flight: _InFlight, file: GenerationFile, gaps: Mapping[int, int]) -> None:
    state = "failed"
    try:
        for token in flight.generation:
            shown = _shown(token, gaps)
            file.token(shown)
            flight.tokens.append(shown)
        state = "stopped" if flight.generation.finish == "cancelled" else "done"
    except Exception as error:  # the thread ends here; the page must learn why
        say_where_it_broke()
        flight.error = str(error) or type(error).__name__
    file.end({**flight.figures(), "state": state})
    flight.state = state


def _shown(token: GeneratedToken, gaps: Mapping[int, int]) -> dict[str, Any]:
    """As `llm_core/ui/token_view.py` shows it."""
    alternatives = [
        {"text": named(other.token, other.text, gaps), "p": other.probability, "id": other.token}
        for other in token.alternatives
    ]
    shown = {"id": token.token, "text": named(token.token, token.text, gaps), "p": token.probability}
    gap = {"gap": gaps[token.token]} if token.token in gaps else {}
    return {**shown, **gap, "alternatives": alternatives}


def named(token: int, text: str, gaps: Mapping[int, int]) -> str:
    """The token's text; one that stands for a gap is called after it, whatever its tokenizer calls it."""
    return f"⟨gap {gaps[token]}⟩" if token in gaps else text

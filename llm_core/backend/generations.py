"""Generations in flight: each has an id and a thread, is polled by number of token, and can be stopped; no text is ever lost.

Not here: how text is written (`llm_core.generation.decoding`).
"""

from __future__ import annotations

import secrets
import threading
import traceback
from collections import OrderedDict
from dataclasses import asdict, dataclass, field
from typing import Any

from llm_core.config.errors import NotFound, Refused
from llm_core.config.sampling import SamplingConfig
from llm_core.generation.decoding import Generation
from llm_core.generation.text_model import NeuralTextModel

_MAXIMUM_KEPT = 100
_MAXIMUM_RUNNING = 4


@dataclass
class _InFlight:
    generation: Generation
    step: int
    state: str = "running"
    error: str = ""
    tokens: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    stop: threading.Event = field(default_factory=threading.Event)


class Generations:
    """Starts, polls and stops. Thread-safe."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _InFlight] = OrderedDict()
        self._lock = threading.Lock()

    def start(self, model: NeuralTextModel, prompt: list[int], settings: SamplingConfig, step: int) -> str:
        """Begin a generation; raises Refused when too many are under way."""
        stop = threading.Event()
        flight = _InFlight(Generation(model, prompt, settings, stop.is_set), step, stop=stop)
        with self._lock:
            if sum(other.state == "running" for other in self._known.values()) >= _MAXIMUM_RUNNING:
                raise Refused(
                    "Several texts are being written already",
                    limit=f"{_MAXIMUM_RUNNING} at once",
                    remedy="Stop one, or wait",
                )
            generation_id = secrets.token_hex(8)
            self._known[generation_id] = flight
            while len(self._known) > _MAXIMUM_KEPT:
                oldest = next((key for key, other in self._known.items() if other.state != "running"), None)
                if oldest is None:
                    break
                del self._known[oldest]
        threading.Thread(target=_write, args=(flight,), daemon=True).start()
        return generation_id

    def poll(self, generation_id: str, after: int) -> dict[str, Any]:
        """Everything about one generation, with its tokens from number `after` on."""
        flight = self._find(generation_id)
        state = flight.state  # before the tokens, so that a final state comes with all of them
        generation = flight.generation
        return {
            "id": generation_id,
            "state": state,
            "tokens": flight.tokens[after:],
            "text": generation.text,
            "prompt_tokens": len(generation.prompt),
            "new_tokens": generation.num_tokens,
            "tokens_per_second": generation.tokens_per_second,
            "first_token_seconds": generation.first_token_seconds,
            "seed": generation.seed,
            "finish": generation.finish,
            "truncated": generation.truncated,
            "step": flight.step,
            "error": flight.error,
        }

    def stop(self, generation_id: str) -> None:
        """End it after its present token."""
        self._find(generation_id).stop.set()

    def stop_all(self) -> None:
        """End all of them."""
        with self._lock:
            for flight in self._known.values():
                flight.stop.set()

    def are_running(self) -> bool:
        """Whether anything is being written."""
        with self._lock:
            return any(flight.state == "running" for flight in self._known.values())

    def _find(self, generation_id: str) -> _InFlight:
        with self._lock:
            flight = self._known.get(generation_id)
        if flight is None:
            raise NotFound("This generation is no longer known", value=generation_id, remedy="Generate again")
        return flight


def _write(flight: _InFlight) -> None:
    try:
        for token in flight.generation:
            alternatives = [
                {"text": other.text, "p": other.probability, "id": other.token} for other in token.alternatives
            ]
            values = asdict(token)
            flight.tokens.append(
                {"id": token.token, "text": token.text, "p": values["probability"], "alternatives": alternatives}
            )
        flight.state = "stopped" if flight.generation.finish == "cancelled" else "done"
    except Exception as error:  # the thread ends here; the page must learn why
        traceback.print_exc()
        flight.error = str(error) or type(error).__name__
        flight.state = "failed"

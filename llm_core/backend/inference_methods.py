"""What the inference process can be asked, one method each. Numbers from outside are bounded here.

Not here: the socket and the life of the process (`inference_server.py`), generations in flight (`generations.py`).
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from pydantic import ValidationError

from llm_core.backend.generations import Generations, named
from llm_core.backend.inference_client import MAXIMUM_INSPECTED_TOKENS
from llm_core.backend.model_cache import ModelCache
from llm_core.backend.step_batch import step_batch
from llm_core.config.errors import UserError
from llm_core.config.run import user_error
from llm_core.config.sampling import SamplingConfig
from llm_core.generation.answer_text_model import AnswerTextModel
from llm_core.generation.decoding import starting_tokens
from llm_core.generation.filling import fill_text
from llm_core.generation.opening import OpenedModel
from llm_core.generation.prompts import gap_numbers, ready_to_write
from llm_core.generation.sampling import compare_candidates
from llm_core.inspection.influence import answer_influence_map, filling_influence_map, influence_map
from llm_core.inspection.overview import attention_overview
from llm_core.inspection.reading import Reading, read_text
from llm_core.inspection.units import recurrent_units
from llm_core.text.hidden_places import GAP
from llm_core.text.visible import shown_token
from llm_core.workspace.paths import Workspace

METHODS = frozenset(
    {"ping", "start", "poll", "stop", "next_token", "attention", "influence", "units", "score", "fill", "step_batch"}
)
MAXIMUM_PROMPT_CHARACTERS = 200_000


class Methods:
    """Everything that can be asked; parameters come from outside."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.models = ModelCache(workspace)
        self.generations = Generations(workspace)

    def ping(self) -> dict[str, Any]:
        """That the process lives, and how many models it holds."""
        return {"pid": os.getpid(), "models": len(self.models)}

    def start(self, run_id: str, step: int | None, prompt: str, settings: dict[str, Any]) -> dict[str, Any]:
        """Begin to write."""
        loaded, at_step = self.models.get(run_id, step)
        model, tokens = ready_to_write(loaded, _bounded(prompt))
        chosen = _settings(settings)
        asked: dict[str, Any] = {
            "run_id": run_id,
            "run_name": loaded.config.name,
            "step": at_step,
            "prompt": prompt,
            "settings": chosen.model_dump(mode="json"),
        }
        if isinstance(model, AnswerTextModel):
            asked["prompt_tokens"] = model.source_tokens
            asked["source"] = prompt.split(GAP) if loaded.vocabulary.first_mark is not None else [prompt]
        return {"id": self.generations.start(model, tokens, chosen, asked, gap_numbers(loaded))}

    def poll(self, id: str, after: int = 0) -> dict[str, Any]:
        """Figures of a generation, and its tokens from number `after` on."""
        return self.generations.poll(id, max(0, after))

    def stop(self, id: str) -> dict[str, Any]:
        """End a generation."""
        self.generations.stop(id)
        return {"id": id}

    def next_token(self, run_id: str, step: int | None, prompt: str, settings: dict[str, Any]) -> dict[str, Any]:
        """The likeliest next tokens, before and after the settings."""
        loaded, at_step = self.models.get(run_id, step)
        model, tokens = ready_to_write(loaded, _bounded(prompt))
        tokens = tokens or starting_tokens(loaded.tokenizer)
        gaps = gap_numbers(loaded)
        if GAP in prompt:
            tokens += list(gaps)[:1]  # what may stand in the first gap; that it is named first is no question
        logits_V = model.start(len(tokens)).read(tokens)
        candidates = compare_candidates(logits_V, set(tokens), _settings(settings))
        return {
            "step": at_step,
            "tokens": [
                {
                    "id": candidate.token,
                    "text": named(candidate.token, shown_token(loaded.tokenizer, candidate.token), gaps),
                    "p": candidate.probability,
                    "p_after": candidate.candidate_probability,
                    "kept": candidate.candidate_probability > 0,
                }
                for candidate in candidates
            ],
        }

    def fill(self, run_id: str, step: int | None, text: str) -> dict[str, Any]:
        """What an encoder would put in each place of a text."""
        loaded, at_step = self.models.get(run_id, step)
        filled = fill_text(loaded, _bounded(text))
        return {"step": at_step, **filled.to_json(loaded.tokenizer)}

    def attention(
        self,
        run_id: str,
        step: int | None,
        text: str,
        layer: int = 0,
        part: str | None = None,
        answer: str | None = None,
    ) -> dict[str, Any]:
        """All heads small, one layer's exactly, measures of all."""
        loaded, at_step = self.models.get(run_id, step)
        network, reading = loaded.require_network(), _reading(loaded, text, answer)
        overview = attention_overview(network, reading.tokens, layer, source=reading.source, part=part)
        return {
            "step": at_step,
            **_read(reading),
            "tokens": _names(loaded, overview.recorded.rows),
            "columns": _names(loaded, overview.recorded.columns),
            "thumbnails": overview.thumbnails_LHTS,
            "weights": overview.layer_HTS,
            "visible": overview.visible_TS,
            "scores": {
                name: {"values": score.values_LH, "chance": score.chance_L, "sentence": score.sentence}
                for name, score in overview.scores.items()
            },
        }

    def influence(self, run_id: str, step: int | None, text: str, answer: str | None = None) -> dict[str, Any]:
        """How much each token moves each prediction."""
        loaded, at_step = self.models.get(run_id, step)
        network, reading = loaded.require_network(), _reading(loaded, text, answer)
        tokens, columns = reading.tokens, reading.tokens
        visible = np.tril(np.ones((len(tokens), len(tokens)), dtype=bool))
        if reading.source is not None:
            columns = [*reading.source, *tokens]
            visible = np.concatenate([np.ones((len(tokens), len(reading.source)), dtype=bool), visible], axis=1)
            weights = answer_influence_map(network, reading.source, tokens)
        elif loaded.vocabulary.mask_token is not None:
            visible = ~np.eye(len(tokens), dtype=bool)
            weights = filling_influence_map(network, tokens, loaded.vocabulary.mask_token)
        else:
            weights = influence_map(network, tokens)
        return {
            "step": at_step,
            **_read(reading),
            "tokens": _names(loaded, tokens),
            "columns": _names(loaded, columns),
            "weights": weights,
            "visible": visible,
        }

    def units(self, run_id: str, step: int | None, text: str) -> dict[str, Any]:
        """Hidden units of a recurrent network over the text."""
        loaded, at_step = self.models.get(run_id, step)
        network, tokens = loaded.require_network(), _reading(loaded, text).tokens
        units = recurrent_units(network, tokens)
        return {
            "step": at_step,
            "tokens": _names(loaded, tokens),
            "states": units.states_LTU,
            "order": units.order_LU,
            "gates": units.gates,
        }

    def score(self, run_id: str, step: int | None, text: str) -> dict[str, Any]:
        """How likely a text is, token by token."""
        loaded, at_step = self.models.get(run_id, step)
        tokens = loaded.tokenizer.encode(_bounded(text))
        losses = np.concatenate(list(loaded.text_model().target_nats(np.array(tokens))))
        probabilities = [None, *np.exp(-losses.astype(np.float64)).tolist()]
        return {
            "step": at_step,
            "tokens": [
                {"id": token, "text": shown_token(loaded.tokenizer, token), "p": probability}
                for token, probability in zip(tokens, probabilities, strict=True)
            ],
            "nats": float(losses.sum(dtype=np.float64)),
        }

    def step_batch(self, run_id: str, step: int) -> dict[str, Any]:
        """What a step of a run was computed from, token by token."""
        return step_batch(self._workspace, self.models, run_id, int(step))


def _names(loaded: OpenedModel, tokens: list[int]) -> list[str]:
    return [shown_token(loaded.tokenizer, token) for token in tokens]


def _reading(loaded: OpenedModel, text: str, answer: str | None = None) -> Reading:
    answer = None if answer is None else _bounded(answer)
    return read_text(loaded, _bounded(text), answer, longest=MAXIMUM_INSPECTED_TOKENS)


def _read(reading: Reading) -> dict[str, Any]:
    """What a page says about an answer that it did not ask for."""
    return {
        "num_tokens": len(reading.tokens),
        "num_source": None if reading.source is None else len(reading.source),
        "answer": reading.answer,
        "is_own_answer": reading.is_own_answer,
        "ended": reading.ended,
    }


def _bounded(text: str) -> str:
    if len(text) > MAXIMUM_PROMPT_CHARACTERS:
        raise UserError(
            "The text is too long",
            value=f"{len(text):,} characters",
            limit=f"{MAXIMUM_PROMPT_CHARACTERS:,} characters",
            remedy="Use `glassbox score --file` for long texts",
        )
    return text


def _settings(values: dict[str, Any]) -> SamplingConfig:
    try:
        return SamplingConfig.model_validate(values)
    except ValidationError as error:
        raise user_error(error) from error

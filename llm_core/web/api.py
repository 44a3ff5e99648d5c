"""The routes that components and programs read: live series, the text of a generation, the state of the server.

Every endpoint is an ordinary function, which Starlette runs in a thread: the event loop, and with it every open page, never
waits for a disk. What does not exist under /api answers 404 as JSON. Who may ask is decided before (`access.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from llm_core.config.errors import NotFound, Refused, UserError
from llm_core.web.device_sampler import DeviceSampler
from llm_core.web.json_response import error_response, json_response
from llm_core.web.run_curves import shared_curves
from llm_core.web.series import answer, parse_query
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.metrics_read import heartbeat
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

Endpoint = Callable[[Request], Response]


class Generations(Protocol):
    """The part of the inference client that the routes need."""

    def poll_generation(self, generation_id: str, after: int) -> dict[str, Any]:
        """What the generation has written since token number `after`."""
        ...

    def stop_generation(self, generation_id: str) -> object:
        """Ask the generation to end."""
        ...


class Api:
    """The endpoints over one workspace. Opens the registry on first use and keeps it for all threads."""

    def __init__(self, workspace: Workspace, generations: Generations, devices: DeviceSampler) -> None:
        self._workspace = workspace
        self._generations = generations
        self._devices = devices
        self._cache = shared_curves()
        self._registry: Registry | None = None
        self._lock = threading.Lock()

    def routes(self) -> list[BaseRoute]:
        """The routes, the refusal of everything else under /api last."""
        return [
            Route("/api/status", _answering(self.status), methods=["GET"]),
            Route("/api/runs/{id}/series", _answering(self.series), methods=["GET"]),
            Route("/api/runs/{id}/heartbeat", _answering(self.heartbeat), methods=["GET"]),
            Route("/api/generations/{id}", _answering(self.generation), methods=["GET"]),
            Route("/api/generations/{id}/stop", _answering(self.stop_generation), methods=["POST"]),
            Route("/api", no_such_route, methods=METHODS),
            Route("/api/{path:path}", no_such_route, methods=METHODS),
        ]

    def close(self) -> None:
        """Close the registry."""
        with self._lock:
            if self._registry is not None:
                self._registry.close()
                self._registry = None

    def status(self, request: Request) -> Response:
        """The workspace, how busy the devices are, and what runs, waits or is paused."""
        jobs = [job for job in self._open_registry().jobs() if not job.is_final]
        return json_response(
            {
                "workspace": str(self._workspace.root),
                "devices": [load.line for load in self._devices.latest()],
                "jobs": [self._job(job) for job in jobs],
            }
        )

    def series(self, request: Request) -> Response:
        """The visible stretch of some curves; 304 when the asker has it."""
        record = self._run(request)
        query = parse_query(request.query_params)
        found = answer(self._workspace, self._cache, record, query)
        return Response(status_code=304) if found is None else json_response(found)

    def heartbeat(self, request: Request) -> Response:
        """How far a run is, in the worker's own figures."""
        record = self._run(request)
        beat = heartbeat(run_folder(self._workspace, record.id))
        return json_response(
            {
                "state": record.state,
                "reason": record.reason,
                "remedy": record.remedy,
                "progress": {} if beat is None else beat.progress,
                "written_at": None if beat is None else beat.written_at,
            }
        )

    def generation(self, request: Request) -> Response:
        """What a generation has written since token `after`."""
        text = request.query_params.get("after", "0")
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise UserError("`after` must be the number of tokens seen", value=text, limit="0 or more")
        return json_response(self._generations.poll_generation(request.path_params["id"], int(text)))

    def stop_generation(self, request: Request) -> Response:
        """Ask a generation to end; what it has written stays."""
        self._generations.stop_generation(request.path_params["id"])
        return json_response({"stopping": True}, 202)

    def _run(self, request: Request) -> JobRecord:
        record = self._open_registry().get(request.path_params["id"])
        if record.kind != "train":
            raise NotFound("This job is not a run", value=record.id)
        return record

    def _job(self, record: JobRecord) -> dict[str, Any]:
        is_run = record.kind == "train"
        beat = heartbeat(run_folder(self._workspace, record.id)) if is_run else None
        return {
            "id": record.id,
            "kind": record.kind,
            "name": record.name,
            "state": record.state,
            "progress": {} if beat is None else beat.progress,
        }

    def _open_registry(self) -> Registry:
        with self._lock:
            if self._registry is None:
                self._registry = Registry(self._workspace)
            return self._registry


def no_such_route(request: Request) -> Response:
    """Without this, Streamlit would answer with its page and 200."""
    return error_response(NotFound("There is nothing at this address"), 404)


def _answering(endpoint: Endpoint) -> Endpoint:
    """The endpoint with what a person did wrong turned into an answer."""

    @wraps(endpoint)
    def answering(request: Request) -> Response:
        try:
            return endpoint(request)
        except NotFound as error:
            return error_response(error, 404)
        except Refused as error:
            return error_response(error, 409)
        except UserError as error:
            return error_response(error, 400)

    return answering

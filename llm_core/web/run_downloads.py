"""Downloads of a run that may be large: all its points as CSV, the whole run as a zip. Sent piece by piece while they are made.

A page links to them, because what goes through a page is held in the server's memory as a whole. Whoever may read may download. Not
here: what is in them (`llm_core.backend.points_csv`, `llm_core.backend.run_archive`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from llm_core.backend.points_csv import points_csv
from llm_core.backend.run_archive import archive_chunks
from llm_core.config.errors import NotFound, UserError
from llm_core.web.json_response import error_response
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder


def points_address(run_id: str, *, with_abandoned: bool = False) -> str:
    """Where all points of a run are downloaded."""
    return f"/api/runs/{quote(run_id, safe='')}/points.csv{'?all=1' if with_abandoned else ''}"


def archive_address(run_id: str, *, with_checkpoints: bool) -> str:
    """Where the zip of a run is downloaded."""
    return f"/api/runs/{quote(run_id, safe='')}/run.zip?checkpoints={int(with_checkpoints)}"


class RunDownloads:
    """The routes over one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def routes(self) -> list[BaseRoute]:
        """To be asked before those of `Api`, which refuse every other address under /api."""
        return [
            Route("/api/runs/{id}/points.csv", self.points, methods=["GET"]),
            Route("/api/runs/{id}/run.zip", self.archive, methods=["GET"]),
        ]

    def points(self, request: Request) -> Response:
        """All points; with `all=1` also those of stretches that were rolled back."""
        try:
            record = self._run(request)
            text = points_csv(
                run_folder(self._workspace, record.id), with_abandoned=request.query_params.get("all") == "1"
            )
            pieces = (piece.encode() for piece in text)
            return _download(request, pieces, f"{record.name}-points.csv", "text/csv; charset=utf-8")
        except UserError as error:
            return _refusal(error)

    def archive(self, request: Request) -> Response:
        """The run's folder as a zip; with `checkpoints=0` without them."""
        try:
            record = self._run(request)
            with_checkpoints = request.query_params.get("checkpoints") != "0"
            pieces = archive_chunks(run_folder(self._workspace, record.id), with_checkpoints=with_checkpoints)
            return _download(request, pieces, f"{record.name}-{record.id}.zip", "application/zip")
        except UserError as error:
            return _refusal(error)

    def _run(self, request: Request) -> JobRecord:
        with Registry(self._workspace) as registry:
            record = registry.get(request.path_params["id"])
        if record.kind != "train":
            raise NotFound("This job is not a run", value=record.id)
        return record


def _download(request: Request, pieces: Iterator[bytes], name: str, media_type: str) -> Response:
    """The pieces as a file; the first is made here, so that what is wrong is answered instead of begun."""
    plain = "".join(character if character.isascii() and character.isalnum() else "-" for character in name[:-4])
    headers = {
        "Content-Disposition": f"attachment; filename=\"{plain}{name[-4:]}\"; filename*=UTF-8''{quote(name, safe='')}",
        "Cache-Control": "no-store",
    }
    if request.method == "HEAD":
        return Response(headers=headers, media_type=media_type)
    first = next(pieces, b"")
    return StreamingResponse(chain([first], pieces), headers=headers, media_type=media_type)


def _refusal(error: UserError) -> Response:
    return error_response(error, 404 if isinstance(error, NotFound) else 400)

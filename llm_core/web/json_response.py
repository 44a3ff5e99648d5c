"""JSON answers of the routes: fast, without NaN, never cached, errors in one shape.

{"error": {"what": "...", "value": null, "limit": null, "remedy": "..."}}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

from llm_core.config.errors import UserError


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The value as JSON; numpy arrays become lists, NaN and infinities null."""
    body = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    merged = {"Cache-Control": "no-store", **(headers or {})}
    return Response(body, status, merged, media_type="application/json")


def error_response(error: UserError, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """What a person did wrong, in the four parts of a UserError."""
    return json_response({"error": error.to_dict()}, status, headers)

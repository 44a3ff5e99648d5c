"""The routes that the server really has, each with each method: foreign hosts, other sites, nobody signed in, and hostile text.

Not here: the rules one by one (`test_access.py`), what the routes answer (`test_series.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

from llm_core.backend.inference_client import InferenceClient
from llm_core.web.access import SAFE_METHODS, AccessMiddleware
from llm_core.web.access_policy import AccessPolicy
from llm_core.web.api import METHODS, Api
from llm_core.web.application import all_routes
from llm_core.web.device_sampler import shared_sampler
from llm_core.workspace.paths import Workspace
from tests.web.live_run import LiveRun

HERE = "http://127.0.0.1:8501"
EVIL = "<script>alert(1)</script>"
PASSWORDS = {"GLASSBOX_PASSWORD": "correct horse", "GLASSBOX_VIEWER_PASSWORD": "battery staple"}


@pytest.fixture
def serve(workspace: Workspace) -> Iterator[Callable[[dict[str, str]], TestClient]]:
    """The server without Streamlit's part, under the access rules of an environment."""
    api = Api(workspace, InferenceClient(workspace), shared_sampler())
    routes = all_routes(workspace, api)

    def start(environment: dict[str, str]) -> TestClient:
        policy = AccessPolicy.from_environment(workspace, environment)
        app = AccessMiddleware(Starlette(routes=routes), policy)
        return TestClient(app, base_url=HERE, follow_redirects=False, raise_server_exceptions=False)

    yield start
    api.close()


def addresses(workspace: Workspace) -> list[str]:
    """One address of every route."""
    api = Api(workspace, InferenceClient(workspace), shared_sampler())
    return [re.sub(r"\{[^}]+\}", "x", route.path) for route in all_routes(workspace, api) if isinstance(route, Route)]


def test_every_route_and_method_refuses_strangers(
    serve: Callable[[dict[str, str]], TestClient], workspace: Workspace
) -> None:
    alone, asking = serve({}), serve(PASSWORDS)
    viewer = serve(PASSWORDS)
    assert viewer.post("/sign-in", data={"password": "battery staple"}).status_code == 303
    for address in addresses(workspace):
        for method in (*METHODS, "TRACE", "PROPFIND"):
            case = (method, address)
            is_write = method not in SAFE_METHODS
            for browser, host in ((alone, "evil.test"), (alone, ""), (asking, "evil.test")):
                assert browser.request(method, address, headers={"Host": host}).status_code == 403, case
            if is_write:
                for headers in ({"Origin": "http://evil.test"}, {"Sec-Fetch-Site": "same-site"}):
                    assert alone.request(method, address, headers=headers).status_code == 403, case
                assert viewer.request(method, address).status_code == 403, case
            assert asking.request(method, address).status_code == 401, case
            assert alone.request(method, address).status_code != 500, case


HOSTILE_IDS = (
    *("..%2f..%2fetc%2fpasswd", "%2e%2e", "..%252f..%252fx", "..%5c..%5cx", "%00", "a%00b", "x" * 3000, "%F0%9F%92%A9"),
    *("CON", "-rf", "%24(id)", "{{7*7}}", "%3Cscript%3Ealert(1)%3C%2Fscript%3E", "%E2%80%AEx", "glassbox.db", "*"),
)


@pytest.mark.parametrize("hostile", HOSTILE_IDS)
def test_a_hostile_id_is_no_run_and_no_text(serve: Callable[[dict[str, str]], TestClient], hostile: str) -> None:
    browser = serve({})
    runs = [f"/api/runs/{{}}/{what}" for what in ("series?keys=a", "heartbeat", "points.csv", "run.zip")]
    for address in (*runs, "/api/generations/{}"):
        response = browser.get(address.format(hostile))
        assert response.status_code == 404, address
        assert response.headers["content-type"] == "application/json" and response.json()["error"]["what"]
    assert browser.post(f"/api/generations/{hostile}/stop").status_code in (202, 404)


NUMBERS = (
    "1000000000000",
    "-1",
    "NaN",
    "inf",
    "-inf",
    "1e309",
    "1e400",
    "9" * 400,
    "0x10",
    "",
    " ",
    "٥",
    "5,5",
    "true",
)


def test_no_number_of_a_request_ends_in_a_fault(
    serve: Callable[[dict[str, str]], TestClient], live_run: Callable[[str], LiveRun]
) -> None:
    run = live_run("numbers")
    browser = serve({})
    for name in ("from", "to", "pixels", "smooth", "scale", "x", "keys", "revision"):
        for text in NUMBERS:
            parameters = {"keys": "train_loss", name: text}
            response = browser.get(f"/api/runs/{run.record.id}/series", params=parameters)
            assert response.status_code in (200, 400), parameters
            assert "NaN" not in response.text.replace(text, "") and "Infinity" not in response.text
    for text in NUMBERS:
        response = browser.get("/api/generations/0123456789abcdef", params={"after": text})
        assert response.status_code in (400, 404), text
    many = "&".join(f"keys={number}" for number in range(5000))
    assert browser.get(f"/api/runs/{run.record.id}/series?{many}").status_code in (200, 400)
    keys = ",".join(map(str, range(5000)))
    assert browser.get(f"/api/runs/{run.record.id}/series", params={"keys": keys}).status_code == 400


def test_nothing_of_a_request_comes_back_as_markup(serve: Callable[[dict[str, str]], TestClient]) -> None:
    headers = dict.fromkeys(("User-Agent", "Referer", "X-Forwarded-Host", "X-Forwarded-For", "Accept-Language"), EVIL)
    for environment in ({}, PASSWORDS):
        browser = serve(environment)
        for address in (
            f"/{EVIL}",
            f"/api/{EVIL}?q={EVIL}",
            f"/sign-in?next={EVIL}&x={EVIL}",
            f"/api/runs/{EVIL}/series",
        ):
            for method in METHODS:
                for more in ({}, {"Host": EVIL}, {"Origin": EVIL}, {"Cookie": f"a={EVIL}"}, {"Accept": "text/html"}):
                    response = browser.request(method, address, headers={**headers, **more})
                    kind = response.headers.get("content-type", "")
                    assert "<script" not in response.text or kind == "application/json", (method, address, more)
                    assert response.headers["x-content-type-options"] == "nosniff"
                    assert EVIL not in str(response.headers)


def test_a_fault_of_a_route_shows_nothing_of_it(
    serve: Callable[[dict[str, str]], TestClient], live_run: Callable[[str], LiveRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = live_run("faults")
    browser = serve({})

    def fails(*_: object) -> None:
        raise RuntimeError(f"a secret in {__file__}")

    monkeypatch.setattr("llm_core.web.api.run_folder", fails)
    response = browser.get(f"/api/runs/{run.record.id}/heartbeat")
    assert response.status_code == 500
    assert response.text == "Internal Server Error" and "secret" not in str(response.headers)


def test_a_body_without_end_is_cut_and_many_fields_are_refused(
    serve: Callable[[dict[str, str]], TestClient],
) -> None:
    browser = serve(PASSWORDS)
    for body in (b"password=" + b"x" * 5_000_000, b"&".join(b"a%d=1" % number for number in range(100_000))):
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        assert browser.post("/sign-in", content=body, headers=headers).status_code == 401
    assert browser.post("/sign-in", content=b"a=1&" * 10).status_code == 401

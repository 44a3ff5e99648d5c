"""The gate: hosts, origins, cookies, roles, over HTTP and WebSocket, with the real middleware."""

from __future__ import annotations

import itertools
import time

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from llm_core.config.errors import Refused, UserError
from llm_core.web.access import AccessMiddleware
from llm_core.web.access_policy import SESSION_SECONDS, AccessPolicy, host_of, is_loopback
from llm_core.web.sign_in import AttemptLimiter, safe_next, sign_in_address
from llm_core.workspace.paths import Workspace

HERE = "http://127.0.0.1:8501"
PASSWORD = "correct horse"
VIEWER_PASSWORD = "battery staple"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


async def reached(request: Request) -> Response:
    return PlainTextResponse("reached")


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("reached")
    await websocket.close()


def client(policy: AccessPolicy, base_url: str = HERE) -> TestClient:
    routes = [WebSocketRoute("/_stcore/stream", echo), Route("/{path:path}", reached, methods=METHODS)]
    app = AccessMiddleware(Starlette(routes=routes), policy)
    return TestClient(app, base_url=base_url, follow_redirects=False)


@pytest.fixture
def policy(workspace: Workspace) -> AccessPolicy:
    environment = {
        "GLASSBOX_PASSWORD": PASSWORD,
        "GLASSBOX_VIEWER_PASSWORD": VIEWER_PASSWORD,
        "GLASSBOX_ALLOWED_HOSTS": "studio.example.org",
    }
    return AccessPolicy.from_environment(workspace, environment)


def signed_in(policy: AccessPolicy, password: str = PASSWORD) -> TestClient:
    browser = client(policy)
    assert browser.post("/sign-in", data={"password": password}).status_code == 303
    return browser


def websocket_opens(browser: TestClient, headers: dict[str, str] | None = None) -> bool:
    try:
        address = f"{browser.base_url}/_stcore/stream".replace("http", "ws", 1)
        with browser.websocket_connect(address, headers=headers or {}) as socket:
            return socket.receive_text() == "reached"
    except WebSocketDisconnect:
        return False


# --- hosts ---------------------------------------------------------------------------------------------------------


GOOD_HOSTS = ("127.0.0.1", "127.0.0.1:8501", "localhost:8501", "LOCALHOST", "localhost.", "[::1]:8501", "127.9.9.9")
BAD_HOSTS = (
    *("evil.test", "evil.test:8501", "localhost.evil.test", "127.0.0.1.evil.test", "127.0.0.1@evil.test", "evil.test#"),
    *(
        "localhost/",
        "localhost?x",
        "0.0.0.0",  # noqa: S104
        "10.0.0.5",
        "[::ffff:10.0.0.5]",
        "localhost:99999",
        "localhost:x",
        "",
        " ",
    ),
    *("2130706433", "0x7f000001", "127.0.0.1:8501:8501", "[::1", "localhost,evil.test", "studio.example.org"),
)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_checks_the_host(method: str) -> None:
    browser = client(AccessPolicy())
    assert browser.request(method, "/", headers={"Host": "evil.test"}).status_code == 403
    assert browser.request(method, "/", headers={"Host": "localhost:8501"}).status_code == 200


@pytest.mark.parametrize("host", GOOD_HOSTS)
def test_own_hosts_are_let_in(host: str) -> None:
    browser = client(AccessPolicy())
    assert browser.get("/", headers={"Host": host}).text == "reached"
    assert websocket_opens(browser, {"Host": host, "Origin": f"http://{host}"})


@pytest.mark.parametrize("host", BAD_HOSTS)
def test_foreign_hosts_are_refused_everywhere(host: str) -> None:
    browser = client(AccessPolicy())
    for path in ("/", "/monitor", "/api/status", "/_stcore/health", "/static/main.js", "/sign-in"):
        response = browser.get(path, headers={"Host": host})
        assert response.status_code == 403 and "reached" not in response.text
        assert not host.strip() or host not in response.text or host == "localhost"
    assert not websocket_opens(browser, {"Host": host, "Origin": f"http://{host}"})


def test_two_host_headers_are_refused() -> None:
    browser = client(AccessPolicy())
    assert browser.get("/", headers=[("Host", "localhost"), ("Host", "localhost")]).status_code == 403


def test_with_a_password_addresses_and_named_hosts_are_let_in(policy: AccessPolicy) -> None:
    for host in ("10.0.0.5:8501", "[fd00::5]:8501", "studio.example.org", "Studio.Example.org:443"):
        assert policy.allows_host(host), host
    for host in ("evil.test", "example.org", "x.studio.example.org", None):
        assert not policy.allows_host(host), host


@pytest.mark.parametrize(("header", "host"), [("[::1]:80", "::1"), ("A.b.", "a.b"), ("a:b:c", None), (None, None)])
def test_host_of(header: str | None, host: str | None) -> None:
    assert host_of(header) == host


def test_loopback_is_this_machine_alone() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost", "::ffff:127.0.0.1"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.1", "::ffff:10.0.0.1", "example.org", ""))  # noqa: S104


# --- binding -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.168.1.5", "example.org", "", None])  # noqa: S104
def test_listening_beyond_this_machine_needs_a_password(address: str | None, policy: AccessPolicy) -> None:
    with pytest.raises(Refused, match="GLASSBOX_PASSWORD"):
        AccessPolicy().check_address(address)
    policy.check_address(address)
    AccessPolicy().check_address("127.0.0.1")


def test_an_open_socket_without_a_password_answers_nobody() -> None:
    browser = client(AccessPolicy(), "http://192.168.1.5:8501")
    for host in ("192.168.1.5:8501", "localhost"):
        response = browser.get("/", headers={"Host": host})
        assert response.status_code == 403 and "GLASSBOX_PASSWORD" in response.text
        assert not websocket_opens(browser, {"Host": host})


@pytest.mark.parametrize(
    "environment",
    [
        {"GLASSBOX_VIEWER_PASSWORD": "x"},
        {"GLASSBOX_ALLOWED_HOSTS": "studio.example.org"},
        {"GLASSBOX_PASSWORD": "same", "GLASSBOX_VIEWER_PASSWORD": "same"},
        {"GLASSBOX_PASSWORD": "x", "GLASSBOX_ALLOWED_HOSTS": "https://studio.example.org"},
        {"GLASSBOX_PASSWORD": "x", "GLASSBOX_ALLOWED_HOSTS": "*"},
    ],
)
def test_settings_that_contradict_each_other_are_refused(workspace: Workspace, environment: dict[str, str]) -> None:
    with pytest.raises(UserError):
        AccessPolicy.from_environment(workspace, environment)


def test_an_empty_password_is_none(workspace: Workspace) -> None:
    policy = AccessPolicy.from_environment(workspace, {"GLASSBOX_PASSWORD": ""})
    assert not policy.asks and not workspace.signing_key.exists()


def test_secrets_are_not_printed(policy: AccessPolicy) -> None:
    assert PASSWORD not in repr(policy) and repr(policy.key) not in repr(policy)


# --- writes --------------------------------------------------------------------------------------------------------


SITES = {
    "same-origin": True,
    "none": True,
    "same-site": False,  # another port of this machine
    "cross-site": False,
}
ORIGINS = {
    "http://127.0.0.1:8501": True,
    "https://127.0.0.1:8501": True,  # a proxy in front ends TLS
    "http://127.0.0.1:3000": False,
    "http://localhost:8501": False,
    "http://evil.test": False,
    "null": False,
    "": False,
    "file://": False,
    "http://127.0.0.1:8501.evil.test": False,
    "http://[": False,
}


@pytest.mark.parametrize(("method", "site"), list(itertools.product(METHODS, SITES)))
def test_writes_must_come_from_our_own_pages(method: str, site: str) -> None:
    response = client(AccessPolicy()).request(method, "/api/x", headers={"Sec-Fetch-Site": site})
    allowed = SITES[site] or method in ("GET", "HEAD", "OPTIONS")
    assert response.status_code == (200 if allowed else 403)


@pytest.mark.parametrize("origin", ORIGINS)
def test_origin_decides_where_the_browser_is_older_and_for_every_websocket(origin: str) -> None:
    browser = client(AccessPolicy())
    response = browser.post("/api/x", headers={"Origin": origin})
    assert response.status_code == (200 if ORIGINS[origin] else 403)
    assert websocket_opens(browser, {"Origin": origin}) is ORIGINS[origin]


def test_programs_send_neither_and_are_let_in() -> None:
    browser = client(AccessPolicy())
    assert browser.post("/api/x").status_code == 200
    assert websocket_opens(browser)


# --- signing in ----------------------------------------------------------------------------------------------------


PAGE = {"Accept": "text/html,application/xhtml+xml"}


def test_nothing_is_reached_before_signing_in(policy: AccessPolicy) -> None:
    browser = client(policy)
    cold = browser.get("/monitor?run=abc&step=3", headers=PAGE)
    assert cold.status_code == 303
    assert cold.headers["location"] == "/sign-in?next=%2Fmonitor%3Frun%3Dabc%26step%3D3"
    assert not websocket_opens(browser)
    for path in ("/static/main.js", "/vendor/plotly.js", "/media/x", "/_stcore/host-config", "/_stcore/upload_file/x"):
        assert browser.get(path).status_code == 401, path
    for method in METHODS:
        response = browser.request(method, "/api/status", headers=PAGE)
        assert response.status_code == 401
        if method != "HEAD":
            assert response.json()["error"]["what"] == "Sign in first"
    assert browser.get("/_stcore/health").text == "reached"
    assert browser.post("/_stcore/health").status_code == 401


def test_no_spelling_of_an_open_path_opens_another(policy: AccessPolicy) -> None:
    browser = client(policy)
    for path in (
        "/_stcore/health%3Fx",
        "/_stcore/health%23",
        "/_stcore/health/",
        "/_stcore/health%2F..",
        "/sign-in%3F/../x",
        "//sign-in",
    ):
        response = browser.get(path)
        assert response.status_code in (303, 401) and "reached" not in response.text, path
    for query in ("?\xff", "?%ff%fe"):
        assert browser.get(f"/monitor{query}", headers=PAGE).status_code == 303


def test_the_password_opens_everything_and_leads_back(policy: AccessPolicy) -> None:
    browser = client(policy)
    form = browser.get("/sign-in?next=/monitor%3Frun%3Dabc")
    assert form.status_code == 200 and 'value="/monitor?run=abc"' in form.text
    answer = browser.post("/sign-in", data={"password": PASSWORD, "next": "/monitor?run=abc"})
    assert answer.status_code == 303 and answer.headers["location"] == "/monitor?run=abc"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and f"Max-Age={SESSION_SECONDS}" in cookie
    assert "Secure" not in cookie and PASSWORD not in cookie
    for path in ("/monitor", "/api/status", "/static/main.js"):
        assert browser.get(path, headers=PAGE).text == "reached"
    assert browser.post("/api/x").text == "reached"
    assert websocket_opens(browser)


def test_over_tls_the_cookie_stays_there(policy: AccessPolicy) -> None:
    answer = client(policy, "https://127.0.0.1:8501").post("/sign-in", data={"password": PASSWORD})
    assert "Secure" in answer.headers["set-cookie"]


def test_a_viewer_reads_and_changes_nothing(policy: AccessPolicy) -> None:
    browser = signed_in(policy, VIEWER_PASSWORD)
    assert browser.get("/api/status").text == "reached"
    assert websocket_opens(browser)
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert browser.request(method, "/api/x").status_code == 403
        assert browser.request(method, "/_stcore/upload_file/x").status_code == 403
    assert browser.post("/sign-out").status_code == 303


def test_a_forged_or_old_cookie_opens_nothing(policy: AccessPolicy) -> None:
    name = policy.cookie_name
    expired = policy.cookie_value("trainer", time.time() - SESSION_SECONDS - 1)
    viewer_as_trainer = policy.cookie_value("viewer", time.time()).replace("viewer", "trainer")
    for value in (expired, viewer_as_trainer, "trainer", "1.trainer.9999999999.00", '"', "é"):
        browser = client(policy)
        headers = {"Cookie": f'other={{"a":1}}; {name}={value}'.encode()}
        assert browser.get("/api/status", headers=headers).status_code == 401


def test_foreign_cookies_do_not_hide_ours(policy: AccessPolicy) -> None:
    good = policy.cookie_value("trainer", time.time())
    cookie = f'x={{"a": [1, 2]}}; =; bad name=1; {policy.cookie_name}={good}; y="'
    assert client(policy).get("/api/status", headers={"Cookie": cookie}).text == "reached"


def test_signing_out_ends_the_session_and_a_link_does_not(policy: AccessPolicy) -> None:
    browser = signed_in(policy)
    assert browser.get("/sign-out").status_code == 200
    assert browser.get("/api/status").text == "reached"
    assert browser.post("/sign-out").headers["location"] == "/sign-in"
    assert browser.get("/api/status").status_code == 401


def test_signing_in_from_another_site_is_refused(policy: AccessPolicy) -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert client(policy).post("/sign-in", data={"password": PASSWORD}, headers=headers).status_code == 403


@pytest.mark.parametrize("given", ["", "wrong", PASSWORD.upper(), PASSWORD + " ", "pässwört", "\udcff", "x" * 100_000])
def test_a_wrong_password_is_told_so(policy: AccessPolicy, given: str) -> None:
    body = b"password=" + given.encode("utf-8", "surrogatepass")
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = client(policy).post("/sign-in", content=body, headers=headers)
    assert answer.status_code == 401 and "set-cookie" not in answer.headers
    assert "This is not the password" in answer.text and len(answer.content) < 10_000


def test_guessing_is_slowed_down_even_for_the_right_password(policy: AccessPolicy) -> None:
    browser = client(policy)
    answers = [browser.post("/sign-in", data={"password": f"guess {n}"}).status_code for n in range(12)]
    assert answers[:8] == [401] * 8 and set(answers[8:]) == {429}
    blocked = browser.post("/sign-in", data={"password": PASSWORD})
    assert blocked.status_code == 429 and 0 < int(blocked.headers["retry-after"]) <= 60


def test_limiter_counts_clients_apart_and_all_together_and_forgets() -> None:
    limiter = AttemptLimiter(per_client=2, overall=5, window_seconds=60)
    for second in (0.0, 1.0):
        limiter.failed("a", second)
    assert limiter.wait_seconds("a", 2.0) == 58 and limiter.wait_seconds("b", 2.0) == 0
    assert limiter.wait_seconds("a", 60.5) == 0
    for client_name in "bcd":
        limiter.failed(client_name, 2.0)
    assert limiter.wait_seconds("z", 3.0) == 57
    limiter.succeeded("a")
    assert limiter.wait_seconds("a", 61.5) == 0


NEXT = {
    "/": "/",
    "/monitor?run=a": "/monitor?run=a",
    "//evil.test": "/",
    "///evil.test": "/",
    "////evil.test//": "/",
    "https:evil.test": "/",
    "https:///evil.test": "/",
    " /monitor": "/",
    "/\u2028/evil.test": "/",
    "/\x00": "/",
    "/%09/evil.test": "/%09/evil.test",  # nothing is decoded: a path of this server
    "/%2f%2fevil.test": "/%2f%2fevil.test",
    "/@evil.test": "/@evil.test",
    "/sign-in/account": "/",
    "/\\evil.test": "/",
    "\\\\evil.test": "/",
    "http://evil.test": "/",
    "javascript:alert(1)": "/",
    "evil": "/",
    "": "/",
    "/a\r\nSet-Cookie: x=1": "/",
    "/a\tb": "/",
    "/sign-in?next=/x": "/",
    "/sign-out": "/",
    "/" + "a" * 3000: "/",
    "/a\\..\\b": "/",
}


@pytest.mark.parametrize("wanted", NEXT)
def test_nobody_is_sent_to_another_site(policy: AccessPolicy, wanted: str) -> None:
    assert safe_next(wanted) == NEXT[wanted]
    answer = client(policy).post("/sign-in", data={"password": PASSWORD, "next": wanted})
    assert answer.headers["location"] == NEXT[wanted]


def test_the_sign_in_page_escapes_where_it_leads() -> None:
    assert sign_in_address("/a", 'x="><script>alert(1)</script>') == (
        "/sign-in?next=%2Fa%3Fx%3D%22%3E%3Cscript%3Ealert%281%29%3C%2Fscript%3E"
    )


def test_the_sign_in_page_shows_no_script(policy: AccessPolicy) -> None:
    page = client(policy).get("/sign-in", params={"next": '/x"><script>alert(1)</script>'})
    assert "<script" not in page.text and "&quot;&gt;&lt;script&gt;" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"


def test_every_answer_says_how_browsers_shall_treat_it() -> None:
    headers = client(AccessPolicy()).get("/").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "connect-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'self'" in headers["content-security-policy"]

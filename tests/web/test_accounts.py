"""Signing in with an account: the lists, and a real server with a real provider on this machine.

Not here: providers of elsewhere, which no test can reach; passwords (`test_access.py`).
"""

from __future__ import annotations

import json
import os
import socket
import string
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest
from streamlit.runtime.secrets import secrets_singleton
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

from llm_core.config.errors import UserError
from llm_core.ui.streamlit_accounts import StreamlitAccounts
from llm_core.web.access_policy import SESSION_SECONDS, AccessPolicy, people_sign_in
from llm_core.web.accounts import Account, AllowList
from llm_core.web.application import web_parts
from llm_core.workspace.paths import Workspace

ROOT = Path(__file__).resolve().parents[2]
SECRET = "0123456789abcdef" * 4
PASSWORD = "correct horse"
BEARER = "a-key-of-somebody"
LISTS = {
    "GLASSBOX_TRAINER_EMAILS": "ada@example.org, Both@Example.org",
    "GLASSBOX_ALLOWED_EMAILS": "bob@example.org,both@example.org",
}


def account(address: str, *, is_verified: bool = True) -> Account:
    return Account(address, is_verified, "0" * 64)


def test_only_listed_and_verified_addresses_come_in() -> None:
    allowed = AllowList.from_environment(LISTS)
    trainers, viewers = ("ada@example.org", "ADA@Example.ORG", "both@example.org"), ("bob@example.org",)
    roles = dict.fromkeys(trainers, "trainer") | dict.fromkeys(viewers, "viewer")
    for address, role in roles.items():
        assert allowed.role_of(account(address)) == role
        assert allowed.role_of(account(address, is_verified=False)) is None
    for stranger in (
        "eve@example.org",
        "",
        "ada@example.org.evil.test",
        "ada@example.org ",
        "ad\u0430@example.org",
        "\u212aate@x.org",
    ):
        assert allowed.role_of(account(stranger)) is None
    assert (
        AllowList.from_environment({"GLASSBOX_TRAINER_EMAILS": "kate@x.org"}).role_of(account("\u212aate@x.org"))
        is None
    )
    assert allowed.role_of(None) is None and "ada" not in repr(allowed)


@pytest.mark.parametrize(
    "entry", ["*", "*@example.org", "@example.org", "ada", "ada@host", "ada@example.org bob@example.org", "é@x.org"]
)
def test_a_list_holds_whole_addresses(entry: str) -> None:
    with pytest.raises(UserError, match="GLASSBOX_ALLOWED_EMAILS"):
        AllowList.from_environment({"GLASSBOX_ALLOWED_EMAILS": entry})


def test_a_list_asks_everybody_to_sign_in(workspace: Workspace) -> None:
    policy = AccessPolicy.from_environment(workspace, LISTS)
    assert policy.asks and not policy.takes_accounts and people_sign_in(LISTS) and not people_sign_in({})
    assert policy.role_of({}) is None and policy.role_for_password("") is None
    policy.check_address("0.0.0.0")  # noqa: S104


# --- Streamlit's cookie ------------------------------------------------------------------------------------------------


@pytest.fixture
def auth(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An [auth] section; what a test changes in it counts from the next look."""
    section = {"redirect_uri": "http://127.0.0.1:8501/oauth2callback", "cookie_secret": SECRET, "client_id": "x"}
    section |= {"client_secret": "x", "server_metadata_url": "http://127.0.0.1:1/.well-known/openid-configuration"}
    monkeypatch.setattr(secrets_singleton, "load_if_toml_exists", lambda: True)
    monkeypatch.setattr(secrets_singleton, "_secrets", {"auth": section})
    return section


def cookie(secret: str = SECRET, name: str = "_streamlit_user", **changes: object) -> dict[str, str]:
    said = {"email": "ada@example.org", "email_verified": True, "is_logged_in": True, "origin": "http://127.0.0.1:8501"}
    value = create_signed_value(secret, name, json.dumps({**said, **changes})).decode()
    return {"_streamlit_user": value}


def test_a_cookie_counts_when_all_of_it_is_right(
    workspace: Workspace, auth: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = AccessPolicy.from_environment(workspace, LISTS, StreamlitAccounts())
    good = cookie()
    assert policy.role_of(good) == "trainer" and policy.role_of(cookie(email="bob@example.org")) == "viewer"
    wrong = [
        *(
            {},
            {"_streamlit_user": "x"},
            {"_streamlit_user": "é\udc80"},
            cookie("another secret" * 4),
            cookie(name="other"),
        ),
        *(
            cookie(email="eve@example.org"),
            cookie(email=None),
            cookie(email_verified=False),
            cookie(email_verified="true"),
        ),
        *(cookie(is_logged_in=False), cookie(origin="http://evil.test"), cookie(origin=None)),
    ]
    for cookies in wrong:
        assert policy.role_of(cookies) is None, cookies
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + SESSION_SECONDS + 5)
    assert policy.role_of(good) is None, "a week later"
    monkeypatch.undo()


def test_another_spelling_of_a_cookie_is_the_same_session(auth: dict[str, str]) -> None:
    """Else one letter changed would open again what was signed out."""
    accounts = StreamlitAccounts()
    value = cookie(nonce="n")["_streamlit_user"]
    letters = string.ascii_letters + string.digits + "-_"
    proved = [accounts.account_of({"_streamlit_user": value[:-1] + letter}) for letter in letters]
    found = [account for account in proved if account is not None]
    assert len(found) > 1 and len(set(found)) == 1, "the last letter has bits to spare"
    assert accounts.account_of(cookie(nonce="m")) not in (None, found[0])


def test_a_provider_that_is_not_safe_does_not_start(auth: dict[str, str]) -> None:
    pytest.importorskip("authlib")
    StreamlitAccounts().check()
    for name, value, message in [
        ("cookie_secret", "x" * 31, "too short"), ("cookie_secret", "", "too short"), ("client_id", None, "not complete"),
        ("redirect_uri", None, "not complete"), ("cookie_secret", None, "not complete"),
    ]:  # fmt: skip
        before = auth.pop(name)
        if value is not None:
            auth[name] = value
        with pytest.raises(UserError, match=message):
            StreamlitAccounts().check()
        auth[name] = before


def test_a_provider_without_a_list_does_not_start(
    workspace: Workspace, auth: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLASSBOX_HOME", str(workspace.root))
    for name in ("GLASSBOX_PASSWORD", *LISTS):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SystemExit, match="nobody is listed"):
        web_parts("127.0.0.1", StreamlitAccounts())


# --- a server and a provider ----------------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
def test_a_listed_account_comes_in_and_another_sees_nothing(tmp_path: Path) -> None:
    pytest.importorskip("authlib")
    from tests.web.oidc_provider import CLIENT, Provider

    provider = Provider()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    here = f"http://127.0.0.1:{port}"
    secrets = tmp_path / "secrets.toml"
    secrets.write_text(
        f'[auth]\nredirect_uri = "{here}/oauth2callback"\ncookie_secret = "{SECRET}"\nclient_id = "{CLIENT}"\n'
        f'client_secret = "x"\nserver_metadata_url = "{provider.url}/.well-known/openid-configuration"\n'
    )
    environment = {
        **os.environ,
        **LISTS,
        "GLASSBOX_PASSWORD": PASSWORD,
        "GLASSBOX_HOME": str(tmp_path / "home"),
        "GLASSBOX_IDLE_SECONDS": "1",
    }
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py"), "--server.port", str(port)]
    log = (tmp_path / "server.log").open("wb")
    server = subprocess.Popen([*command, "--secrets.files", str(secrets)], env=environment, stdout=log, stderr=log)
    try:
        wait_for_health(server, here, tmp_path / "server.log")
        with httpx2.Client(base_url=here, follow_redirects=True) as browser:
            look_around(browser, 401)
            browser.post("/sign-in", data={"password": "wrong word"})
            assert browser.post("/sign-in", data={"password": PASSWORD}).url.path == "/"
            look_around(browser, 200)
            assert (
                browser.put("/_stcore/upload_file/session/file", content=b"x").status_code == 403
            )  # without its token
            assert "enableAgentApi" in browser.post("/_stcore/agent/interact", json={}).text, "it says that it is off"
        for claims, status, words in [
            ({"email": "ada@example.org", "email_verified": True}, 200, ""),
            ({"email": "eve@example.org", "email_verified": True}, 401, "is not on the list"),
            ({"email": "ada@example.org"}, 401, "does not say that ada@example.org is yours"),
            (
                {"email": "<img src=x onerror=alert(1)>", "email_verified": True},
                401,
                "&lt;img src=x onerror=alert(1)&gt;",
            ),
        ]:
            provider.claims = claims
            with httpx2.Client(base_url=here, follow_redirects=True) as browser:
                assert browser.get("/monitor", headers=HTML).url.path == "/sign-in"
                arrived = browser.get("/sign-in/account", headers=HTML)
                assert (arrived.url.path == "/") is (status == 200)
                assert words in arrived.text and "<img" not in arrived.text
                look_around(browser, status)
                if status == 200:
                    assert browser.get("/auth/logout", headers=HTML).url.path == "/sign-out"
                    look_around(browser, 200)
                    cookies = dict(browser.cookies)
                    with httpx2.Client(base_url=here, follow_redirects=True, cookies=cookies) as copy:
                        look_around(copy, 200)
                        browser.post("/sign-out")
                        look_around(browser, 401)
                        look_around(copy, 401)
    finally:
        server.terminate()
        server.wait(20)
        log.close()
        provider.close()
    said = (tmp_path / "server.log").read_text()
    for secret in (SECRET, PASSWORD, "wrong word", BEARER, "id_token", "code-0", "_streamlit_user", "glassbox-"):
        assert secret not in said, secret


HTML = {"Accept": "text/html"}
API = ("/api/status", "/api/runs/x/series?keys=a", "/api/runs/x/heartbeat", "/api/generations/x", "/api/y")
PAGES = ("", "data", "tokenizer", "train", "monitor", "runs", "attention", "playground")


def look_around(browser: httpx2.Client, status: int) -> None:
    """Every page, the API and the WebSocket answer alike."""
    for page in PAGES:
        arrived = browser.get(f"/{page}?token={BEARER}", headers={**HTML, "Authorization": f"Bearer {BEARER}"})
        assert (arrived.url.path == "/sign-in") is (status != 200), page
        assert browser.get(f"/{page}", headers={"Host": "evil.test"}).status_code == 403
    for address in API:
        response = browser.get(address)
        assert (response.status_code == 401) is (status != 200), address
        assert status == 200 or response.json()["error"]["what"] == "Sign in first"
    assert opens_socket(browser) is (status == 200)
    assert not opens_socket(browser, host="evil.test")


def opens_socket(browser: httpx2.Client, host: str = "") -> bool:
    """Whether the server agrees to a WebSocket."""
    here = browser.base_url
    cookies = "; ".join(f"{item.name}={item.value}" for item in browser.cookies.jar)
    lines = [
        *(
            "GET /_stcore/stream HTTP/1.1",
            f"Host: {host or here.host}:{here.port}",
            f"Origin: http://{here.host}:{here.port}",
        ),
        *("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
        *("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", f"Cookie: {cookies}"),
    ]
    with socket.create_connection((here.host, here.port or 80), timeout=20) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return connection.recv(64).startswith(b"HTTP/1.1 101")


def wait_for_health(server: subprocess.Popen[bytes], here: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            if httpx2.get(f"{here}/_stcore/health", timeout=2).status_code == 200:
                return
        except httpx2.TransportError:
            assert server.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)

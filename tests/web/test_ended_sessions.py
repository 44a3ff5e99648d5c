"""Signing out: the same cookie in another tab, another program and another server process opens nothing any more.

Not here: tokens themselves (`test_signing.py`), the form (`test_access.py`), accounts at a real server (`test_accounts.py`).
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Mapping

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from llm_core.config.errors import Refused, UserError
from llm_core.ui import guards
from llm_core.web.access import AccessMiddleware
from llm_core.web.access_policy import SESSION_SECONDS, AccessPolicy
from llm_core.web.accounts import Account
from llm_core.web.ended_sessions import EndedSessions
from llm_core.web.signing import new_session_id
from llm_core.workspace.paths import Workspace

HERE = "http://127.0.0.1:8501"
PASSWORD = "correct horse"
PASSWORDS = {"GLASSBOX_PASSWORD": PASSWORD, "GLASSBOX_VIEWER_PASSWORD": "battery staple"}
ACCOUNT_COOKIE = "account"


async def reached(request: Request) -> Response:
    return PlainTextResponse("reached")


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("reached")
    await websocket.close()


async def answers(websocket: WebSocket) -> None:
    """A page's side of an open socket: answers as long as somebody asks."""
    await websocket.accept()
    async for asked in websocket.iter_text():
        await websocket.send_text(f"answer to {asked}")


def serve(policy: AccessPolicy, cookies: Mapping[str, str] | None = None) -> TestClient:
    routes = [WebSocketRoute("/_stcore/stream", echo), Route("/{path:path}", reached, methods=["GET", "POST"])]
    app = AccessMiddleware(Starlette(routes=routes), policy)
    return TestClient(app, base_url=HERE, follow_redirects=False, cookies=dict(cookies or {}))


def opens(browser: TestClient) -> set[bool]:
    """What a page, the API and the WebSocket say; one answer when they agree."""
    try:
        with browser.websocket_connect("ws://127.0.0.1:8501/_stcore/stream") as socket:
            is_open = socket.receive_text() == "reached"
    except WebSocketDisconnect:
        is_open = False
    return {
        is_open,
        *(browser.get(path).text == "reached" for path in ("/monitor", "/api/status", "/api/runs/x/series")),
    }


def signed_in(policy: AccessPolicy, password: str = PASSWORD) -> TestClient:
    browser = serve(policy)
    assert browser.post("/sign-in", data={"password": password}).status_code == 303
    return browser


@pytest.mark.parametrize("password", PASSWORDS.values())
def test_a_copy_of_the_cookie_is_worth_nothing_after_signing_out(workspace: Workspace, password: str) -> None:
    policy = AccessPolicy.from_environment(workspace, PASSWORDS)
    browser, other = signed_in(policy, password), signed_in(policy, password)
    copy = serve(policy, browser.cookies)
    another_process = serve(AccessPolicy.from_environment(workspace, PASSWORDS), browser.cookies)
    assert opens(copy) == opens(another_process) == opens(other) == {True}
    assert browser.post("/sign-out").headers["location"] == "/sign-in"
    started_again = serve(AccessPolicy.from_environment(workspace, PASSWORDS), copy.cookies)
    for holder in (browser, copy, another_process, started_again):
        assert opens(holder) == {False}
    assert opens(other) == {True}, "another sign-in with the same password goes on"
    assert opens(signed_in(policy, password)) == {True}


def test_an_open_page_loses_its_role_at_its_next_action(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that stands open keeps the cookies of its handshake, which no browser can take from it."""
    monkeypatch.setenv("GLASSBOX_HOME", str(workspace.root))
    for name, value in PASSWORDS.items():
        monkeypatch.setenv(name, value)
    policy = AccessPolicy.from_environment(workspace)
    browser = signed_in(policy)
    handshake = dict(browser.cookies)
    monkeypatch.setattr(type(guards.st.context), "cookies", property(lambda _: handshake))
    guards.require("delete-run")
    assert guards.current_role() == "trainer"
    browser.post("/sign-out")
    assert guards.current_role() is None and not guards.may("delete-run")
    with pytest.raises(Refused, match="Your session has ended"):
        guards.require("delete-run")


def test_a_socket_without_a_page_is_closed_after_signing_out(workspace: Workspace) -> None:
    policy = AccessPolicy.from_environment(workspace, PASSWORDS)
    browser = signed_in(policy)
    for leaving_seconds, is_closed in ((0.0, True), (60.0, False)):
        app = AccessMiddleware(Starlette(routes=[WebSocketRoute("/_stcore/stream", answers)]), policy, leaving_seconds)
        holder = TestClient(app, base_url=HERE, cookies=dict(signed_in(policy).cookies))
        with holder.websocket_connect("ws://127.0.0.1:8501/_stcore/stream") as socket:
            socket.send_text("before")
            assert socket.receive_text() == "answer to before"
            serve(policy, holder.cookies).post("/sign-out")
            socket.send_text("after")
            if is_closed:
                with pytest.raises(WebSocketDisconnect) as closed:
                    socket.receive_text()
                assert closed.value.code == 1008
            else:
                assert socket.receive_text() == "answer to after", "the page has a moment to say that it is over"
    assert opens(browser) == {True}, "of another sign-in"


def test_a_mark_is_private_and_goes_when_the_session_would_have(workspace: Workspace) -> None:
    ended = EndedSessions(workspace.ended_sessions, SESSION_SECONDS)
    old, new, now = new_session_id(), new_session_id(), time.time()
    assert not ended.holds(old)
    ended.add(old, now)
    mark = workspace.ended_sessions / old
    assert stat.S_IMODE(mark.stat().st_mode) == 0o600 and mark.stat().st_size == 0
    assert stat.S_IMODE(workspace.ended_sessions.stat().st_mode) == 0o700
    (workspace.ended_sessions / "somebody's").mkdir()
    ended.add(old, now)
    ended.add(new, now)
    assert ended.holds(old) and ended.holds(new)
    os.utime(mark, (now - SESSION_SECONDS - 1,) * 2)
    ended.add(new, now)
    assert ended.holds(new) and not mark.exists()


def test_only_a_session_that_counts_leaves_a_mark(workspace: Workspace) -> None:
    policy = AccessPolicy.from_environment(workspace, PASSWORDS)
    expired = policy.cookie_value("trainer", time.time() - SESSION_SECONDS - 1)
    for value in ("", "x", expired, policy.cookie_value("viewer", time.time()).replace("viewer", "trainer")):
        serve(policy, {policy.cookie_name: value}).post("/sign-out")
    assert not workspace.ended_sessions.exists()


def test_what_is_no_folder_of_marks_lets_nobody_in_and_is_said(workspace: Workspace) -> None:
    policy = AccessPolicy.from_environment(workspace, PASSWORDS)
    browser = signed_in(policy)
    workspace.ended_sessions.write_bytes(b"\x80damaged")
    assert opens(browser) == opens(signed_in(policy)) == {False}
    with pytest.raises(UserError, match="ended sessions"):
        AccessPolicy.from_environment(workspace, PASSWORDS)


def test_signing_out_says_so_when_it_cannot_be_written_down(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = signed_in(AccessPolicy.from_environment(workspace, PASSWORDS))

    def full(self: EndedSessions, session: str, now: float) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(EndedSessions, "add", full)
    answer = browser.post("/sign-out")
    assert answer.status_code == 500 and "could not write it down" in answer.text
    assert opens(browser) == {False}, "this browser's cookie is gone all the same"


class OneProvider:
    """Believes what a cookie says of itself: {"email": …, "session": …}."""

    def is_set_up(self) -> bool:
        return True

    def check(self) -> None:
        pass

    def account_of(self, cookies: Mapping[str, str]) -> Account | None:
        if ACCOUNT_COOKIE not in cookies:
            return None
        email, _, session = cookies[ACCOUNT_COOKIE].partition(":")
        return Account(email, is_verified=True, session=session)

    def login_address(self) -> str:
        return "/"

    def cookie_names(self, cookies: Mapping[str, str]) -> list[str]:
        return [name for name in cookies if name == ACCOUNT_COOKIE]


def test_an_account_is_signed_out_in_every_copy_too_and_a_stranger_leaves_no_mark(workspace: Workspace) -> None:
    environment = {**PASSWORDS, "GLASSBOX_TRAINER_EMAILS": "ada@example.org"}
    policy = AccessPolicy.from_environment(workspace, environment, OneProvider())
    first, second = {ACCOUNT_COOKIE: "ada@example.org:" + "1" * 64}, {ACCOUNT_COOKIE: "ada@example.org:" + "2" * 64}
    serve(policy, {ACCOUNT_COOKIE: "eve@example.org:" + "3" * 64}).post("/sign-out")
    assert not workspace.ended_sessions.exists()
    assert opens(serve(policy, first)) == opens(serve(policy, second)) == {True}
    with_password = signed_in(policy)
    both = serve(policy, {**first, **with_password.cookies})
    both.post("/sign-out")
    assert opens(serve(policy, first)) == opens(with_password) == {False}, "both that were proved are ended"
    assert opens(serve(policy, second)) == {True}

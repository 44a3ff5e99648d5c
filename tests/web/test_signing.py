"""Tokens: forged, expired, of a changed password; the key file. Not here: sessions that were signed out (`test_ended_sessions.py`)."""

from __future__ import annotations

import hashlib
import hmac
import stat
from pathlib import Path

import pytest

from llm_core.config.errors import UserError
from llm_core.web.signing import Session, fingerprint, load_signing_key, new_session_id, same_text, sign, verify

KEY = bytes(range(32))
PASSWORDS = {"trainer": "correct horse", "viewer": "battery staple"}
SIGN_IN = "0123456789abcdef" * 2


def test_a_token_is_good_until_it_ends() -> None:
    token = sign(KEY, Session("trainer", 1000, SIGN_IN), PASSWORDS["trainer"])
    assert verify(KEY, token, PASSWORDS, now=999.9) == Session("trainer", 1000, SIGN_IN)
    assert verify(KEY, token, PASSWORDS, now=1000) is None


def test_a_token_dies_with_its_password_and_its_key() -> None:
    token = sign(KEY, Session("viewer", 1000, SIGN_IN), PASSWORDS["viewer"])
    assert verify(KEY, token, {**PASSWORDS, "viewer": "changed"}, now=0) is None
    assert verify(KEY, token, {"trainer": "correct horse"}, now=0) is None
    assert verify(b"x" * 32, token, PASSWORDS, now=0) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token.replace("viewer", "trainer"),
        lambda token: token.replace(".1000.", ".9999999999."),
        lambda token: token.replace(".1000.", ".१०००."),
        lambda token: token[:-1],
        lambda token: token + "0",
        lambda token: token.rpartition(".")[0] + ".é",
        lambda token: token.rpartition(".")[0] + ".\udcff",
        lambda token: "1" + token[1:],
        lambda token: token.replace(SIGN_IN, "f" * 32),
        lambda token: token.replace(SIGN_IN, ".."),
        lambda token: token.replace(f".{SIGN_IN}", ""),
        lambda token: "",
        lambda token: "...",
        lambda token: f"2.viewer.1000.{SIGN_IN}.",
        lambda token: f"2.viewer.1e3.{SIGN_IN}." + token.rpartition(".")[2],
    ],
)
def test_a_changed_token_is_worth_nothing(change: object) -> None:
    token = sign(KEY, Session("viewer", 1000, SIGN_IN), PASSWORDS["viewer"])
    assert callable(change)
    assert verify(KEY, change(token), PASSWORDS, now=0) is None


def test_a_token_of_before_is_refused_because_no_signing_out_could_end_it() -> None:
    payload = "1.trainer.1000"
    password_key = hmac.new(KEY, PASSWORDS["trainer"].encode(), hashlib.sha256).digest()
    signature = hmac.new(password_key, payload.encode(), hashlib.sha256).hexdigest()
    assert verify(KEY, f"{payload}.{signature}", PASSWORDS, now=0) is None


def test_a_signed_name_that_is_no_id_is_refused() -> None:
    """Not even a token of ours may name a file elsewhere."""
    for name in ("", "..", "../x", "x" * 32, SIGN_IN.upper(), SIGN_IN[:-1]):
        token = sign(KEY, Session("trainer", 1000, name), PASSWORDS["trainer"])
        assert verify(KEY, token, PASSWORDS, now=0) is None, name


def test_every_sign_in_has_an_id_of_its_own() -> None:
    assert len({new_session_id() for _ in range(100)}) == 100


def test_the_key_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    key = load_signing_key(path)
    assert len(key) == 32 and load_signing_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["signing.key"]


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    load_signing_key(path)
    path.chmod(0o640)
    with pytest.raises(UserError, match="other accounts"):
        load_signing_key(path)


def test_a_damaged_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    path.touch(0o600)
    with pytest.raises(UserError, match="damaged"):
        load_signing_key(path)


def test_an_empty_password_fits_nothing() -> None:
    assert not same_text("", "")
    assert same_text("pässwört", "pässwört")
    assert not same_text("pass", "pässwört")


def test_two_workspaces_have_two_cookie_names() -> None:
    assert fingerprint(KEY) != fingerprint(bytes(32))
    assert KEY.hex()[:8] != fingerprint(KEY)

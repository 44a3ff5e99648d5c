"""The webhook against a real server, and everything it must not be talked into."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from llm_core.backend.notices import (
    allowed_webhook,
    checked_addresses,
    deliver,
    is_public,
    message_of,
    resolve_host,
    tell_ending,
)
from llm_core.backend.run_commands import stop_run
from llm_core.backend.supervisor import Supervisor
from llm_core.config.errors import UserError
from llm_core.config.overrides import apply_overrides
from llm_core.config.run import RunConfig
from llm_core.config.slots import Slots
from llm_core.config.timing import Timing
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.paths import Workspace
from llm_core.workspace.process_identity import identify, this_process
from llm_core.workspace.registry import Registry
from tests.backend.support import wait_for
from tests.backend.webhook_server import OK, serving


def ended(url: str, name: str = "tiny", state: str = "diverged") -> JobRecord:
    config = apply_overrides(RunConfig(), [f"logging.webhook_url={url}"]).model_dump(mode="json")
    values: dict[str, Any] = dict.fromkeys(field.name for field in fields(JobRecord))
    values |= {"id": "id1", "kind": "train", "name": name, "state": state, "config": config}
    values |= {"reason": "The loss of step 12 is not a finite number.", "remedy": "Lower the rate."}
    return JobRecord(**values | {"result": {"steps": 12, "val_loss": float("nan")}})


def test_an_ended_run_is_told_once_and_the_log_does_not_name_the_secret_path() -> None:
    with serving(OK) as server:
        place = f"localhost:{server.port}"
        environment = {"GLASSBOX_WEBHOOK_HOSTS": f"hooks.example.org, {place}"}
        said = tell_ending(ended(f"http://{place}/s3cret?a=b", "<!channel> @everyone"), environment=environment)
        assert said == f"The webhook at {place} was told."
        (request,) = server.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /s3cret?a=b HTTP/1.1\r\n") and f"Host: {place}".encode() in head
    told = json.loads(body)
    assert (told["state"], told["steps"], told["val_loss"]) == ("diverged", 12, None)
    assert told["text"].startswith("Run &lt;!channel&gt; @everyone diverged: The loss of step 12")
    assert told["allowed_mentions"] == {"parse": []}
    assert len(json.dumps(message_of(ended("", "x" * 10_000)))) < 3_000

    with serving(OK) as server:  # an address that is itself a secret comes from the environment
        environment = {"GLASSBOX_WEBHOOK_HOSTS": f"127.0.0.1:{server.port}"}
        environment["GLASSBOX_WEBHOOK_URL"] = f"http://127.0.0.1:{server.port}/s3cret"
        assert "was told" in tell_ending(ended("", state="finished"), environment=environment)
        for state in ("paused", "running"):
            assert tell_ending(ended("", state=state), environment=environment) == ""
        assert tell_ending(ended(""), environment={}) == ""
        assert len(server.requests) == 1


def test_a_run_whose_worker_is_lost_for_good_is_told_of_as_well(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(OK) as server, Registry(workspace) as registry:
        place = f"127.0.0.1:{server.port}"
        monkeypatch.setenv("GLASSBOX_WEBHOOK_HOSTS", place)
        config = ended(f"http://{place}/").config
        run = registry.add("train", "lost", config, foreground=True)
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        owner = identify(child.pid)
        assert owner is not None and registry.claim(owner, ("train",), run.id) is not None
        child.communicate(b"\n")
        Supervisor(registry, Timing(), Slots()).look()
        assert registry.get(run.id).state == "failed"
        wait_for("the webhook", lambda: server.requests)
        assert b'"state": "failed"' in server.requests[0]


def test_a_run_that_is_stopped_while_it_rests_is_told_of_and_one_that_never_began_is_not(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(OK) as server, Registry(workspace) as registry:
        place = f"127.0.0.1:{server.port}"
        monkeypatch.setenv("GLASSBOX_WEBHOOK_HOSTS", place)
        config = ended(f"http://{place}/").config

        def begun(name: str) -> JobRecord:
            run = registry.claim(this_process(), ("train",), registry.add("train", name, config).id)
            assert run is not None
            return registry.move(run.id, "running", token=run.lease_token)

        resting = [begun(name) for name in ("paused", "deleted", "resumed", "goes on")]
        for run in resting:
            registry.move(run.id, "paused", token=run.lease_token)
        paused, deleted, resumed, goes_on = (run.id for run in resting)
        busy = begun("busy")  # so that no run of the queue gets its turn
        registry.resume(resumed)
        never = registry.add("train", "never began", config).id
        supervisor = Supervisor(registry, Timing(), Slots())
        supervisor.look()
        stop_run(workspace, paused)
        registry.cancel(deleted)
        registry.delete(deleted)
        registry.cancel(resumed)
        registry.cancel(never)
        registry.resume(goes_on)
        for _ in range(2):
            supervisor.look()
        wait_for("both messages", lambda: len(server.requests) >= 2)
        told = {json.loads(request.partition(b"\r\n\r\n")[2])["name"] for request in server.requests}
        assert told == {"paused", "resumed"} and len(server.requests) == 2
        registry.cancel(goes_on)
        registry.move(busy.id, "stopped", token=busy.lease_token)


REFUSED = [
    "https://169.254.169.254/latest/meta-data",
    "https://[::1]/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0177.0.0.1/",
    "https://127.1/",
    "https://hooks.example.org.evil.example/",
    "https://evil.example/#@hooks.example.org",
    "https://hooks.example.org@evil.example/",
    "https://me:word@hooks.example.org/",
    "https://evil.example\\@hooks.example.org/",
    "https://hooks.example.org:8443/",
    "https://hooks.example.org:99999/",
    "http://hooks.example.org/",
    "http://hooks.example.org:443/",
    "ftp://hooks.example.org/",
    "file:///etc/passwd",
    "https:///x",
    "https://[fe80::1%25eth0]/",
    "https://hooks.example.org/\r\nX: y",
    "https://hooks.exämple.org/",
    "//hooks.example.org/",
    "http://localhost:81/",
]


@pytest.mark.parametrize("url", REFUSED)
def test_only_named_hosts_over_https_are_told(url: str) -> None:
    with pytest.raises(UserError) as caught:
        allowed_webhook(url, "hooks.example.org, localhost:80")
    assert "word" not in str(caught.value)


def test_named_hosts_are_found_however_they_are_written() -> None:
    for url in ("https://hooks.example.org/a", "https://HOOKS.example.org.:443/a"):
        webhook = allowed_webhook(url, " Hooks.Example.org ")
        assert (webhook.host, webhook.port, webhook.target) == ("hooks.example.org", 443, "/a")
    assert allowed_webhook("http://[::1]:8000", "[0:0::1]:8000").place == "[::1]:8000"
    with pytest.raises(UserError, match="not allowed"):
        allowed_webhook("https://hooks.example.org/", "")


INSIDE = ["127.0.0.1", "10.0.0.8", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "224.0.0.1"]
INSIDE += ["::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::7f00:1"]
INSIDE += ["64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:4136:e378:8000:63bf:80ff:fffe", "255.255.255.255", "0.0.0.1"]


@pytest.mark.parametrize("address", INSIDE)
def test_a_name_that_leads_inside_is_not_followed(address: str) -> None:
    webhook = allowed_webhook("https://hooks.example.org/", "hooks.example.org")
    with pytest.raises(UserError, match="no public network"):
        checked_addresses(webhook, ["1.1.1.1", address])
    local = allowed_webhook("http://localhost:80/", "localhost:80")
    if address not in ("127.0.0.1", "::1"):
        with pytest.raises(UserError, match="no public network"):
            checked_addresses(local, [address])


def test_a_name_is_resolved_once_and_the_checked_address_is_the_one_connected_to() -> None:
    answers = [["93.184.216.34"], ["127.0.0.1"]]
    connected: list[str] = []

    def connect(address: str, port: int, seconds: float) -> socket.socket:
        connected.append(f"{address}:{port}")
        raise ConnectionRefusedError

    webhook = allowed_webhook("https://rebind.example/s3cret", "rebind.example")
    for said in (r"could not be told \(ConnectionRefusedError\)", r"leads to 127\.0\.0\.1"):
        with pytest.raises(UserError, match=said):
            deliver(webhook, {}, resolve=lambda host, port: answers.pop(0), connect=connect)
    assert connected == ["93.184.216.34:443"] and not answers
    with pytest.raises(UserError, match="has no address"):
        deliver(webhook, {}, resolve=lambda host, port: [], connect=connect)
    assert is_public_everywhere("1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1")
    assert set(resolve_host("localhost", 80)) <= {"127.0.0.1", "::1"}


def test_of_several_addresses_the_first_that_answers_is_told() -> None:
    asked: list[str] = []

    def connect(address: str, port: int, seconds: float) -> socket.socket:
        asked.append(address)
        raise ConnectionRefusedError

    webhook = allowed_webhook("http://localhost:80/", "localhost:80")
    with pytest.raises(UserError, match="could not be told"):
        deliver(webhook, {}, resolve=lambda host, port: ["::1", "127.0.0.1"], connect=connect)
    assert asked == ["::1", "127.0.0.1"]


def is_public_everywhere(*addresses: str) -> bool:
    import ipaddress

    return all(is_public(ipaddress.ip_address(address)) for address in addresses)


BAD_ANSWERS = {
    "redirect": (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", "redirect"),
    "refusal": (b"HTTP/1.1 410 Gone\r\n\r\n", "status 410"),
    "no HTTP": (b"\x00\xff" * 10, "could not be told"),
    "endless line": (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000, "could not be told"),
    "endless headers": (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000, "could not be told"),
    "nothing": (b"", "could not be told"),
}


@pytest.mark.parametrize(("answer", "said"), BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
def test_a_bad_answer_is_one_sentence(answer: bytes, said: str) -> None:
    with serving(answer) as server:
        place = f"127.0.0.1:{server.port}"
        sentence = tell_ending(ended(f"http://{place}/s3cret"), environment={"GLASSBOX_WEBHOOK_HOSTS": place})
        assert said in sentence and "s3cret" not in sentence
        assert len(server.requests) == 1, "a redirect is not followed, nothing is tried twice"


def test_a_large_body_is_not_read_and_a_silent_server_is_left_in_time() -> None:
    with serving(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n" + b"x" * 100_000) as server:
        place = f"127.0.0.1:{server.port}"
        deliver(allowed_webhook(f"http://{place}/", place), {})
    with serving(None) as server:
        place = f"127.0.0.1:{server.port}"
        with pytest.raises(UserError, match=r"did not answer within 0\.3 s"):
            deliver(allowed_webhook(f"http://{place}/", place), {}, seconds=0.3)
        assert server.gone.wait(20), "the connection is closed, nothing waits on"
    gate = threading.Event()

    def never(host: str, port: int) -> list[str]:
        gate.wait()
        return ["127.0.0.1"]

    with pytest.raises(UserError, match="did not answer"):
        deliver(allowed_webhook("http://localhost/", "localhost"), {}, resolve=never, seconds=0.1)
    gate.set()


def test_https_is_told_only_where_the_certificate_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("makes its certificate with openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *(
                openssl,
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "2",
            ),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with serving(OK, tls) as server:
        hosts = f"localhost:{server.port}, 127.0.0.1:{server.port}"
        webhook = allowed_webhook(f"https://localhost:{server.port}/", hosts)
        with pytest.raises(UserError, match="SSLCertVerificationError"):
            deliver(webhook, {})
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        deliver(webhook, {"state": "finished"}, resolve=lambda host, port: ["127.0.0.1"])
        with pytest.raises(UserError, match="SSLCertVerificationError"):
            deliver(allowed_webhook(f"https://127.0.0.1:{server.port}/", hosts), {})
        assert len(server.requests) == 1 and server.requests[0].startswith(b"POST / ")

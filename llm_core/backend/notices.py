"""A short JSON message to an address of the user's when a run has ended: the webhook.

The address may come from anybody who may start a run, so it is held against server-side request forgery: its host must be named in
GLASSBOX_WEBHOOK_HOSTS, the name is resolved once and the connection goes to the very address that was checked, private networks are
out of reach, redirects are not followed, and of the answer only the status is read, all within one deadline.
Not here: where the setting is declared (`llm_core.config.logging`), who calls this (`worker.py`).

    GLASSBOX_WEBHOOK_HOSTS   names that may be told, separated by commas: hooks.example.org, or localhost:8080 with its port
    GLASSBOX_WEBHOOK_URL     told of every run that names no address itself; for addresses that are secret
"""

from __future__ import annotations

import http.client
import ipaddress
import os
import re
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from llm_core.config.errors import UserError
from llm_core.config.run import RunConfig, config_from_dict
from llm_core.workspace.job_record import FINAL, JobRecord
from llm_core.workspace.json_files import json_text

HOSTS_VARIABLE, URL_VARIABLE = "GLASSBOX_WEBHOOK_HOSTS", "GLASSBOX_WEBHOOK_URL"
TIMEOUT_SECONDS = 5.0
_LONGEST_TEXT = 500
_PORTS = {"https": 443, "http": 80}
_NAME = re.compile(r"[a-z0-9]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9_-]*[a-z0-9])?)*")
# What a C library would take for an IPv4 address although it is not written as one: 2130706433, 0x7f.1, 127.1.
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], list[str]]
Connect = Callable[[str, int, float], socket.socket]


@dataclass(frozen=True)
class Webhook:
    """An address that may be told, taken apart."""

    scheme: str
    host: str
    port: int
    target: str
    """Path and query; may hold a secret, so it is in no message and in no log."""

    @property
    def place(self) -> str:
        """What may be said of it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether it names this machine itself."""
        address = _literal_address(self.host)
        return self.host == "localhost" or (address is not None and address.is_loopback)


def resolve_host(host: str, port: int) -> list[str]:
    """Every address of a host, as the system knows it."""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def connect_to(address: str, port: int, seconds: float) -> socket.socket:
    """A connection to an address that is no name, so that nothing is resolved again."""
    return socket.create_connection((address, port), timeout=seconds)


def webhook_of(config: RunConfig, environment: Mapping[str, str] | None = None) -> Webhook | None:
    """Whom this run tells of its end; None for nobody.

    Raises:
        UserError: the address is not one that this server may tell.
    """
    environment = os.environ if environment is None else environment
    url = config.logging.webhook_url or environment.get(URL_VARIABLE, "")
    return allowed_webhook(url, environment.get(HOSTS_VARIABLE, "")) if url else None


def allowed_webhook(url: str, hosts: str) -> Webhook:
    """The address taken apart, if it may be told.

    Args:
        hosts: the value of GLASSBOX_WEBHOOK_HOSTS.

    Raises:
        UserError: it is none, not on the list, or without encryption on its way to another machine.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError as error:
        raise _refused("The webhook is no address", "Give one like https://hooks.example.org/…") from error
    if parts.scheme not in _PORTS or "@" in parts.netloc or not host or re.search(r"[^!-~]", url):
        raise _refused("The webhook is no plain https address", "Give one like https://hooks.example.org/…")
    address = _literal_address(host)
    if address is None and (not _NAME.fullmatch(host) or _NUMERIC_LABEL.fullmatch(host.rpartition(".")[2])):
        raise _refused(f"The webhook's host {host[:80]} is neither a name nor a plain address", "Write the name out")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    webhook = Webhook(parts.scheme, host if address is None else str(address), port or _PORTS[parts.scheme], target)
    if not any(_names(entry, webhook) for entry in hosts.split(",")):
        remedy = f"Add it to {HOSTS_VARIABLE} where Glassbox is started"
        raise _refused(f"The webhook's host {webhook.place[:80]} is not allowed", remedy)
    if webhook.scheme != "https" and not webhook.is_loopback:
        raise _refused("The webhook would be told without encryption", "Use https://")
    return webhook


def tell_ending(
    record: JobRecord,
    *,
    environment: Mapping[str, str] | None = None,
    resolve: Resolve = resolve_host,
    connect: Connect = connect_to,
    seconds: float = TIMEOUT_SECONDS,
) -> str:
    """Tell the run's webhook that the run has ended, and say in a sentence for the log how that went.

    Never raises, and never takes longer than `seconds`. Empty when there is nobody to tell or nothing to tell of.
    """
    if record.kind != "train" or record.state not in FINAL:
        return ""
    try:
        webhook = webhook_of(config_from_dict(record.config), environment)
        if webhook is None:
            return ""
        deliver(webhook, message_of(record), resolve=resolve, connect=connect, seconds=seconds)
    except UserError as error:
        return f"The webhook was not told: {error}"
    return f"The webhook at {webhook.place} was told."


def message_of(record: JobRecord) -> dict[str, Any]:
    """What a webhook is told. `text` and `content` are what Slack, Mattermost and Discord show of it."""
    sentence = f"Run {record.name} {_ENDINGS[record.state]}: {record.reason}".strip(": ")[:_LONGEST_TEXT]
    return {
        "event": "run_ended",
        "run_id": record.id,
        "name": record.name[:_LONGEST_TEXT],
        "state": record.state,
        "reason": record.reason[:_LONGEST_TEXT],
        "remedy": record.remedy[:_LONGEST_TEXT],
        "steps": record.result.get("steps"),
        "val_loss": record.result.get("val_loss"),
        # Slack reads <!channel> and links between these signs, Discord @everyone: a run may be called anything.
        "text": sentence.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"),
        "content": sentence,
        "allowed_mentions": {"parse": []},
    }


_ENDINGS = {"finished": "has finished", "stopped": "was stopped", "failed": "failed", "diverged": "diverged"}


def deliver(
    webhook: Webhook,
    message: Mapping[str, Any],
    *,
    resolve: Resolve = resolve_host,
    connect: Connect = connect_to,
    seconds: float = TIMEOUT_SECONDS,
) -> None:
    """Post the message once.

    Args:
        resolve, connect: how names become addresses and addresses connections.
        seconds: the limit of everything together, looking up the name included.

    Raises:
        UserError: the name leads where it may not, nobody answers in time, or the answer is not a 2xx.
    """
    delivery = _Delivery(webhook, message, resolve, connect, seconds)
    # A name server cannot be given a limit, and a server that sends a byte a second never runs into one: hence a thread.
    thread = threading.Thread(target=delivery.run, name="webhook", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        delivery.give_up()
        raise _too_late(webhook, seconds)
    if delivery.problem is not None:
        raise delivery.problem


class _Delivery:
    """One attempt, in a thread of its own."""

    def __init__(
        self, webhook: Webhook, message: Mapping[str, Any], resolve: Resolve, connect: Connect, seconds: float
    ) -> None:
        self.problem: UserError | None = None
        self._webhook, self._message = webhook, message
        self._resolve, self._connect, self._seconds = resolve, connect, seconds
        self._socket: socket.socket | None = None
        self._is_given_up = False

    def run(self) -> None:
        try:
            self._post()
        except UserError as error:
            self.problem = error
        except TimeoutError:
            self.problem = _too_late(self._webhook, self._seconds)
        except (OSError, http.client.HTTPException, ValueError) as error:
            # The words of the fault may hold the address with its secret part.
            what = f"{self._webhook.place} could not be told ({type(error).__name__})"
            self.problem = _refused(what, "See whether it can be reached from this machine")

    def give_up(self) -> None:
        """End a connection that waits; the thread then ends too."""
        self._is_given_up = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _connected(self, addresses: list[str]) -> socket.socket:
        """To the first that answers: a name often has an address of each version, and only one of them a listener."""
        *others, last = addresses
        seconds = self._seconds / len(addresses)
        for address in others:
            with suppress(OSError):
                return self._connect(address, self._webhook.port, seconds)
        return self._connect(last, self._webhook.port, seconds)

    def _post(self) -> None:
        webhook = self._webhook
        self._socket = self._connected(checked_addresses(webhook, self._resolve(webhook.host, webhook.port)))
        connection = http.client.HTTPConnection(webhook.host, webhook.port)
        if webhook.scheme == "https":
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(webhook.host, webhook.port, context=context)
            # Shaking hands comes after `give_up` can reach the socket.
            self._socket = context.wrap_socket(
                self._socket, server_hostname=webhook.host, do_handshake_on_connect=False
            )
        with self._socket:
            if self._is_given_up:
                return
            if isinstance(self._socket, ssl.SSLSocket):
                self._socket.do_handshake()
            connection.sock = self._socket  # so that nothing is resolved or connected again
            headers = {"Content-Type": "application/json", "User-Agent": "glassbox", "Connection": "close"}
            connection.request("POST", webhook.target, json_text(self._message).encode(), headers)
            status = connection.getresponse().status  # the library bounds the headers, and the body is not read
        if 300 <= status < 400:
            raise _refused(f"{webhook.place} answered with a redirect", "Give the address that it leads to")
        if not 200 <= status < 300:
            raise _refused(f"{webhook.place} answered with status {status}", "See whether the address is still right")


def checked_addresses(webhook: Webhook, addresses: list[str]) -> list[str]:
    """The addresses, if every one of them may be connected to.

    Raises:
        UserError: one of them lies in a private network, or there is none.
    """
    if not addresses:
        raise _refused(f"{webhook.host} has no address", "See whether the name is right")
    for text in addresses:
        address = ipaddress.ip_address(text)
        fits = address.is_loopback if webhook.is_loopback else is_public(address)
        if not fits:
            remedy = "Only public addresses can be told, or this machine itself under the name localhost"
            raise _refused(f"{webhook.host} leads to {address}, which is in no public network", remedy)
    return addresses


def is_public(address: Address) -> bool:
    """Whether an address is one of the open Internet, whichever way it is wrapped."""
    inner = _embedded(address)
    if inner is not None:
        return is_public(inner)
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052


def _embedded(address: Address) -> Address | None:
    """The IPv4 address that an IPv6 address leads to: mapped, compatible, 6to4, Teredo or NAT64."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.ipv4_mapped or address.sixtofour:
        return address.ipv4_mapped or address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    number = int(address)
    if address in _TRANSLATED or (number >> 32 == 0 and number > 1):
        return ipaddress.IPv4Address(number & 0xFFFF_FFFF)
    return None


def _literal_address(host: str) -> Address | None:
    """The address that a host is, written the one usual way; None for names."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _names(entry: str, webhook: Webhook) -> bool:
    """Whether an entry of the list means this host and port; without a port it means the usual one."""
    try:
        parts = urlsplit(f"//{entry.strip().lower()}")
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return False
    address = _literal_address(host)
    host = host if address is None else str(address)
    return bool(host) and host == webhook.host and webhook.port == (port or _PORTS[webhook.scheme])


def _refused(what: str, remedy: str) -> UserError:
    return UserError(what, remedy=remedy)


def _too_late(webhook: Webhook, seconds: float) -> UserError:
    return _refused(f"{webhook.place} did not answer within {seconds:g} s", "The run itself is not touched by this")

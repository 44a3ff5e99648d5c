"""A reader of TensorBoard event files that shares nothing with what writes them: records, checksums, and the few fields we use.

Framing as in TensorFlow's record_writer: length (8 bytes), masked CRC-32C of it, data, masked CRC-32C of the data. Fields as in event.proto
and summary.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Told:
    """One event: a scalar or a text under its tag, or `purge` where what came before from this step on no longer counts."""

    tag: str
    step: int
    value: float | str | None


def read_events(folder: Path) -> list[Told]:
    """Everything in the folder's event files, in order."""
    return [
        told for path in sorted(folder.iterdir()) for record in _records(path.read_bytes()) for told in _told(record)
    ]


def surviving_scalars(folder: Path, tag: str) -> dict[int, float]:
    """What TensorBoard draws: scalars by step, without those that a later file purged."""
    kept: dict[int, float] = {}
    for told in read_events(folder):
        if told.tag == "purge":
            kept = {step: value for step, value in kept.items() if step < told.step}
        elif told.tag == tag and isinstance(told.value, float):
            kept[told.step] = told.value
    return kept


def _records(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        (length, length_check) = struct.unpack_from("<QI", data, at)
        record = data[at + 12 : at + 12 + length]
        (check,) = struct.unpack_from("<I", data, at + 12 + length)
        assert _masked(data[at : at + 8]) == length_check and _masked(record) == check
        yield record
        at += 16 + length


def _masked(data: bytes) -> int:
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (0x82F63B78 & -(register & 1))
    register ^= 0xFFFFFFFF
    return (((register >> 15) | (register << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _told(event: bytes) -> Iterator[Told]:
    fields = list(_fields(event))
    step = next((value for number, value in fields if number == 2 and isinstance(value, int)), 0)
    for number, value in fields:
        if number == 7 and (1, 1) in _fields(_bytes(value)):  # session_log with status START
            yield Told("purge", step, None)
        if number == 5:  # summary
            for _, entry in _fields(_bytes(value)):
                inside = dict(_fields(_bytes(entry)))
                yield Told(_bytes(inside[1]).decode(), step, _value(inside))


def _value(inside: dict[int, int | bytes]) -> float | str | None:
    if 2 in inside:
        return struct.unpack("<f", _bytes(inside[2]))[0]
    tensor = dict(_fields(_bytes(inside.get(8, b""))))
    return _bytes(tensor[8]).decode() if 8 in tensor else None


def _bytes(value: int | bytes) -> bytes:
    assert isinstance(value, bytes)
    return value


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        length, at = _varint(message, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
        yield key >> 3, message[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at

"""Reading a text file: UTF-8 or a plain message that says what it is instead, where, and what to do.

Yields the text in parts that end at line ends, so that nothing after it ever sees half a character, half a CRLF or half a
line. Memory stays at a few parts, whatever the size. Not here: tables (`tables.py`), cleaning (`cleaning.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from llm_core.config.errors import NotFound, UserError
from llm_core.text.progress import (
    READING_TEXT,
    CancelHook,
    ProgressHook,
    never_cancelled,
    no_progress,
    stop_if_cancelled,
)

MAXIMUM_LINE_BYTES = 16 * 2**20
READ_BYTES = 2**20

_UTF8_MARK = b"\xef\xbb\xbf"
_UTF32_MARKS = (b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")
_UTF16_MARKS = {b"\xff\xfe": "UTF-16LE", b"\xfe\xff": "UTF-16BE"}

# First bytes of files that are often renamed or picked by mistake.
_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "a zip archive (or a Word, Excel or PyTorch file)", "Unpack it, or export its text"),
    (b"PK\x05\x06", "an empty zip archive", "Give the text file itself"),
    (b"\x1f\x8b", "a gzip archive", "Unpack it with gunzip"),
    (b"BZh", "a bzip2 archive", "Unpack it with bunzip2"),
    (b"\xfd7zXZ\x00", "an xz archive", "Unpack it with unxz"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", "Unpack it with unzstd"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "Unpack it"),
    (b"PAR1", "a Parquet table", "Give it the ending .parquet"),
    (b"ARROW1", "an Arrow table", "Save it as Parquet"),
    (b"SQLite format 3\x00", "a SQLite database", "Export the text as CSV"),
    (b"\x89HDF\r\n", "an HDF5 file", "Export the text as CSV"),
    (b"%PDF-", "a PDF", "Export its text"),
    (b"\x89PNG\r\n", "a PNG picture", "Give a text file"),
    (b"\xff\xd8\xff", "a JPEG picture", "Give a text file"),
    (b"GIF8", "a GIF picture", "Give a text file"),
    (b"\x7fELF", "a program", "Give a text file"),
)


def check_file(path: Path) -> int:
    """The size of the file in bytes, if it can be read.

    Raises:
        NotFound: nothing is there.
        UserError: a folder or device, unreadable, or empty.
    """
    try:
        exists = path.exists()
    except OSError as error:  # a name longer than the file system allows, a folder that may not be entered
        raise UserError(
            f"The file cannot be looked up: {error.strerror}", value=path, remedy="Check the path and its rights"
        ) from error
    if not exists:
        raise NotFound("There is no such file", value=path, remedy="Check the path")
    if path.is_dir():
        raise UserError("This is a folder", value=path, remedy="Give one file; join several with `cat`")
    if not path.is_file():
        raise UserError("This is not a regular file", value=path, remedy="Save the text to a file first")
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise UserError(f"The file cannot be read: {error.strerror}", value=path, remedy="Check its rights") from error
    size_bytes = path.stat().st_size
    if size_bytes == 0:
        raise UserError("The file is empty (0 bytes)", value=path.name, remedy="Give a file with text")
    return size_bytes


def signature(head: bytes) -> tuple[str, str] | None:
    """What a file with these first bytes is, and the remedy; None for what may be text."""
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "a Python pickle, which can run code when loaded", "Never load it; ask its maker for text or JSON"
    return next(((what, remedy) for start, what, remedy in _SIGNATURES if head.startswith(start)), None)


def read_text_file(
    path: Path, *, progress: ProgressHook = no_progress, cancelled: CancelHook = never_cancelled
) -> Iterator[str]:
    """The text of a UTF-8 file (a byte-order mark is dropped) in parts of about 1 MiB, all but the last ending in a line end.

    Raises:
        UserError: empty, another format or encoding, a NUL byte, or a line over 16 MB; names byte and line.
        Cancelled: when the hook says so.
    """
    size_bytes = check_file(path)
    with path.open("rb") as file:
        reader = _Utf8Reader(file, path.name)
        for part in reader.parts():
            stop_if_cancelled(cancelled)
            progress(READING_TEXT, min(reader.offset, size_bytes), size_bytes)
            yield part


class _Utf8Reader:
    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self.offset = 0
        """Bytes of the file handed out so far."""
        self._line = 1
        self._is_mostly_utf8 = False

    def parts(self) -> Iterator[str]:
        waiting = bytearray(self._file.read(READ_BYTES))
        self._check_head(bytes(waiting[:4096]))
        if waiting.startswith(_UTF8_MARK):
            del waiting[:3]
            self.offset = 3
        data = bytes(waiting)
        waiting = bytearray()
        while data:
            self._refuse_nul(data, len(waiting))
            cut = data.rfind(b"\n") + 1
            if cut:
                yield self._decode(bytes(waiting) + data[:cut])
                waiting = bytearray(data[cut:])
            else:
                waiting += data
            if len(waiting) > MAXIMUM_LINE_BYTES:
                raise self._long_line_error(len(waiting) + self._rest_of_line())
            data = self._file.read(READ_BYTES)
        if waiting:
            yield self._decode(bytes(waiting))

    def _decode(self, block: bytes) -> str:
        # A long line inside the block: rare, and only possible where the block itself is longer than the limit.
        if len(block) > MAXIMUM_LINE_BYTES:
            longest = max(len(line) for line in block.split(b"\n"))
            if longest > MAXIMUM_LINE_BYTES:
                raise self._long_line_error(longest)
        try:
            text = block.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._encoding_error(block, error) from error
        self._is_mostly_utf8 = self._is_mostly_utf8 or not block.isascii()
        self.offset += len(block)
        self._line += block.count(b"\n")
        return text

    def _check_head(self, head: bytes) -> None:
        found = signature(head)
        if found:
            raise UserError(f"The file is no text: it is {found[0]}", value=self._name, remedy=found[1])
        if head.startswith(_UTF32_MARKS):
            raise self._other_encoding("UTF-32")
        for mark, encoding in _UTF16_MARKS.items():
            if head.startswith(mark):
                raise self._other_encoding(encoding)
        # Text in UTF-16 without a mark: for Western text every second byte is NUL.
        even, odd = head[0::2].count(0), head[1::2].count(0)
        if len(head) >= 4 and max(even, odd) > 0.4 * (len(head) // 2) and min(even, odd) < 0.1 * (len(head) // 2):
            raise self._other_encoding("UTF-16BE" if even > odd else "UTF-16LE")

    def _refuse_nul(self, data: bytes, num_waiting: int) -> None:
        place = data.find(b"\0")
        if place < 0:
            return
        line = self._line + data[:place].count(b"\n")
        raise UserError(
            f"The file holds a NUL byte at byte {self.offset + num_waiting + place:,} (line {line:,}), so it is no text",
            value=self._name,
            remedy="Give a text file, or remove the NUL bytes",
        )

    def _rest_of_line(self) -> int:
        """Bytes from here to the next line end, so that the message can say how long the line really is."""
        length = 0
        while data := self._file.read(READ_BYTES):
            end = data.find(b"\n")
            if end >= 0:
                return length + end
            length += len(data)
        return length

    def _long_line_error(self, length: int) -> UserError:
        return UserError(
            f"Line {self._line:,} is {length / 2**20:,.0f} MB long (it begins at byte {self.offset:,})",
            value=self._name,
            limit=f"{MAXIMUM_LINE_BYTES // 2**20} MB a line",
            remedy="Put line breaks into it, for example one after each paragraph",
        )

    def _other_encoding(self, encoding: str) -> UserError:
        return UserError(
            f"The file is not UTF-8: it is {encoding} (seen at byte 0)",
            value=self._name,
            limit="UTF-8",
            remedy=f"Save it as UTF-8, for example: iconv -f {encoding} -t UTF-8 in.txt > out.txt",
        )

    def _encoding_error(self, block: bytes, error: UnicodeDecodeError) -> UserError:
        place = f"byte {self.offset + error.start:,} (line {self._line + block[: error.start].count(10):,})"
        found = f"The file is not UTF-8: byte 0x{block[error.start]:02X} at {place}"
        begin = block.rfind(b"\n", 0, error.start) + 1
        line = block[max(begin, error.start - 200) : error.start + 200].partition(b"\n")[0]
        guess = None if self._is_mostly_utf8 else _guess_encoding(block[max(0, error.start - 2000) :][:8000])
        if guess is None:
            return UserError(
                f"{found} is no valid character",
                value=line[:80].decode("utf-8", "replace"),
                limit="UTF-8",
                remedy="Repair that place, or drop what is broken: iconv -c -f UTF-8 -t UTF-8 in.txt > out.txt",
            )
        return UserError(
            f"{found}. It looks like {guess}",
            value=line.decode(guess.partition(" ")[0], "replace")[:80],
            limit="UTF-8",
            remedy=f"Save it as UTF-8, for example: iconv -f {guess.partition(' ')[0]} -t UTF-8 in.txt > out.txt",
        )


def _guess_encoding(sample: bytes) -> str | None:
    """The likeliest legacy encoding of a sample that is not UTF-8; None when it looks like damaged UTF-8 or binary data."""
    sample = sample.rpartition(b"\n")[0] or sample
    high = [index for index, byte in enumerate(sample) if byte >= 0x80]
    controls = sum(byte < 32 and byte not in b"\t\n\r\f" for byte in sample)
    if not high or controls > len(sample) // 100:
        return None
    lonely = sum(
        (index == 0 or sample[index - 1] < 0x80) and (index + 1 == len(sample) or sample[index + 1] < 0x80)
        for index in high
    )
    if lonely > 0.5 * len(high):
        return "windows-1252 (also called Latin-1)"
    # Legacy Chinese and Japanese: nearly everything decodes, into characters of those scripts.
    for encoding, title in (("shift_jis", "Japanese"), ("gb18030", "Chinese"), ("big5", "traditional Chinese")):
        text = sample.decode(encoding, "replace")
        if text.count("�") <= len(text) // 100 and _share_of_east_asian(text) > (
            0.9 if encoding != "shift_jis" else 0.95
        ):
            return f"{encoding} ({title})"
    return None


def _share_of_east_asian(text: str) -> float:
    beyond_ascii = [ord(character) for character in text if ord(character) >= 0x80]
    common = sum(
        0x3000 <= code <= 0x30FF or 0x4E00 <= code <= 0x9FFF or 0xFF00 <= code <= 0xFF60 for code in beyond_ascii
    )
    return common / len(beyond_ascii) if beyond_ascii else 0.0

"""Cleaning gives the same text however a document arrives in parts, and counts what it changes."""

from __future__ import annotations

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from llm_core.text.cleaning import CleaningCounts, CleaningOptions, DocumentPart, clean
from llm_core.text.digests import DIGEST_BYTES, DigestSet, RepetitionShare, digest

TEXT = st.text(st.sampled_from("ab \n\r\u0301é한\u11a8-"), max_size=40)


def at_line_ends(text: str, cuts: list[bool]) -> list[DocumentPart]:
    """The text in parts that end at some of its line ends, as the readers give it."""
    lines = text.splitlines(keepends=True) if "\r" not in text else text.split("\n")
    if "\r" in text:
        lines = [line + "\n" for line in lines[:-1]] + lines[-1:]
    parts, held = [], ""
    for line, cut in zip(lines, cuts + [False] * len(lines), strict=False):
        held += line
        if cut:
            parts.append(held)
            held = ""
    parts.append(held)
    return [DocumentPart(part, index == len(parts) - 1) for index, part in enumerate(parts)]


def joined(parts: list[DocumentPart]) -> list[str]:
    documents, held = [], ""
    for text, ends in parts:
        held += text
        if ends:
            documents.append(held)
            held = ""
    assert held == "", "every document ends"
    return documents


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(TEXT, st.lists(st.booleans(), max_size=10)), max_size=4),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["none", "document", "line"]),
    st.sampled_from([None, "\n\n", "--"]),
)
def test_parts_do_not_change_the_result(
    documents: list[tuple[str, list[bool]]], line_ends: bool, nfc: bool, duplicates: str, separator: str | None
) -> None:
    options = CleaningOptions.model_validate(
        {"line_ends": line_ends, "unicode_nfc": nfc, "duplicates": duplicates, "document_separator": separator}
    )
    whole_counts, part_counts = CleaningCounts(), CleaningCounts()
    whole = joined(list(clean([DocumentPart(text, True) for text, _ in documents], options, whole_counts)))
    in_parts = [part for text, cuts in documents for part in at_line_ends(text, cuts)]
    assert joined(list(clean(in_parts, options, part_counts))) == whole
    assert part_counts == whole_counts
    assert all(document.strip() for document in whole)
    if line_ends and not any("\r\r\n" in text for text, _ in documents):
        assert not any("\r\n" in document for document in whole)
    if nfc and duplicates == "none":
        assert all(unicodedata.is_normalized("NFC", document) for document in whole)
    if duplicates == "document":
        assert len(set(whole)) == len(whole)
    if duplicates == "line":
        lines = [line for document in whole for line in document.split("\n") if line.strip()]
        assert len(set(lines)) == len(lines)


def test_the_defaults_change_nothing_but_windows_line_ends() -> None:
    text = " \ta\r\nb\rc\u2028e\u0301\n\n\n"
    counts = CleaningCounts()
    assert joined(list(clean([DocumentPart(text, True)], CleaningOptions(), counts))) == [text.replace("\r\n", "\n")]
    assert counts == CleaningCounts(line_ends_changed=1)


def test_a_document_too_long_to_compare_is_kept() -> None:
    half = "x" * (33 * 2**20) + "\n"
    options = CleaningOptions(duplicates="document")
    parts = [DocumentPart(half, False), DocumentPart(half, True)] * 2 + [DocumentPart("a", True)] * 2
    counts = CleaningCounts()
    lengths = [len(document) for document in joined(list(clean(parts, options, counts)))]
    assert lengths == [2 * len(half), 2 * len(half), 1]
    assert counts.repeated_documents == 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(min_size=DIGEST_BYTES, max_size=DIGEST_BYTES), max_size=50))
def test_the_table_of_digests_is_a_set(values: list[bytes]) -> None:
    table, expected = DigestSet(), set[bytes]()
    for value in [*values, bytes(DIGEST_BYTES), bytes(DIGEST_BYTES), *values]:
        assert table.add(value) == (value not in expected)
        expected.add(value)
    assert len(table) == len(expected)


def test_the_table_of_digests_grows_and_forgets_nothing() -> None:
    table = DigestSet()
    assert all(table.add(digest(str(number))) for number in range(20_000))
    assert not any(table.add(digest(str(number))) for number in range(20_000))
    assert len(table) == 20_000


def test_the_share_of_repetitions_is_exact_while_small_and_close_when_sampled() -> None:
    exact, sampled = RepetitionShare(), RepetitionShare(capacity=2_000)
    for number in range(30_000):
        for share in (exact, sampled):
            share.add(str(number if number % 3 else 0))
    assert not exact.is_sampled
    assert exact.share == 1 - 20_001 / 30_000
    assert sampled.is_sampled
    # One text makes up a third of all: it is in the sample or not, which is why a share is told to be an estimate.
    many = RepetitionShare(capacity=2_000)
    for number in range(30_000):
        many.add(str(number % 12_000))
    assert abs(many.share - 0.6) < 0.02

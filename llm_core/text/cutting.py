"""One text cut by one tokenizer, with the figures by which tokenizers are compared.

Also the list of tokenizers that a text can be cut by without training one first. Not here: the tokenizers themselves
(`tokenizers.py`, `subword.py`), cutting whole corpora (`tokens.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from llm_core.config.errors import NotFound
from llm_core.text.dataset_record import read_alphabet
from llm_core.text.library import dataset_folder, find_dataset, list_datasets
from llm_core.text.tokenizer_interface import TextTokenizer, TokenPiece
from llm_core.text.tokenizer_library import list_tokenizers, open_tokenizer
from llm_core.text.tokenizers import ByteTokenizer, CharacterTokenizer
from llm_core.workspace.paths import Workspace

THIS_TEXT = "text"
BYTES = "byte"
_CHARACTERS_OF = "char:"


@dataclass(frozen=True)
class CutText:
    """A text in pieces. Counts are of tokens; what is unknown became none."""

    pieces: list[TokenPiece]
    tokens: int
    bytes_per_token: float
    """UTF-8 bytes that one token stands for on average; 0 without tokens."""
    unknown: list[str]
    """Distinct pieces of text that the tokenizer does not know, in the order of their appearance."""
    unknown_share: float
    """Of the text's characters, 0 to 1."""


def cut(tokenizer: TextTokenizer, text: str) -> CutText:
    """Cut a text for showing."""
    pieces = tokenizer.pieces(text)
    known = [piece for piece in pieces if piece.token_id is not None]
    unknown = [piece.text for piece in pieces if piece.token_id is None]
    size_bytes = sum(len(piece.data) for piece in known)
    return CutText(
        pieces,
        len(known),
        size_bytes / len(known) if known else 0.0,
        list(dict.fromkeys(unknown)),
        sum(map(len, unknown)) / len(text) if text else 0.0,
    )


@dataclass(frozen=True)
class TokenizerOption:
    """Something to cut by: a key for links, and words for people."""

    key: str
    title: str


def tokenizer_options(workspace: Workspace) -> list[TokenizerOption]:
    """The tokenizers of the workspace, newest first; then bytes, and the characters of each text that is there."""
    kept = [TokenizerOption(record.id, record.name) for record in list_tokenizers(workspace)]
    of_texts = [
        TokenizerOption(_CHARACTERS_OF + record.id, f"Characters of {record.title}")
        for record in list_datasets(workspace)
        if record.materialised
    ]
    return [*kept, TokenizerOption(BYTES, "Bytes"), *of_texts, TokenizerOption(THIS_TEXT, "Characters of this sample")]


def is_kept(key: str) -> bool:
    """Whether the key is of a tokenizer of the workspace, which stays as it is, and not of one made on the spot."""
    return key not in (BYTES, THIS_TEXT) and not key.startswith(_CHARACTERS_OF)


def open_option(workspace: Workspace, key: str, sample: str) -> TextTokenizer:
    """The tokenizer behind a key of `tokenizer_options`; `sample` is the text whose characters THIS_TEXT means.

    Raises:
        NotFound: there is none.
        UserError: its file is damaged.
    """
    if key == BYTES:
        return ByteTokenizer()
    if key == THIS_TEXT:
        return CharacterTokenizer(sample)
    if is_kept(key):
        return open_tokenizer(workspace, key)
    record = find_dataset(workspace, key.removeprefix(_CHARACTERS_OF))
    if not record.materialised:
        raise NotFound("This built-in text was not made yet", value=record.name, remedy="Open it on the Data page")
    alphabet = read_alphabet(dataset_folder(workspace, record))
    return CharacterTokenizer(alphabet, end_of_text=not record.is_one_document)

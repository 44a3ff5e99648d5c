"""One encoded text as it lies on disk: two token arrays, the tokenizer, and what was counted.

A folder `tokens/<key>/` holds `train.bin`, `val.bin` (little-endian uint16 or uint32, no header), `tokenizer.json` and
`meta.json`. Opening needs numpy alone. Not here: making such a folder (`tokens.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from llm_core.config.errors import NotFound, UserError
from llm_core.text.tokenizers import TextTokenizer, tokenizer_from_json

TRAIN_FILE = "train.bin"
VALIDATION_FILE = "val.bin"
TOKENIZER_FILE = "tokenizer.json"
META_FILE = "meta.json"


class TokenMeta(BaseModel):
    """What was counted while encoding. Counts of a split include its end-of-document tokens; bytes do not."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    key: str
    dataset_id: str
    dataset_name: str
    content_hash: str
    tokenizer_id: str
    tokenizer_kind: str
    vocabulary_size: int
    dtype: str
    validation_fraction: float
    documents: int
    is_pairs: bool = False
    """Whether each document is a source and a target, each ended by the end token."""
    train_documents: int
    validation_documents: int
    train_characters: int
    validation_characters: int
    train_bytes: int
    """Sum of `TextTokenizer.byte_lengths` over the training tokens; the UTF-8 bytes of the text for char, byte and BPE."""
    validation_bytes: int
    train_tokens: int
    validation_tokens: int
    used_vocabulary: int
    """Ids that occur in the training split."""
    unseen_validation_tokens: int
    """Validation tokens whose id never occurs in the training split."""
    unigram_entropy_nats: float
    """Nats per validation token for a model that knows only how often each id occurs in the training split."""

    @property
    def identity(self) -> str:
        """What a run must find again to go on: the text, how it was split and into how many tokens, wherever it lies."""
        counts = f"{self.vocabulary_size}-{self.train_tokens}-{self.validation_tokens}"
        return f"{self.content_hash}-{self.validation_fraction}-{counts}"

    @property
    def bytes_per_token(self) -> float:
        """UTF-8 bytes that one validation token stands for on average."""
        return self.validation_bytes / self.validation_tokens


@dataclass(frozen=True)
class TokenSet:
    """An opened token folder."""

    path: Path
    meta: TokenMeta
    tokenizer: TextTokenizer

    @property
    def key(self) -> str:
        """Names the folder: a hash of text, split and tokenizer."""
        return self.meta.key

    @cached_property
    def train(self) -> npt.NDArray[np.uint16] | npt.NDArray[np.uint32]:
        """Training tokens, a read-only memory map."""
        return np.memmap(self.path / TRAIN_FILE, dtype=np.dtype(self.meta.dtype), mode="r")

    @cached_property
    def validation(self) -> npt.NDArray[np.uint16] | npt.NDArray[np.uint32]:
        """Validation tokens, a read-only memory map."""
        return np.memmap(self.path / VALIDATION_FILE, dtype=np.dtype(self.meta.dtype), mode="r")


def read_meta(path: Path) -> TokenMeta | None:
    """The counts of a token folder; None when there are none or they are damaged."""
    try:
        return TokenMeta.model_validate_json((path / META_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def open_token_set(path: Path) -> TokenSet:
    """Open a token folder and check that its files are as long as its counts say.

    Raises:
        NotFound: there is no such folder.
        UserError: a file is missing, cut short or unreadable.
    """
    if not path.is_dir():
        raise NotFound("This text is not cut into tokens yet", value=path.name, remedy="Start the run again")
    remedy = f"Delete the folder {path} and start again; it is made anew"
    try:
        meta = TokenMeta.model_validate_json((path / META_FILE).read_bytes())
        tokenizer = tokenizer_from_json((path / TOKENIZER_FILE).read_text(encoding="utf-8"))
        sizes = [(path / name).stat().st_size for name in (TRAIN_FILE, VALIDATION_FILE)]
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise UserError(f"The encoded text is damaged: {type(error).__name__}", value=path, remedy=remedy) from error
    width = np.dtype(meta.dtype).itemsize
    expected = [meta.train_tokens * width, meta.validation_tokens * width]
    if sizes != expected:
        raise UserError("The encoded text is damaged", value=f"{sizes} bytes", limit=f"{expected} bytes", remedy=remedy)
    return TokenSet(path, meta, tokenizer)

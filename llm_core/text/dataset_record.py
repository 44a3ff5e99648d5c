"""What is known of one text in a workspace without reading it: `datasets/<id>/dataset.json`.

Not here: bringing texts in and finding them (`library.py`), the text itself (`corpus_file.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from llm_core.config.errors import UserError
from llm_core.config.setting import Settings, setting
from llm_core.text.cleaning import CleaningOptions
from llm_core.text.statistics import CorpusStatistics
from llm_core.workspace.json_files import write_text

RECORD_FILE = "dataset.json"
ALPHABET_FILE = "alphabet.txt"

SourceKind = Literal["auto", "text", "csv", "tsv", "jsonl", "parquet", "paste", "hub"]


class ImportOptions(Settings):
    """How a text is brought in."""

    name: str = setting("", label="Name", help="What the text is called here; empty takes the file's name.")
    kind: SourceKind = setting(
        "auto",
        label="Kind",
        help="What the source is; automatic goes by the file's ending.",
        choice_labels={
            "auto": "Automatic",
            "text": "Plain text",
            "csv": "CSV",
            "tsv": "TSV",
            "jsonl": "JSON lines",
            "parquet": "Parquet",
            "paste": "Pasted text",
            "hub": "Hugging Face Hub",
        },
    )
    text_column: str = setting(
        "", label="Text column", help="Which column of a table holds the text; empty takes `text`, or the only one."
    )
    target_column: str = setting(
        "",
        label="Answer column",
        help="Makes every row a pair, for sequence-to-sequence training: from the text column this one is to be written.",
    )
    hub_configuration: str = setting("", label="Configuration", help="For data sets of the Hub that have several.")
    hub_split: str = setting("train", label="Hub split", help="Which part of a data set of the Hub is read.")
    cleaning: CleaningOptions = CleaningOptions()


class DatasetRecord(BaseModel):
    """One text: built in or imported. A built-in one that was never used has no counts yet (`materialised` is False)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    name: str
    title: str
    builtin: bool = False
    materialised: bool = True
    documents: int = 0
    """Of a text of pairs: how many pairs."""
    is_pairs: bool = False
    """Whether every document is a source and a target (`pairs.py`)."""
    characters: int = 0
    bytes: int = 0
    content_hash: str = ""
    """SHA-256 of the documents as stored, after cleaning."""
    source_hash: str = ""
    """SHA-256 of the file as it was given."""
    source: str = ""
    """Where it came from, for people."""
    created_at: float = 0.0
    """Seconds since the epoch."""
    options: dict[str, Any] = {}
    """The ImportOptions, without the name."""
    statistics: CorpusStatistics | None = None
    sentence: str = ""
    look_for: str = ""
    python_version: str = ""
    """For built-in texts that come from Python itself: whose they are."""
    existing: bool = False
    """Only in the answer of an import: the same bytes and options were already here under this name."""

    @property
    def is_one_document(self) -> bool:
        """Such a text is split by characters, others by whole documents."""
        return self.documents == 1


def read_record(folder: Path) -> DatasetRecord | None:
    """The record in a dataset folder; None when there is none or it is damaged."""
    try:
        return DatasetRecord.model_validate_json((folder / RECORD_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def write_record(folder: Path, record: DatasetRecord, alphabet: str) -> None:
    """Write the record, and beside it the distinct characters of the text in code-point order."""
    (folder / ALPHABET_FILE).write_bytes(alphabet.encode("utf-8"))
    write_text(folder / RECORD_FILE, record.model_dump_json(indent=2, exclude={"existing"}) + "\n")


def read_alphabet(folder: Path) -> str:
    """The distinct characters of the text; UserError when the file is gone."""
    try:
        return (folder / ALPHABET_FILE).read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError("The stored text is damaged", value=folder, remedy="Delete it and import it again") from error

"""What the Data page does, as lines for the command line and for Python. Not here: showing them (`states.from_code`)."""

from __future__ import annotations

import shlex

from llm_core.text.dataset_record import DatasetRecord

MADE_FOR_PAIRS = "transformer-2017"
"""The preset of the model that reads a source and writes its answer."""


def data_code(record: DatasetRecord | None) -> tuple[str, str]:
    """Command line and Python that bring a text, or pairs like the chosen ones, and train on what is chosen."""
    is_pairs = record is not None and record.is_pairs
    name = record.name if record is not None else "my-book"
    file, new_name = ("my-pairs.csv", "my-pairs") if is_pairs else ("my-book.txt", "my-book")
    columns = " --column question --target-column answer" if is_pairs else ""
    options = ', text_column="question", target_column="answer"' if is_pairs else ""
    preset = MADE_FOR_PAIRS if is_pairs else "pocket-gpt"
    preview = "preview(workspace, record.id)"
    return (
        f"glassbox data add {file} --name {new_name}{columns}\nglassbox data list\n"
        f"glassbox train --preset {preset} --set {shlex.quote(f'data.dataset={name}')}",
        "from llm_core.text.dataset_record import ImportOptions\nfrom llm_core.text.library import import_corpus, preview\n"
        + ("from llm_core.text.pairs import split_pair\n" if is_pairs else "")
        + "from llm_core.workspace.paths import open_workspace\n\nworkspace = open_workspace()\n"
        f'record = import_corpus(workspace, "{file}", ImportOptions(name="{new_name}"{options}))\n'
        f"print(record.characters, {f'[split_pair(text) for text in {preview}]' if is_pairs else preview})",
    )

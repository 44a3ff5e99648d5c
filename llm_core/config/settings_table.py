"""docs/settings.md as text: the table of every setting, made from the declarations.

Not here: the declarations (`setting.py` and its neighbours). `make docs` writes the file; a test fails when it is stale.
"""

from __future__ import annotations

from llm_core.config.model import MODEL_CONFIGS
from llm_core.config.objective import OBJECTIVE_CONFIGS
from llm_core.config.sampling import SamplingConfig
from llm_core.config.schema import SettingDescription, describe_run, describe_settings
from llm_core.config.slots import Slots
from llm_core.config.timing import Timing

_HEADER = """# Settings

Made from the declarations in `llm_core/config` by `make docs`; do not edit. Use a name with `--set`, for example
`glassbox train --preset pocket-gpt --set model.num_layers=2 --set training.max_minutes=5`.
"""


def settings_table() -> str:
    """The whole page in Markdown, ending with one line break."""
    shared = [row for row in describe_run() if not row.path.startswith(("model.", "objective."))]
    sections = [_HEADER, _table("Every run", shared)]
    for kind in MODEL_CONFIGS:
        rows = [row for row in describe_run(kind) if row.path.startswith("model.")]
        sections.append(_table(f"Model of kind {kind}", rows))
    for kind, settings in OBJECTIVE_CONFIGS.items():
        rows = describe_settings(settings, "objective.")
        sections.append(_table(f"Objective of kind {kind}", rows))
    sections.append(_table("Writing text", describe_settings(SamplingConfig)))
    processes = [*describe_settings(Slots), *describe_settings(Timing)]
    sections.append(_table("Processes (environment variables GLASSBOX_<NAME>)", processes))
    return "\n".join(sections)


def _table(title: str, rows: list[SettingDescription]) -> str:
    lines = [f"## {title}", "", "| name | default | accepts | what it does |", "|---|---|---|---|"]
    lines += [f"| `{row.path}` | {_default(row)} | {_accepts(row)} | {row.help} |" for row in rows]
    return "\n".join(lines) + "\n"


def _default(row: SettingDescription) -> str:
    if row.default is None or row.default in ((), ""):
        return "empty"
    return f"`{str(row.default).lower() if row.type == 'boolean' else row.default}`"


def _accepts(row: SettingDescription) -> str:
    if row.choices:
        return ", ".join(f"`{choice}`" for choice in row.choices)
    words = {
        "boolean": "`true`, `false`",
        "integer": "whole number",
        "number": "number",
        "text": "text",
        "texts": "a JSON list of texts",
    }[row.type]
    if row.minimum is not None and row.maximum is not None:
        words += f", {row.minimum:,g} to {row.maximum:,g}"
    unit = f" {row.unit}" if row.unit else ""
    return words + unit + (", or empty" if row.optional else "")

"""A run as one document: what came of it, its curves, what it wrote, what happened, its checkpoints, its settings, its environment.

Gives the body of the page, with everything from data escaped, and the charts as plain numbers. Not here: which curves stand together
(`report_charts.py`), drawing them and the page itself (`llm_core.figures.standalone_page`), all points (`points_csv.py`).
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from llm_core.backend.environment import FACT_LABELS, read_environment
from llm_core.backend.report_charts import MAXIMUM_EVENTS, POINTS_OF_A_CURVE, ReportChart, run_charts
from llm_core.backend.run_changes import RunChange, changes_of, with_changes
from llm_core.backend.run_groups import spoken
from llm_core.config.errors import UserError
from llm_core.config.objective_words import ObjectiveWords, objective_words
from llm_core.config.overrides import flatten
from llm_core.config.run import config_from_dict
from llm_core.config.schema import FAMILY_TITLES, describe_run
from llm_core.quantities import duration, large, loss_faces, size, three_digits
from llm_core.workspace.checkpoints import list_checkpoints
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.lineage import read_lineage
from llm_core.workspace.metrics_read import Event, events, metric_keys, samples, segments
from llm_core.workspace.paths import Workspace
from llm_core.workspace.run_notes import read_notes
from llm_core.workspace.runs import RunSummary, run_folder, summarise_run

MAXIMUM_SAMPLES = 60
MAXIMUM_SAMPLE_CHARACTERS = 5_000


@dataclass(frozen=True)
class Report:
    """A document: HTML with a place for each chart, and the charts by the id of their place."""

    title: str
    body: str
    charts: dict[str, ReportChart] = field(default_factory=dict[str, ReportChart])


def run_report(workspace: Workspace, record: JobRecord, *, verdict: str = "") -> Report:
    """The whole report of a run, as it is now.

    Args:
        verdict: the sentence that Monitor shows under the chart; without it the loss stands with its other faces.
    """
    folder = run_folder(workspace, record.id)
    summary = summarise_run(workspace, record)
    words = objective_words()[summary.objective]
    happened, lineage = events(folder), segments(folder)
    charts = _placed(run_charts(folder, words, happened))
    places = "".join(f'<h3>{_text(chart.title)}</h3>\n<div id="{name}"></div>\n' for name, chart in charts.items())
    parts = [
        # The registry of a workspace that a run was copied into knows only when its folder was made.
        _head(record, summary, words, verdict, lineage[0].at if lineage else None),
        _notes(folder),
        _section("Curves", places or "<p>Nothing was measured yet.</p>"),
        _samples(folder),
        _events(happened),
        _checkpoints(folder),
        _settings(record, changes_of(folder)),
        _environment(folder),
        f'<p class="faint">Written by Glassbox on {_moment(datetime.now().timestamp())}. Curves are thinned to '
        f"{POINTS_OF_A_CURVE:,} points; the export as CSV holds all of them.</p>",
    ]
    return Report(f"{record.name} · Glassbox", "\n".join(part for part in parts if part), charts)


def chart_report(workspace: Workspace, record: JobRecord, keys: Sequence[str]) -> Report:
    """These curves of a run as a page, those of one kind in one chart, with what happened along them.

    Raises:
        UserError: the run has none of these curves.
    """
    folder = run_folder(workspace, record.id)
    words = objective_words()[summarise_run(workspace, record).objective]
    measured = metric_keys(folder)
    known = [key for key in dict.fromkeys(keys) if key in measured]
    if not known:
        have = ", ".join(measured) or "none yet"
        raise UserError("This run has no such curve", value=", ".join(keys), limit=have, remedy="Choose one of these")
    return charts_page(record, run_charts(folder, words, events(folder), known))


def charts_page(record: JobRecord, charts: Sequence[ReportChart]) -> Report:
    """A page of these charts of a run alone, each with what it is called and what it says."""
    placed = _placed(charts)
    parts = [f"<h1>{_text(record.name)}</h1>"]
    for name, chart in placed.items():
        parts.append(f'<p class="faint">{_text(chart.title)}</p>\n<div id="{name}"></div>')
        if chart.caption:
            parts.append(f'<p class="faint">{_text(chart.caption)}</p>')
    titles = ", ".join(chart.title for chart in charts)
    return Report(f"{record.name}: {titles}", "\n".join(parts), placed)


def _placed(charts: Sequence[ReportChart]) -> dict[str, ReportChart]:
    """The charts by the id of their place in the document."""
    return {f"chart-{number}": chart for number, chart in enumerate(charts, start=1)}


def _head(record: JobRecord, summary: RunSummary, words: ObjectiveWords, verdict: str, started_at: float | None) -> str:
    facts: list[tuple[str, str]] = [("Id", record.id), ("Family", FAMILY_TITLES.get(summary.kind, summary.kind))]
    if summary.dataset:
        facts.append(("Text", summary.dataset))
    if summary.parameters is not None:
        facts.append(("Parameters", f"{large(summary.parameters)} ({summary.parameters:,})"))
    facts.append(("Steps", f"{summary.steps:,}" + (f" of {summary.max_steps:,}" if summary.max_steps else "")))
    if summary.val_loss is not None:
        unit = words.axis_title.removeprefix("loss, ")
        facts.append(("Validation loss", f"{summary.val_loss:.4f} {unit}"))
    if summary.train_loss is not None:
        facts.append(("Training loss", f"{summary.train_loss:.4f}"))
    if summary.accuracy is not None:
        facts.append(("Right", f"{100 * summary.accuracy:.1f} %"))
    if summary.bits_per_byte is not None:
        facts.append(("Bits per byte", f"{summary.bits_per_byte:.4f}"))
    if summary.tokens_per_second:
        facts.append(("Speed", f"{three_digits(summary.tokens_per_second)} tokens/s"))
    if summary.seconds:
        facts.append(("Trained for", duration(summary.seconds)))
    facts.append(("Started", _moment(started_at or summary.created_at)))
    if summary.ended_at:
        facts.append(("Ended", _moment(summary.ended_at)))
    if not verdict and summary.val_loss is not None and words.is_code_length:
        verdict = loss_faces(summary.val_loss, summary.bits_per_byte, "tokens") + "."
    reason = " ".join(part for part in (f"{record.state.capitalize()}.", record.reason, record.remedy) if part)
    return "\n".join(
        (
            f"<h1>{_text(record.name)}</h1>",
            '<p class="faint">A run of Glassbox</p>',
            f'<p class="box">{_text(reason)}</p>',
            f'<p class="box">{_text(verdict)}</p>' if verdict else "",
            _table((), facts),
        )
    )


def _notes(folder: Path) -> str:
    notes = read_notes(folder)
    tags = f"<p>{_text(' · '.join(notes.tags))}</p>" if notes.tags else ""
    text = f"<pre>{_text(notes.text)}</pre>" if notes.text else ""
    return _section("Notes", tags + text) if tags or text else ""


def _samples(folder: Path) -> str:
    written = samples(folder)
    shown = written[-MAXIMUM_SAMPLES:]
    parts: list[str] = []
    for sample in reversed(shown):
        text = (sample.prompt + sample.text)[:MAXIMUM_SAMPLE_CHARACTERS]
        expected = sample.data.get("expected")
        if expected is not None:
            text = f"{sample.prompt}\n→ {sample.text}\n= {expected}"[:MAXIMUM_SAMPLE_CHARACTERS]
        state = " open" if not parts else ""
        parts.append(f"<details{state}><summary>After step {sample.step:,}</summary><pre>{_text(text)}</pre></details>")
    if not parts:
        return ""
    more = "" if len(shown) == len(written) else f'<p class="faint">The last {len(shown)} of {len(written):,}.</p>'
    return _section("What it wrote", "\n".join((*parts, more)))


def _events(happened: Sequence[Event]) -> str:
    rows = [
        (_moment(event.at), "" if event.step is None else f"{event.step:,}", event.message)
        for event in happened[::-1][:MAXIMUM_EVENTS]
        if event.kind != "state"
    ]
    return _section("Events", _table(("When", "Step", "What"), rows)) if rows else ""


def _checkpoints(folder: Path) -> str:
    rows = [
        (
            f"{info.step:,}",
            "can go on from here" if info.kind == "full" else "weights only",
            size(info.size_bytes),
            _moment(info.created_at),
            "kept" if info.pinned else "",
        )
        for info in list_checkpoints(folder)
    ]
    return _section("Checkpoints", _table(("Step", "Holds", "Size", "Written", ""), rows)) if rows else ""


def _settings(record: JobRecord, changes: Sequence[RunChange]) -> str:
    """What the run has now, and how it came to differ from what it began with."""
    config = config_from_dict(with_changes(record.config, changes))
    labels = {row.path: row.label for row in describe_run(config.model.kind, config.objective.kind)}
    rows = [
        (labels.get(path, path), "–" if value is None or value in ("", ()) else str(value), path)
        for path, value in flatten(config).items()
        if path != "schema_version"
    ]
    table = _table(("Setting", "Value", "Name"), rows)
    if not changes:
        return _section("Settings", table)
    said = [
        (f"{change.step:,}", labels.get(change.setting, change.setting), spoken(change.before), spoken(change.after))
        for change in changes
    ]
    history = _table(("After step", "Setting", "From", "To"), said)
    note = '<p class="faint">The values are those that the run has now; these were changed on the way.</p>'
    return _section("Settings", f"{note}\n{history}\n{table}")


def _environment(folder: Path) -> str:
    facts: Mapping[str, object] = read_environment(folder)
    rows = [
        (FACT_LABELS.get(name, name.replace("_", " ").capitalize()), str(value))
        for name, value in facts.items()
        if value is not None
    ]
    origin = read_lineage(folder)
    if origin is not None:
        rows.insert(0, ("Forked from", f"{origin.parent_name} ({origin.parent}) after step {origin.step:,}"))
    return _section("Environment", _table((), rows)) if rows else ""


def _section(title: str, content: str) -> str:
    return f"<h2>{_text(title)}</h2>\n{content}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{_text(column)}</th>" for column in columns)
    lines = ["<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    body = "\n".join(([f"<tr>{head}</tr>"] if head else []) + lines)
    return f'<div class="scroll"><table>\n{body}\n</table></div>'


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def _text(text: str) -> str:
    """Text as HTML that shows it as it is; what would be invisible or turn the line around is written as its code point."""
    return html.escape("".join(map(_shown, text)), quote=True)


def _shown(character: str) -> str:
    if character in "\n\t":
        return character
    if unicodedata.category(character) in ("Cc", "Cs") or character in _REORDERING:
        return f"⟨{ord(character):04X}⟩"
    return character


_REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

"""A run as one document: what came of it, its curves, what it wrote, what happened, its checkpoints, its settings, its environment.

Gives the body of the page, with everything from data escaped, and the charts as plain numbers, thinned to what a screen shows. Not
here: drawing them and the page itself (`llm_core.figures.standalone_page`), all points (`points_csv.py`).
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
from tsdownsample import NaNMinMaxLTTBDownsampler

from llm_core.backend.environment import FACT_LABELS, read_environment
from llm_core.config.errors import UserError
from llm_core.config.objective_words import ObjectiveWords, objective_words
from llm_core.config.overrides import flatten
from llm_core.config.run import config_from_dict
from llm_core.config.schema import FAMILY_TITLES, describe_run
from llm_core.quantities import duration, large, loss_faces, size, three_digits
from llm_core.workspace.checkpoints import list_checkpoints
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.lineage import read_lineage
from llm_core.workspace.metrics_read import (
    Event,
    events,
    metric_keys,
    read_points,
    samples,
    segments,
    surviving,
)
from llm_core.workspace.paths import Workspace
from llm_core.workspace.run_colors import COLORS
from llm_core.workspace.run_notes import read_notes
from llm_core.workspace.runs import RunSummary, run_folder, summarise_run

POINTS_OF_A_CURVE = 1_500
MAXIMUM_SAMPLES = 60
MAXIMUM_EVENTS = 2_000
MAXIMUM_CURVES = 40
MAXIMUM_SAMPLE_CHARACTERS = 5_000
_MARKED_EVENTS = ("checkpoint", "resumed", "changed", "rolled_back", "health", "diverged", "paused")
_TITLES = {
    "learning_rate": "Learning rate",
    "grad_norm": "Gradient norm",
    "gradient_norm": "Gradient norm by part",
    "update_ratio": "Update against weights by part",
    "tokens_per_second": "Tokens per second",
    "bits_per_byte": "Bits per byte",
    "mfu": "Share of the device's arithmetic that is used",
}


@dataclass(frozen=True)
class ReportCurve:
    """One line of a chart."""

    label: str
    x: list[int]
    y: list[float]
    color: str
    dash: str = "solid"
    is_marked: bool = False


@dataclass(frozen=True)
class ReportMark:
    """Something that happened at a step."""

    x: float
    kind: str
    label: str


@dataclass(frozen=True)
class ReportChart:
    """Curves that share an axis."""

    title: str
    curves: list[ReportCurve]
    marks: list[ReportMark]
    y_label: str
    x_label: str = "step"


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
    charts = run_charts(folder, words, happened)
    places = "".join(f'<h3>{_text(chart.title)}</h3>\n<div id="{name}"></div>\n' for name, chart in charts.items())
    parts = [
        # The registry of a workspace that a run was copied into knows only when its folder was made.
        _head(record, summary, words, verdict, lineage[0].at if lineage else None),
        _notes(folder),
        _section("Curves", places or "<p>Nothing was measured yet.</p>"),
        _samples(folder),
        _events(happened),
        _checkpoints(folder),
        _settings(record),
        _environment(folder),
        f'<p class="faint">Written by Glassbox on {_moment(datetime.now().timestamp())}. Curves are thinned to '
        f"{POINTS_OF_A_CURVE:,} points; the export as CSV holds all of them.</p>",
    ]
    return Report(f"{record.name} · Glassbox", "\n".join(part for part in parts if part), charts)


def chart_report(workspace: Workspace, record: JobRecord, keys: Sequence[str]) -> Report:
    """One chart as a page: these curves of a run, with what happened along them.

    Raises:
        UserError: the run has none of these curves.
    """
    folder = run_folder(workspace, record.id)
    words = objective_words()[summarise_run(workspace, record).objective]
    known = [key for key in keys if key in metric_keys(folder)]
    if not known:
        have = ", ".join(metric_keys(folder)) or "none yet"
        raise UserError("This run has no such curve", value=", ".join(keys), limit=have, remedy="Choose one of these")
    chart = _chart(folder, known, _title(known[0], words), words, _marks(events(folder)))
    body = f'<h1>{_text(record.name)}</h1>\n<p class="faint">{_text(chart.title)}</p>\n<div id="chart-1"></div>'
    return Report(f"{record.name}: {chart.title}", body, {"chart-1": chart})


def run_charts(folder: Path, words: ObjectiveWords, happened: Sequence[Event]) -> dict[str, ReportChart]:
    """Every curve of the run, those of one kind in one chart, losses first; by the id of its place in the document."""
    groups: dict[str, list[str]] = {}
    for key in metric_keys(folder):
        groups.setdefault(_title(key, words), []).append(key)
    first = [title for title in (_title(words.train_key, words),) if title in groups]
    marks = _marks(happened)
    charts = [
        _chart(folder, groups[title], title, words, marks) for title in [*first, *(t for t in groups if t not in first)]
    ]
    return {f"chart-{number}": chart for number, chart in enumerate(charts, start=1) if chart.curves}


def _title(key: str, words: ObjectiveWords) -> str:
    if key in (words.train_key, words.validation_key):
        return "Loss"
    if key == words.accuracy_key:
        return "Share found"
    group, slash, _ = key.partition("/")
    if slash and group not in _TITLES:
        return key.replace("/", ": ").replace("_", " ").capitalize()
    return _TITLES.get(group, group.replace("_", " ").capitalize())


def _chart(
    folder: Path, keys: Sequence[str], title: str, words: ObjectiveWords, marks: list[ReportMark]
) -> ReportChart:
    lineage = segments(folder)
    curves: list[ReportCurve] = []
    for index, key in enumerate(keys[:MAXIMUM_CURVES]):
        points = read_points(folder, key)
        points = points.where(surviving(points, lineage))
        if not len(points):
            continue
        chosen = np.arange(len(points))
        if len(points) > POINTS_OF_A_CURVE:
            gaps = np.where(np.isfinite(points.value), points.value, np.nan)
            chosen = np.unique(NaNMinMaxLTTBDownsampler().downsample(points.step, gaps, n_out=POINTS_OF_A_CURVE))
        measured = (words.validation_key, words.accuracy_key, "bits_per_byte")
        curves.append(
            ReportCurve(
                _curve_label(key, words),
                points.step[chosen].tolist(),
                points.value[chosen].tolist(),
                COLORS[index % len(COLORS)],
                is_marked=key in measured,
            )
        )
    y_label = words.axis_title if title == "Loss" else title.lower()
    return ReportChart(title, curves, marks, y_label)


def _curve_label(key: str, words: ObjectiveWords) -> str:
    known = {words.train_key: "training", words.validation_key: "validation"}
    return known.get(key) or key.rpartition("/")[2].replace("_", " ")


def _marks(happened: Sequence[Event]) -> list[ReportMark]:
    return [
        ReportMark(float(event.step), event.kind, event.message[:300])
        for event in happened
        if event.step is not None and event.kind in _MARKED_EVENTS
    ][-MAXIMUM_EVENTS:]


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


def _settings(record: JobRecord) -> str:
    config = config_from_dict(record.config)
    labels = {row.path: row.label for row in describe_run(config.model.kind, config.objective.kind)}
    rows = [
        (labels.get(path, path), "–" if value is None or value in ("", ()) else str(value), path)
        for path, value in flatten(config).items()
        if path != "schema_version"
    ]
    return _section("Settings", _table(("Setting", "Value", "Name"), rows))


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

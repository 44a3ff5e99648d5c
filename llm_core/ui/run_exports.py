"""*Export*: a run's points, its report, its loss as a page, and the run itself, each made when it is asked for.

What may be large is linked to and sent piece by piece; what is a page is made in memory. Not here: models for other programs
(`export_form.py`), the picture of the live chart (its own camera button).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from llm_core.backend.run_report import Report, chart_report, run_report
from llm_core.config.objective_words import objective_words
from llm_core.figures.standalone_page import standalone_page
from llm_core.quantities import size
from llm_core.ui.chart_page import ShownChart, chart_page
from llm_core.ui.guards import asking
from llm_core.web.run_downloads import archive_address, points_address
from llm_core.web.vendor import plotly_source
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.metrics_read import segments
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.runs import folder_bytes, run_folder


def run_exports(record: JobRecord, *, verdict: str = "", shown: Sequence[ShownChart] = ()) -> None:
    """The downloads of one run.

    Args:
        verdict: the sentence under the chart, for the report.
        shown: the charts that the page shows, for the chart as a page; the losses over steps when empty.
    """
    workspace = open_workspace()
    folder = run_folder(workspace, record.id)
    if not folder.is_dir():
        st.caption("There is nothing to export before the run has started.")
        return
    words = objective_words().get(str((record.config.get("objective") or {}).get("kind")), objective_words()["causal"])
    losses = [words.train_key, words.validation_key]
    curves = [key for chart in shown for key in chart.keys]
    st.link_button(
        "All points (CSV)",
        points_address(record.id),
        icon=":material/table_chart:",
        width="stretch",
        help="Every key, every logged step, not thinned: key, step, tokens, seconds, value.",
    )
    if len(segments(folder)) > 1:
        st.link_button(
            "And what was given up (CSV)",
            points_address(record.id, with_abandoned=True),
            icon=":material/table_chart:",
            width="stretch",
            help="The same with the stretches that a way back or a resume gave up, so that a step may stand more than once.",
        )
    _page(
        "Report (HTML)",
        f"{record.name}-report.html",
        lambda: run_report(workspace, record, verdict=verdict),
        icon=":material/article:",
        key=f"report-{record.id}",
        help="Figures, curves, samples, events, checkpoints, settings and environment in one file that needs no server.",
    )
    _page(
        "This chart (HTML)",
        f"{record.name}-chart.html",
        lambda: chart_page(workspace, record, shown) if shown else chart_report(workspace, record, losses),
        icon=":material/show_chart:",
        key=f"chart-{record.id}-{'-'.join(curves)}",
        help="What the page shows now, with zoom and hover, in one file. The camera button in the chart saves a picture.",
    )
    st.link_button(
        "Whole run (zip)",
        archive_address(record.id, with_checkpoints=True),
        icon=":material/folder_zip:",
        width="stretch",
        help=f"The run's folder with its checkpoints, {size(folder_bytes(folder))}.",
    )
    st.link_button(
        "Run without checkpoints (zip)",
        archive_address(record.id, with_checkpoints=False),
        icon=":material/folder_zip:",
        width="stretch",
        help="Curves, samples, notes, settings and log. It opens elsewhere, but cannot go on or write there.",
    )
    st.caption("A zip opens in another workspace with")
    st.code(f"glassbox import run {_file_name(record.name)}-{record.id}.zip", language="bash", wrap_lines=True)


def _page(label: str, file_name: str, report: Callable[[], Report], *, icon: str, key: str, help: str) -> None:
    st.download_button(
        label,
        data=asking("download", lambda: _page_text(report)),
        file_name=file_name,
        mime="text/html",
        icon=icon,
        key=key,
        help=help,
        on_click="ignore",
        width="stretch",
    )


def _page_text(report: Callable[[], Report]) -> str:
    return standalone_page(report(), plotly_source())


def _file_name(name: str) -> str:
    """A name as browsers save it, safe to paste into a shell."""
    return "".join(character if character.isascii() and character.isalnum() else "-" for character in name)

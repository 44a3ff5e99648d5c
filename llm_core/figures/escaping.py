"""Text from data on its way into a Plotly figure: shown as it is, never read as markup, a formula or a template.

Plotly takes a subset of HTML in every label, LaTeX between dollar signs, and `%{...}` in hover templates. Every name and every token
that a figure shows goes through `plotly_text` (`tests/test_figure_text.py`). Not here: white space that is to be seen (`attention.py`).
"""

from __future__ import annotations

import html

# A token can be a megabyte long; a label of that length would hold up the page.
LONGEST_CHARACTERS = 400


def plotly_text(text: str) -> str:
    """The text with everything escaped that Plotly would not show as it is, cut where no label needs to go on."""
    shown = text if len(text) <= LONGEST_CHARACTERS else f"{text[: LONGEST_CHARACTERS - 1]}…"
    escaped = html.escape(shown.replace("\0", "␀"), quote=False)
    return escaped.replace("$", "&#36;").replace("%{", "&#37;{")

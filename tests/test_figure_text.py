"""Whatever a figure is given to show, Plotly gets nothing that it would read as markup, as a formula or as a template.

Every function of `llm_core.figures` that takes text and gives a figure is called here with hostile text in every place.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from llm_core.figures.architecture import Block, Network, Stage, architecture
from llm_core.figures.attention import looks_from, moved_by, overview, token_map, unit_map
from llm_core.figures.curves import candidates, schedule
from llm_core.figures.escaping import LONGEST_CHARACTERS, plotly_text
from llm_core.figures.group_bands import Band, group_bands
from llm_core.figures.lineage import Branch, lineage
from llm_core.figures.sweep import SweepAxis, parallel_coordinates
from llm_core.figures.text import length_histogram

ROOT = Path(__file__).resolve().parents[1]
EVIL = "<img src=x onerror=alert(1)> <a href='javascript:alert(1)'>$\\href{javascript:alert(1)}{x}$ %{evil} \0 </text>"
TWO = [EVIL, "plain"]
ROWS = np.full((2, 2), 0.5, dtype=np.float32)
SEEN = np.ones((2, 2), dtype=bool)
BAND = Band(EVIL, x=[0, 1], mean=[1, 2], low=[0, 1], high=[2, 3], count=2)
BRANCH = Branch(EVIL, "#0072B2", 0, 9, None, abandoned=((1, 2),))
NETWORK = Network([Stage([Block("head", EVIL, EVIL, 5)], repeats=2, reads=EVIL)], EVIL, EVIL)

FIGURES: dict[Callable[..., go.Figure], Callable[[], go.Figure]] = {
    architecture: lambda: architecture(NETWORK, dark=True),
    overview: lambda: overview(np.zeros((1, 1, 4, 4), dtype=np.float32), dark=True),
    token_map: lambda: token_map(ROWS, SEEN, TWO, TWO, dark=True, numbers=[0, 1], verb=EVIL, titles=(EVIL, EVIL)),
    looks_from: lambda: looks_from(ROWS, TWO, 0, dark=True),
    moved_by: lambda: moved_by(ROWS[0], TWO, dark=True),
    unit_map: lambda: unit_map(ROWS, TWO, [0, 1], dark=True),
    schedule: lambda: schedule([0, 1], [0.1, 0.2], dark=True),
    candidates: lambda: candidates(TWO, [0.5, 0.5], [0.5, 0.5], dark=True),
    group_bands: lambda: group_bands([BAND], x_title=EVIL, y_title=EVIL, dark=True),
    parallel_coordinates: lambda: parallel_coordinates(
        [SweepAxis(EVIL, TWO), SweepAxis("rate", [0.1, 0.2])], [1.0, None], TWO, loss_title=EVIL, dark=True
    ),
    lineage: lambda: lineage([BRANCH], dark=True),
    length_histogram: lambda: length_histogram([0, 1, 2], [3, 4], unit=EVIL, dark=True),
}


def figure_functions() -> set[Callable[..., object]]:
    found: set[Callable[..., object]] = set()
    for path in (ROOT / "llm_core" / "figures").glob("*.py"):
        module = import_module(f"llm_core.figures.{path.stem}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            is_own = function.__module__ == module.__name__ and not name.startswith("_")
            if is_own and inspect.signature(function).return_annotation in ("go.Figure", go.Figure):
                found.add(function)
    return found


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from texts(part)
    elif isinstance(value, (list, tuple, np.ndarray)):
        for part in value:
            yield from texts(part)


def test_every_figure_is_tried() -> None:
    assert figure_functions() == set(FIGURES)


@pytest.mark.parametrize("function", FIGURES, ids=lambda function: function.__name__)
def test_no_text_becomes_markup(function: Callable[..., go.Figure]) -> None:
    own_signs = ("<b>", "</b>", "<br>", "<extra>", "</extra>")
    for text in texts(FIGURES[function]().to_dict()):
        for sign in own_signs:
            text = text.replace(sign, "")
        assert not set(text) & set("<>$\0") and "%{evil" not in text, text


def test_a_label_is_the_text_itself_and_not_endless() -> None:
    assert plotly_text("a < b & c > d, 5 $, 100 %") == "a &lt; b &amp; c &gt; d, 5 &#36;, 100 %"
    assert len(plotly_text("x" * 10**6)) == LONGEST_CHARACTERS and plotly_text("莎士比亚") == "莎士比亚"

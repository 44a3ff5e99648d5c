"""A still Plotly figure on a page, with the camera button that saves it as a PNG.

Not here: what is drawn (`llm_core.figures`), live curves (`live_plot.py`), which have buttons of their own.
"""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import streamlit as st


def still_picture(figure: go.Figure, *, key: str, alt: str, file_name: str) -> None:
    """Show the figure in its own colours; the button is there under the pointer.

    Args:
        alt: what the picture shows, for those who do not see it.
        file_name: of the PNG, without its ending.
    """
    st.plotly_chart(figure, config=_with_camera(file_name), theme=None, key=key, alt=alt)


def _with_camera(file_name: str) -> dict[str, Any]:
    # Plotly's "Share chart" would send the picture's data to its makers.
    private = {"displaylogo": False, "showSendToCloud": False, "plotlyServerURL": ""}
    picture = {"filename": file_name, "scale": 2}
    return {**private, "displayModeBar": "hover", "modeBarButtons": [["toImage"]], "toImageButtonOptions": picture}

"""One HTML file that draws its charts by itself: the script stands inside it, and it can ask nobody for anything.

The page's own policy forbids every request, and every script but the two that it names by their hash, so that text which slipped into
it as markup could still not run. Not here: the charts (`run_chart.py`), the report in the page (`llm_core.backend.run_report`).
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from typing import Protocol

from llm_core.figures.run_chart import Chart, chart


class Page(Protocol):
    """What is put on a page."""

    @property
    def title(self) -> str:
        """Text."""
        ...

    @property
    def body(self) -> str:
        """HTML, everything from data escaped; holds `<div id="NAME"></div>` for each chart."""
        ...

    @property
    def charts(self) -> Mapping[str, Chart]:
        """The charts by the id of their places."""
        ...


def standalone_page(page: Page, plotly_script: str) -> str:
    """The page as text.

    Args:
        plotly_script: the source of plotly.js.
    """
    charts = {name: chart(found) for name, found in page.charts.items()}
    sources = (plotly_script, _DRAW) if charts else ()
    assert "</script" not in plotly_script.lower(), "plotly.js can stand inside a page"
    hashes = " ".join(f"'sha256-{_sha256(source)}'" for source in sources) or "'none'"
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    scripts = "".join(f"<script>{source}</script>\n" for source in sources[:1])
    scripts += f'<script type="application/json" id="charts">{_json(charts)}</script>\n' if charts else ""
    scripts += "".join(f"<script>{source}</script>\n" for source in sources[1:])
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(page.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n{page.body}\n</main>\n"
        f"{scripts}</body>\n</html>\n"
    )


def _sha256(source: str) -> str:
    return base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def _json(value: object) -> str:
    """JSON that cannot end the element it stands in."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


_DRAW = """
const charts = JSON.parse(document.getElementById('charts').textContent);
const dark = matchMedia('(prefers-color-scheme: dark)');
function draw() {
  const style = getComputedStyle(document.body);
  const ink = style.color, line = style.getPropertyValue('--line');
  const shown = (trace) => !dark.matches || !trace.meta?.dark ? trace : {
    ...trace, line: { ...trace.line, color: trace.meta.dark }, marker: { ...trace.marker, color: trace.meta.dark },
    ...(trace.fill && { fillcolor: trace.meta.dark }),
  };
  for (const [id, { data, layout, config }] of Object.entries(charts)) {
    const axis = (given) => ({ ...given, gridcolor: line, linecolor: line });
    Plotly.react(document.getElementById(id), data.map(shown), {
      ...layout, paper_bgcolor: style.backgroundColor, font: { color: ink, size: 12 }, xaxis: axis(layout.xaxis), yaxis: axis(layout.yaxis),
      hoverlabel: { bgcolor: style.backgroundColor, font: { color: ink } },
    }, {
      ...config, toImageButtonOptions: { filename: id, scale: 2 },
      modeBarButtonsToAdd: [{
        name: 'svg', title: 'Download plot as an SVG', icon: Plotly.Icons.disk,
        click: (plot) => Plotly.downloadImage(plot, { format: 'svg', filename: id }),
      }],
    });
  }
}
draw();
dark.addEventListener('change', draw);
"""

_STYLE = """
:root { color-scheme: light dark; --ground: #FBFAF7; --ink: #1F2328; --faint: #6B6F76; --line: #DDD9CF; }
@media (prefers-color-scheme: dark) { :root { --ground: #15181C; --ink: #E6E4DE; --faint: #9A9FA6; --line: #33383D; } }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1000px; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { margin: 0; font-size: 1.8rem; overflow-wrap: anywhere; }
h2 { margin: 2.2rem 0 0.5rem; font-size: 1.2rem; }
p { margin: 0.4rem 0; overflow-wrap: anywhere; }
.faint { color: var(--faint); font-size: 0.9rem; }
.box { border: 1px solid var(--line); border-radius: 8px; padding: 0.6rem 0.9rem; margin: 0.8rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: 0.3rem 0.8rem 0.3rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; unicode-bidi: isolate; }
th { font-weight: 600; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.85rem; unicode-bidi: isolate; }
details { margin: 0.5rem 0; }
summary { cursor: pointer; }
@media print { details > * { display: block; } }
"""

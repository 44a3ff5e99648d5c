"""Text shown token by token: cut by a tokenizer, tinted by probability, or arriving while a model writes it.

The script (`token_view.js`) puts every character into the page as text, never as markup, and fetches a generation by its id,
so that no rerun of a page loses or repeats a word. Not here: cutting (`llm_core.text`), writing (`llm_core.generation`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

import streamlit as st
from streamlit.components.v2 import component

Mode = Literal["ids", "probability"]


class Alternative(TypedDict):
    """A token that could have stood here instead."""

    text: str
    p: float
    id: NotRequired[int]


class ShownToken(TypedDict):
    """One token; text that the tokenizer does not know has no `id`. `bytes` is hexadecimal; `p` is the model's probability; `gap` is
    the number of the gap that this token names."""

    text: str
    id: NotRequired[int]
    bytes: NotRequired[str]
    special: NotRequired[bool]
    p: NotRequired[float]
    gap: NotRequired[int]
    alternatives: NotRequired[Sequence[Alternative]]


def token_view(
    tokens: Sequence[ShownToken], *, key: str, mode: Mode = "ids", on_press: Callable[[int], None] | None = None
) -> None:
    """Show a text that is there already.

    Args:
        tokens: the text in order.
        mode: "ids" gives each token number its tint and shows number and bytes; "probability" tints what the model found
            surprising and shows its alternatives.
        on_press: takes the number of a token without a probability when it is clicked, before the page runs again.
    """
    data = {"mode": mode, "tokens": list(tokens), "generation": "", "prompt": ""}
    if on_press is None:
        _component()(key=key, data=data)
        return

    def pressed() -> None:
        index = st.session_state[key]["pressed"]
        if isinstance(index, int) and 0 <= index < len(tokens):
            on_press(index)

    _component()(key=key, data={**data, "presses": True}, on_pressed_change=pressed)


def generation_view(
    generation_id: str, *, key: str, prompt: str = "", source: Sequence[str] | None = None, step_word: str = "step"
) -> None:
    """Show a generation while it is written, with a Stop button and a line of figures.

    Args:
        generation_id: as `InferenceClient.start_generation` returned it.
        prompt: shown before the new text.
        source: what an encoder-decoder answers, cut at its gaps; it is shown again below the answer with the gaps filled.
        step_word: what checkpoints are counted in.
    """
    data: dict[str, Any] = {"mode": "probability", "tokens": [], "generation": generation_id, "prompt": prompt}
    data["step"] = step_word
    if source is not None:
        data["source"] = list(source)
    _component()(key=key, data=data)


@cache
def _component() -> Any:
    """Registered once a process."""
    script = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
    return component("glassbox_token_view", html=_HTML, css=_CSS, js=script, isolate_styles=False)


_HTML = """
<div class="gt-root">
  <div class="gt-page"><span class="gt-prompt"></span><span class="gt-text" role="group" aria-label="Tokens"></span></div>
  <div class="gt-filled" hidden>
    <div class="gt-caption">The source with its gaps filled</div><div class="gt-page"><span class="gt-whole"></span></div>
  </div>
  <div class="gt-foot">
    <button class="gt-stop" type="button" hidden>Stop</button>
    <span class="gt-line"></span><span class="gt-note" role="status"></span>
    <span class="gt-legend" hidden><span></span><i></i><span></span></span>
  </div>
  <div class="gt-card" role="tooltip" hidden></div>
</div>
"""

_CSS = """
.gt-root { position: relative; color: var(--st-text-color); font-family: var(--st-font); }
.gt-page { font-family: var(--st-code-font); font-size: 0.95rem; line-height: 1.75; white-space: pre-wrap; overflow-wrap: anywhere;
  min-height: 3.2rem; padding: 0.75rem 1rem; border: 1px solid var(--st-border-color); border-radius: var(--st-base-radius); }
.gt-caption { margin: 0.6rem 0 0.25rem; font-size: 0.85rem; opacity: 0.75; }
.gt-filled .gt-page { min-height: 0; }
.gt-empty { font-style: italic; opacity: 0.6; }
.gt-place { border-bottom: 2px solid var(--st-primary-color); }
.gt-gap { font-style: italic; opacity: 0.75; margin-left: 0.35em; }
.gt-root[data-presses] .gt-token:not(.gt-place) { cursor: pointer; }
.gt-root[data-presses] .gt-token:not(.gt-place):hover { background: var(--st-secondary-background-color); }
.gt-prompt { opacity: 0.65; }
.gt-token { border-radius: 3px; padding: 0.1em 0; unicode-bidi: isolate; cursor: default; outline: none;
  box-decoration-break: clone; -webkit-box-decoration-break: clone; }
.gt-root[data-mode="probability"] .gt-token { background: color-mix(in srgb, #D55E00 calc(var(--gt-depth, 0) * 55%), transparent); }
.gt-root[data-mode="ids"] .gt-token { box-shadow: inset 1px 0 0 var(--st-background-color); background: var(--gt-tint); }
.gt-token[data-tint="0"] { --gt-tint: color-mix(in srgb, #0072B2 26%, transparent); }
.gt-token[data-tint="1"] { --gt-tint: color-mix(in srgb, #E69F00 30%, transparent); }
.gt-token[data-tint="2"] { --gt-tint: color-mix(in srgb, #009E73 26%, transparent); }
.gt-token[data-tint="3"] { --gt-tint: color-mix(in srgb, #CC79A7 32%, transparent); }
.gt-token[data-tint="4"] { --gt-tint: color-mix(in srgb, #56B4E9 34%, transparent); }
.gt-token[data-tint="5"] { --gt-tint: color-mix(in srgb, #D55E00 24%, transparent); }
.gt-token[data-tint="6"] { --gt-tint: color-mix(in srgb, #948A00 30%, transparent); }
.gt-token[data-tint="7"] { --gt-tint: color-mix(in srgb, #7F7F7F 30%, transparent); }
.gt-token.gt-shown, .gt-token:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 0; }
.gt-unknown { text-decoration: underline wavy var(--st-red-text-color); }
.gt-special { font-style: italic; opacity: 0.8; }
.gt-bytes { font-size: 0.75em; opacity: 0.75; }
.gt-space { position: relative; }
.gt-space::after { content: "·"; position: absolute; inset: 0; text-align: center; opacity: 0.45; pointer-events: none; }
.gt-newline::before, .gt-tab::before, .gt-return::before, .gt-hidden::before { opacity: 0.55; font-size: 0.85em; }
.gt-root[data-mode="probability"] .gt-page .gt-space::after { content: none; }
.gt-newline::before { content: "⏎"; }
.gt-tab::before { content: "⇥"; }
.gt-return::before { content: "␍"; }
.gt-hidden { unicode-bidi: isolate; }
.gt-hidden::before { content: attr(data-code); }
.gt-foot { display: flex; flex-wrap: wrap; align-items: center; gap: 0.35rem 0.9rem; min-height: 2rem; margin-top: 0.4rem;
  font-size: 0.85rem; }
.gt-root[data-mode="ids"] .gt-foot { display: none; }
.gt-line, .gt-legend { opacity: 0.75; }
.gt-note { color: var(--st-red-text-color); }
.gt-note:empty, .gt-line:empty { display: none; }
.gt-legend { margin-left: auto; display: inline-flex; align-items: center; gap: 0.5em; }
.gt-legend[hidden], .gt-stop[hidden], .gt-card[hidden], .gt-filled[hidden] { display: none; }
.gt-legend i { width: 4.5rem; height: 0.7rem; border-radius: 3px; border: 1px solid var(--st-border-color);
  background: linear-gradient(90deg, transparent, color-mix(in srgb, #D55E00 55%, transparent)); }
.gt-stop { font: inherit; padding: 0.25rem 0.9rem; cursor: pointer; color: inherit; background: transparent;
  border: 1px solid var(--st-widget-border-color, var(--st-border-color)); border-radius: var(--st-button-radius); }
.gt-stop:hover { border-color: var(--st-primary-color); color: var(--st-primary-color); }
.gt-stop:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 2px; }
.gt-stop:disabled { opacity: 0.5; cursor: default; }
.gt-card { position: absolute; top: 0; left: 0; z-index: 20; box-sizing: border-box; width: min(20rem, 100%); padding: 0.6rem 0.75rem;
  color: var(--st-text-color); background: var(--st-background-color); border: 1px solid var(--st-border-color);
  border-radius: var(--st-base-radius); box-shadow: 0 4px 16px rgb(0 0 0 / 18%); font-size: 0.82rem; }
.gt-head { display: flex; justify-content: space-between; gap: 1rem; padding-bottom: 0.3rem; }
.gt-facts { opacity: 0.75; text-align: right; }
.gt-row { display: grid; grid-template-columns: 6.5rem 1fr 3.6rem; align-items: center; gap: 0.6rem; line-height: 1.45; }
.gt-name { font-family: var(--st-code-font); white-space: pre; overflow: hidden; text-overflow: ellipsis; unicode-bidi: isolate; }
.gt-chosen .gt-name, .gt-head .gt-name { font-weight: 700; }
.gt-track { height: 0.55rem; border-radius: 3px; background: var(--st-secondary-background-color); }
.gt-bar { display: block; height: 100%; border-radius: 3px; background: color-mix(in srgb, var(--st-text-color) 35%, transparent); }
.gt-chosen .gt-bar { background: var(--st-primary-color); }
.gt-share { text-align: right; font-variant-numeric: tabular-nums; }
"""

"""The pieces of the Attention page: text and examples, all heads, one head, where a token looks, influence, hidden units.

Not here: the drawings (`llm_core.figures.attention`), the numbers (the inference process).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import streamlit as st

from llm_core.backend.inference_client import MAXIMUM_INSPECTED_TOKENS, InferenceClient
from llm_core.figures.attention import drawn, looks_from, moved_by, overview, token_map, unit_map
from llm_core.ui.link import settle, tell
from llm_core.ui.model_choice import ChosenRun
from llm_core.ui.states import literal
from llm_core.workspace.paths import Workspace, open_workspace

Weights = npt.NDArray[np.float32]

WINDOW_TOKENS = 60
SHOWN_UNITS = 24
EXAMPLE_CHARACTERS = 40
# What can be seen in each: repetition (induction), agreement over a distance, brackets and quotes that close.
EXAMPLES = (
    "To be, or not to be, that is the question",
    "the cat sat on the mat and the cat sat on",
    "if (a[0] == b[1]) { return (a + b); }",
    '"Who is there?" said the man to the men.',
)
_PLAIN = {"displayModeBar": False}


@st.cache_data(max_entries=64, ttl=3600, show_spinner="Reading the text…")
def inspected(
    root: str, run_id: str, step: int, created_at: float, text: str, method: str, **more: Any
) -> dict[str, Any]:
    """The inference process's answer, kept for a while; `created_at` tells a checkpoint that was written anew from its predecessor."""
    del created_at
    return InferenceClient(open_workspace(root)).request(method, run_id=run_id, step=step, text=text, **more)


def ask(workspace: Workspace, chosen: ChosenRun, step: int, text: str, method: str, **more: Any) -> dict[str, Any]:
    """`attention`, `influence` or `units` of a text at a checkpoint. Raises UserError for a text that cannot be looked at."""
    created_at = chosen.at(step).created_at
    return inspected(str(workspace.root), chosen.record.id, step, created_at, text, method, **more)


def longest_text(chosen: ChosenRun) -> int:
    """How many tokens can be looked at as a whole."""
    context_length = int(chosen.record.config["data"]["context_length"])
    return min(MAXIMUM_INSPECTED_TOKENS, context_length) if chosen.is_transformer else MAXIMUM_INSPECTED_TOKENS


def say_what_is_too_long(chosen: ChosenRun, step: int, text: str, *, key: str) -> bool:
    """Whether the model has room for the text, which its tokenizer knows; else says so and offers to keep the beginning.

    Args:
        key: of the widget that holds the text.
    """
    tokenizer, longest = chosen.tokenizer(step), longest_text(chosen)
    tokens = tokenizer.encode(text)
    if len(tokens) <= longest:
        return True
    why = "as far as this model looks back" if longest < MAXIMUM_INSPECTED_TOKENS else "as much as one picture can show"
    st.warning(f"This text has {len(tokens):,} tokens; {longest:,} is {why}.", icon=":material/content_cut:")
    beginning = tokenizer.decode(tokens[:longest]).rstrip("\ufffd")
    st.button(f"Keep the first {longest:,}", key=f"keep-first-{key}", on_click=_put, args=(key, beginning))
    return False


def _put(key: str, text: str) -> None:
    st.session_state[key] = text


def examples_for(chosen: ChosenRun, step: int) -> list[str]:
    """Texts that this model knows and has room for: its own writing first."""
    tokenizer, longest = chosen.tokenizer(step), longest_text(chosen)
    candidates = [chosen.known_text(min(EXAMPLE_CHARACTERS, longest)).replace("\n", " "), *EXAMPLES]
    known: list[str] = []
    for text in candidates:
        tokens, unknown = tokenizer.encode_known(text)
        if not unknown and 2 <= len(tokens) <= longest and text not in known:
            known.append(text)
    return known or [chosen.known_text(longest)]


def window(num_tokens: int) -> slice:
    """Which tokens are shown: all of a short text, a stretch that can be moved of a long one."""
    if num_tokens <= WINDOW_TOKENS:
        return slice(0, num_tokens)
    st.session_state["window"] = min(st.session_state.get("window", 0), num_tokens - WINDOW_TOKENS)
    start = st.slider(
        f"Shown: {WINDOW_TOKENS} of {num_tokens} tokens, from number", 0, num_tokens - WINDOW_TOKENS, key="window"
    )
    return slice(start, start + WINDOW_TOKENS)


def choose_head(num_layers: int, num_heads: int) -> tuple[int, int] | None:
    """The head of the link, of the last click or of the boxes; None when the link names one that there is not."""
    if not settle("layer", "layer", range(num_layers), 0, what="layer"):
        return None
    if not settle("head", "head", range(num_heads), 0, what="head"):
        return None
    with st.container(horizontal=True):
        layer = st.selectbox("Layer", range(num_layers), key="layer", width=110, on_change=_forget_click)
        head = st.selectbox("Head", range(num_heads), key="head", width=110, on_change=_forget_click)
    tell("layer", "layer", layer)
    tell("head", "head", head)
    return layer, head


def all_heads(thumbnails_LHSS: Weights, *, dark: bool) -> None:
    """Every head small; a click chooses one."""
    layers, heads = thumbnails_LHSS.shape[:2]
    key = _overview_key()
    st.markdown(f"**All {layers * heads} heads**")
    st.plotly_chart(overview(thumbnails_LHSS, dark=dark), on_select=_take_click, key=key, config=_PLAIN)
    st.caption("Layers down, heads across. Click one, or choose it above.")


def _overview_key() -> str:
    return f"overview-{st.session_state.setdefault('overview-version', 0)}"


def _take_click() -> None:
    points = st.session_state[_overview_key()]["selection"]["points"]
    if points:
        st.session_state["layer"], st.session_state["head"] = points[0]["customdata"]


def _forget_click() -> None:
    """After a choice in the boxes the picture begins anew; it would take a click on the head clicked before for taking it back."""
    st.session_state["overview-version"] = st.session_state.get("overview-version", 0) + 1


def head_title(answer: dict[str, Any], layer: int, head: int) -> str:
    """Layer, head, and what it does most beyond chance."""
    place = f"layer {layer} · head {head}"
    scores = list(answer["scores"].values())
    if not scores:
        return place
    best = max(scores, key=lambda score: score["values"][layer, head] - score["chance"])
    return f"{place} · “{best['sentence']}” {best['values'][layer, head]:.2f} (chance {best['chance']:.2f})"


def one_head(answer: dict[str, Any], layer: int, head: int, shown: slice, *, dark: bool) -> None:
    """One head exactly, with all its measures."""
    weights_TT = answer["weights"][head]
    st.markdown(f"**{literal(head_title(answer, layer, head))}**")
    figure = token_map(weights_TT[shown, shown], answer["tokens"][shown], dark=dark, first=shown.start)
    st.plotly_chart(figure, key="map", config=_PLAIN)
    if shown.start:
        seen = float(np.tril(weights_TT[shown, shown]).sum(-1).mean())
        st.caption(literal(f"A row shows {seen:.0%} of its attention on average; the rest lies before this window."))
    with st.expander("All measures of this head"):
        st.dataframe(
            [
                {
                    "what it does": score["sentence"],
                    "share of attention": round(float(score["values"][layer, head]), 3),
                    "chance": round(score["chance"], 3),
                }
                for score in answer["scores"].values()
            ],
            hide_index=True,
        )
        st.caption(
            "The average share of attention on such tokens, over the tokens that have one. Chance is what a head would get "
            "that spreads its attention evenly, computed for this very text."
        )


def choose_token(tokens: Sequence[str], shown: slice, label: str) -> int:
    """A token of those shown, the last one first."""
    places = range(shown.start, shown.stop)
    if st.session_state.get("from-token") not in places:
        st.session_state["from-token"] = places[-1]

    def spoken(place: int) -> str:
        return f"{place}: “{drawn(tokens[place])}”"

    return st.select_slider(label, places, format_func=spoken, key="from-token")


def heads_from_token(answer: dict[str, Any], layer: int, head: int, shown: slice, *, dark: bool) -> None:
    """Where each head of the layer looks from a token that can be chosen."""
    tokens = answer["tokens"]
    place = choose_token(tokens, shown, "Where each head looks from token")
    last = place + 1
    rows_HT = answer["weights"][:, place, shown.start : last]
    figure = looks_from(rows_HT, tokens[shown.start : last], head, dark=dark)
    st.plotly_chart(figure, key="bars", config=_PLAIN)


def influence_of(answer: dict[str, Any], shown: slice, *, dark: bool) -> None:
    """The influence map, the same for every family."""
    st.markdown("**What moves each prediction**")
    figure = token_map(
        answer["weights"][shown, shown], answer["tokens"][shown], dark=dark, first=shown.start, verb="is moved by"
    )
    st.plotly_chart(figure, key="influence", config=_PLAIN)


def influence_words() -> None:
    """What the map says and what it does not."""
    st.caption(
        "Each row is one prediction: the one made after reading the token on the left. The colours say how strongly a small "
        "change of each earlier token would move it; a row sums to 1. The map is the same for recurrent networks and "
        "Transformers, so the two can be compared. It shows what matters nearby, not why."
    )


def influence_from_token(answer: dict[str, Any], shown: slice, *, dark: bool) -> None:
    """What moves the prediction after a token that can be chosen."""
    tokens = answer["tokens"]
    place = choose_token(tokens, shown, "What moves the prediction after token")
    row_T = answer["weights"][place, shown.start : place + 1]
    st.plotly_chart(moved_by(row_T, tokens[shown.start : place + 1], dark=dark), key="bars", config=_PLAIN)


def hidden_units(answer: dict[str, Any], layer: int, shown: slice, *, dark: bool) -> None:
    """Units over the text: the most varied ones, or those that are chosen."""
    order = answer["order"][layer].tolist()
    picked = st.multiselect(
        "Units",
        order,
        format_func=lambda unit: f"unit {unit}",
        placeholder=f"The {min(SHOWN_UNITS, len(order))} that vary most over this text; choose others here",
        key=f"units-{layer}",
    )
    units = picked or order[:SHOWN_UNITS]
    states_TU = answer["states"][layer][shown]
    st.plotly_chart(unit_map(states_TU, answer["tokens"][shown], units, dark=dark), key="units", config=_PLAIN)
    st.caption(
        "Vermilion is negative, blue is positive, each after reading the token above it. Look for a unit that follows something "
        "you know: brackets, quotes, the length of the line."
    )

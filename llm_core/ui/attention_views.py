"""The pieces of the Attention page: all heads, one head, where a token looks, influence, hidden units.

Not here: the texts (`attention_texts.py`), the drawings (`llm_core.figures.attention`), the numbers (the inference process).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import streamlit as st

from llm_core.config.encoder import EncoderConfig
from llm_core.config.encoder_decoder import EncoderDecoderConfig
from llm_core.config.model import ModelConfig, TransformerConfig
from llm_core.figures.attention import drawn, looks_from, moved_by, overview, token_map, unit_map
from llm_core.models.families import families
from llm_core.ui.link import settle, tell
from llm_core.ui.states import literal

Weights = npt.NDArray[np.float32]

WINDOW_TOKENS = 60
SHOWN_UNITS = 24
_PLAIN = {"displayModeBar": False}
_PARTS = {
    "encoder": ("Encoder", "Each token of the source looks at the whole source."),
    "decoder": ("Decoder", "Each token of the answer looks at the answer up to itself."),
    "cross": ("Cross", "Each token of the answer looks at the source, to write the next one."),
}
_INFLUENCE_WORDS = {
    "causal": "Each row is one prediction: the one made after reading the token on the left. The colours say how strongly a small "
    "change of each earlier token would move it; a row sums to 1. The map is the same for recurrent networks and Transformers, so the "
    "two can be compared. It shows what matters nearby, not why.",
    "masked": "Each row is one prediction: the token on the left, hidden and filled in again. The colours say how strongly a small "
    "change of each other token would move it; a row sums to 1. It shows what matters nearby, not why.",
    "pairs": "Each row is one prediction: the token of the answer that is written after the one on the left. The columns are the source, "
    "then the answer. The colours say how strongly a small change of each token would move the prediction; a row sums to 1. It shows "
    "what matters nearby, not why.",
}

_GATES = {
    "state": "State",
    "i": "Input gate i",
    "f": "Forget gate f",
    "g": "New content g",
    "o": "Output gate o",
    "r": "Reset gate r",
    "z": "Update gate z",
    "n": "New content n",
}


@dataclass(frozen=True)
class Choice:
    """What is looked at: the kind of attention, the layer, the head."""

    part: str
    layer: int
    head: int


@dataclass(frozen=True)
class Stretches:
    """Which tokens are shown: of the text, or of an answer and its source."""

    text: slice
    source: slice | None = None

    def rows(self, part: str) -> slice:
        """Those that look."""
        return self.source if part == "encoder" and self.source is not None else self.text

    def columns(self, part: str) -> slice:
        """Those that are looked at."""
        return self.source if part == "cross" and self.source is not None else self.rows(part)


def stretches(answer: dict[str, Any]) -> Stretches:
    """All of a short text, a stretch that can be moved of a long one."""
    if answer["num_source"] is None:
        return Stretches(window(answer["num_tokens"]))
    source = window(answer["num_source"], "source")
    return Stretches(window(answer["num_tokens"], "answer"), source)


def window(num_tokens: int, name: str = "text") -> slice:
    """A slider where there is more than can be shown.

    Args:
        name: of the text it is a part of.
    """
    if num_tokens <= WINDOW_TOKENS:
        return slice(0, num_tokens)
    key = f"window-{name}"
    st.session_state[key] = min(st.session_state.get(key, 0), num_tokens - WINDOW_TOKENS)
    label = f"Shown: {WINDOW_TOKENS} of {num_tokens} tokens of the {name}, from number"
    start = st.slider(label, 0, num_tokens - WINDOW_TOKENS, key=key)
    return slice(start, start + WINDOW_TOKENS)


def choose_head(model: ModelConfig) -> Choice | None:
    """The head of the link, of the last click or of the boxes; None when the link names one that there is not."""
    assert isinstance(model, TransformerConfig | EncoderConfig | EncoderDecoderConfig)
    parts = families()[model.kind].attention
    part = parts[-1]
    if len(parts) == 1:
        st.query_params.pop("part", None)  # of a model that was looked at before
    elif settle("part", "part", parts, part, what="attention"):
        part = str(st.session_state["part"])
    else:
        return None
    num_layers = model.num_layers
    if isinstance(model, EncoderDecoderConfig) and part != "encoder":
        num_layers = model.resolved_num_decoder_layers
    if not settle("layer", "layer", range(num_layers), 0, what="layer"):
        return None
    if not settle("head", "head", range(model.num_heads), 0, what="head"):
        return None
    with st.container(horizontal=True):
        if len(parts) > 1:
            st.segmented_control(
                "Attention",
                parts,
                format_func=lambda name: _PARTS[name][0],
                required=True,
                key="part",
                on_change=_forget_click,
            )
            tell("part", "part", part)
        layer = st.selectbox("Layer", range(num_layers), key="layer", width=110, on_change=_forget_click)
        head = st.selectbox("Head", range(model.num_heads), key="head", width=110, on_change=_forget_click)
    if len(parts) > 1:
        st.caption(_PARTS[part][1])
    elif isinstance(model, EncoderConfig):
        far = (
            f"at most {model.window // 2} tokens far: this layer is local"
            if model.is_local(layer)
            else "at the whole text"
        )
        st.caption(f"Each token looks to both sides, {far}.")
    tell("layer", "layer", layer)
    tell("head", "head", head)
    return Choice(part, layer, head)


def all_heads(thumbnails_LHTS: Weights, *, dark: bool) -> None:
    """Every head small; a click chooses one."""
    layers, heads = thumbnails_LHTS.shape[:2]
    key = _overview_key()
    st.markdown(f"**All {layers * heads} heads**")
    st.plotly_chart(overview(thumbnails_LHTS, dark=dark), on_select=_take_click, key=key, config=_PLAIN)
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
    best = max(scores, key=lambda score: score["values"][layer, head] - score["chance"][layer])
    share, chance = best["values"][layer, head], best["chance"][layer]
    return f"{place} · “{best['sentence']}” {share:.2f} (chance {chance:.2f})"


def one_head(answer: dict[str, Any], choice: Choice, shown: Stretches, *, dark: bool) -> None:
    """One head exactly, with all its measures."""
    weights_TS = answer["weights"][choice.head]
    rows, columns = shown.rows(choice.part), shown.columns(choice.part)
    st.markdown(f"**{literal(head_title(answer, choice.layer, choice.head))}**")
    figure = token_map(
        weights_TS[rows, columns],
        answer["visible"][rows, columns],
        answer["tokens"][rows],
        answer["columns"][columns],
        dark=dark,
        numbers=range(columns.start, columns.stop),
        titles=("answer", "source") if choice.part == "cross" else ("", ""),
    )
    st.plotly_chart(figure, key="map", config=_PLAIN)
    seen = float(weights_TS[rows, columns].sum(-1).mean())
    if seen < 0.995:
        st.caption(
            literal(f"A row shows {seen:.0%} of its attention on average; the rest lies outside of this window.")
        )
    with st.expander("All measures of this head"):
        st.dataframe(
            [
                {
                    "what it does": score["sentence"],
                    "share of attention": round(float(score["values"][choice.layer, choice.head]), 3),
                    "chance": round(float(score["chance"][choice.layer]), 3),
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
    if len(places) == 1:
        return places[0]
    if st.session_state.get("from-token") not in places:
        st.session_state["from-token"] = places[-1]

    def spoken(place: int) -> str:
        return f"{place}: “{drawn(tokens[place])}”"

    return st.select_slider(label, places, format_func=spoken, key="from-token")


def heads_from_token(answer: dict[str, Any], choice: Choice, shown: Stretches, *, dark: bool) -> None:
    """Where each head of the layer looks from a token that can be chosen."""
    place = choose_token(answer["tokens"], shown.rows(choice.part), "Where each head looks from token")
    columns = shown.columns(choice.part)
    seen = [column for column in range(columns.start, columns.stop) if answer["visible"][place, column]]
    names = [answer["columns"][column] for column in seen]
    figure = looks_from(answer["weights"][:, place, seen], names, choice.head, dark=dark)
    st.plotly_chart(figure, key="bars", config=_PLAIN)


def influence_of(answer: dict[str, Any], shown: Stretches, *, dark: bool) -> None:
    """The influence map, the same for every family: rows are predictions."""
    st.markdown("**What moves each prediction**")
    rows = np.r_[shown.text]
    columns = numbers = rows
    if shown.source is not None:
        columns, numbers = np.r_[shown.source, answer["num_source"] + rows], np.r_[shown.source, shown.text]
    figure = token_map(
        answer["weights"][np.ix_(rows, columns)],
        answer["visible"][np.ix_(rows, columns)],
        [answer["tokens"][row] for row in rows],
        [answer["columns"][column] for column in columns],
        dark=dark,
        numbers=numbers,
        verb="is moved by",
        titles=("", "") if shown.source is None else ("answer", "source │ answer so far"),
        divided_at=None if shown.source is None else len(np.r_[shown.source]),
    )
    st.plotly_chart(figure, key="influence", config=_PLAIN)


def influence_words(kind: str) -> None:
    """What the map says and what it does not.

    Args:
        kind: of the objective.
    """
    st.caption(_INFLUENCE_WORDS.get(kind, _INFLUENCE_WORDS["pairs"]))


def influence_from_token(answer: dict[str, Any], shown: slice, *, dark: bool) -> None:
    """What moves the prediction after a token that can be chosen."""
    tokens = answer["tokens"]
    place = choose_token(tokens, shown, "What moves the prediction after token")
    row_T = answer["weights"][place, shown.start : place + 1]
    st.plotly_chart(moved_by(row_T, tokens[shown.start : place + 1], dark=dark), key="bars", config=_PLAIN)


def nothing_inside(run_id: str) -> None:
    """For a model of counts: why there is nothing to look at, and what there is instead."""
    with st.container(border=True):
        st.markdown("**An n-gram model has no attention and no hidden units**")
        st.write(
            "It is a table of counts: how often each token followed the few before it. All it knows shows in the probabilities that it "
            "gives, and the Playground lists those of the next token after any beginning."
        )
        st.page_link(
            "playground.py",
            label="See them in the Playground",
            icon=":material/edit_note:",
            query_params={"run": run_id},
        )


def choose_units(num_layers: int, gates: Sequence[str]) -> tuple[int, str] | None:
    """A layer, and what of its units is shown: "state" or a gate; None when the link names what there is not. `layer` is settled."""
    kinds = ["state", *gates]
    if not settle("units", "units", kinds, "state", what="such value of the units"):
        return None
    with st.container(horizontal=True):
        layer = st.selectbox("Layer", range(num_layers), key="layer", width=110)
        if gates:
            st.segmented_control("Shown", kinds, format_func=lambda name: _GATES[name], required=True, key="units")
            tell("units", "units", st.session_state["units"])
    tell("layer", "layer", layer)
    return layer, str(st.session_state["units"])


def hidden_units(answer: dict[str, Any], layer: int, kind: str, shown: slice, *, dark: bool) -> None:
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
    values_LTU = answer["states"] if kind == "state" else answer["gates"][kind]
    st.plotly_chart(
        unit_map(values_LTU[layer][shown], answer["tokens"][shown], units, dark=dark), key="unit-map", config=_PLAIN
    )
    st.caption(
        "Vermilion is negative, blue is positive, each after reading the token above it. Look for a unit that follows something "
        "you know: brackets, quotes, the length of the line."
    )

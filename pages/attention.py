"""Attention: where each head looks; for recurrent networks the influence map and the hidden units over the text."""

import streamlit as st

from llm_core.config.errors import UserError
from llm_core.ui.attention_views import (
    all_heads,
    ask,
    choose_head,
    examples_for,
    heads_from_token,
    hidden_units,
    influence_from_token,
    influence_of,
    influence_words,
    one_head,
    say_what_is_too_long,
    window,
)
from llm_core.ui.link import asked, remembered, settle, tell
from llm_core.ui.model_choice import ChosenRun, choose_model, say_what_is_unknown
from llm_core.ui.snippets import attention_python, units_python
from llm_core.ui.states import from_code, page_head, show_error
from llm_core.workspace.paths import open_workspace

page_head("Attention", "Where the model looks while it reads your text. It is where it looks, not why it answers.")
workspace = open_workspace()
dark = st.context.theme.type == "dark"


def take_example() -> None:
    """The box gives its text to the field and is empty again."""
    if st.session_state["example"] is not None:
        st.session_state["text"] = st.session_state["example"]
        st.session_state["example"] = None


def transformer(chosen: ChosenRun, step: int, text: str) -> None:
    """Heads, one head, where a token looks, influence."""
    model = chosen.record.config["model"]
    head = choose_head(int(model["num_layers"]), int(model["num_heads"]))
    if head is None:
        st.stop()
    answer = ask(workspace, chosen, step, text, "attention", layer=head[0])
    shown = window(len(answer["tokens"]))
    left, right = st.columns([1, 2], gap="medium")
    with left:
        all_heads(answer["thumbnails"], dark=dark)
    with right:
        one_head(answer, *head, shown, dark=dark)
    heads_from_token(answer, *head, shown, dark=dark)
    st.subheader("Influence")
    left, right = st.columns([1, 2], gap="medium")
    with left:
        influence_words()
    with right:
        influence_of(ask(workspace, chosen, step, text, "influence"), shown, dark=dark)
    from_code("", attention_python(chosen.record.id, step, text, *head))


def recurrent(chosen: ChosenRun, step: int, text: str) -> None:
    """Influence in the place of the heads, then the hidden units."""
    num_layers = int(chosen.record.config["model"]["num_layers"])
    if not settle("layer", "layer", range(num_layers), 0, what="layer"):
        st.stop()
    influence = ask(workspace, chosen, step, text, "influence")
    shown = window(len(influence["tokens"]))
    left, right = st.columns([1, 2], gap="medium")
    with left:
        st.markdown("**A recurrent network has no attention**")
        st.caption(
            "It carries everything in its hidden units from token to token. What it looks back on shows in what moves it."
        )
        influence_words()
    with right:
        influence_of(influence, shown, dark=dark)
    influence_from_token(influence, shown, dark=dark)
    st.subheader("Hidden units over the text")
    layer = st.selectbox("Layer", range(num_layers), key="layer", width=110)
    tell("layer", "layer", layer)
    hidden_units(ask(workspace, chosen, step, text, "units"), layer, shown, dark=dark)
    from_code("", units_python(chosen.record.id, step, text, layer))


row = st.container(horizontal=True, vertical_alignment="bottom")
with row:
    chosen = choose_model(workspace, "There is no model to look into yet.")
if chosen is None:
    st.stop()
if not settle("step", "attention-step", chosen.steps, chosen.steps[-1], what="checkpoint at step"):
    st.stop()
step = chosen.steps[-1]
if len(chosen.steps) > 1:
    step = row.select_slider(
        "Checkpoint at step", chosen.steps, format_func=lambda number: f"{number:,}", key="attention-step"
    )
tell("step", "attention-step", step)

examples = examples_for(chosen, step)
linked = asked("text", "text")
if linked is not None:
    st.session_state["text"] = linked
elif "text" not in st.session_state:
    st.session_state["text"] = remembered("text") or examples[0]
text_place, example_place = st.columns([3, 1], vertical_alignment="bottom")
text = text_place.text_input("Text", key="text")
example_place.selectbox(
    "Examples",
    examples,
    index=None,
    placeholder="Examples",
    key="example",
    on_change=take_example,
    label_visibility="collapsed",
)
tell("text", "text", text)
if not say_what_is_unknown(chosen, workspace, text, step=step, key="text"):
    st.stop()
if not say_what_is_too_long(chosen, step, text, key="text"):
    st.stop()
try:
    if chosen.is_transformer:
        transformer(chosen, step, text)
    else:
        recurrent(chosen, step, text)
except UserError as error:
    show_error(error)

"""Attention: where each head looks; for recurrent networks the influence map and the hidden units over the text."""

import streamlit as st

from llm_core.config.errors import UserError
from llm_core.config.run import RunConfig
from llm_core.models.families import families
from llm_core.ui.attention_texts import (
    answer_field,
    ask,
    is_of_pairs,
    say_what_is_too_long,
    settings_of,
    sign_of,
    text_field,
)
from llm_core.ui.attention_views import (
    all_heads,
    choose_head,
    choose_units,
    heads_from_token,
    hidden_units,
    influence_from_token,
    influence_of,
    influence_words,
    nothing_inside,
    one_head,
    stretches,
)
from llm_core.ui.link import settle, tell
from llm_core.ui.model_choice import ChosenRun, choose_model, say_what_is_unknown
from llm_core.ui.snippets import attention_python, units_python
from llm_core.ui.states import from_code, page_head, show_error
from llm_core.workspace.paths import open_workspace

page_head("Attention", "Where the model looks while it reads your text. It is where it looks, not why it answers.")
workspace = open_workspace()
dark = st.context.theme.type == "dark"


def attending(chosen: ChosenRun, config: RunConfig, step: int, text: str) -> None:
    """Heads, one head, where a token looks, influence."""
    answer = None
    if is_of_pairs(config):
        answer = answer_field(ask(workspace, chosen, step, text, "attention"))
        if not say_what_is_unknown(chosen, workspace, answer, step=step, key="answer", sign=sign_of(config)):
            st.stop()
    choice = choose_head(config.model)
    if choice is None:
        st.stop()
    seen = ask(workspace, chosen, step, text, "attention", layer=choice.layer, part=choice.part, answer=answer)
    shown = stretches(seen)
    left, right = st.columns([1, 2], gap="medium")
    with left:
        all_heads(seen["thumbnails"], dark=dark)
    with right:
        one_head(seen, choice, shown, dark=dark)
    heads_from_token(seen, choice, shown, dark=dark)
    st.subheader("Influence")
    left, right = st.columns([1, 2], gap="medium")
    with left:
        influence_words(config.objective.kind)
    with right:
        influence_of(ask(workspace, chosen, step, text, "influence", answer=answer), shown, dark=dark)
    from_code(
        "",
        attention_python(chosen.record.id, step, text, choice.layer, choice.head, part=choice.part, answer=answer),
    )


def recurrent(chosen: ChosenRun, config: RunConfig, step: int, text: str) -> None:
    """Influence in the place of the heads, then the hidden units."""
    num_layers = int(chosen.record.config["model"]["num_layers"])
    if not settle("layer", "layer", range(num_layers), 0, what="layer"):
        st.stop()
    influence = ask(workspace, chosen, step, text, "influence")
    shown = stretches(influence)
    left, right = st.columns([1, 2], gap="medium")
    with left:
        st.markdown("**A recurrent network has no attention**")
        st.caption(
            "It carries everything in its hidden units from token to token. What it looks back on shows in what moves it."
        )
        influence_words(config.objective.kind)
    with right:
        influence_of(influence, shown, dark=dark)
    influence_from_token(influence, shown.text, dark=dark)
    st.subheader("Hidden units over the text")
    units = ask(workspace, chosen, step, text, "units")
    of_units = choose_units(num_layers, list(units["gates"]))
    if of_units is None:
        st.stop()
    hidden_units(units, *of_units, shown.text, dark=dark)
    from_code("", units_python(chosen.record.id, step, text, of_units[0]))


row = st.container(horizontal=True, vertical_alignment="bottom")
with row:
    chosen = choose_model(workspace, "There is no model to look into yet.")
if chosen is None:
    st.stop()
config = settings_of(chosen)
family = families()[config.model.kind]
if family.is_counted:
    nothing_inside(chosen.record.id)
    st.stop()
if not settle("step", "attention-step", chosen.steps, chosen.steps[-1], what="checkpoint at step"):
    st.stop()
step = chosen.steps[-1]
if len(chosen.steps) > 1:
    step = row.select_slider(
        "Checkpoint at step", chosen.steps, format_func=lambda number: f"{number:,}", key="attention-step"
    )
tell("step", "attention-step", step)

text = text_field(chosen, config, step)
if not say_what_is_unknown(chosen, workspace, text, step=step, key="text", sign=sign_of(config)):
    st.stop()
if not say_what_is_too_long(chosen, config, step, text, key="text"):
    st.stop()
try:
    if family.is_recurrent:
        recurrent(chosen, config, step, text)
    else:
        attending(chosen, config, step, text)
except UserError as error:
    show_error(error)

"""*Race*: the form behind the button. Not here: what a race is (`llm_core.backend.race`)."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from llm_core.backend.race import TOKENS_PER_STEP, USUAL_ENTRANTS, Budget, possible_entrants, submit_race
from llm_core.quantities import duration
from llm_core.text.library import list_datasets
from llm_core.text.tokenizer_library import list_tokenizers
from llm_core.ui.group_start import start_group, was_started
from llm_core.ui.guards import may, require
from llm_core.ui.states import literal
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.paths import Workspace

_PLACE = "race"
# What each budget means, networks and counting apart: the same words of a budget are not the same work for both.
_BUDGETS = {
    "minutes": "Each network trains for so long. An n-gram counts the whole text and ends when it is done, mostly after seconds.",
    "tokens": "Each network reads so many tokens, in whole steps. An n-gram counts so many from the beginning of the text, "
    "or all if there are fewer.",
    "steps": f"A step of every network reads {TOKENS_PER_STEP:,} tokens here, whatever its preset says. An n-gram has no steps: it counts "
    "as many tokens from the beginning of the text as each network reads, or all if there are fewer.",
}
_TOKENIZERS = {"char": "Characters", "byte": "Bytes"}


def race_form(workspace: Workspace, text: str) -> None:
    """Which models, which text, which budget.

    Args:
        text: name of the text to begin with.
    """
    if not may("race"):
        st.caption("Your password opens Glassbox for reading. A race is started with the other one.")
        return
    if was_started(_PLACE, "race"):
        return
    st.markdown(
        "The same text and the same budget for several kinds of model, one after another, compared in bits per byte."
    )
    titles = possible_entrants()
    entrants: list[str] = st.multiselect(
        "Models", list(titles), default=USUAL_ENTRANTS, format_func=titles.__getitem__, key="race-entrants"
    )
    left, right = st.columns(2)
    names = [record.name for record in list_datasets(workspace)]
    with left:
        dataset: str = st.selectbox("Text", names, index=names.index(text) if text in names else 0, key="race-text")
    with right:
        tokenizers = _TOKENIZERS | {record.name: record.name for record in list_tokenizers(workspace)}
        tokenizer: str = st.selectbox(
            "Tokenizer", list(tokenizers), format_func=tokenizers.__getitem__, key="race-tokenizer"
        )
    kind: str = st.segmented_control(
        "Budget of each", list(_BUDGETS), default="minutes", required=True, key="race-budget"
    )
    left, right = st.columns(2)
    with left:
        budget = _budget(kind)
    with right:
        seeds = int(st.number_input("Seeds", 1, 10, 1, key="race-seeds", help="Runs of each model."))
    st.caption(_BUDGETS[kind])
    st.caption(literal(_what_it_comes_to(len(entrants), seeds, budget)))

    def submit(once: str) -> Sequence[JobRecord]:
        require("race")
        return submit_race(workspace, dataset, entrants, budget, tokenizer=tokenizer, seeds=seeds, once=once)

    if st.button(
        "Start the race", type="primary", icon=":material/flag:", disabled=len(entrants) < 2, key="start-race"
    ):
        start_group(_PLACE, submit)


def _budget(kind: str) -> Budget:
    if kind == "minutes":
        return Budget(minutes=float(st.number_input("Minutes", 0.1, 100_000.0, 2.0, 0.5, key="race-minutes")))
    if kind == "tokens":
        return Budget(tokens=int(st.number_input("Tokens", 1_000, 10**12, 2_000_000, 100_000, key="race-tokens")))
    return Budget(steps=int(st.number_input("Steps", 1, 10**9, 1_000, 100, key="race-steps")))


def _what_it_comes_to(entrants: int, seeds: int, budget: Budget) -> str:
    runs = entrants * seeds
    if entrants < 2:
        return "A race needs at least two models."
    together = "" if budget.minutes is None else f", at most {duration(60 * budget.minutes * runs)} one after another"
    can_tell = {
        1: "One run of each cannot tell which model is better: another seed comes out differently.",
        2: "Two seeds show only large differences; take three or more.",
    }.get(seeds, "A test over the common seeds then says whether a difference is more than chance.")
    return f"{runs} runs{together}. {can_tell}"

"""Playground: let a run's model go on from a beginning, fill in what is hidden, or answer a source, also while it is still training."""

import streamlit as st

from llm_core.backend.generation_files import KeptGeneration
from llm_core.backend.inference_client import InferenceClient
from llm_core.config.errors import NotFound, UserError
from llm_core.config.objective import OBJECTIVE_CONFIGS
from llm_core.config.run import config_from_dict
from llm_core.config.sampling import SamplingConfig
from llm_core.figures.curves import candidates
from llm_core.models.families import families
from llm_core.ui.guards import require
from llm_core.ui.link import asked, remembered, settle, tell
from llm_core.ui.model_choice import NEWEST, ChosenRun, choose_model, say_what_is_unknown
from llm_core.ui.playground_filling import show_filled
from llm_core.ui.playground_texts import first_text, text_box
from llm_core.ui.sampling_settings import begin_with, sampling_settings
from llm_core.ui.snippets import fill_command, fill_python, generate_command, generate_python
from llm_core.ui.states import from_code, literal, page_head, show_error
from llm_core.ui.token_view import generation_view
from llm_core.workspace.paths import open_workspace

# Longer beginnings would make an address that some servers refuse; they are kept with the text that was written from them.
LONGEST_IN_ADDRESS = 1_500
SHOWN_CANDIDATES = 12
SHOWN_PROMPT_CHARACTERS = 2_000

page_head("Playground", "Give a model a text and see what it makes of it. Nothing you do here changes the model.")
workspace = open_workspace()
client = InferenceClient(workspace)


def text_key(objective: str) -> str:
    """Each kind of text has a box of its own: a beginning is no source."""
    return "prompt" if objective == "causal" else f"prompt-{objective}"


def shortened(text: str) -> str:
    """The end of a long beginning, which the new text goes on from."""
    return text if len(text) <= SHOWN_PROMPT_CHARACTERS else f"… {text[-SHOWN_PROMPT_CHARACTERS:]}"


def linked_generation() -> tuple[str, KeptGeneration | None]:
    """The text that the address names, else the last one of this session, from disk: a reload and a second tab find it there."""
    generation_id = st.query_params.get("generation") or st.session_state.get("last-generation", "")
    if not generation_id:
        return "", None
    try:
        return generation_id, client.kept_generation(generation_id)
    except NotFound:
        st.info("The text of this link is no longer kept. Generate a new one.", icon=":material/history:")
        st.query_params.pop("generation", None)
        st.session_state.pop("last-generation", None)
        return "", None


row = st.container(horizontal=True, vertical_alignment="bottom")
with row:
    chosen = choose_model(workspace, "There is no model to talk to yet.")
if chosen is None:
    st.stop()
if not settle("step", "playground-step", [NEWEST, *chosen.steps], NEWEST, what="checkpoint at step"):
    st.stop()
record = chosen.record
config = config_from_dict(record.config)
objective = config.objective.kind
fills_in = objective == "masked"
step_word = "order" if families()[config.model.kind].is_counted else "step"
newest_step = chosen.steps[-1]
choice = row.selectbox(
    "Checkpoint",
    [NEWEST, *reversed(chosen.steps)],
    format_func=lambda step: f"newest ({step_word} {newest_step:,})" if step == NEWEST else f"{step_word} {step:,}",
    key="playground-step",
    width=220,
    help="The newest follows a run that is still training.",
)
tell("step", "playground-step", choice)
step = None if choice == NEWEST else int(choice)

box, key = text_box(objective), text_key(objective)
first_key = f"first-text-{record.id}-{choice}"
if first_key not in st.session_state:
    st.session_state[first_key] = first_text(workspace, chosen, config, choice)
first = st.session_state[first_key]

generation_id, kept = ("", None) if fills_in else linked_generation()
if kept is not None and "sampling-initial" not in st.session_state:
    begin_with(kept.asked["settings"])
linked_text = asked("text", key)
if linked_text is not None and linked_text not in [remembered(text_key(other)) for other in OBJECTIVE_CONFIGS]:
    st.session_state[key] = linked_text
elif key not in st.session_state:
    is_alike = kept is not None and ("source" in kept.asked) == (objective != "causal")
    st.session_state[key] = remembered(key) or (kept.asked["prompt"] if kept and is_alike else first.text)


def write_text(chosen: ChosenRun) -> tuple[str, bool]:
    """The text box; the text, and whether the model knows all of it."""
    text = st.text_area(box.label, height=110 if objective == "causal" else 160, key=key, help=box.help)
    if len(text) <= LONGEST_IN_ADDRESS:
        tell("text", key, text)
    else:
        st.query_params.pop("text", None)
    return text, say_what_is_unknown(chosen, workspace, text, step=choice, key=key, sign=box.sign)


def say_the_truth(text: str) -> None:
    """What the data have to say, where the text is the one that the page began with."""
    if first.truth and text == first.text:
        what = "The answer in the data" if objective == "sequence-to-sequence" else "In the data it reads"
        st.caption(f"{what}:")
        st.code(first.truth, language=None, wrap_lines=True)


def fill(chosen: ChosenRun) -> None:
    """An encoder: what it puts where something is hidden."""
    require("look-inside")
    text, is_known = write_text(chosen)
    # It changes nothing and needs no more than the text: the button is for the hand that looks for one.
    st.button(box.button, type="primary", icon=":material/edit_note:", key="fill", disabled=not is_known)
    if not is_known:
        return
    if not text.strip():
        st.caption(f"Write a text, with {box.sign} for each token that the model is to fill in.")
        return
    is_hidden = box.sign in text
    places = client.fill(record.id, step, text)["places"] if is_hidden else []
    show_filled(text, chosen.tokenizer(choice), places, key=key)
    if is_hidden:
        st.caption(
            "Underlined is what the model fills in; the redder, the less sure it is. Point at one, tap it, or move to it with the "
            f"keyboard, to see its ten likeliest {chosen.token_word}. A click on any other hides that one too."
        )
    else:
        st.caption(
            f"Nothing is hidden yet. Click one of the {chosen.token_word} above, or write {box.sign} where one is."
        )
    say_the_truth(text)
    from_code(fill_command(record.name, step, text), fill_python(record.id, step, text))


def show_candidates(text: str, settings: SamplingConfig) -> None:
    """What may come next, before and after the settings."""
    require("look-inside")
    tokens = client.next_token(record.id, step, text, settings)["tokens"][:SHOWN_CANDIDATES]
    st.plotly_chart(
        candidates(
            [token["text"] for token in tokens],
            [token["p"] for token in tokens],
            [token["p_after"] for token in tokens],
            dark=st.context.theme.type == "dark",
        ),
        key="candidates",
        config={"displayModeBar": False},
    )


def begin(text: str, settings: SamplingConfig) -> str:
    """Start to write; one text at a time, what the last one has written stays."""
    require("generate")
    if generation_id:
        client.stop_generation(generation_id)
    return client.start_generation(record.id, step, text, settings)


def show_written(generation_id: str, kept: KeptGeneration) -> None:
    """The text while it is written, and afterwards."""
    st.query_params["generation"] = st.session_state["last-generation"] = generation_id
    source = kept.asked.get("source")
    prompt = shortened(kept.asked["prompt"]) if source is None else ""
    generation_view(generation_id, key="generation", prompt=prompt, source=source, step_word=step_word)
    st.caption(
        literal(f"Written by {kept.asked['run_name']}. The redder a token, the less the model expected it; ")
        + "point at one, or move to it with the keyboard, to see what else could have stood there."
    )


def write(chosen: ChosenRun) -> None:
    """A model that writes: on from a beginning, or an answer to a source."""
    text_side, settings_side = st.columns([2, 1], gap="medium")
    with settings_side:
        names = {"sequence-to-sequence": "How the answer may begin", "causal": "What may come next"}
        has_gaps = objective == "span-corruption" and box.sign in st.session_state[key]
        st.subheader("What the first gap may begin with" if has_gaps else names.get(objective, names["causal"]))
        picture = st.container(height=260, border=False)
        settings = sampling_settings()
    with text_side:
        text, is_known = write_text(chosen)
        has_text = objective == "causal" or bool(text)
        started, shown = generation_id, kept
        if st.button(
            box.button,
            type="primary",
            icon=":material/edit_note:",
            key="generate",
            disabled=not (is_known and has_text),
        ):
            try:
                started = begin(text, settings)
                shown = client.kept_generation(started)
            except UserError as error:
                show_error(error)
        if shown is not None:
            show_written(started, shown)
        else:
            st.caption("The text appears here token by token, with what else could have stood in each place.")
        say_the_truth(text)
    with picture:
        if not is_known:
            st.caption("The picture comes back when the model knows every character of the text.")
        elif not has_text:
            st.caption("The picture comes when there is something to read.")
        else:
            try:
                show_candidates(text, settings)
            except UserError as error:
                show_error(error)
    if shown is not None and settings.seed is None and shown.asked["prompt"] == text:
        settings = settings.model_copy(update={"seed": shown.asked["seed"]})
    from_code(
        generate_command(record.name, step, text, settings),
        generate_python(record.id, step, text, settings, has_gaps=has_gaps),
    )


try:
    if fills_in:
        fill(chosen)
    else:
        write(chosen)
except UserError as error:
    show_error(error)

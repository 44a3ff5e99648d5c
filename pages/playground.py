"""Playground: give a run's model a beginning and let it go on, also while it is still training."""

import streamlit as st

from llm_core.backend.generation_files import KeptGeneration
from llm_core.backend.inference_client import InferenceClient
from llm_core.config.errors import NotFound, UserError
from llm_core.figures.curves import candidates
from llm_core.ui.guards import require_role
from llm_core.ui.link import asked, remembered, settle, tell
from llm_core.ui.model_choice import NEWEST, choose_model, say_what_is_unknown
from llm_core.ui.sampling_settings import begin_with, sampling_settings
from llm_core.ui.snippets import generate_command, generate_python
from llm_core.ui.states import from_code, literal, page_head, show_error
from llm_core.ui.token_view import generation_view
from llm_core.workspace.paths import open_workspace

# Longer beginnings would make an address that some servers refuse; they are kept with the text that was written from them.
LONGEST_IN_ADDRESS = 1_500
SHOWN_CANDIDATES = 12
SHOWN_PROMPT_CHARACTERS = 2_000
FIRST_PROMPT_CHARACTERS = 60

page_head("Playground", "Write a beginning; the model goes on. Nothing you do here changes the model.")
workspace = open_workspace()
client = InferenceClient(workspace)


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


generation_id, kept = linked_generation()
if kept is not None and "sampling-initial" not in st.session_state:
    begin_with(kept.asked["settings"])

row = st.container(horizontal=True, vertical_alignment="bottom")
with row:
    chosen = choose_model(workspace, "There is no model to talk to yet.")
if chosen is None:
    st.stop()
if not settle("step", "playground-step", [NEWEST, *chosen.steps], NEWEST, what="checkpoint at step"):
    st.stop()
newest_step = chosen.steps[-1]
choice = row.selectbox(
    "Checkpoint",
    [NEWEST, *reversed(chosen.steps)],
    format_func=lambda step: f"newest (step {newest_step:,})" if step == NEWEST else f"step {step:,}",
    key="playground-step",
    width=220,
    help="The newest follows a run that is still training.",
)
tell("step", "playground-step", choice)
step = None if choice == NEWEST else int(choice)
record = chosen.record

linked_text = asked("text", "prompt")
if linked_text is not None:
    st.session_state["prompt"] = linked_text
elif "prompt" not in st.session_state:
    first_prompt = kept.asked["prompt"] if kept else chosen.known_text(FIRST_PROMPT_CHARACTERS)
    st.session_state["prompt"] = remembered("prompt") or first_prompt

text_side, settings_side = st.columns([2, 1], gap="medium")
with settings_side:
    st.subheader("What may come next")
    picture = st.container(height=260, border=False)
    settings = sampling_settings()

with text_side:
    prompt = st.text_area("Beginning", height=110, key="prompt")
    if len(prompt) <= LONGEST_IN_ADDRESS:
        tell("text", "prompt", prompt)
    else:
        st.query_params.pop("text", None)
    is_known = say_what_is_unknown(chosen, workspace, prompt, step=choice, key="prompt")
    if st.button("Generate", type="primary", icon=":material/edit_note:", key="generate", disabled=not is_known):
        try:
            require_role()
            if generation_id:
                client.stop_generation(generation_id)  # one text at a time; what it has written stays
            generation_id = client.start_generation(record.id, step, prompt, settings)
            kept = client.kept_generation(generation_id)
        except UserError as error:
            show_error(error)
    if kept is not None:
        st.query_params["generation"] = st.session_state["last-generation"] = generation_id
        generation_view(generation_id, key="generation", prompt=shortened(kept.asked["prompt"]))
        st.caption(
            literal(f"Written by {kept.asked['run_name']}. The redder a token, the less the model expected it; ")
            + "point at one, or move to it with the keyboard, to see what else could have stood there."
        )
    else:
        st.caption("The text appears here token by token, with what else could have stood in each place.")

with picture:
    if is_known:
        try:
            tokens = client.next_token(record.id, step, prompt, settings)["tokens"][:SHOWN_CANDIDATES]
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
        except UserError as error:
            show_error(error)
    else:
        st.caption("The picture comes back when the model knows every character of the beginning.")

if kept is not None and settings.seed is None and kept.asked["prompt"] == prompt:
    settings = settings.model_copy(update={"seed": kept.asked["seed"]})
from_code(generate_command(record.name, step, prompt, settings), generate_python(record.id, step, prompt, settings))

"""Playground: give a run's model a beginning and let it go on, also while it is still training."""

from typing import Any

import streamlit as st

from llm_core.backend.inference_client import InferenceClient
from llm_core.config.errors import UserError
from llm_core.config.sampling import SamplingConfig
from llm_core.config.schema import describe_settings
from llm_core.figures.curves import candidates
from llm_core.quantities import three_digits
from llm_core.ui.forms import setting_widget
from llm_core.ui.states import choose_run, empty_place, from_code, literal, page_head, show_error
from llm_core.workspace.checkpoints import list_checkpoints
from llm_core.workspace.metrics_read import samples
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder

page_head("Playground", "Write a beginning; the model goes on. Nothing you do here changes the model.")
workspace = open_workspace()
with Registry(workspace) as registry:
    has_runs = bool(registry.jobs("train"))
if not has_runs:
    empty_place("There is no model to talk to yet.", "Train one on Home", "home.py")
    st.stop()
record = choose_run(workspace)
if record is None:
    st.stop()
if not list_checkpoints(run_folder(workspace, record.id)):
    st.info(
        "This run has no checkpoint yet. The first one comes with its first evaluation.", icon=":material/hourglass:"
    )
    st.stop()
client = InferenceClient(workspace)


def first_words() -> str:
    """A beginning that this model certainly knows: that of its own samples."""
    written = samples(run_folder(workspace, record.id))
    return written[-1].prompt if written else ""


text_side, settings_side = st.columns([2, 1])

with settings_side:
    st.subheader("Settings")
    values: dict[str, Any] = {
        row.path: setting_widget(row, row.default, key=f"sampling-{row.path}")
        for row in describe_settings(SamplingConfig)
    }
settings = SamplingConfig.model_validate({**values, "stop": tuple(values["stop"])})

with text_side:
    prompt = st.text_area("Beginning", value=first_words(), height=110, key=f"prompt-{record.id}")
    if st.button("Generate", type="primary", icon=":material/edit_note:", key="generate"):
        try:
            st.session_state["generation"] = client.start_generation(record.id, None, prompt, settings)
        except UserError as error:
            st.session_state.pop("generation", None)
            show_error(error)
    generation_id = st.session_state.get("generation")


def finished() -> bool:
    """Whether nothing more will come."""
    return st.session_state.get("finished-generation") == generation_id


@st.fragment(run_every=0.4 if generation_id and not finished() else None)
def written() -> None:
    """The text so far; polled, so that a slider or a reload loses nothing."""
    try:
        answer = client.poll_generation(generation_id)
    except UserError as error:
        st.session_state.pop("generation", None)
        show_error(error)
        return
    running = answer["state"] == "running"
    if running and st.button("Stop writing", icon=":material/stop:", key="stop-writing"):
        client.stop_generation(generation_id)
    st.code(answer["text"] or " ", language=None, wrap_lines=True)
    facts = [f"{answer['prompt_tokens']:,} prompt tokens", f"{answer['new_tokens']:,} new", f"seed {answer['seed']}"]
    if answer["tokens_per_second"]:
        facts.append(f"{three_digits(answer['tokens_per_second'])} tokens/s")
    if answer["finish"]:
        facts.append(f"ended by {answer['finish']}")
    if answer["truncated"]:
        facts.append("older text was let go")
    st.caption(" · ".join([*facts, f"checkpoint at step {answer['step']:,}"]))
    if answer["error"]:
        st.error(literal(answer["error"]))
    if not running and not finished():
        st.session_state["finished-generation"] = generation_id
        st.rerun()


with text_side:
    if generation_id:
        written()
    st.caption("What may come next, and what these settings make of it")
    try:
        tokens = client.next_token(record.id, None, prompt, settings)["tokens"][:12]
    except UserError as error:
        show_error(error)
    else:
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

from_code(
    f"glassbox generate {record.name} --prompt {prompt!r} --temperature {settings.temperature}",
    "from llm_core.generation.decoding import generate\nfrom llm_core.generation.text_model import NeuralTextModel\n\n"
    "generate(NeuralTextModel(loaded.model, loaded.tokenizer), loaded.tokenizer.encode(prompt), settings).text",
)

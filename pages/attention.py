"""Attention: where each head looks; for recurrent networks the influence map and the hidden units over the text."""

import numpy as np
import streamlit as st

from llm_core.backend.inference_client import InferenceClient
from llm_core.config.errors import UserError
from llm_core.figures.attention import looks_from, overview, token_map, unit_map
from llm_core.ui.states import choose_run, empty_place, from_code, literal, page_head, show_error
from llm_core.workspace.checkpoints import list_checkpoints
from llm_core.workspace.metrics_read import samples
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder

MOST_UNITS = 24

page_head("Attention", "Where the model looks while it reads your text. It is where it looks, not why it answers.")
workspace = open_workspace()
with Registry(workspace) as registry:
    has_runs = bool(registry.jobs("train"))
if not has_runs:
    empty_place("There is no model to look into yet.", "Train one on Home", "home.py")
    st.stop()
record = choose_run(workspace)
if record is None:
    st.stop()
steps = [info.step for info in list_checkpoints(run_folder(workspace, record.id))]
if not steps:
    st.info(
        "This run has no checkpoint yet. The first one comes with its first evaluation.", icon=":material/hourglass:"
    )
    st.stop()


def known_text() -> str:
    """A text that this model certainly knows: the start of its own last sample."""
    written = samples(run_folder(workspace, record.id))
    longest = min(40, int(record.config["data"]["context_length"]))
    return (written[-1].prompt + written[-1].text)[:longest] if written else "the statement"


with st.container(horizontal=True, vertical_alignment="bottom"):
    step = steps[-1]
    if len(steps) > 1:
        step = st.select_slider("Checkpoint at step", steps, value=steps[-1], format_func=lambda number: f"{number:,}")
    text = st.text_input("Text", value=st.query_params.get("text", known_text()), key=f"text-{record.id}")
st.query_params["text"] = text
dark = st.context.theme.type == "dark"
client = InferenceClient(workspace)
plain = {"displayModeBar": False}
is_transformer = record.config["model"]["kind"] == "transformer"

try:
    if is_transformer:
        answer = client.attention(record.id, step, text)
        weights, tokens = answer["weights"], answer["tokens"]
        left, right = st.columns([1, 2])
        with left:
            st.caption(f"All heads: {weights.shape[0]} layers down, {weights.shape[1]} heads across. Click one.")
            event = st.plotly_chart(overview(weights, dark=dark), on_select="rerun", key="overview", config=plain)
            points = event.selection.points
            layer, head = points[0]["customdata"] if points else (0, 0)
        with right:
            labels = [
                f"{score['sentence']} {score['values'][layer, head]:.2f} (chance {score['chance']:.2f})"
                for score in answer["scores"].values()
            ]
            best = max(answer["scores"].values(), key=lambda score: score["values"][layer, head] - score["chance"])
            st.caption(
                literal(
                    f"layer {layer} · head {head} · {best['sentence']} {best['values'][layer, head]:.2f} "
                    f"(chance {best['chance']:.2f})"
                )
            )
            st.plotly_chart(token_map(weights[layer, head], tokens, dark=dark), key="map", config=plain)
            with st.expander("All measures of this head"):
                st.write("\n".join(f"- {literal(label)}" for label in labels))
        place = st.select_slider(
            "From token",
            range(len(tokens)),
            value=len(tokens) - 1,
            format_func=lambda index: f"{index}: {tokens[index]!r}",
            key="from-token",
        )
        st.plotly_chart(
            looks_from(np.asarray(weights[layer, head, place]), tokens, dark=dark, color=record.color),
            key="bars",
            config=plain,
        )
    else:
        units = client.units(record.id, step, text)
        layer = st.selectbox("Layer", range(len(units["states"])), width=160) if len(units["states"]) > 1 else 0
        st.caption("Hidden units over the text, the most varied first: vermilion is negative, blue is positive.")
        chosen = units["order"][layer][:MOST_UNITS].tolist()
        st.plotly_chart(unit_map(units["states"][layer], units["tokens"], chosen, dark=dark), key="units", config=plain)
    influence = client.influence(record.id, step, text)
    st.subheader("Influence")
    st.caption(
        "How strongly each token on the left moves the prediction after each token below it; each row sums to 1."
    )
    figure = token_map(influence["weights"], influence["tokens"], dark=dark, verb="is moved by")
    st.plotly_chart(figure, key="influence", config=plain)
except UserError as error:
    show_error(error)

from_code(
    f"glassbox show {record.name}",
    "from llm_core.inspection.attention import attention_weights\nfrom llm_core.models.loading import load_checkpoint_model\n\n"
    f"loaded = load_checkpoint_model(folder)  # runs/{record.id}/checkpoints/step-{step:08d}\n"
    f"weights = attention_weights(loaded.model, loaded.tokenizer.encode({text!r}))",
)

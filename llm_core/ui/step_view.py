"""One step of a run looked at closely: the batch it read as text, how surprising each token was, what each part of the network did.

The step comes from a click in a chart and stands in the link. Not here: finding the batch (`llm_core.backend.step_batch`).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from llm_core.backend.inference_client import InferenceClient
from llm_core.config.errors import UserError
from llm_core.quantities import size, three_digits
from llm_core.ui.part_charts import parts_in_order
from llm_core.ui.run_view import RunView
from llm_core.ui.states import literal, show_error
from llm_core.ui.token_view import ShownToken, token_view
from llm_core.web.step_values import StepValue, values_near
from llm_core.workspace.checkpoints import list_checkpoints
from llm_core.workspace.metrics_read import last_tried_step, metric_keys
from llm_core.workspace.paths import Workspace, open_workspace

_QUERY = "step"
_OWNER = "picked-step-of"
_NORMS, _RATIOS, _DEVICE = "gradient_norm/", "update_ratio/", "device/"
_PLAIN_KEYS = ("grad_norm", "learning_rate", "tokens_per_second")


def pick(step: int) -> None:
    """Look at this step; what was measured before the first one belongs to the first."""
    st.query_params[_QUERY] = str(max(1, step))


def picked_step(run_id: str, folder: Path) -> int | None:
    """The step of the link, if this run has made it or failed in it; a step of the run that was shown before is forgotten."""
    if st.session_state.setdefault(_OWNER, run_id) != run_id:
        st.session_state[_OWNER] = run_id
        st.query_params.pop(_QUERY, None)
    asked = st.query_params.get(_QUERY)
    if asked is None:
        return None
    last_step = last_tried_step(folder)
    if asked.isascii() and asked.isdecimal() and 1 <= int(asked[:18]) <= last_step:
        return int(asked)
    st.warning(
        literal(f"There is no step {asked[:20]} in this run, which has made {last_step:,}."),
        icon=":material/search_off:",
    )
    return None


def show_step(view: RunView, step: int) -> None:
    """Everything that is known of one step, until it is closed."""
    with st.container(border=True, key="step-view"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.subheader(f"Step {step:,}", anchor=False)
            st.button("Close", icon=":material/close:", key="close-step", on_click=_close)
        known = metric_keys(view.folder)
        _figures(view, step, known)
        _batch(view, step)
        _parts(view, step, known)


def _close() -> None:
    st.query_params.pop(_QUERY, None)


def _figures(view: RunView, step: int, known: list[str]) -> None:
    """Loss, gradient and learning rate of the step, and the machine next to it."""
    keys = [view.words.train_key, *_PLAIN_KEYS, *(key for key in known if key.startswith(_DEVICE))]
    found = values_near(view.workspace, view.record.id, keys, step)
    if logged := found.get(view.words.train_key):
        parts = [f"loss {_number(logged.value)} nats"]
        parts += [f"gradient norm {_number(found['grad_norm'].value)}"] if "grad_norm" in found else []
        parts += [f"learning rate {found['learning_rate'].value:.3g}"] if "learning_rate" in found else []
        if "tokens_per_second" in found:
            parts.append(f"{_number(found['tokens_per_second'].value)} tokens/s")
        at = "" if logged.step == step else f"Logged next to it, at step {logged.step:,}: "
        st.markdown(literal(f"{at}{' · '.join(parts)}"))
    machine = {key.removeprefix(_DEVICE): value for key, value in found.items() if key.startswith(_DEVICE)}
    if machine:
        st.caption(literal(machine_words(machine)))


def machine_words(machine: dict[str, StepValue]) -> str:
    """The state of the machine in one line, with the step at which it was looked at."""
    words = {
        "cpu_percent": lambda value: f"processor {value:.0f} %",
        "memory_bytes": lambda value: f"memory of this run {size(value)}",
        "gpu_percent": lambda value: f"GPU {value:.0f} %",
        "gpu_memory_bytes": lambda value: f"GPU memory {size(value)}",
        "gpu_celsius": lambda value: f"GPU {value:.0f} °C",
        "gpu_watts": lambda value: f"GPU {value:.0f} W",
        "disk_free_bytes": lambda value: f"{size(value)} free on disk",
    }
    told = [words[name](machine[name].value) for name in words if name in machine]
    step = next(iter(machine.values())).step
    return f"The machine at step {step:,}: {' · '.join(told)}"


def _batch(view: RunView, step: int) -> None:
    """The rows of the batch, the hardest first."""
    earlier = [info.step for info in list_checkpoints(view.folder) if info.step < step]
    try:
        with st.spinner("Drawing the batch of this step again…", show_time=True):
            found = _find(str(view.workspace.root), view.record.id, step, max(earlier, default=-1))
    except UserError as error:
        show_error(error)
        return
    st.caption(literal(weights_words(found)))
    shown: list[dict[str, Any]] = found["shown"]
    chosen = st.selectbox(
        f"Row of the batch: {len(shown)} of {found['rows']:,}, the most surprising first",
        range(len(shown)),
        format_func=lambda place: f"row {shown[place]['row'] + 1} · {_number(shown[place]['loss'])} nats per token",
        key=f"step-row-{view.record.id}-{step}",
        width=420,
    )
    row = shown[chosen]
    if row["source"] is not None:
        st.caption("What it was given")
        st.code(row["source"], language=None, wrap_lines=True)
    tokens: list[ShownToken] = row["tokens"]
    token_view(tokens, key=f"step-tokens-{view.record.id}-{step}", mode="probability")
    if row["start"] is not None:
        st.caption(f"Token {row['start']:,} of the training text and what follows it.")


@st.cache_data(max_entries=32, show_spinner=False)
def _find(root: str, run_id: str, step: int, newest_checkpoint: int) -> dict[str, Any]:
    """Kept until another checkpoint before the step is there."""
    workspace: Workspace = open_workspace(root)
    return InferenceClient(workspace).step_batch(run_id, step)


def weights_words(found: dict[str, Any]) -> str:
    """Which weights scored the batch, and how far that is from what the step itself saw."""
    loss = f"mean loss {_number(found['loss'])} nats"
    between = found["step"] - 1 - found["weights_step"]
    if found["is_beginning"]:
        which = "Scored by the weights the run began with, drawn again from its seed"
    else:
        which = f"Scored by the checkpoint at step {found['weights_step']:,}"
    steps = "" if between == 0 else f", {between:,} {'step' if between == 1 else 'steps'} earlier"
    part = "" if found["scored_rows"] >= found["rows"] else f" of the first {found['scored_rows']:,} rows"
    memory = " Its memory holds the steps just before." if found["warming_steps"] else ""
    return (
        f"{which}{steps}, without dropout: {loss}{part}.{memory} A token is tinted the more, the less it was expected."
    )


def _parts(view: RunView, step: int, known: list[str]) -> None:
    """Gradient and update of each part of the network."""
    keys = [key for key in known if key.startswith((_NORMS, _RATIOS))]
    found = values_near(view.workspace, view.record.id, keys, step)
    parts = parts_in_order([key.removeprefix(_NORMS) for key in found if key.startswith(_NORMS)])
    if not parts:
        return
    at = found[_NORMS + parts[0]].step
    st.caption(
        "The parts of the network at this step"
        if at == step
        else f"The parts of the network, measured next to it at step {at:,}"
    )
    table = pd.DataFrame(
        {
            "part": parts,
            "gradient norm": [found[_NORMS + part].value for part in parts],
            "update ÷ weights": [
                found[_RATIOS + part].value if _RATIOS + part in found else math.nan for part in parts
            ],
        }
    )
    number = st.column_config.NumberColumn(format="%.2e")
    st.dataframe(table, hide_index=True, column_config={"gradient norm": number, "update ÷ weights": number}, width=480)


def _number(value: float) -> str:
    return three_digits(value) if math.isfinite(value) else "not a number"

"""Train: shape a run. The form comes from the declared settings, the card beside it is worked out from them."""

from typing import Any

import streamlit as st

from llm_core.backend.estimates import estimate_run
from llm_core.backend.readiness import check_readiness
from llm_core.config.errors import UserError
from llm_core.config.overrides import config_differences, flatten
from llm_core.config.presets import find_preset, preset_names, presets
from llm_core.config.run import RunConfig, config_from_dict
from llm_core.config.schema import describe_run
from llm_core.figures.curves import schedule, shares
from llm_core.models.families import families
from llm_core.quantities import duration, large, size, three_digits
from llm_core.text.library import list_datasets
from llm_core.training.schedules import learning_rate
from llm_core.ui.forms import settings_form
from llm_core.ui.launch import new_intention, start_and_watch
from llm_core.ui.states import from_code, literal, page_head, show_error
from llm_core.workspace.paths import open_workspace

GROUPS = {
    "Text": ("data.",),
    "Model": ("model.",),
    "Learning": ("optimizer.", "schedule.", "training.batch", "training.gradient", "training.max"),
    "When to look": ("training.log", "training.eval", "training.sample", "training.checkpoint"),
    "Device": ("hardware.", "seed"),
}

page_head("Train", "Shape a model and its training. The card on the right is always true.")
workspace = open_workspace()
new_intention("train")
dark = st.context.theme.type == "dark"
form_side, card_side = st.columns([3, 2])


def nested(values: dict[str, Any]) -> dict[str, Any]:
    """Dotted names as groups."""
    groups: dict[str, Any] = {}
    for name, value in values.items():
        *path, last = name.split(".")
        target = groups
        for part in path:
            target = target.setdefault(part, {})
        target[last] = value
    return groups


with form_side:
    chosen_preset = st.selectbox("Preset", preset_names(), format_func=lambda name: presets()[name].title, key="preset")
    st.caption(find_preset(chosen_preset).sentence)
    base = find_preset(chosen_preset).config
    known = families()
    kind = st.segmented_control(
        "Family", list(known), format_func=lambda name: known[name].title, default=base.model.kind, required=True,
        key=f"family-{chosen_preset}",
    )  # fmt: skip
    st.caption(known[kind].sentence)
    advanced = st.toggle("Advanced: show every setting", key="advanced")
    values = flatten(base)
    if kind != base.model.kind:
        values = {name: value for name, value in values.items() if not name.startswith("model.")}
        values["model.kind"] = kind
    datasets = [record.name for record in list_datasets(workspace)]
    asked = st.query_params.get("dataset", values["data.dataset"])
    names = [asked, *(name for name in datasets if name != asked)] if asked not in datasets else datasets
    values["data.dataset"] = st.selectbox(
        "Text", names, index=names.index(asked), key=f"dataset-{chosen_preset}-{asked}"
    )
    rows = [row for row in describe_run(kind) if row.path not in ("data.dataset", "model.kind", "name")]
    for title, prefixes in GROUPS.items():
        group = [row for row in rows if row.path.startswith(prefixes) and (advanced or row.level == "simple")]
        if group:
            st.subheader(title)
            values |= settings_form(
                group,
                {row.path: values.get(row.path, row.default) for row in group},
                key=f"{chosen_preset}-{kind}",
                advanced=advanced,
            )


def card(config: RunConfig) -> None:
    """Everything that follows from the form."""
    estimate = estimate_run(workspace, config)
    parameters = estimate.parameters
    st.latex(known[kind].formula)
    st.markdown(f"**{parameters.total:,} parameters** · vocabulary {estimate.vocabulary_size:,}")
    parts = {
        "embedding": parameters.embedding, "attention": parameters.attention, "feed-forward": parameters.feed_forward,
        "recurrent": parameters.recurrent, "norm": parameters.norm, "head": parameters.head,
    }  # fmt: skip
    st.plotly_chart(shares(parts, dark=dark), key="shares", config={"displayModeBar": False})
    facts = [f"Memory: about {size(estimate.memory.total_bytes)}"]
    how = "measured here" if estimate.source == "measured" else "by rule of thumb"
    facts.append(f"Speed: about {three_digits(estimate.tokens_per_second)} tokens/s, {how}")
    if estimate.seconds is not None and estimate.seconds_low is not None and estimate.seconds_high is not None:
        low, high = duration(estimate.seconds_low), duration(estimate.seconds_high)
        facts.append(f"Time: about {duration(estimate.seconds)} ({low} to {high})")
    if estimate.tokens is not None:
        epochs = "" if estimate.epochs is None else f", the text {three_digits(estimate.epochs)} times"
        facts.append(f"Reads {large(estimate.tokens)} tokens{epochs}")
    if estimate.tokens_per_parameter is not None:
        facts.append(
            f"{three_digits(estimate.tokens_per_parameter)} tokens of text for each parameter; about 20 is compute-optimal"
        )
    st.markdown("\n".join(f"- {literal(fact)}" for fact in facts))
    if estimate.steps:
        rates = [
            learning_rate(
                max(1, estimate.steps * part // 100), estimate.steps, config.schedule, config.optimizer.learning_rate
            )
            for part in range(101)
        ]
        st.plotly_chart(schedule(rates, dark=dark), key="schedule", config={"displayModeBar": False})


with card_side, st.container(border=True):
    try:
        config = config_from_dict(nested({**values, "name": ""}))
        readiness = check_readiness(workspace, config)
        if not readiness.blocking:
            card(config)
    except UserError as error:
        show_error(error)
    else:
        for problem in readiness.blocking:
            show_error(problem)
        for warning in readiness.warnings:
            st.warning(literal(str(warning)), icon=":material/warning:")
        name = st.text_input("Name of the run", placeholder="made from the preset", key="run-name")
        if st.button(
            "Start", type="primary", icon=":material/play_arrow:", disabled=bool(readiness.blocking), key="start"
        ):
            start_and_watch(config.model_copy(update={"name": name}), place="train", wish=chosen_preset)
        differences = config_differences(base, config)
        sets = " ".join(
            f"--set {path}={value}" for path, _, value in differences if path != "name" and value is not None
        )
        from_code(
            f"glassbox train --preset {chosen_preset} {sets}".strip(),
            "from llm_core.backend.jobs import submit_run\nfrom llm_core.config.run import load_config\n"
            "from llm_core.workspace.paths import open_workspace\n\nsubmit_run(open_workspace(), load_config(config_json))",
        )
        st.download_button("Save config.json", config.model_dump_json(indent=2), "config.json", "application/json")

"""The same as the Playground and the Attention page from the command line and from Python, ready to be run.

Not here: the folding place they are shown in (`states.from_code`).
"""

from __future__ import annotations

import shlex

from llm_core.config.sampling import SamplingConfig

_OPEN = """from llm_core.generation.opening import open_model
from llm_core.workspace.checkpoints import find_checkpoint
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.runs import run_folder

folder = run_folder(open_workspace(), "{run_id}")
opened = open_model(find_checkpoint(folder, {step}).path)
"""


def generate_command(run_name: str, step: int | None, prompt: str, settings: SamplingConfig) -> str:
    """`glassbox generate` with every setting that is not the default."""
    words = ["glassbox", "generate", run_name, *([] if step is None else ["--step", str(step)]), f"--prompt={prompt}"]
    for name, value in settings.model_dump(exclude_defaults=True).items():
        values = value if name == "stop" else [value]
        words += [f"--{name.replace('_', '-')}={one}" for one in values]
    return shlex.join(words)


def generate_python(
    run_id: str, step: int | None, prompt: str, settings: SamplingConfig, *, has_gaps: bool = False
) -> str:
    """The same through the package.

    Args:
        has_gaps: the prompt is a source whose gaps are to be filled.
    """
    changed = ", ".join(f"{name}={value!r}" for name, value in settings.model_dump(exclude_defaults=True).items())
    ready = f"model, tokens = ready_to_write(opened, {prompt!r})\n"
    chosen = f"SamplingConfig({changed})"
    if has_gaps:
        return (
            "from llm_core.config.sampling import SamplingConfig\n"
            "from llm_core.generation.decoding import Generation\n"
            "from llm_core.generation.prompts import fill_gaps, ready_to_write\n"
            + _OPEN.format(run_id=run_id, step=step)
            + ready
            + f"answer = [written.token for written in Generation(model, tokens, {chosen})]\n"
            f"print(fill_gaps(opened, {prompt!r}, answer))"
        )
    return (
        "from llm_core.config.sampling import SamplingConfig\n"
        "from llm_core.generation.decoding import generate\n"
        "from llm_core.generation.prompts import ready_to_write\n"
        + _OPEN.format(run_id=run_id, step=step)
        + ready
        + f"print(generate(model, tokens, {chosen}).text)"
    )


def fill_command(run_name: str, step: int | None, text: str) -> str:
    """`glassbox fill`."""
    words = ["glassbox", "fill", run_name, *([] if step is None else ["--step", str(step)]), f"--text={text}"]
    return shlex.join(words)


def fill_python(run_id: str, step: int | None, text: str) -> str:
    """The same through the package."""
    return (
        "from llm_core.generation.filling import fill_text\n"
        + _OPEN.format(run_id=run_id, step=step)
        + f"filled = fill_text(opened, {text!r})\n"
        "print(filled.text)\n"
        "for place in filled.fillings:\n"
        "    print([(opened.tokenizer.token_text(token), round(p, 3)) for token, p in place.candidates])"
    )


def attention_python(
    run_id: str, step: int, text: str, layer: int, head: int, *, part: str | None = None, answer: str | None = None
) -> str:
    """Exact attention of one head, and the measures of all.

    Args:
        part, answer: of an encoder-decoder; an empty answer stands for the model's own.
    """
    answered = f", answer={answer!r}" if answer else ""
    chosen = f", source=reading.source, part={part!r}" if answer is not None else ""
    return (
        "from llm_core.inspection.overview import attention_overview\n"
        "from llm_core.inspection.reading import read_text\n"
        + _OPEN.format(run_id=run_id, step=step)
        + f"reading = read_text(opened, {text!r}{answered}, longest=512)\n"
        f"overview = attention_overview(opened.require_network(), reading.tokens, {layer}{chosen})\n"
        f"print(overview.layer_HTS[{head}])\n"
        "for score in overview.scores.values():\n"
        f"    print(score.sentence, score.values_LH[{layer}, {head}], 'chance', score.chance_L[{layer}])"
    )


def units_python(run_id: str, step: int, text: str, layer: int) -> str:
    """Influence map and hidden units of a recurrent network."""
    return (
        "from llm_core.inspection.influence import influence_map\n"
        "from llm_core.inspection.reading import read_text\n"
        "from llm_core.inspection.units import recurrent_units\n"
        + _OPEN.format(run_id=run_id, step=step)
        + f"reading = read_text(opened, {text!r}, longest=512)\n"
        "print(influence_map(opened.require_network(), reading.tokens))\n"
        f"print(recurrent_units(opened.require_network(), reading.tokens).states_LTU[{layer}])"
    )

"""The same as the Playground and the Attention page from the command line and from Python, ready to be run.

Not here: the folding place they are shown in (`states.from_code`).
"""

from __future__ import annotations

import shlex

from llm_core.config.sampling import SamplingConfig

_LOAD = """from llm_core.models.loading import load_checkpoint_model
from llm_core.workspace.checkpoints import find_checkpoint
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.runs import run_folder

folder = run_folder(open_workspace(), "{run_id}")
loaded = load_checkpoint_model(find_checkpoint(folder, {step}).path)
"""


def generate_command(run_name: str, step: int | None, prompt: str, settings: SamplingConfig) -> str:
    """`glassbox generate` with every setting that is not the default."""
    words = ["glassbox", "generate", run_name, *([] if step is None else ["--step", str(step)]), f"--prompt={prompt}"]
    for name, value in settings.model_dump(exclude_defaults=True).items():
        values = value if name == "stop" else [value]
        words += [f"--{name.replace('_', '-')}={one}" for one in values]
    return shlex.join(words)


def generate_python(run_id: str, step: int | None, prompt: str, settings: SamplingConfig) -> str:
    """The same through the package."""
    changed = ", ".join(f"{name}={value!r}" for name, value in settings.model_dump(exclude_defaults=True).items())
    return (
        "from llm_core.config.sampling import SamplingConfig\n"
        "from llm_core.generation.decoding import generate\n"
        "from llm_core.generation.text_model import NeuralTextModel\n"
        + _LOAD.format(run_id=run_id, step=step)
        + "model = NeuralTextModel(loaded.model, loaded.tokenizer)\n"
        f"prompt = loaded.tokenizer.encode({prompt!r})\n"
        f"print(generate(model, prompt, SamplingConfig({changed})).text)"
    )


def attention_python(run_id: str, step: int, text: str, layer: int, head: int) -> str:
    """Exact attention of one head, and the measures of all."""
    return (
        "from llm_core.inspection.attention import attention_weights\n"
        "from llm_core.inspection.head_scores import head_scores\n"
        + _LOAD.format(run_id=run_id, step=step)
        + f"tokens = loaded.tokenizer.encode({text!r})\n"
        "weights_LHTT = attention_weights(loaded.model, tokens)\n"
        f"print(weights_LHTT[{layer}, {head}])\n"
        "for score in head_scores(weights_LHTT, tokens).values():\n"
        f"    print(score.sentence, score.values_LH[{layer}, {head}], 'chance', score.chance)"
    )


def units_python(run_id: str, step: int, text: str, layer: int) -> str:
    """Influence map and hidden units of a recurrent network."""
    return (
        "from llm_core.inspection.influence import influence_map\n"
        "from llm_core.inspection.units import recurrent_units\n"
        + _LOAD.format(run_id=run_id, step=step)
        + f"tokens = loaded.tokenizer.encode({text!r})\n"
        "print(influence_map(loaded.model, tokens))\n"
        f"print(recurrent_units(loaded.model, tokens).states_LTU[{layer}])"
    )

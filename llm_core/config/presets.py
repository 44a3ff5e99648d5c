"""Named starting points: whole configurations that are known to work, with a sentence each.

Not here: the configurations (`sized_presets.py`, `form_presets.py`), how long one takes on this machine
(`llm_core.backend.estimates` works that out).
"""

from __future__ import annotations

from llm_core.config.errors import NotFound
from llm_core.config.form_presets import form_presets, published_presets
from llm_core.config.preset import Preset
from llm_core.config.run import RunConfig
from llm_core.config.sized_presets import cpu_presets, gpu_presets


def presets() -> dict[str, Preset]:
    """All presets by name: first those for a CPU, then those for a GPU."""
    return {preset.name: preset for preset in (*cpu_presets(), *form_presets(), *gpu_presets(), *published_presets())}


def preset_names() -> list[str]:
    """The names in the order they are offered."""
    return list(presets())


def find_preset(name: str) -> Preset:
    """One preset; raises NotFound listing the names there are."""
    found = presets().get(name)
    if found is None:
        raise NotFound(
            "There is no preset of this name", value=name, limit=", ".join(preset_names()), remedy="Choose one of these"
        )
    return found


def preset(name: str) -> RunConfig:
    """The configuration of one preset; raises NotFound listing the names there are."""
    return find_preset(name).config

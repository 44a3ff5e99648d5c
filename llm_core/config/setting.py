"""How one setting is declared: type, default, bounds, unit, help and who sees it, all in one place.

The form, the command line, the documentation table and the validation read these declarations; none repeats them.
Not here: the settings themselves (`model.py`, `data.py`, `learning.py`, `hardware.py`) nor how they are listed (`schema.py`).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Level = Literal["simple", "advanced"]


class Settings(BaseModel):
    """Base of every group of settings: immutable, and an unknown name is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


def setting(
    default: Any,
    *,
    help: str,
    label: str = "",
    unit: str = "",
    level: Level = "advanced",
    minimum: float | None = None,
    maximum: float | None = None,
    maximum_characters: int | None = None,
    choice_labels: dict[str, str] | None = None,
) -> Any:
    """Declare one setting.

    Args:
        default: the value when nothing is said; a frozen value, never shared mutable state.
        help: one or two sentences: what it does and what doubling or leaving it changes.
        label: the name shown in a form; the field's own name with spaces when empty.
        unit: what the number counts ("tokens", "steps", "minutes"), empty for plain numbers and choices.
        level: "simple" settings are always shown, "advanced" ones on request.
        minimum, maximum: inclusive bounds, enforced here and shown by the form.
        maximum_characters: of a text.
        choice_labels: sentence-case words for the values of a choice.
    """
    extra: dict[str, Any] = {"unit": unit, "level": level, "label": label}
    if choice_labels:
        extra["choice_labels"] = choice_labels
    return Field(
        default=default,
        description=help,
        ge=minimum,
        le=maximum,
        max_length=maximum_characters,
        json_schema_extra=extra,
    )

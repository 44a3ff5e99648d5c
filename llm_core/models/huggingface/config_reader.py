"""Keys taken out of a config.json one by one, each with its default, bounds and refusal; what nobody asked for is found.

Not here: what the keys of a class mean (`read_config.py` and its neighbours), which are without effect (`ignored_keys.py`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from llm_core.config.data import MAXIMUM_CONTEXT_TOKENS
from llm_core.config.errors import UserError
from llm_core.config.schema import describe_settings
from llm_core.config.setting import Settings
from llm_core.models.huggingface.families import Family
from llm_core.models.huggingface.ignored_keys import keys_without_effect

MAXIMUM_VOCABULARY = 4_000_000


@dataclass(frozen=True)
class Shape:
    """What a config.json says about a network, in our words but not yet checked as a whole."""

    settings: dict[str, object]
    vocabulary_size: int
    context_length: int


class ConfigReader:
    """Takes keys out of a config and knows which were not asked for."""

    def __init__(self, values: dict[str, Any], settings: type[Settings]) -> None:
        self.settings = settings
        """Our settings, whose bounds hold for the values that become one of them."""
        self._values = values
        self._asked: set[str] = set()

    def take(self, key: str, default: Any) -> Any:
        self._asked.add(key)
        return self._values.get(key, default)

    def fixed(self, key: str, expected: object, *, default: object = ..., why: str = "") -> None:
        """Refuse every value but one, which is also the class's default unless another is given."""
        value = self.take(key, expected if default is ... else default)
        if value is None and expected in (False, {}):
            return
        if value != expected or isinstance(value, bool) != isinstance(expected, bool):
            raise unsupported(key, value, f"{key} = {json.dumps(expected)}", why)

    def flag(self, key: str, default: bool) -> bool:
        value = self.take(key, default)
        if not isinstance(value, bool):
            raise unsupported(key, value, "true or false")
        return value

    def whole(self, key: str, default: int, minimum: float | None, maximum: float | None) -> int:
        value = self.take(key, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise unsupported(key, value, "a whole number")
        return int(_within(key, value, minimum, maximum))

    def setting(self, key: str, name: str, default: Any, *, null: Any = ...) -> Any:
        """The value of one of our own settings, within the bounds declared for it.

        Args:
            default: when the key is not there. null: when its value is null; without it null is refused.
        """
        value = self.take(key, default)
        if value is None and null is not ...:
            value = null
        described = next(row for row in describe_settings(self.settings) if row.path == name)
        if isinstance(value, bool) or not isinstance(value, int if described.type == "integer" else (int, float)):
            raise unsupported(key, value, "a whole number" if described.type == "integer" else "a number")
        _within(key, value, described.minimum, described.maximum)
        return value

    def vocabulary(self, default: int) -> int:
        """Rows of the embedding."""
        return self.whole("vocab_size", default, 1, MAXIMUM_VOCABULARY)

    def context(self, key: str, default: int, unused_positions: int = 0) -> int:
        """How many tokens the model reads, where the key counts some positions more than can be used."""
        return (
            self.whole(key, default, 2 + unused_positions, MAXIMUM_CONTEXT_TOKENS + unused_positions) - unused_positions
        )

    def finish(self, family: Family) -> None:
        """Refuse what nobody asked for and what is not known to be without effect."""
        unknown = sorted(self._values.keys() - self._asked - keys_without_effect(family))
        if unknown:
            shown = ", ".join(f"{key} = {shorten(self._values[key])}" for key in unknown[:8])
            raise UserError(
                f"config.json holds keys that {family.class_name} is not known to have, so the model may compute something else",
                value=shown + (f" and {len(unknown) - 8} more" if len(unknown) > 8 else ""),
                remedy="Remove them from config.json if they change nothing",
            )


def _within(key: str, value: float, minimum: float | None, maximum: float | None) -> float:
    if (minimum is not None and value < minimum) or (maximum is not None and not value <= maximum):
        raise UserError(
            f"config.json: {key} is out of bounds",
            value=f"{key} = {value}",
            limit=f"{minimum or 0:,} to {maximum:,}" if maximum is not None else f"at least {minimum:,}",
            remedy="Glassbox cannot hold such a model; give another",
        )
    return value


def unsupported(key: str, value: object, supported: str, why: str = "") -> UserError:
    return UserError(
        f"config.json: this value of {key} is not supported" + (f" ({why})" if why else ""),
        value=f"{key} = {shorten(value)}",
        limit=supported,
        remedy="Give a model without it; Glassbox would compute something else than transformers",
    )


def shorten(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 100 else text[:100] + "…"

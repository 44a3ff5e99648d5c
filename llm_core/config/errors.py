"""Errors that a person can act on.

For: every mistake that comes from outside (a setting, a file, a command, a click). Not for: broken invariants of our own
code, which are `assert`s, and not for faults of the machine, which keep their own exception types.
"""

from __future__ import annotations


class UserError(ValueError):
    """Something a person asked for cannot be done; says what, the value, the limit and the remedy.

    Args:
        what: one sentence naming what is wrong.
        value: the offending value, where there is one.
        limit: what would have been accepted.
        remedy: what to do now, one sentence.
    """

    def __init__(self, what: str, *, value: object = None, limit: object = None, remedy: str = "") -> None:
        self.what = what
        self.value = value
        self.limit = limit
        self.remedy = remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        parts = [_sentence(self.what)]
        if self.value is not None:
            parts.append(f"Value: {_shorten(self.value)}.")
        if self.limit is not None:
            parts.append(f"Limit: {_shorten(self.limit)}.")
        if self.remedy:
            parts.append(_sentence(self.remedy))
        return " ".join(parts)

    def to_dict(self) -> dict[str, str | None]:
        """The four parts as plain text, for JSON answers, logs and pages."""
        return {
            "what": self.what,
            "value": None if self.value is None else _shorten(self.value),
            "limit": None if self.limit is None else _shorten(self.limit),
            "remedy": self.remedy,
        }


class NotFound(UserError):
    """A name or id that does not exist in this workspace."""


class NameTaken(UserError):
    """A name that is already used by something else of the same kind."""


class Refused(UserError):
    """An action that the present state does not allow."""


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else text + "."


def _shorten(value: object, longest: int = 200) -> str:
    """A value as one printable line; file contents and prompts can be megabytes long."""
    text = value if isinstance(value, str) else str(value)
    text = "".join(character if character.isprintable() else repr(character)[1:-1] for character in text[: longest + 1])
    return text if len(text) <= longest else text[:longest] + "…"

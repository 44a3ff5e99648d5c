"""Keys and passwords out of a text that other programs wrote, before it is kept or shown."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

HIDDEN = "•••"
_NAMES = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL|GLASSBOX_WEBHOOK_URL")
_USER_IN_ADDRESS = re.compile(r"(?<=://)[^/\s@]+(?=@)")
# A shorter one would hide words that only look like it.
_SHORTEST = 6


def without_secrets(text: str, environment: Mapping[str, str] | None = None) -> str:
    """The text without values of variables that are named like secrets, and without names and passwords in addresses."""
    environment = os.environ if environment is None else environment
    secrets = {value for name, value in environment.items() if _NAMES.search(name.upper()) and len(value) >= _SHORTEST}
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return _USER_IN_ADDRESS.sub(HIDDEN, text)

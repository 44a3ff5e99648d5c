"""The two roles. Not here: what each may do (`permissions.py`), how somebody gets one (`access_policy.py`, `accounts.py`)."""

from __future__ import annotations

TRAINER = "trainer"
VIEWER = "viewer"

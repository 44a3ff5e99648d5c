"""A part of a page that runs by itself: again when one of its own widgets changes, or every so many seconds.

The only place where fragments are made (a test sees to it). Not here: what the parts show.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import streamlit as st

P = ParamSpec("P")


def refreshed(every_seconds: float | None = None) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Makes a function draw in a fragment that has a place of its own.

    When a fragment begins anew, Streamlit (1.67, `ForwardMsgQueue.clear`) drops what it has not sent yet of this fragment, its container
    included, and still sends what stands behind it. The browser then gets an element for a place that is not there, raises "Bad delta
    path index", and shows nothing new from then on. Nothing stands behind a fragment in a container that is not part of it.

    Args:
        every_seconds: None draws it anew only when one of its widgets changes.
    """

    def placed(show: Callable[P, None]) -> Callable[P, None]:
        fragment = st.fragment(show, run_every=every_seconds)

        @wraps(show)
        def drawn(*args: P.args, **kwargs: P.kwargs) -> None:
            with st.container():
                fragment(*args, **kwargs)

        return drawn

    return placed

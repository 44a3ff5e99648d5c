"""The frame around every page: configuration, logo, navigation, status; then the page itself.

Streamlit's entry script, so it runs before every page, deep links included. Not here: anything of a single page.
"""

from pathlib import Path

import streamlit as st

from llm_core.config.errors import UserError
from llm_core.ui.guards import asks_for_password, current_role
from llm_core.ui.refreshing import refreshed
from llm_core.ui.run_notice import watch_for_ends
from llm_core.ui.states import show_error
from llm_core.ui.status import REFRESH_SECONDS, status_block

ASSETS = Path(__file__).resolve().parent.parent / "assets"
CONTENT_WIDTH = 1280

# Before the navigation, which would otherwise fetch the page's icon from Google's servers for the browser's tab.
st.set_page_config(
    page_title="Glassbox",
    page_icon=str(ASSETS / "favicon.png"),
    layout="wide",
    menu_items={"About": "**Glassbox**: train, watch and understand language models on your own machine."},
)

page = st.navigation(
    {
        "": [
            st.Page(
                "home.py", title="Home", icon=":material/home:", default=True, help="Start a run, see what is running"
            ),
        ],
        "Build": [
            st.Page(
                "data.py", title="Data", icon=":material/library_books:", url_path="data", help="Bring and look at text"
            ),
            st.Page(
                "tokenizer.py",
                title="Tokenizer",
                icon=":material/content_cut:",
                url_path="tokenizer",
                help="See text cut into tokens",
            ),
            st.Page(
                "train.py",
                title="Train",
                icon=":material/model_training:",
                url_path="train",
                help="Shape a model and train it",
            ),
        ],
        "Watch": [
            st.Page(
                "monitor.py", title="Monitor", icon=":material/monitoring:", url_path="monitor", help="One run, live"
            ),
            st.Page(
                "runs.py", title="Runs", icon=":material/table_rows:", url_path="runs", help="All runs, side by side"
            ),
        ],
        "Look inside": [
            st.Page(
                "attention.py",
                title="Attention",
                icon=":material/grid_on:",
                url_path="attention",
                help="Where the model looks",
            ),
        ],
        "Use": [
            st.Page(
                "playground.py",
                title="Playground",
                icon=":material/edit_note:",
                url_path="playground",
                help="Let the model write",
            ),
        ],
    }
)

st.set_page_config(page_title=f"{page.title} · Glassbox")


def logo() -> None:
    """The wordmark that can be read on the present ground."""
    is_dark = st.context.theme.type == "dark"
    st.logo(
        str(ASSETS / ("wordmark-dark.svg" if is_dark else "wordmark-light.svg")),
        size="large",
        icon_image=str(ASSETS / ("logo-dark.svg" if is_dark else "logo.svg")),
    )


@refreshed(REFRESH_SECONDS)
def living_frame() -> None:
    """What changes while the page stays: the status, and the wordmark, because a change of theme runs no page."""
    if current_role() is None:
        st.rerun()  # the session ended while the page stood open: nothing of it stays
    logo()
    status_block()


role = current_role()
if role is None:
    logo()
    st.title("Signed out")
    st.caption("Your session has ended. Runs go on; nothing is lost.")
    st.markdown("[Sign in again](/sign-in)")
    st.stop()

with st.sidebar:
    living_frame()
    watch_for_ends()
    if asks_for_password():
        st.caption(f"Signed in as {role} · [Sign out](/sign-out)")

with st.container(horizontal_alignment="center"), st.container(width=CONTENT_WIDTH, key="page"):
    try:
        page.run()
    except UserError as error:
        show_error(error)

"""The door: `streamlit run app.py` finds `app` here. The screens are in pages/, entered through pages/main.py.

The file holds no logic, because Streamlit looks for this very assignment in the source; what the server does besides
showing pages is in `llm_core.web`.
"""

from pathlib import Path

import streamlit as st

from llm_core.ui.streamlit_accounts import StreamlitAccounts
from llm_core.web.application import web_parts

parts = web_parts(st.get_option("server.address"), StreamlitAccounts())
app = st.App(
    Path(__file__).with_name("pages") / "main.py",
    routes=parts.routes,
    middleware=parts.middleware,
    lifespan=parts.lifespan,
)

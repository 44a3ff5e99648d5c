"""Tokenizer: the same text cut in different ways."""

import pandas as pd
import streamlit as st

from llm_core.config.errors import UserError
from llm_core.text.tokenizer_library import list_tokenizers, open_tokenizer
from llm_core.text.tokenizers import ByteTokenizer, CharacterTokenizer
from llm_core.ui.states import from_code, literal, page_head, show_error
from llm_core.workspace.paths import open_workspace

page_head("Tokenizer", "Models read numbers. See how a text is cut into the pieces that get one.")
workspace = open_workspace()
text = st.text_area("Text", value="Attention, please: 你好, naïve café!", key="cut-text")
names = ["characters", "bytes", *(record.name for record in list_tokenizers(workspace))]
columns = st.columns(2)
for place, column in enumerate(columns):
    with column:
        chosen = st.selectbox("Cut by", names, index=min(place, len(names) - 1), key=f"tokenizer-{place}")
        try:
            if chosen == "characters":
                tokenizer = CharacterTokenizer(sorted(set(text)))
            elif chosen == "bytes":
                tokenizer = ByteTokenizer()
            else:
                tokenizer = open_tokenizer(workspace, chosen)
            ids, unknown = tokenizer.encode_known(text)
        except UserError as error:
            show_error(error)
            continue
        pieces = [tokenizer.token_text(token).replace(" ", "·").replace("\n", "⏎") for token in ids]
        with st.container(horizontal=True):
            st.metric("Tokens", f"{len(ids):,}", border=True, width="content")
            per_token = len(text.encode()) / len(ids) if ids else 0.0
            st.metric("Bytes per token", f"{per_token:.2f}", border=True, width="content")
            st.metric("Vocabulary", f"{tokenizer.vocabulary_size:,}", border=True, width="content")
        if unknown:
            st.warning(literal(f"This tokenizer does not know {', '.join(unknown[:10])}."))
        st.dataframe(pd.DataFrame({"token": pieces, "id": ids}), hide_index=True, height=320)

from_code(
    "glassbox train --preset pocket-gpt --set data.tokenizer=bpe:1000",
    "from llm_core.text.tokenizers import ByteTokenizer\n\nByteTokenizer().encode('Attention, please')",
)

"""The texts that the Attention page looks at: examples that fit the model, a source and its answer, what is too long.

Not here: what is shown of them (`attention_views.py`), what the tokenizer does not know (`model_choice.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import streamlit as st

from llm_core.backend.inference_client import MAXIMUM_INSPECTED_TOKENS, InferenceClient
from llm_core.config.run import RunConfig, config_from_dict
from llm_core.models.families import families
from llm_core.text.hidden_places import GAP, MASK
from llm_core.text.tokenizer_interface import TextTokenizer
from llm_core.ui.guards import require
from llm_core.ui.link import asked, remembered, tell
from llm_core.ui.model_choice import ChosenRun
from llm_core.ui.states import literal
from llm_core.workspace.metrics_read import samples
from llm_core.workspace.paths import Workspace, open_workspace

EXAMPLE_CHARACTERS = 40
# What can be seen in each: repetition (induction), agreement over a distance, brackets and quotes that close.
EXAMPLES = (
    "To be, or not to be, that is the question",
    "the cat sat on the mat and the cat sat on",
    "if (a[0] == b[1]) { return (a + b); }",
    '"Who is there?" said the man to the men.',
)
_EXAMPLES_BY_SIGN = {
    MASK: (f"To be, or not to be, that is the {MASK}", f"the cat sat on the {MASK} and the dog sat on"),
    GAP: (f"To be, or {GAP}, that is the question", f"the cat sat on {GAP} and the cat sat on"),
}
_NAMED_GAP = re.compile(r" ⟨gap \d+⟩ ")


# An answer on a long text and a model of many heads takes tens of megabytes, so that only few are kept.
@st.cache_data(max_entries=8, ttl=600, show_spinner="Reading the text…")
def inspected(
    root: str, run_id: str, step: int, created_at: float, text: str, method: str, **more: Any
) -> dict[str, Any]:
    """The inference process's answer, kept for a while; `created_at` tells a checkpoint that was written anew from its predecessor."""
    del created_at
    client = InferenceClient(open_workspace(root))
    looks: dict[str, Callable[..., dict[str, Any]]] = {
        "attention": client.attention,
        "influence": client.influence,
        "units": client.units,
    }
    return looks[method](run_id, step, text, **more)


def ask(workspace: Workspace, chosen: ChosenRun, step: int, text: str, method: str, **more: Any) -> dict[str, Any]:
    """`attention`, `influence` or `units` of a text at a checkpoint. Raises UserError for a text that cannot be looked at."""
    require("look-inside")
    created_at = chosen.at(step).created_at
    return inspected(str(workspace.root), chosen.record.id, step, created_at, text, method, **more)


def settings_of(chosen: ChosenRun) -> RunConfig:
    """The run's settings, those it was made without at their defaults."""
    return config_from_dict(chosen.record.config)


def is_of_pairs(config: RunConfig) -> bool:
    """Whether the model reads a source and writes an answer."""
    return "cross" in families()[config.model.kind].attention


def sign_of(config: RunConfig) -> str:
    """What stands in a text for a place to fill, where the model fills any; else empty."""
    return {"masked": MASK, "span-corruption": GAP}.get(config.objective.kind, "")


def text_field(chosen: ChosenRun, config: RunConfig, step: int) -> str:
    """The text, or the source, with examples beside it; both that of the link and the one before are kept."""
    examples = examples_for(chosen, config, step)
    linked = asked("text", "text")
    if linked is not None:
        st.session_state["text"] = linked
    elif "text" not in st.session_state:
        st.session_state["text"] = remembered("text") or examples[0]
    text_place, example_place = st.columns([3, 1], vertical_alignment="bottom")
    sign = sign_of(config)
    text = text_place.text_input(
        "Source" if is_of_pairs(config) else "Text",
        key="text",
        help=f"{sign} stands for what is hidden." if sign else None,
    )
    example_place.selectbox(
        "Examples",
        examples,
        index=None,
        placeholder="Examples",
        key="example",
        on_change=_take_example,
        label_visibility="collapsed",
    )
    tell("text", "text", text)
    return text


def _take_example() -> None:
    """The box gives its text to the field and is empty again."""
    if st.session_state["example"] is not None:
        st.session_state["text"] = st.session_state["example"]
        st.session_state["example"] = None


def answer_field(own: dict[str, Any]) -> str:
    """The answer that is looked at: typed, or, where the field is empty, the model's own.

    Args:
        own: what the inference process says of the model's own answer.
    """
    linked = asked("answer", "answer")
    if linked is not None:
        st.session_state["answer"] = linked
    elif "answer" not in st.session_state:
        st.session_state["answer"] = remembered("answer") or ""
    place, _ = st.columns([3, 1])
    answer = place.text_input("Answer", key="answer", placeholder=own["answer"] or "nothing: the model ends at once")
    tell("answer", "answer", answer)
    cut = "" if own["ended"] else f" It goes on; the first {own['num_tokens'] - 1} tokens are shown."
    if answer:
        place.caption(literal(f"Empty the field to see the model's own answer: {own['answer']}"))
    else:
        place.caption(
            f"The model's own answer, its likeliest token at each place.{cut} Type another to look at that one."
        )
    return answer


def examples_for(chosen: ChosenRun, config: RunConfig, step: int) -> list[str]:
    """Texts that this model knows and has room for: with something to fill in where it can, then those of its own run."""
    tokenizer, longest, sign = chosen.tokenizer(step), longest_text(config), sign_of(config)
    own = [_whole_words(tokenizer, text, min(EXAMPLE_CHARACTERS, longest), sign) for text in _own_texts(chosen, config)]
    known: list[str] = []
    for text in (*_EXAMPLES_BY_SIGN.get(sign, ()), *own, *EXAMPLES):
        text = text.replace("\n", " ").strip()
        _, unknown = tokenizer.encode_known(_without(text, sign))
        if not unknown and 2 <= count_tokens(tokenizer, text, sign) <= longest and text not in known:
            known.append(text)
    return known or [chosen.known_text(longest)]


def _own_texts(chosen: ChosenRun, config: RunConfig) -> list[str]:
    """From the last samples of the run: what it went on from, filled in or answered."""
    if config.objective.kind == "causal":
        return [chosen.known_text(EXAMPLE_CHARACTERS)]
    written = samples(chosen.folder)
    last = [sample for sample in written if sample.step == written[-1].step]
    if config.objective.kind == "masked":
        return [text for sample in last for text in (sample.prompt, str(sample.data.get("expected", "")))]
    return [_NAMED_GAP.sub(GAP, sample.prompt) for sample in last]


def longest_text(config: RunConfig) -> int:
    """How many tokens of a text can be looked at as a whole."""
    if families()[config.model.kind].is_recurrent:
        return MAXIMUM_INSPECTED_TOKENS
    longest = min(MAXIMUM_INSPECTED_TOKENS, config.data.context_length)
    return longest - is_of_pairs(config)  # the end of a source is a token too


def count_tokens(tokenizer: TextTokenizer, text: str, sign: str) -> int:
    """Tokens of a text, each place to fill being one."""
    pieces = text.split(sign) if sign else [text]
    return sum(len(tokenizer.encode(piece)) for piece in pieces) + len(pieces) - 1


def say_what_is_too_long(chosen: ChosenRun, config: RunConfig, step: int, text: str, *, key: str) -> bool:
    """Whether the model has room for the text, which its tokenizer knows; else says so and offers to keep the beginning.

    Args:
        key: of the widget that holds the text.
    """
    tokenizer, longest, sign = chosen.tokenizer(step), longest_text(config), sign_of(config)
    num_tokens = count_tokens(tokenizer, text, sign)
    if num_tokens <= longest:
        return True
    why = "as far as this model looks back" if config.objective.kind == "causal" else "as much as this model sees"
    if longest >= MAXIMUM_INSPECTED_TOKENS - 1:
        why = "as much as one picture can show"
    st.warning(f"This text has {num_tokens:,} tokens; {longest:,} is {why}.", icon=":material/content_cut:")
    beginning = _beginning(tokenizer, text, longest, sign)
    st.button(f"Keep the first {longest:,}", key=f"keep-first-{key}", on_click=_put, args=(key, beginning))
    return False


def _put(key: str, text: str) -> None:
    st.session_state[key] = text


def _beginning(tokenizer: TextTokenizer, text: str, longest: int, sign: str) -> str:
    """So much of a text as has at most `longest` tokens."""
    kept = ""
    for number, piece in enumerate(text.split(sign) if sign else [text]):
        if number:
            if longest == 0:
                break
            kept, longest = kept + sign, longest - 1
        tokens, _ = tokenizer.encode_known(piece)
        kept += piece if len(tokens) <= longest else tokenizer.decode(tokens[:longest]).rstrip("\ufffd")
        longest = max(0, longest - len(tokens))
    return kept


def _whole_words(tokenizer: TextTokenizer, text: str, longest: int, sign: str) -> str:
    """The beginning of a text, without the rest of a sentence before it, cut at a space where there is one."""
    text = text.lstrip(" \n.,;:!?")
    kept = _beginning(tokenizer, text, longest, sign)
    return kept if kept == text else " ".join(kept.rsplit(maxsplit=1)[:1])


def _without(text: str, sign: str) -> str:
    return text.replace(sign, "") if sign else text

"""The row of controls that says which model a page looks at, and what its tokenizer knows.

Not here: what is done with the model (`llm_core.backend.inference_client`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from llm_core.config.run import config_from_dict
from llm_core.models.families import families
from llm_core.text.tokenizer_interface import TextTokenizer
from llm_core.text.tokenizers import tokenizer_from_json
from llm_core.ui.refreshing import refreshed
from llm_core.ui.states import choose_run, empty_place, literal, record_or_rerun
from llm_core.workspace.checkpoints import CheckpointInfo, list_checkpoints
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.metrics_read import samples
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder

NEWEST = "newest"
MOST_NAMED = 8


@dataclass(frozen=True)
class ChosenRun:
    """A run that has checkpoints."""

    record: JobRecord
    folder: Path
    checkpoints: list[CheckpointInfo]

    @property
    def steps(self) -> list[int]:
        """Of its checkpoints, in order."""
        return [info.step for info in self.checkpoints]

    @property
    def token_word(self) -> str:
        """What its tokenizer cuts text into, in the plural."""
        kind = str(self.record.config["data"]["tokenizer"])
        return {"char": "characters", "byte": "bytes", "word": "words"}.get(kind.partition(":")[0], "tokens")

    def at(self, step: int | str) -> CheckpointInfo:
        """The checkpoint after `step` updates, or the newest."""
        return next((info for info in self.checkpoints if info.step == step), self.checkpoints[-1])

    def tokenizer(self, step: int | str) -> TextTokenizer:
        """The tokenizer in the checkpoint."""
        info = self.at(step)
        return _tokenizer(str(info.path), info.created_at)

    def known_text(self, longest: int) -> str:
        """A text that this model certainly knows, whole words of its own last sample; empty when it has written none."""
        written = samples(self.folder)
        text = (written[-1].prompt + written[-1].text).lstrip(" \n.,;:!?") if written else ""
        if len(text) <= longest:
            return text
        words = text[:longest].rsplit(maxsplit=1)
        return words[0] if words else text[:longest]


def choose_model(workspace: Workspace, nothing_yet: str) -> ChosenRun | None:
    """The run of the link or the newest, in a box to change it; None when there is none to look at, which is then said."""
    with Registry(workspace) as registry:
        has_runs = bool(registry.jobs("train"))
    if not has_runs:
        empty_place(nothing_yet, "Train one on Home", "home.py")
        return None
    record = choose_run(workspace)
    if record is None:
        return None
    folder = run_folder(workspace, record.id)
    checkpoints = list_checkpoints(folder)
    if checkpoints:
        return ChosenRun(record, folder, checkpoints)
    if record.is_final:
        st.info("This run ended before its first checkpoint. Choose another one.", icon=":material/hourglass_disabled:")
    else:
        _wait_for_checkpoint(workspace, record.id, folder)
    return None


@refreshed(2.0)
def _wait_for_checkpoint(workspace: Workspace, run_id: str, folder: Path) -> None:
    st.info(
        "This run has no checkpoint yet. The first one comes with its first evaluation; this page then goes on by itself.",
        icon=":material/hourglass:",
    )
    if list_checkpoints(folder) or record_or_rerun(workspace, run_id).is_final:
        st.rerun()


def say_what_is_unknown(
    chosen: ChosenRun, workspace: Workspace, text: str, *, step: int | str, key: str, sign: str = ""
) -> bool:
    """Whether the tokenizer knows all of the text; else says what it does not know and offers what can be done.

    Args:
        key: of the widget that holds the text.
        sign: what stands in it for a place to fill, and is no text.
    """
    tokenizer = chosen.tokenizer(step)
    pieces = text.split(sign) if sign else [text]
    unknown = list(dict.fromkeys(found for piece in pieces for found in tokenizer.encode_known(piece)[1]))
    if not unknown:
        return True
    are = "is" if len(unknown) == 1 else "are"
    st.warning(
        literal(
            f"This model knows {tokenizer.vocabulary_size:,} {chosen.token_word}; {_listed(unknown)} {are} not among them."
        ),
        icon=":material/help:",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Leave them out", key=f"leave-out-{key}", on_click=_leave_out, args=(key, pieces, unknown, sign))
        other = _run_that_knows_every_text(workspace, chosen.record)
        if other is not None:
            label = literal(f"Use {other.name}, which knows every text")
            st.button(label, key=f"other-run-{key}", on_click=_show_run, args=(other.id,), icon=":material/swap_horiz:")
        else:
            query = {"dataset": str(chosen.record.config["data"]["dataset"]), "tokenizer": "byte"}
            label = "Train a model on bytes, which knows every text"
            st.page_link("train.py", label=label, query_params=query, icon=":material/model_training:")
    return False


def _leave_out(key: str, pieces: list[str], unknown: list[str], sign: str) -> None:
    for left_out in unknown:
        pieces = [piece.replace(left_out, "") for piece in pieces]
    st.session_state[key] = sign.join(pieces)


def _show_run(run_id: str) -> None:
    st.query_params["run"] = run_id


def _listed(pieces: list[str]) -> str:
    """“é”, “你” and 3 more."""
    names = [piece if piece.isprintable() and not piece.isspace() else f"U+{ord(piece[0]):04X}" for piece in pieces]
    if len(names) > MOST_NAMED:
        names = [*names[:MOST_NAMED], f"{len(names) - MOST_NAMED} more"]
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _run_that_knows_every_text(workspace: Workspace, instead_of: JobRecord) -> JobRecord | None:
    """The newest that does the same thing: it learned the same objective, and can be looked into where the other one can."""

    def does(record: JobRecord) -> tuple[str, bool]:
        config = config_from_dict(record.config)
        return config.objective.kind, families()[config.model.kind].is_counted

    with Registry(workspace) as registry:
        records = registry.jobs("train")
    for record in records:
        tokenizer = str(record.config["data"]["tokenizer"])
        knows_all = tokenizer == "byte" or tokenizer.startswith("bpe")
        if knows_all and does(record) == does(instead_of) and list_checkpoints(run_folder(workspace, record.id)):
            return record
    return None


@st.cache_resource(max_entries=16, show_spinner=False)
def _tokenizer(path: str, created_at: float) -> TextTokenizer:
    """Read once for each checkpoint; `created_at` tells one that was written anew from its predecessor."""
    del created_at
    return tokenizer_from_json((Path(path) / "tokenizer.json").read_text(encoding="utf-8"))

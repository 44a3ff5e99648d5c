"""Batches of training tokens, with a position that can be stored and resumed exactly.

`RandomWindows` draws windows anywhere (Transformers); `RecurrentStreams` reads on where the last batch ended, so that a
recurrent network can carry its state. Not here: pairs (`pair_batches.py`); evaluation, which reads a split once from end to end
(`llm_core.generation.likelihood`).

Axes: B = rows of a batch, T = positions of a window.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from llm_core.config.errors import UserError

Tokens_BT = npt.NDArray[np.int64]
Restart_B = npt.NDArray[np.bool_]
TokenVector = npt.NDArray[np.uint16] | npt.NDArray[np.uint32] | npt.NDArray[np.int64]


class RandomWindows:
    """Windows that start at uniformly random places; windows of one batch may overlap.

    Args:
        tokens: the training split (a memory map or an array), one-dimensional.
        batch_size: windows in a batch.
        context_length: inputs in a window; its targets are the same stretch moved on by one.
        seed: of numpy's PCG64; the same seed gives the same batches on every platform.

    Raises:
        UserError: the split is shorter than one window.
    """

    def __init__(self, tokens: TokenVector, batch_size: int, context_length: int, seed: int) -> None:
        _check_length(tokens, context_length)
        self._tokens = tokens
        self._batch_size = batch_size
        self._generator = np.random.Generator(np.random.PCG64(seed))
        self._offsets_T = np.arange(context_length + 1)
        self._num_starts = len(tokens) - context_length
        self._tokens_seen = 0
        self.starts_B = np.zeros(0, dtype=np.int64)
        """Where in the split the windows of the last batch begin."""

    def next(self) -> tuple[Tokens_BT, Tokens_BT]:
        """The next batch: inputs and targets, both int64 of shape [B, T]."""
        return _shift(self.next_windows())

    def next_windows(self) -> Tokens_BT:
        """The next batch as whole windows, int64 of shape [B, T + 1]."""
        self.starts_B = self._generator.integers(0, self._num_starts, size=self._batch_size)
        self._tokens_seen += self._batch_size * (len(self._offsets_T) - 1)
        return self._tokens[self.starts_B[:, None] + self._offsets_T].astype(np.int64)

    @property
    def tokens_seen(self) -> int:
        """Targets handed out so far."""
        return self._tokens_seen

    @property
    def epoch(self) -> float:
        """Targets handed out per token of the split; random windows may see one place twice before another once."""
        return self._tokens_seen / len(self._tokens)

    def state_dict(self) -> dict[str, Any]:
        """Generator state and count."""
        return {
            "kind": "random-windows",
            "generator": generator_to_json(self._generator),
            "tokens_seen": self._tokens_seen,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where the state was taken."""
        check_kind(state, "random-windows")
        generator_from_json(self._generator, state["generator"])
        self._tokens_seen = int(state["tokens_seen"])


class RecurrentStreams:
    """Each row reads the split from its own starting place to the end, then goes on from the beginning.

    Row b starts at b/B of the split. A row that cannot take a whole window any more begins again at the first token and
    must forget: its entry in `restart_B` is True. Rows that follow on keep their state, also when they come to where the
    next row began.

    Args:
        tokens: the training split, one-dimensional.
        batch_size: rows.
        context_length: inputs in a window (the length of truncated backpropagation through time).

    Raises:
        UserError: the split is shorter than one window.
    """

    def __init__(self, tokens: TokenVector, batch_size: int, context_length: int) -> None:
        _check_length(tokens, context_length)
        self._tokens = tokens
        self._context_length = context_length
        self._offsets_T = np.arange(context_length + 1)
        self._position_B = np.arange(batch_size, dtype=np.int64) * len(tokens) // batch_size
        self._must_restart_B = np.ones(batch_size, dtype=np.bool_)
        self._tokens_seen = 0
        self.starts_B = np.zeros(0, dtype=np.int64)
        """Where in the split the rows of the last batch begin."""

    def next(self) -> tuple[Tokens_BT, Tokens_BT, Restart_B]:
        """The next batch: inputs [B, T], targets [B, T], and which rows start anew [B] (all of them at first)."""
        is_at_end_B = self._position_B + self._context_length >= len(self._tokens)
        self._position_B[is_at_end_B] = 0
        restart_B = self._must_restart_B | is_at_end_B
        inputs_BT, targets_BT = _shift(self._tokens[self._position_B[:, None] + self._offsets_T].astype(np.int64))
        self.starts_B = self._position_B
        self._position_B = self._position_B + self._context_length
        self._must_restart_B[:] = False
        self._tokens_seen += inputs_BT.size
        return inputs_BT, targets_BT, restart_B

    @property
    def tokens_seen(self) -> int:
        """Targets handed out so far."""
        return self._tokens_seen

    @property
    def epoch(self) -> float:
        """Targets handed out per token of the split."""
        return self._tokens_seen / len(self._tokens)

    def state_dict(self) -> dict[str, Any]:
        """Position of every row, which rows are still fresh, and count."""
        return {
            "kind": "recurrent-streams",
            "positions": self._position_B.tolist(),
            "must_restart": self._must_restart_B.tolist(),
            "tokens_seen": self._tokens_seen,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where the state was taken; the batch size must be the same."""
        check_kind(state, "recurrent-streams")
        positions_B = np.array(state["positions"], dtype=np.int64)
        if positions_B.shape != self._position_B.shape:
            raise UserError(
                "The stored position is of another batch size",
                value=len(self._position_B),
                limit=len(positions_B),
                remedy="Resume with the batch size of the run",
            )
        self._position_B = positions_B
        self._must_restart_B = np.array(state["must_restart"], dtype=np.bool_)
        self._tokens_seen = int(state["tokens_seen"])


def _shift(windows_BT: Tokens_BT) -> tuple[Tokens_BT, Tokens_BT]:
    """Inputs, and targets one place further."""
    # Copies, because a view with a stride would reach the accelerator as a slower, non-contiguous transfer.
    return np.ascontiguousarray(windows_BT[:, :-1]), np.ascontiguousarray(windows_BT[:, 1:])


def _check_length(tokens: TokenVector, context_length: int) -> None:
    if len(tokens) <= context_length:
        raise UserError(
            "The training text is shorter than one window",
            value=f"{len(tokens):,} tokens",
            limit=f"more than {context_length:,} (the context length)",
            remedy="Shorten the context, or bring more text",
        )


def generator_to_json(generator: np.random.Generator) -> dict[str, Any]:
    """The state of a PCG64 generator; 128-bit numbers as decimal text, because not every JSON reader keeps them."""
    state = generator.bit_generator.state
    return {
        "state": str(state["state"]["state"]),
        "increment": str(state["state"]["inc"]),
        "has_uint32": int(state["has_uint32"]),
        "uinteger": int(state["uinteger"]),
    }


def generator_from_json(generator: np.random.Generator, state: dict[str, Any]) -> None:
    """Set a PCG64 generator to a state that `generator_to_json` took."""
    generator.bit_generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": int(state["state"]), "inc": int(state["increment"])},
        "has_uint32": int(state["has_uint32"]),
        "uinteger": int(state["uinteger"]),
    }


def check_kind(state: dict[str, Any], kind: str) -> None:
    """Raise UserError for the stored position of another kind of reader."""
    if state.get("kind") != kind:
        raise UserError(
            "The stored data position belongs to another kind of reader",
            value=state.get("kind"),
            limit=kind,
            remedy="Resume with the model family that the run began with",
        )

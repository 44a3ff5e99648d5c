"""Files that a fork shares with the run it comes from come free with the last of them."""

from __future__ import annotations

import os
from pathlib import Path

from llm_core.workspace.freed_space import freed_bytes


def test_a_shared_file_comes_free_with_its_last_name(tmp_path: Path) -> None:
    parent, fork = tmp_path / "parent", tmp_path / "fork"
    for folder in (parent, fork):
        (folder / "checkpoints").mkdir(parents=True)
        (folder / "config.json").write_bytes(b"x" * 10)
    (parent / "checkpoints" / "weights").write_bytes(b"x" * 1000)
    os.link(parent / "checkpoints" / "weights", fork / "checkpoints" / "weights")
    (fork / "link").symlink_to(parent)
    assert freed_bytes([parent]) == freed_bytes([fork]) == 10
    assert freed_bytes([parent, fork]) == 1020
    assert freed_bytes([tmp_path / "nowhere"]) == 0

"""`glassbox note`, `export-run` and `import run`: a run written down, written out, and opened in another workspace."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from tests.cli.support import Command


def test_notes_exports_and_a_run_that_moves_house(glassbox: Command, tmp_path: Path) -> None:
    run_id = glassbox.trained["run_id"]
    noted = glassbox.json("note", "first", "--text", "The first.", "--tag", "kept", "--tag", "small")
    assert noted == {"run_id": run_id, "name": "first", "text": "The first.", "tags": ["kept", "small"]}
    assert "kept · small" in glassbox.run("note", "first").stdout
    assert glassbox.json("note", "first", "--untag", "small")["tags"] == ["kept"]
    assert glassbox.error("note", "first", "--tag", "a,b")["value"] == "a,b"
    assert glassbox.json("note", "first", "--name", "the one")["name"] == "the one"
    assert glassbox.json("note", "the one", "--name", "first")["run_id"] == run_id
    assert glassbox.error("note", "first", "--name", "a/b")["value"] == "a/b"
    files = {
        form: str(tmp_path / name) for form, name in {"csv": "p.csv", "report": "r.html", "zip": "run.zip"}.items()
    }
    written = glassbox.json(
        "export-run", "first", "--csv", files["csv"], "--report", files["report"], "--zip", files["zip"]
    )
    assert {form: found["file"] for form, found in written["files"].items()} == files
    with Path(files["csv"]).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    shown = glassbox.json("metrics", "first", "--key", "train_loss")["points"]
    assert [float(row["value"]) for row in rows if row["key"] == "train_loss"] == [point["value"] for point in shown]
    page = Path(files["report"]).read_text(encoding="utf-8")
    assert "The first." in page and "default-src 'none'" in page
    assert "nothing to write" in glassbox.error("export-run", "first")["what"]
    elsewhere = Command(tmp_path / "elsewhere")
    moved = elsewhere.json("import", "run", files["zip"], "--name", "moved")
    assert (moved["run_id"], moved["name"], moved["state"], moved["problems"]) == (run_id, "moved", "finished", [])
    assert elsewhere.json("note", "moved")["tags"] == ["kept"]
    told = json.loads(elsewhere.run("show", "moved", "--json").stdout)
    assert told["val_loss"] == glassbox.trained["val_loss"]
    assert "already" in elsewhere.error("import", "run", files["zip"])["what"]

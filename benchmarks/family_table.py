"""Every family on the same text, with the same tokenizer, on the same machine, for the same time: the table of `docs/results.md`.

`make results` runs it. Each row is a run of its own through the `glassbox` command, as anybody would start it; a row that is there is not
run again, so that the table can be made in several sittings. Rows are kept as JSON under `benchmarks/results/families/`.
Not here: speed against other programs (`training_speed.py`).
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results import machine

CHECKOUT = Path(__file__).resolve().parents[1]
ROWS_FOLDER = CHECKOUT / "benchmarks" / "results" / "families"
PAGE = CHECKOUT / "docs" / "results.md"
MINUTES = 5.0
FIRST_SEED, MORE_SEEDS = 1337, (1, 2)
RECURRENT, TRANSFORMERS = ("rnn", "gru", "lstm", "mingru"), ("gpt2", "llama", "qwen3")


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    preset: str
    changes: tuple[str, ...] = ()
    seed: int = FIRST_SEED
    is_counted: bool = False

    @property
    def key(self) -> str:
        """Names the row's file."""
        return self.name if self.seed == FIRST_SEED else f"{self.name}-seed-{self.seed}"


def first_rows() -> list[Row]:
    """All rows of the first seed, quickest first."""
    counted = [Row(f"{n}-gram", "pocket-ngram", (f"model.order={n}",), is_counted=True) for n in (3, 5, 7)]
    recurrent = [Row(name, f"pocket-{name}") for name in RECURRENT]
    filling = [Row("bert", "bert"), Row("t5", "t5")]
    return [*counted, *recurrent, *(Row(name, name) for name in TRANSFORMERS), *filling]


def more_seeds(done: dict[str, dict[str, Any]]) -> list[Row]:
    """Two more seeds of the best recurrent network and the best Transformer, once all of them are there."""
    rows = {row.name: row for row in first_rows()}
    found: list[Row] = []
    for names in (RECURRENT, TRANSFORMERS):
        if all(name in done for name in names):
            best = min(names, key=lambda name: done[name]["result"]["bits_per_byte"])
            found += [Row(best, rows[best].preset, rows[best].changes, seed) for seed in MORE_SEEDS]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing and write the page; 1 when a run failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--text", type=Path, required=True, help="a UTF-8 text file: tinyshakespeare for the published table"
    )
    parser.add_argument(
        "--workspace", type=Path, default=CHECKOUT / "workspace-results", help="where the runs are kept"
    )
    parser.add_argument("--minutes", type=float, default=MINUTES, help="training time of each network")
    parser.add_argument("--rows", nargs="*", help="only these rows")
    options = parser.parse_args(arguments)
    if not options.text.is_file():
        print(f"There is no text at {options.text}. Give one with TEXT=…: a plain file of about a million characters.")
        return 2
    ROWS_FOLDER.mkdir(parents=True, exist_ok=True)
    add_text(options.workspace, options.text)
    for rows_of in (lambda _: first_rows(), more_seeds):
        for row in rows_of(read_rows()):
            if row.key in read_rows() or (options.rows and row.name not in options.rows):
                continue
            print(f"{row.key} …", flush=True)
            record = run_row(options.workspace, row, options.minutes)
            (ROWS_FOLDER / f"{row.key}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            print(f"  {record['result']}", flush=True)
    PAGE.write_text(page(read_rows()), encoding="utf-8")
    return 0


def read_rows() -> dict[str, dict[str, Any]]:
    """The rows that are there, by key."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(ROWS_FOLDER.glob("*.json"))}


def glassbox(workspace: Path, *arguments: str) -> dict[str, Any]:
    """The answer of a verb; raises CalledProcessError where it fails."""
    command = [sys.executable, "-m", "llm_core.cli", "--workspace", str(workspace), *arguments, "--json"]
    done = subprocess.run(command, cwd=CHECKOUT, check=True, stdout=subprocess.PIPE, text=True)
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def add_text(workspace: Path, text: Path) -> None:
    """Bring the text in; nothing happens when it is there."""
    glassbox(workspace, "data", "add", str(text), "--name", "text-of-the-table")


def run_row(workspace: Path, row: Row, minutes: float) -> dict[str, Any]:
    """Train one row from its preset on two threads, and what came out."""
    time_limit = (
        ()
        if row.is_counted
        else (f"training.max_minutes={minutes}", "training.max_steps=none", "training.eval_interval=500")
    )
    changes = [
        *row.changes,
        "data.dataset=text-of-the-table",
        "data.tokenizer=char",
        f"seed={row.seed}",
        "hardware.device=cpu",
        "hardware.num_threads=2",
        *time_limit,
    ]
    name = f"{row.key}-{datetime.now(UTC):%Y%m%d%H%M%S}"
    sets = [part for change in changes for part in ("--set", change)]
    result = glassbox(workspace, "train", "--preset", row.preset, "--name", name, "--foreground", *sets)
    result["parameters"] = glassbox(workspace, "show", result["run_id"])["parameters"]
    guess = guess_of(workspace, result["run_id"]) if row.name in ("bert", "t5") else {}
    return {
        "row": row.name,
        "seed": row.seed,
        "preset": row.preset,
        "changes": changes,
        "minutes": None if row.is_counted else minutes,
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": machine(),
        "result": result,
        "unigram_guess": guess,
    }


def guess_of(workspace: Path, run_id: str) -> dict[str, float]:
    """What is reached on the very same validation places by knowing only how often each target occurs in training.

    Frequencies are counted over the targets of 200 training batches, one added to each count.
    """
    from llm_core.config.run import load_config
    from llm_core.objectives.interface import NO_TARGET, FillingObjective
    from llm_core.objectives.registry import objective_for
    from llm_core.text.tokens import find_tokens
    from llm_core.workspace.paths import open_workspace
    from llm_core.workspace.runs import run_folder

    opened = open_workspace(str(workspace))
    config = load_config((run_folder(opened, run_id) / "config.json").read_bytes())
    tokens = find_tokens(opened, config.data)
    assert tokens is not None
    objective = objective_for(config, tokens.tokenizer)

    def targets_of(arrays: dict[str, Any]) -> np.ndarray:
        (name,) = [name for name in arrays if name.startswith("targets")]
        targets = arrays[name].ravel()
        return targets[targets != NO_TARGET]

    counts = np.ones(objective.vocabulary.size)
    reader = objective.reader(tokens.train)
    for _ in range(200):
        counts += np.bincount(targets_of(reader.next().arrays), minlength=len(counts))
    probabilities = counts / counts.sum()
    validation: FillingObjective = objective  # pyright: ignore[reportAssignmentType]  rows of this table that fill in
    found = np.concatenate([targets_of(batch.arrays) for batch in validation.validation(tokens.validation, 0)])
    return {
        "loss": float(-np.log(probabilities[found]).mean()),
        "accuracy": float((found == probabilities.argmax()).mean()),
        "chance_loss": math.log(len(counts)),
    }


def page(rows: dict[str, dict[str, Any]]) -> str:
    """docs/results.md."""
    lines = [
        "# Every family on one text",
        "",
        "Made by `make results`; do not edit. The text is tinyshakespeare (1,115,394 characters, 65 different ones), cut into characters;",
        "the last tenth is for validation. Each network trained for the same five minutes on two CPU cores, from its preset; an",
        "n-gram model is counted. Bits per byte are measured on the whole validation part.",
        "",
        "| model | preset | parameters | steps | tokens/s | validation, nats per character | bits per byte |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in first_rows():
        record = rows.get(row.key)
        if record is None or record["result"].get("bits_per_byte") is None:
            continue
        result = record["result"]
        unit = " n-grams" if row.is_counted else ""
        lines.append(
            f"| {row.name} | `{row.preset}` | {result['parameters']:,}{unit} | {'' if row.is_counted else format(result['steps'], ',')} | "
            f"{result['tokens_per_second']:,.0f} | {result['val_loss']:.4f} | {result['bits_per_byte']:.4f} |"
        )
    missing = [row.key for row in first_rows() if row.key not in rows]
    if missing:
        lines += ["", f"Not measured yet: {', '.join(missing)}."]
    lines += ["", *_seeds(rows), "", *_filling(rows), "", *_machines(rows), ""]
    return "\n".join(lines)


def _seeds(rows: dict[str, dict[str, Any]]) -> list[str]:
    more = more_seeds(rows)
    names = list(dict.fromkeys(row.name for row in more))
    lines = ["## Three seeds of the best", "", "| model | bits per byte of each seed | mean |", "|---|---|---:|"]
    for name in names:
        keys = [name, *(row.key for row in more if row.name == name)]
        if all(key in rows for key in keys):
            bits = [rows[key]["result"]["bits_per_byte"] for key in keys]
            lines.append(f"| {name} | {', '.join(f'{value:.4f}' for value in bits)} | {np.mean(bits):.4f} |")
    return lines


def _filling(rows: dict[str, dict[str, Any]]) -> list[str]:
    lines = [
        "## Filling in",
        "",
        "These losses are means over hidden tokens and are no code length: they compare with the guess beside them and with nothing above.",
        "The guess knows only how often each target occurs.",
        "",
        "| model | parameters | loss, nats per target | right | guess: loss | guess: right |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, prefix in (("bert", "masked"), ("t5", "span")):
        if name in rows:
            result, guess = rows[name]["result"], rows[name]["unigram_guess"]
            loss, right = result[f"{prefix}_val_loss"], result[f"{prefix}_accuracy"]
            lines.append(
                f"| {name} | {result['parameters']:,} | {loss:.4f} | {100 * right:.1f} % | {guess['loss']:.4f} | "
                f"{100 * guess['accuracy']:.1f} % |"
            )
    return lines


def _machines(rows: dict[str, dict[str, Any]]) -> list[str]:
    facts = ("processor", "cores", "system", "python", "torch")
    machines = sorted({", ".join(str(record["machine"][fact]) for fact in facts) for record in rows.values()})
    dates = sorted(record["date"] for record in rows.values())
    if not dates:
        return []
    return ["## Where", "", f"Measured {dates[0]} to {dates[-1]}.", "", *(f"- {words}" for words in machines)]


if __name__ == "__main__":
    sys.exit(main())

"""How long a chart waits for 8 curves of 100,000 points, and how fast text is brought in.

    python -m benchmarks.dashboard_speed

The chart's answer is timed cold (nothing in memory), after one more point, and zoomed; beside it the plain way: read all rows, write
them as JSON. Import is timed against what a person would write in a notebook: pandas reads the lines and writes Parquet. (Ours also
cleans, counts characters and words, splits and hashes.)
Not here: what the browser needs to draw (the browser tests look at that).
"""

from __future__ import annotations

import json
import math
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.results import compare, median, print_rates, timed, write_result
from llm_core.text.library import ImportOptions, import_corpus
from llm_core.web.json_response import json_response
from llm_core.web.run_curves import CurveCache
from llm_core.web.series import answer, parse_query
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.metrics import MetricsWriter
from llm_core.workspace.paths import Workspace, open_workspace
from llm_core.workspace.process_identity import this_process
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder

PEER = "pandas: read_json, to_parquet"
KEYS = tuple(f"curve_{index}" for index in range(8))


def main() -> int:
    """Measure both and keep the result."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = open_workspace(Path(folder) / "workspace")
        series = measure_series(workspace, points=100_000)
        print(f"8 curves of 100,000 points ({series['answer_bytes'] / 1e3:,.0f} kB answered)")
        for name in ("cold_ms", "one_more_point_ms", "zoomed_ms", "unchanged_ms", "plain_way_ms"):
            print(f"  {name:<20} {series[name]:>8,.4g}")
        imported = measure_import(workspace, Path(folder), megabytes=16, rounds=3)
        print_rates("Bringing in text", "MB/s", imported)
    print(f"Kept in {write_result('dashboard-speed', {'series': series, 'import': imported})}")
    return 0


def measure_series(workspace: Workspace, points: int, repeats: int = 7) -> dict[str, Any]:
    """Milliseconds of one answer, in the middle of several."""
    record, token = _new_run(workspace)
    folder = run_folder(workspace, record.id)
    with MetricsWriter(folder, token) as writer:
        writer.begin_segment(None, 0)
        noise = np.random.default_rng(0).normal(0, 0.05, (len(KEYS), points))
        for index, key in enumerate(KEYS):
            for step in range(1, points + 1):
                value = 1.5 + 2.7 * math.exp(-step / 2000) + noise[index, step - 1]
                writer.point(key, step, 768 * step, 0.06 * step, float(value))
        writer.commit()
        whole = parse_query({"keys": ",".join(KEYS), "pixels": "1000", "smooth": "0.6"})
        zoomed = parse_query({"keys": ",".join(KEYS), "pixels": "1000", "smooth": "0.6", "from": "1000", "to": "3000"})
        cold = [_milliseconds(lambda: _answer(workspace, CurveCache(), record, whole)) for _ in range(3)]
        cache = CurveCache()
        body = _answer(workspace, cache, record, whole)
        fresh: list[float] = []
        for number in range(repeats):
            writer.point(KEYS[0], points + 1 + number, 0, 0.0, 1.5)
            writer.commit()
            fresh.append(_milliseconds(lambda: _answer(workspace, cache, record, whole)))
        near = [_milliseconds(lambda: _answer(workspace, cache, record, zoomed)) for _ in range(repeats)]
        time.sleep(0.2)  # a file that has just changed is looked at again, so let it settle
        _answer(workspace, cache, record, whole)
        same = [_milliseconds(lambda: _answer(workspace, cache, record, whole)) for _ in range(repeats)]
    plain = [_milliseconds(lambda: _plain_way(folder)) for _ in range(3)]
    return {
        "points": points * len(KEYS),
        "answer_bytes": len(body),
        "cold_ms": median(cold),
        "one_more_point_ms": median(fresh),
        "zoomed_ms": median(near),
        "unchanged_ms": median(same),
        "plain_way_ms": median(plain),
    }


def _new_run(workspace: Workspace) -> tuple[JobRecord, str]:
    with Registry(workspace) as registry:
        registry.add("train", "measured", {"name": "measured"})
        record = registry.claim(this_process(), ["train"])
        assert record is not None and record.lease_token is not None
        registry.move(record.id, "running", token=record.lease_token)
        return registry.get(record.id), record.lease_token


def _answer(workspace: Workspace, cache: CurveCache, record: JobRecord, query: Any) -> bytes:
    return bytes(json_response(answer(workspace, cache, record, query)).body)


def _plain_way(folder: Path) -> str:
    connection = sqlite3.connect(folder / "metrics.db")
    rows = connection.execute("SELECT key, step, value FROM points ORDER BY key, step").fetchall()
    connection.close()
    return json.dumps(rows)


def _milliseconds(work: Callable[[], object]) -> float:
    return 1000 / timed(work, 1.0)


def measure_import(workspace: Workspace, folder: Path, megabytes: int, rounds: int) -> dict[str, Any]:
    """Megabytes per second of one .txt and one .jsonl file, against pandas on the .jsonl."""
    words = [f"word{index}" for index in range(20_000)]
    generator = np.random.default_rng(0)
    lines: list[str] = []
    size = 0
    while size < megabytes * 1_000_000:
        line = " ".join(words[index] for index in generator.zipf(1.3, 400) % len(words))
        lines.append(line)
        size += len(line) + 1
    text_file, table_file = folder / "text.txt", folder / "text.jsonl"
    text_file.write_text("\n".join(lines), encoding="utf-8")
    table_file.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines), encoding="utf-8")
    counter = iter(range(1_000_000))

    def bring_in(path: Path) -> Callable[[], float]:
        megabytes_here = path.stat().st_size / 1e6
        return lambda: timed(
            lambda: import_corpus(workspace, path, ImportOptions(name=f"text {next(counter)}")), megabytes_here
        )

    def notebook() -> None:
        pd.read_json(table_file, lines=True).to_parquet(folder / "text.parquet")

    contestants: dict[str, Callable[[], float]] = {
        PEER: lambda: timed(notebook, table_file.stat().st_size / 1e6),
        "Glassbox import of .txt": bring_in(text_file),
        "Glassbox import of .jsonl": bring_in(table_file),
    }
    return compare(contestants, against=PEER, rounds=rounds)


if __name__ == "__main__":
    sys.exit(main())

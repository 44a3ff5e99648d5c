"""`glassbox estimate`, `presets`, `devices`, `bench`, `supervisor`: what there is and what a run would need."""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llm_core.cli.output import print_json, print_table
from llm_core.cli.run_verbs import add_config_arguments, read_config
from llm_core.config.errors import UserError
from llm_core.config.slots import Slots
from llm_core.config.timing import Timing
from llm_core.quantities import duration, size
from llm_core.workspace.paths import open_workspace


def add_verbs(verbs: Any) -> None:
    """Declare the verbs on argparse's subparsers."""
    estimate = verbs.add_parser("estimate", help="parameters, memory and time of a run, before it starts")
    add_config_arguments(estimate)
    estimate.set_defaults(run_verb=print_estimate)
    presets = verbs.add_parser("presets", help="named starting points")
    presets.add_argument("--fields", action="store_true", help="every setting instead")
    presets.add_argument("--settings-table", action="store_true", help=argparse.SUPPRESS)
    presets.set_defaults(run_verb=print_presets)
    devices = verbs.add_parser("devices", help="what this machine computes with")
    devices.set_defaults(run_verb=print_devices)
    bench = verbs.add_parser("bench", help="measure training speed on this machine")
    bench.set_defaults(run_verb=run_bench)
    supervisor = verbs.add_parser("supervisor", help="run the supervisor here instead of in the background")
    supervisor.set_defaults(run_verb=run_supervisor_here)
    for parser in (estimate, presets, devices):
        parser.add_argument("--json", action="store_true", help="one JSON object on the last line")


def print_estimate(options: argparse.Namespace) -> int:
    """The closed forms, and the speed from a measurement or a rule of thumb."""
    from llm_core.backend.estimates import estimate_run

    estimate = estimate_run(open_workspace(options.workspace), read_config(options))
    if options.json:
        print_json(
            {
                "parameters": estimate.parameters.total,
                "flops_per_token": estimate.flops_per_token,
                "memory_bytes": estimate.memory.total_bytes,
                "inference_bytes": estimate.inference_bytes,
                "tokens_per_second": estimate.tokens_per_second,
                "seconds": estimate.seconds,
                "seconds_low": estimate.seconds_low,
                "seconds_high": estimate.seconds_high,
                "steps": estimate.steps,
                "tokens": estimate.tokens,
                "epochs": estimate.epochs,
                "source": estimate.source,
                "parts": {**asdict(estimate.parameters), **asdict(estimate.memory)},
            }
        )
        return 0
    count = estimate.parameters
    print(
        f"{'at most ' * count.is_upper_bound}{count.total:,} {'n-grams' if count.ngrams else 'parameters'}"
        f" · {estimate.flops_per_token:,} FLOP a token"
        f" · {size(estimate.memory.total_bytes)} to train, {size(estimate.inference_bytes)} to use"
    )
    how = "measured here" if estimate.source == "measured" else "by rule of thumb"
    if estimate.source == "formula" and not count.is_upper_bound:
        how += "; a run or the Train page measures it"
    print(f"{estimate.tokens_per_second:,.0f} tokens/s ({how})")
    if estimate.seconds is not None and estimate.seconds_low is not None and estimate.seconds_high is not None:
        print(
            f"about {duration(estimate.seconds)} ({duration(estimate.seconds_low)} to {duration(estimate.seconds_high)})"
        )
    return 0


def print_presets(options: argparse.Namespace) -> int:
    """Presets with a sentence each, or all settings."""
    from llm_core.config.presets import presets
    from llm_core.config.schema import describe_run
    from llm_core.config.settings_table import settings_table

    if options.settings_table:
        sys.stdout.write(settings_table())
        return 0
    if options.fields:
        rows = describe_run()
        if options.json:
            print_json([{"name": row.path, "type": row.type, "default": row.default, "help": row.help} for row in rows])
        else:
            print_table(("name", "default", "help"), [(row.path, str(row.default), row.help) for row in rows])
        return 0
    found = presets().values()
    if options.json:
        print_json(
            [
                {"name": p.name, "title": p.title, "sentence": p.sentence, "config": p.config.model_dump(mode="json")}
                for p in found
            ]
        )
    else:
        print_table(("name", "for", "what it is"), [(p.name, p.scale, p.sentence) for p in found])
    return 0


def print_devices(options: argparse.Namespace) -> int:
    """CPU and GPUs."""
    from llm_core.backend.devices import list_devices

    devices = list_devices()
    if options.json:
        print_json([asdict(device) for device in devices])
    else:
        print_table(
            ("kind", "name", "cores", "memory"), [(d.kind, d.name, d.cores, size(d.memory_bytes)) for d in devices]
        )
    return 0


def run_bench(options: argparse.Namespace) -> int:
    """The training benchmark of the checkout, in a process of its own."""
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / "benchmarks" / "training_speed.py").is_file():
        raise UserError("The benchmarks come with a checkout only", remedy="Clone the repository and run `make bench`")
    return subprocess.run([sys.executable, "-m", "benchmarks.training_speed"], cwd=checkout, check=False).returncode


def run_supervisor_here(options: argparse.Namespace) -> int:
    """Hand out jobs until nothing is left to do."""
    from llm_core.backend.supervisor import run_supervisor

    return run_supervisor(open_workspace(options.workspace), Timing.from_environment(), Slots.from_environment())

"""`glassbox race` and `glassbox sweep`: several runs queued with one command.

Not here: what a race and a sweep are (`llm_core.backend.race`, `llm_core.backend.sweeps`), a single run (`run_verbs.py`).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from llm_core.cli.output import DONE, print_json, print_table
from llm_core.cli.run_verbs import read_config
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.paths import open_workspace

_USUAL_MINUTES = 2.0


def add_verbs(verbs: Any) -> None:
    """Declare the verbs on argparse's subparsers."""
    race: argparse.ArgumentParser = verbs.add_parser(
        "race", help="the same text and budget for several kinds of model, compared in bits per byte"
    )
    race.add_argument(
        "models", nargs="*", metavar="MODEL", help="families (ngram, rnn, gru, mingru, lstm, transformer) or presets"
    )
    race.add_argument("--on", default="python-reference", metavar="TEXT", help="id or name of a text")
    race.add_argument("--tokenizer", default="char", help="the same for all (default: char)")
    budget = race.add_mutually_exclusive_group()
    budget.add_argument(
        "--minutes",
        type=float,
        help=f"training time of each (default: {_USUAL_MINUTES:g}); an n-gram counts all the text",
    )
    budget.add_argument(
        "--steps", type=int, help="steps of each, of equally many tokens; an n-gram counts as many as the others read"
    )
    budget.add_argument("--tokens", type=int, help="tokens that each reads; an n-gram counts the first so many")
    race.add_argument("--seeds", type=int, default=1, help="runs of each; three or more can tell which is better")
    race.set_defaults(run_verb=start_race)
    sweep: argparse.ArgumentParser = verbs.add_parser("sweep", help="one configuration many times, settings varied")
    sweep.add_argument("--preset", help="a named starting point (see `glassbox presets`)")
    sweep.add_argument("--config", metavar="FILE", help="a config.json as a run folder holds it")
    sweep.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=V,V",
        help="a setting and its values; for random draws also a range: NAME=LOW..HIGH, or NAME=LOW..HIGH:log",
    )
    sweep.add_argument("--random", type=int, metavar="N", help="N combinations drawn at random instead of all")
    sweep.add_argument("--random-seed", type=int, default=0, metavar="S", help="another seed draws others (default: 0)")
    sweep.add_argument("--dry-run", action="store_true", help="list the runs, queue none")
    sweep.set_defaults(run_verb=start_sweep)
    for parser in (race, sweep):
        parser.add_argument("--name", default="", help="what it is called (default: the text's name)")
        parser.add_argument("--json", action="store_true", help="one JSON object on the last line")


def start_race(options: argparse.Namespace) -> int:
    """Queue a race."""
    from llm_core.backend.race import USUAL_ENTRANTS, Budget, submit_race

    is_open = options.steps is None and options.tokens is None and options.minutes is None
    budget = Budget(_USUAL_MINUTES if is_open else options.minutes, options.steps, options.tokens)
    records = submit_race(
        open_workspace(options.workspace),
        options.on,
        options.models or USUAL_ENTRANTS,
        budget,
        tokenizer=options.tokenizer,
        seeds=options.seeds,
        name=options.name,
    )
    return _tell(records, options)


def start_sweep(options: argparse.Namespace) -> int:
    """Queue a sweep, or list what it would queue."""
    from llm_core.backend.sweeps import plan_grid, plan_random, read_axis, submit_sweep

    base = read_config(argparse.Namespace(preset=options.preset, config=options.config, set=[]))
    axes = [read_axis(text) for text in options.set]
    drawn = None if options.random is None else plan_random(base, axes, options.random, random_seed=options.random_seed)
    if drawn is not None and drawn.passed_over and not options.json:
        print(drawn.passed_over)
    if options.dry_run:
        planned = plan_grid(base, axes) if drawn is None else drawn.runs
        if options.json:
            print_json(
                {"runs": [{"name": config.name, "config": config.model_dump(mode="json")} for config in planned]}
            )
        else:
            print_table(("run", "settings"), [(number + 1, config.name) for number, config in enumerate(planned)])
        return DONE
    records = submit_sweep(
        open_workspace(options.workspace),
        base,
        axes,
        random_runs=options.random,
        random_seed=options.random_seed,
        name=options.name,
    )
    return _tell(records, options)


def _tell(records: Sequence[JobRecord], options: argparse.Namespace) -> int:
    group = str(records[0].config["group"])
    if options.json:
        runs = [{"run_id": record.id, "name": record.name, "state": record.state} for record in records]
        print_json({"group": group, "runs": runs})
        return DONE
    print(f"Queued {len(records)} runs as “{group}”. `glassbox runs` shows them; the page Runs compares them.")
    print_table(("name", "id"), [(record.name, record.id) for record in records])
    return DONE

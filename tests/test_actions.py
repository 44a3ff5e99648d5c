"""Every change that a page or a route makes asks first who is there, under a name that is declared in `llm_core.web.permissions`.

Reads the source: from pages/ and llm_core/ui/, a call that changes something must follow `require("its-action")` in the same function
(a lambda counts as its own), or stand under `if may("its-action")`. What is imported from the rooms that change things must be known
here, as a reading or as a change, so that a new function cannot be forgotten.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path

import pytest
from starlette.routing import Route

from llm_core.backend.inference_client import InferenceClient
from llm_core.web.access import SAFE_METHODS
from llm_core.web.api import METHODS, Api
from llm_core.web.application import all_routes
from llm_core.web.device_sampler import shared_sampler
from llm_core.web.permissions import ACTIONS, INFERENCE_ACTIONS, ROUTE_ACTIONS, is_allowed
from llm_core.web.roles import TRAINER, VIEWER
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.registry import Registry

ROOT = Path(__file__).resolve().parents[1]

# What each function does, as an action; several where it depends on what it is given.
CHANGES: dict[str, set[str]] = {
    "backend.jobs.submit_run": {"start-run", "race", "sweep"},
    "backend.jobs.submit_job": set(),  # pages go through the functions that check first
    "backend.jobs.submit_with_file": set(),
    "backend.jobs.submit_probe": {"measure"},
    "backend.jobs.stop_job": {"stop-run", "cancel-job"},
    "backend.jobs.edit_queued_run": {"edit-queued"},
    "backend.jobs.delete_run": {"delete-run"},
    "backend.run_commands.pause_run": {"pause-run"},
    "backend.run_commands.stop_run": {"stop-run"},
    "backend.run_commands.checkpoint_run": {"checkpoint-run"},
    "backend.run_commands.sample_run": {"sample-run"},
    "backend.run_commands.change_run": {"change-run"},
    "backend.run_commands.undo_change": {"change-run"},
    "backend.run_commands.fork_run": {"fork-run"},
    "backend.run_commands.roll_back_run": {"roll-back-run"},
    "backend.run_commands.resume_run": {"resume-run", "change-run"},
    "backend.run_import.import_run": set(),  # pages go through the job
    "backend.race.submit_race": {"race"},
    "backend.sweeps.submit_sweep": {"sweep"},
    "backend.group_submission.submit_group": set(),
    "backend.text_jobs.import_upload": {"import-text"},
    "backend.text_jobs.import_paste": {"import-text"},
    "backend.text_jobs.import_path": {"import-text"},
    "backend.text_jobs.import_hub": {"import-text"},
    "backend.text_jobs.make_builtin": {"make-text"},
    "backend.text_jobs.delete_text": {"delete-text"},
    "backend.text_jobs.delete_kept_tokenizer": {"delete-tokenizer"},
    "backend.text_jobs.train_tokenizer_job": {"train-tokenizer"},
    "backend.text_jobs.import_tokenizer_upload": {"import-tokenizer"},
    "backend.text_jobs.import_tokenizer_path": {"import-tokenizer"},
    "backend.exchange_jobs.import_model_folder": {"import-model"},
    "backend.exchange_jobs.import_model_hub": {"import-model"},
    "backend.exchange_jobs.import_run_zip": {"import-run"},
    "backend.exchange_jobs.export_run": {"export-model"},
    "backend.exchange_jobs.delete_export": {"delete-export"},
    "backend.ngram_levels.submit_levels": {"measure-levels"},
    "backend.ngram_levels.count_levels": set(),
    "backend.probing.start_measurement": {"measure"},
    "backend.probing.end_measurement": {"measure", "start-run"},
    "text.library.import_corpus": set(),
    "text.library.delete_dataset": {"delete-text"},
    "text.library.ensure_dataset": set(),
    "text.tokenizer_library.train_tokenizer": set(),
    "text.tokenizer_library.import_tokenizer": set(),
    "text.tokenizer_library.delete_tokenizer": set(),  # pages go through the function that checks first
    "text.uploads.keep_upload": set(),
    "text.uploads.discard_upload": set(),
    "workspace.commands.append_command": set(),
    "workspace.job_progress.request_cancel": set(),
    "workspace.job_progress.write_progress": set(),
    "workspace.checkpoints.write_checkpoint": set(),
    "workspace.checkpoints.pin_checkpoint": set(),
    "workspace.checkpoints.remove_after": set(),
    "workspace.checkpoints.remove_checkpoint": set(),
    "workspace.checkpoints.remove_partial": set(),
    "workspace.checkpoints.set_aside_after": set(),
    "workspace.checkpoints.thin_checkpoints": set(),
    "workspace.lineage.write_lineage": set(),
    "workspace.run_notes.change_notes": {"edit-notes"},
    "workspace.runs.delete_run": set(),
    "workspace.runs.prepare_run_folder": set(),
    "InferenceClient.start_generation": {"generate"},
    "InferenceClient.stop_generation": {"generate", "stop-generation"},
    "InferenceClient.request": set(),  # any question by its name; pages ask through the methods, each of which is declared
    "Registry.rename": {"rename-run"},
    "Registry.cancel": {"cancel-job", "stop-run"},
    "Registry.move_in_queue": {"move-queued"},
    "Registry.move_to_front": {"move-queued"},
}
# Functions of the same modules that change nothing that anybody would miss.
READINGS = {
    "backend.jobs.require_editable",
    "backend.run_commands.answer_to",
    "backend.run_commands.fork_point",
    "backend.run_commands.last_change",
    "backend.run_commands.present_config",
    "backend.run_commands.waiting_wishes",
    "backend.race.plan_race",
    "backend.race.possible_entrants",
    "backend.sweeps.plan_grid",
    "backend.sweeps.plan_random",
    "backend.sweeps.read_axis",
    "backend.group_submission.free_group",
    "backend.group_submission.usable_name",
    "backend.text_jobs.runs_on",
    "backend.exchange_jobs.exports_folder",
    "backend.exchange_jobs.exports_of",
    "backend.ngram_levels.read_levels",
    "backend.probing.measurement_of",
    "text.library.list_datasets",
    "text.library.find_dataset",
    "text.library.dataset_folder",
    "text.library.open_documents",
    "text.library.preview_length",
    "text.library.preview",
    "text.library.split_of",
    "text.library.deletable_bytes",
    "text.library.cut_versions",
    "text.tokenizer_library.list_tokenizers",
    "text.tokenizer_library.find_tokenizer",
    "text.tokenizer_library.open_tokenizer",
    "text.tokenizer_library.default_name",
    "text.tokenizer_library.first_merges",
    "text.tokenizer_library.free_tokenizer_name",
    "text.uploads.check_upload",
    "text.uploads.upload_path",
    "text.uploads.sweep_uploads",  # removes what no job will read
    "workspace.commands.read_commands",
    "workspace.job_progress.job_folder",
    "workspace.job_progress.read_progress",
    "workspace.job_progress.is_cancelled",
    "workspace.checkpoints.checkpoint_path",
    "workspace.checkpoints.find_checkpoint",
    "workspace.checkpoints.list_checkpoints",
    "workspace.checkpoints.newest_valid",
    "workspace.checkpoints.verify_checkpoint",
    "workspace.lineage.read_lineage",
    "workspace.run_notes.read_notes",
    "workspace.runs.run_folder",
    "workspace.runs.summarise_run",
    "workspace.runs.folder_bytes",
}
# Modules that pages may use as they like: nothing in them changes what somebody has made.
READING_MODULES = {
    *("backend.environment", "backend.estimates", "backend.generation_files", "backend.inference_client"),
    *(
        "backend.mean_curves",
        "backend.readiness",
        "backend.run_groups",
        "backend.report_charts",
        "backend.run_changes",
        "backend.run_report",
        "backend.verdict",
        "backend.points_csv",
    ),
    *(
        "text.bpe_lesson",
        "text.bpe_trainer",
        "text.cleaning",
        "text.cutting",
        "text.dataset_record",
        "text.hidden_places",
    ),
    *("text.import_roots", "text.known_words", "text.pair_preview", "text.pairs", "text.progress", "text.sources"),
    *("text.split_preview", "text.splits", "text.statistics", "text.table_columns", "text.token_set"),
    *("text.token_statistics", "text.tokenizer_interface", "text.tokenizer_names", "text.tokenizers", "text.tokens"),
    *("text.validation_excerpt", "text.visible", "text.vocabulary"),
    *(
        "workspace.freed_space",
        "workspace.job_record",
        "workspace.metrics_read",
        "workspace.paths",
        "workspace.registry",
    ),
}
# Methods of objects that pages hold: everything but these is a change and must be declared above.
READING_METHODS = {
    "Registry": {"get", "find", "jobs", "queue", "events", "free_name", "close"},
    # What a viewer may ask; the least role of each is declared in `INFERENCE_ACTIONS`.
    "InferenceClient": {name for name, action in INFERENCE_ACTIONS.items() if ACTIONS[action].permission == VIEWER},
}
ROOMS = ("llm_core.backend", "llm_core.text", "llm_core.workspace")
WATCHED = {Registry: "Registry", InferenceClient: "InferenceClient"}


def known_modules() -> set[str]:
    """The modules whose functions are all known: those of the tables, and every other that a page could change things through."""
    return {name.rpartition(".")[0] for name in (*CHANGES, *READINGS) if "." in name and name[0].islower()}


def public_functions(module: str) -> set[str]:
    loaded = import_module(f"llm_core.{module}")
    found = inspect.getmembers(loaded, inspect.isfunction)
    return {f"{module}.{name}" for name, function in found if function.__module__ == loaded.__name__ and name[0] != "_"}


@pytest.mark.parametrize("module", sorted(known_modules()))
def test_no_function_of_these_modules_is_forgotten(module: str) -> None:
    known = {name for name in (*CHANGES, *READINGS) if name.rpartition(".")[0] == module}
    assert public_functions(module) == known, "declare it above: which action is it, or does it only read?"


def test_no_page_uses_a_module_that_is_not_known() -> None:
    known = known_modules() | READING_MODULES
    for path in page_sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(tuple(ROOMS)):
                module = (node.module or "").removeprefix("llm_core.")
                used = {module} if "." in module else {f"{module}.{alias.name}" for alias in node.names}
                assert used <= known, f"{path.name}: {used - known}: say above what changes something in it"


def test_every_action_declares_who_may_do_it_and_says_what_it_is() -> None:
    for name, action in ACTIONS.items():
        assert action.permission in (VIEWER, TRAINER) and action.does, name
        assert is_allowed(TRAINER, name) and not is_allowed(None, name)
        assert is_allowed(VIEWER, name) is (action.permission == VIEWER)
    used = set().union(*CHANGES.values(), ROUTE_ACTIONS.values(), INFERENCE_ACTIONS.values())
    assert used <= ACTIONS.keys()
    with pytest.raises(KeyError):
        is_allowed(TRAINER, "no-such-action")


def test_every_question_to_a_model_declares_who_may_ask_it() -> None:
    methods = {name for name, _ in inspect.getmembers(InferenceClient, inspect.isfunction) if name[0] != "_"}
    assert methods - {"request"} == INFERENCE_ACTIONS.keys(), "declare in INFERENCE_ACTIONS which action it is"
    assert set(INFERENCE_ACTIONS.values()) <= ACTIONS.keys()
    for name, action in INFERENCE_ACTIONS.items():
        if ACTIONS[action].permission == TRAINER:
            assert action in CHANGES.get(f"InferenceClient.{name}", set()), "pages must ask for it"
    assert not any(is_allowed(VIEWER, action) for action in ("generate", "stop-generation"))


def test_every_route_that_changes_something_is_an_action(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path / "home")
    routes = all_routes(workspace, Api(workspace, InferenceClient(workspace), shared_sampler()))
    declared = {
        (method, route.path)
        for route in routes
        if isinstance(route, Route)
        for method in route.methods or ()
        if method not in SAFE_METHODS and set(route.methods or ()) < set(METHODS)  # the last two answer 404 to all
    }
    assert declared == ROUTE_ACTIONS.keys()


# --- reading the pages ---------------------------------------------------------------------------------------------------


def page_sources() -> list[Path]:
    found = [*(ROOT / "pages").rglob("*.py"), *(ROOT / "llm_core" / "ui").rglob("*.py")]
    return sorted(path for path in found if path.name != "guards.py")


@pytest.mark.parametrize("path", page_sources(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_change_of_a_page_asks_first(path: Path) -> None:
    assert not list(Reader(path.read_text(encoding="utf-8")).faults())


BAD = {
    "no question": "from llm_core.backend.jobs import delete_run\ndef f():\n    delete_run(w, i)\n",
    "asked afterwards": "from llm_core.backend.jobs import delete_run\ndef f():\n    delete_run(w, i)\n    require('delete-run')\n",
    "another action": "from llm_core.backend.jobs import delete_run\ndef f():\n    require('stop-run')\n    delete_run(w, i)\n",
    "not always": "from llm_core.backend.jobs import delete_run\nif x:\n    require('delete-run')\ndelete_run(w, i)\n",
    "outside": "from llm_core.backend.jobs import delete_run\nrequire('delete-run')\ndef f():\n    delete_run(w, i)\n",
    "in a lambda": "from llm_core.backend.jobs import delete_run\ndef f():\n    require('delete-run')\n    g(lambda: delete_run(w, i))\n",
    "handed on": "from llm_core.backend.jobs import delete_run\nst.button('x', on_click=delete_run)\n",
    "by module": "from llm_core.backend import jobs as j\nj.delete_run(w, i)\n",
    "unknown action": "require('no-such-action')\n",
    "no plain text": "require(name)\n",
    "the other branch": "from llm_core.backend.jobs import delete_run\nif may('delete-run'):\n    pass\nelse:\n    delete_run(w, i)\n",
    "or": "from llm_core.backend.jobs import delete_run\nif x or may('delete-run'):\n    delete_run(w, i)\n",
    "registry": "with Registry(w) as r:\n    r.rename(i, 'x')\n",
    "registry by argument": "def f(r: Registry):\n    r.delete(i)\n",
    "an unknown method": "client = InferenceClient(w)\nclient.forget('x')\n",
    "any question by its name": "InferenceClient(w).request('start')\n",
    "a name handed on": "client = InferenceClient(w)\nrequire('generate')\nf(client.request)\n",
}


@pytest.mark.parametrize("source", BAD.values(), ids=BAD.keys())
def test_the_reader_sees(source: str) -> None:
    assert list(Reader(source).faults())


def test_the_reader_accepts() -> None:
    source = """
from llm_core.backend import run_commands
from llm_core.backend.jobs import delete_run
from llm_core.backend.run_commands import resume_run
def f(client: InferenceClient):
    try:
        require("delete-run")
        with x:
            for run in runs:
                delete_run(w, run)
    except UserError:
        client.fill(1)
if shown and may("resume-run"):
    resume_run(w, i)
    def resume():
        require("resume-run")
        run_commands.resume_run(w, i)
submit = partial(asking("delete-run", delete_run), w)
"""
    assert not list(Reader(source).faults())


class Reader:
    """Walks one source; knows which actions have been asked for at each call."""

    def __init__(self, source: str) -> None:
        self._tree = ast.parse(source)
        self._functions: dict[str, str] = {}
        self._modules: dict[str, str] = {}
        self._objects: dict[str, str] = {}
        self._learn_names()

    def faults(self) -> Iterator[str]:
        yield from self._block(self._tree.body, frozenset())

    def _learn_names(self) -> None:
        """What the names of this file stand for: functions, modules, and the objects that have changing methods."""
        watched = set(WATCHED.values())
        for node in ast.walk(self._tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("llm_core."):
                room = (node.module or "").removeprefix("llm_core.")
                for alias in node.names:
                    self._functions[alias.asname or alias.name] = f"{room}.{alias.name}"
                    self._modules[alias.asname or alias.name] = f"{room}.{alias.name}"
            elif isinstance(node, ast.withitem) and isinstance(node.optional_vars, ast.Name):
                self._learn_object(node.optional_vars.id, node.context_expr, watched)
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self._learn_object(node.targets[0].id, node.value, watched)
            elif isinstance(node, ast.arg) and node.annotation and ast.unparse(node.annotation) in watched:
                self._objects[node.arg] = ast.unparse(node.annotation)

    def _learn_object(self, name: str, value: ast.expr, watched: set[str]) -> None:
        if isinstance(value, ast.Call) and ast.unparse(value.func) in watched:
            self._objects[name] = ast.unparse(value.func)

    def _block(self, statements: Iterable[ast.stmt], asked: frozenset[str]) -> Iterator[str]:
        """The faults of statements that run one after another."""
        for statement in statements:
            if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield from self._expressions([*statement.decorator_list, statement.args], asked)
                yield from self._block(statement.body, frozenset())  # it runs later, perhaps for somebody else
            elif isinstance(statement, ast.ClassDef):
                yield from self._block(statement.body, frozenset())
            elif isinstance(statement, ast.If):
                yield from self._expressions([statement.test], asked)
                yield from self._block(statement.body, asked | _granted(statement.test))
                yield from self._block(statement.orelse, asked)
            else:
                blocks = [value for _, value in ast.iter_fields(statement) if _is_block(value)]
                own = [value for _, value in ast.iter_fields(statement) if not _is_block(value)]
                yield from self._expressions(own, asked)
                for block in blocks:
                    yield from self._block(block, asked)
                for handler in getattr(statement, "handlers", ()):
                    yield from self._block(handler.body, asked)
                for case in getattr(statement, "cases", ()):
                    yield from self._block(case.body, asked)
            asked |= _asked_by(statement)

    def _expressions(self, values: Iterable[object], asked: frozenset[str]) -> Iterator[str]:
        for value in values:
            for node in value if isinstance(value, list) else [value]:
                if isinstance(node, ast.AST) and not isinstance(node, (ast.ExceptHandler, ast.match_case)):
                    yield from self._expression(node, asked)

    def _expression(self, node: ast.AST, asked: frozenset[str]) -> Iterator[str]:
        if isinstance(node, ast.Lambda):
            asked = frozenset()
        if isinstance(node, ast.Call):
            yield from _wrong_question(node)
            asked |= _action_of(node, "asking")
        name = self._changing(node)
        if name is not None and not asked & CHANGES.get(name, set()):
            wanted = " or ".join(f'require("{action}")' for action in sorted(CHANGES.get(name, ())))
            line = getattr(node, "lineno", 0)
            yield f"line {line}: {name} comes before {wanted or 'an action that is declared for it'}"
        for child in ast.iter_child_nodes(node):
            yield from self._expression(child, asked)

    def _changing(self, node: ast.AST) -> str | None:
        """What this expression names, if that changes something; to hand a function on is as good as to call it."""
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            name = self._functions.get(node.id, "")
            return name if name in CHANGES else None
        if not isinstance(node, ast.Attribute):
            return None
        owner = ast.unparse(node.value)
        kind = self._objects.get(owner) or owner.partition("(")[0]
        if kind in READING_METHODS:
            return None if node.attr in READING_METHODS[kind] else f"{kind}.{node.attr}"
        name = f"{self._modules.get(owner, '')}.{node.attr}"
        return name if name in CHANGES else None


def _is_block(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], ast.stmt)


def _asked_by(statement: ast.stmt) -> frozenset[str]:
    """The actions that have been asked for once this statement is over."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        return _action_of(statement.value, "require")
    if isinstance(statement, ast.With):
        return frozenset().union(*map(_asked_by, statement.body))
    return frozenset()


def _granted(test: ast.expr) -> frozenset[str]:
    """The actions that are allowed where this condition holds."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        return frozenset().union(*map(_granted, test.values))
    return _action_of(test, "may") if isinstance(test, ast.Call) else frozenset()


def _action_of(call: ast.Call, function: str) -> frozenset[str]:
    if ast.unparse(call.func) != function or not call.args or not isinstance(call.args[0], ast.Constant):
        return frozenset()
    return frozenset({str(call.args[0].value)})


def _wrong_question(call: ast.Call) -> Iterator[str]:
    if ast.unparse(call.func) in ("require", "may", "asking"):
        actions = _action_of(call, ast.unparse(call.func))
        if not actions or not actions <= ACTIONS.keys():
            yield f"line {call.lineno}: {ast.unparse(call)} names no declared action"

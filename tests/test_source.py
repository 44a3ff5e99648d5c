"""What no file of Glassbox may hold: a call that runs code from data, an import that loads such, a file beyond the wall.

SECURITY.md promises it; this test reads the source.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAXIMUM_LINES = 600
FORBIDDEN_MODULES = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "jinja2"}
FORBIDDEN_FUNCTIONS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_CALLS = {"torch.load", "np.load", "numpy.load", "os.system", "os.popen"}
FORBIDDEN_SWITCHES = {"shell", "trust_remote_code", "unsafe_allow_html", "allow_pickle", "unsafe_allow_javascript"}


def sources() -> list[Path]:
    found = [ROOT / "app.py", ROOT / "setup.py"]
    for folder in ("llm_core", "pages", "benchmarks"):
        found += sorted((ROOT / folder).rglob("*.py"))
    return [path for path in found if "_dashboard" not in path.parts]


def faults(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    if len(text.splitlines()) > MAXIMUM_LINES:
        yield f"more than {MAXIMUM_LINES} lines"
    if text and ast.get_docstring(tree) is None and path.name not in ("__init__.py",):
        yield "does not say what it is for"
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [(node.module or "").partition(".")[0]]
            if node.module == "torch" and any(alias.name == "load" for alias in node.names):
                yield f"line {node.lineno}: torch.load"
        else:
            names = []
        for name in FORBIDDEN_MODULES.intersection(names):
            yield f"line {node.lineno}: imports {name}"
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in FORBIDDEN_FUNCTIONS | FORBIDDEN_CALLS:
                yield f"line {node.lineno}: {called}"
            for keyword in node.keywords:
                is_off = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                if keyword.arg in FORBIDDEN_SWITCHES and not is_off:
                    yield f"line {node.lineno}: {keyword.arg}"


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_here_runs_code_from_data(path: Path) -> None:
    assert not list(faults(path))


def test_every_room_says_what_it_is_for() -> None:
    for path in (ROOT / "llm_core").rglob("__init__.py"):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


def test_no_room_for_odds_and_ends() -> None:
    names = {path.stem for path in sources()}
    assert not names & {"utils", "util", "helpers", "misc", "common"}

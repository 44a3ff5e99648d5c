"""What the documents promise: their Python runs, their links lead somewhere, the verbs they name exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from llm_core.cli.main import build_parser

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
DOCUMENTS += sorted((ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            assert (document.parent / target).exists(), target
    for name in re.findall(r"`((?:tests|docs|benchmarks|assets|pages|llm_core)/[\w./-]*)`", text):
        assert (ROOT / name).exists(), name


def test_the_python_of_the_readme_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result, _, written = done.stdout.partition("\n")
    assert "state='finished'" in result and len(written) > 80, "the text may hold empty lines"


def test_the_commands_of_the_readme_can_be_read() -> None:
    lines = re.findall(r"^glassbox (.*)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(lines) >= 5
    for line in lines:
        arguments = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', line)]
        assert build_parser().parse_args(arguments).verb == arguments[0]


def test_every_target_of_the_makefile_that_the_documents_name_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for document in DOCUMENTS:
        for target in re.findall(r"`make ([\w-]+)`", document.read_text(encoding="utf-8")):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), (document.name, target)


def test_the_browser_tests_lie_where_make_looks_for_them() -> None:
    (folders,) = re.findall(r"^WITH_BROWSER := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for path in (ROOT / "tests").rglob("test_*.py"):
        if re.search(r"^(pytestmark = .*|@)pytest\.mark\.e2e", path.read_text(encoding="utf-8"), re.MULTILINE):
            assert path.relative_to(ROOT).as_posix().startswith(tuple(folders.split())), path

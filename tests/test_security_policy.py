"""What SECURITY.md promises and no single run can show: read from the source, the pins and the table itself.

Not here: calls that run code (`test_source.py`), who may do what (`test_actions.py`).
"""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# The first version of each library without the faults that its advisories name.
SAFE_FROM = {
    "torch": ("2.10", "CVE-2025-32434, CVE-2026-24747, CVE-2022-45907"),
    "streamlit": ("1.37.0", "CVE-2022-35918, CVE-2023-27494, CVE-2024-42474"),
    "starlette": (
        "1.3.1",
        "CVE-2023-29159, CVE-2024-47874, CVE-2025-62727, CVE-2026-48710, CVE-2026-48818, CVE-2026-54282",
    ),
    "pyarrow": ("14.0.1", "CVE-2023-47248"),
    "Authlib": ("1.3.2", "CVE-2024-37568"),
}
# Who may speak to other machines, and why. Everything else only listens, or calls one of these.
CONNECTS = {
    "llm_core/text/hub.py": "a text of the Hub, when somebody asks for it",
    "llm_core/models/huggingface/download.py": "a model of the Hub, when somebody asks for it",
    "llm_core/backend/notices.py": "a notice to an allow-listed address, when somebody set one",
    "llm_core/backend/loggers/": "a logger that somebody switched on",
    "llm_core/cli/dashboard.py": "its own server",
    "llm_core/backend/wire.py": "a Unix socket in the workspace",
    "llm_core/backend/inference_client.py": "a Unix socket in the workspace",
    "llm_core/backend/inference_server.py": "a Unix socket in the workspace",
    "llm_core/web/access_policy.py": "asks this machine its name",
}
NETWORK = {
    *("socket", "ssl", "http", "urllib.request", "urllib.error", "requests", "httpx", "aiohttp", "ftplib", "smtplib"),
    *("huggingface_hub", "datasets", "wandb", "mlflow", "paramiko", "telnetlib", "xmlrpc", "websockets"),
}
# Paths made of names that are ours or come from a listing of the same folder; all other names go through `safe_join`.
OWN_NAMES = {
    "llm_core/backend/exchange_worker.py: scratch / target.name",
    "llm_core/backend/exchange_worker.py: scratch / target.stem",
    "llm_core/backend/generation_files.py: workspace.root / FOLDER / f'{generation_id}.jsonl'",  # 16 hexadecimal digits
    "llm_core/text/builtin.py: library / name",
    "llm_core/text/builtin.py: library / f'{name}.py'",
    "llm_core/backend/ranks.py: folder / f'ranks-{uuid.uuid4().hex}'",
    "llm_core/backend/run_archive.py: Path(folder) / name",
    "llm_core/backend/run_archive.py: Path(folder) / path.name",
    "llm_core/backend/run_archive.py: Path(folder) / source.name",
    "llm_core/backend/run_archive.py: Path(parent) / name",
    "llm_core/backend/run_import.py: Path(folder) / path.name",
    "llm_core/backend/run_import.py: Path(parent) / name",
    "llm_core/backend/run_import.py: folder / name",
    "llm_core/text/folders.py: parent / f'{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}'",
    "llm_core/text/token_set.py: path / name",
    "llm_core/web/ended_sessions.py: self.folder / session",  # 32 or 64 hexadecimal digits, signed by us
    "llm_core/web/run_curves.py: folder / f'{FILE_NAME}-wal'",
    "llm_core/workspace/adopted_runs.py: Path(parent) / name",
    "llm_core/workspace/metrics_read.py: Path(folder) / path.name",
    "llm_core/workspace/registry_file.py: workspace.root / f'glassbox.db.damaged-{stamp}'",
    "llm_core/workspace/registry_file.py: workspace.root / f'glassbox.db.damaged-{stamp}-journal'",
    "llm_core/workspace/process_identity.py: _PROC / str(pid)",
}
ROOMS = ("backend", "text", "workspace", "web", "ui", "models/huggingface")
FOLDER_WORDS = re.compile(r"\b(workspace|folder|root|parent|path|library|scratch|target|Path|_PROC|runs|jobs)\b")

# Settings that are text, and what looks at them.
FREE_TEXTS = {
    "name",  # `check_name`
    "group",  # shown as it is
    "training.sample_prompts",  # given to the model
    "logging.webhook_url",  # `llm_core.backend.notices`: only hosts of the server's own list
    "data.dataset",  # looked up among the workspace's texts
    "data.tokenizer",  # looked up among the workspace's tokenizers
}

SECRETS = {
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a key of AWS": r"\bAKIA[0-9A-Z]{16}\b",
    "a token of GitHub": r"\bgh[pousr]_[A-Za-z0-9]{30,}",
    "a token of the Hugging Face Hub": r"\bhf_[A-Za-z0-9]{30,}",
    "a key of an API": r"\bsk-[A-Za-z0-9_-]{32,}",
    "a token of Slack": r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    "an address with a password": r"https?://[^/\s:@'\"{}<>]+:[^/\s:@'\"{}<>]+@(?![a-z0-9.-]*example)[a-z0-9.-]+\.(com|org|net|io)\b",
}


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text.partition("+")[0]))


@pytest.mark.parametrize("package", SAFE_FROM)
def test_no_version_with_a_known_fault_is_allowed(package: str) -> None:
    safe, advisories = SAFE_FROM[package]
    pins = dict(re.findall(r"^([A-Za-z0-9_-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    assert numbers(pins[package]) >= numbers(safe), advisories
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    floors = dict(re.findall(r"^([A-Za-z0-9-]+)>=([0-9.]+)", "\n".join(project["dependencies"]), re.MULTILINE))
    if package in floors:
        assert numbers(floors[package]) >= numbers(safe), advisories
        assert numbers(version(package)) >= numbers(safe)


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    names = listed.stdout.split("\0") if listed.returncode == 0 else []
    if not any(names):
        pytest.skip("no git checkout")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def test_no_secret_lies_in_the_repository() -> None:
    for path in tracked():
        assert path.name not in ("secrets.toml", ".env", "signing.key"), path
        text = path.read_bytes()[:2_000_000].decode("utf-8", "replace")
        for what, pattern in SECRETS.items():
            found = re.search(pattern, text)
            assert found is None or path.name == Path(__file__).name, f"{path} holds {what}"


@cache
def parsed() -> dict[str, list[ast.AST]]:
    """What every module is made of, by its path."""
    paths = sorted((ROOT / "llm_core").rglob("*.py"))
    wanted = (ast.Import, ast.ImportFrom, ast.BinOp, ast.Call, ast.Constant, ast.Attribute)
    trees = {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in paths}
    return {name: [node for node in ast.walk(tree) if isinstance(node, wanted)] for name, tree in trees.items()}


def sources(*rooms: str) -> Iterator[tuple[str, list[ast.AST]]]:
    for name, nodes in parsed().items():
        if not rooms or name.startswith(tuple(f"llm_core/{room}/" for room in rooms)):
            yield name, nodes


def test_only_these_files_speak_to_anybody() -> None:
    for name, nodes in sources():
        imported: set[str] = set()
        for node in nodes:
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                module = node.module or ""
                imported |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
        found = {module for module in imported for wanted in NETWORK if f"{module}.".startswith(f"{wanted}.")}
        found = {module for module in found if module != "http.HTTPStatus"}
        assert not found or name.startswith(tuple(CONNECTS)), f"{name} imports {found}"


def test_every_name_from_outside_becomes_a_path_through_safe_join() -> None:
    for name, nodes in sources(*ROOMS):
        if name == "llm_core/workspace/paths.py":
            continue
        for node in nodes:
            if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)):
                continue
            right, left = ast.unparse(node.right), ast.unparse(node.left)
            is_constant = isinstance(node.right, ast.Constant) or right.replace("_", "").isupper()
            if is_constant or not FOLDER_WORDS.search(left):
                continue
            place = f"{name}: {ast.unparse(node)}"
            assert place in OWN_NAMES, f"{place} (line {node.lineno}) must go through safe_join"


def test_temporary_files_are_private() -> None:
    for name, nodes in sources():
        for node in nodes:
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("mktemp", "NamedTemporaryFile"), f"{name}, line {node.lineno}"
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not node.value.startswith("/tmp"), f"{name}, line {node.lineno}"


def test_only_these_files_write_tables() -> None:
    """Each marks cells that a spreadsheet would take for a formula, or writes nothing but numbers."""
    writers = {"llm_core/backend/points_csv.py", "llm_core/cli/run_verbs.py"}
    for name, nodes in sources():
        for node in nodes:
            if isinstance(node, ast.Attribute):
                is_table = node.attr in ("DictWriter", "to_csv", "to_excel")
                is_writer = is_table or (node.attr == "writer" and ast.unparse(node.value) == "csv")
                assert not is_writer or name in writers, f"{name}, line {node.lineno}"


def test_archives_are_never_unpacked_whole() -> None:
    for name, nodes in sources():
        for node in nodes:
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("extractall", "unpack_archive"), f"{name}, line {node.lineno}"


def test_no_setting_names_code_and_paths_are_known() -> None:
    """A field that names a module, a class or an address would be a way for a file to choose what runs."""
    from llm_core.config.model import MODEL_CONFIGS
    from llm_core.config.objective import OBJECTIVES_OF
    from llm_core.config.schema import describe_run

    texts = {
        row.path
        for kind in MODEL_CONFIGS
        for objective in OBJECTIVES_OF[kind]
        for row in describe_run(kind, objective)
        if row.type in ("text", "texts")
    }
    assert texts <= FREE_TEXTS, "say here what this text can name"


def test_every_row_of_the_table_names_tests_that_exist() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    table = text.partition("## What went wrong elsewhere")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith("| what")]
    assert len(rows) >= 25
    for row in rows:
        named = re.findall(r"`(tests/[a-z0-9_/]+\.py)(?:::(test_\w+))?`", row)
        assert named or "does not concern us" in row, row
        for file, function in named:
            source = (ROOT / file).read_text(encoding="utf-8")
            assert not function or re.search(rf"^(async )?def {function}\(", source, re.MULTILINE), (
                f"{file}::{function}"
            )

"""Texts cut into tokens: counts, splits, keys, the unigram level, and the process that does it."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from llm_core.config.data import DataConfig
from llm_core.config.errors import NotFound, UserError
from llm_core.text.cleaning import CleaningOptions
from llm_core.text.dataset_record import ImportOptions
from llm_core.text.library import import_corpus, open_documents
from llm_core.text.progress import Cancelled
from llm_core.text.token_statistics import top_tokens
from llm_core.text.tokenizer_library import (
    delete_tokenizer,
    find_tokenizer,
    first_merges,
    import_tokenizer,
    list_tokenizers,
    open_tokenizer,
    train_tokenizer,
)
from llm_core.text.tokenizers import ByteTokenizer
from llm_core.text.tokens import find_tokens, prepare_tokens, tokens_key
from llm_core.workspace.paths import Workspace
from tests.text.conftest import left_behind

ROOT = Path(__file__).parents[2]
STORY = "Once upon a time there was a model that read this line again. 从前有一个模型。\n" * 60


def paste(workspace: Workspace, text: str = STORY, name: str = "story", separator: str | None = None) -> None:
    options = ImportOptions(kind="paste", name=name, cleaning=CleaningOptions(document_separator=separator))
    import_corpus(workspace, text, options)


@pytest.mark.parametrize("tokenizer", ["char", "byte", "bpe:300"])
def test_tokens_of_one_document_are_the_two_parts_of_its_text(workspace: Workspace, tokenizer: str) -> None:
    paste(workspace)
    token_set = prepare_tokens(workspace, DataConfig(dataset="story", tokenizer=tokenizer, context_length=16))
    cut = int(0.9 * len(STORY))
    cutter, meta = token_set.tokenizer, token_set.meta
    assert cutter.decode(token_set.train) == STORY[:cut]
    assert cutter.decode(token_set.validation) == STORY[cut:]
    assert token_set.train.tolist() == cutter.encode(STORY[:cut])
    assert (meta.train_bytes, meta.validation_bytes) == (len(STORY[:cut].encode()), len(STORY[cut:].encode()))
    assert (meta.train_tokens, meta.validation_tokens) == (len(token_set.train), len(token_set.validation))
    assert token_set.train.dtype == np.uint16
    assert not token_set.train.flags.writeable
    if tokenizer != "bpe:300":
        assert cutter.special_ids == frozenset()


@pytest.mark.parametrize("tokenizer", ["char", "byte", "bpe:300"])
def test_every_document_of_several_is_ended_once(workspace: Workspace, tokenizer: str) -> None:
    lines = [f"line {number} 从前 " * 5 for number in range(200)]
    paste(workspace, "\n".join(lines), separator="\n")
    token_set = prepare_tokens(workspace, DataConfig(dataset="story", tokenizer=tokenizer, context_length=16))
    found: list[str] = []
    for side, documents in ((token_set.train, token_set.meta.train_documents), (token_set.validation, None)):
        end = token_set.tokenizer.end_of_text_id
        ends = np.flatnonzero(side == end)
        assert documents in (None, len(ends))
        assert side[-1] == end
        found += [token_set.tokenizer.decode(part) for part in np.split(side, ends + 1)[:-1]]
    assert sorted(found) == sorted(open_documents(workspace, "story"))
    assert token_set.meta.train_bytes + token_set.meta.validation_bytes == sum(len(line.encode()) for line in found)


def test_bpe_learns_from_the_training_part_alone(workspace: Workspace) -> None:
    text = "abcd " * 900 + "wxyz " * 100
    paste(workspace, text)
    tokenizer = prepare_tokens(
        workspace, DataConfig(dataset="story", tokenizer="bpe:300", context_length=16, validation_fraction=0.1)
    ).tokenizer
    tokens = {tokenizer.token_text(i) for i in range(tokenizer.vocabulary_size)}
    assert " abcd" in tokens
    assert not any("wx" in token for token in tokens)


def test_the_unigram_level_and_top_tokens_equal_a_count_by_hand(workspace: Workspace) -> None:
    paste(workspace)
    token_set = prepare_tokens(workspace, DataConfig(dataset="story", context_length=16))
    train, validation = Counter(token_set.train.tolist()), Counter(token_set.validation.tolist())
    total = sum(train.values())
    level = -sum(count * math.log(train[i] / total) for i, count in validation.items()) / sum(validation.values())
    assert token_set.meta.unigram_entropy_nats == pytest.approx(level, abs=1e-12)
    assert token_set.meta.unseen_validation_tokens == 0
    listed = top_tokens(token_set, 5)
    by_count = sorted(train.items(), key=lambda item: (-item[1], item[0]))
    assert [(token.token_id, token.count) for token in listed] == by_count[:5]
    assert listed[0].text == " "


def test_unseen_tokens_are_counted_and_keep_the_level_finite(workspace: Workspace) -> None:
    paste(workspace, "ab" * 450 + "zz" * 50)
    meta = prepare_tokens(workspace, DataConfig(dataset="story", context_length=16)).meta
    assert (meta.unseen_validation_tokens, meta.used_vocabulary, meta.vocabulary_size) == (100, 2, 3)
    assert meta.unigram_entropy_nats == pytest.approx(math.log(900))


def test_tokens_are_made_once_and_found_again(workspace: Workspace) -> None:
    config = DataConfig(dataset="story", context_length=16)
    paste(workspace)
    assert find_tokens(workspace, config) is None
    made = prepare_tokens(workspace, config)
    before = (made.path / "train.bin").stat().st_mtime_ns
    again = prepare_tokens(workspace, config.model_copy(update={"context_length": 32}))
    found = find_tokens(workspace, config)
    assert found is not None
    assert made.key == again.key == found.key == tokens_key(workspace, config)
    assert (made.path / "train.bin").stat().st_mtime_ns == before
    others = [{"tokenizer": "byte"}, {"tokenizer": "bpe:300"}, {"tokenizer": "bpe:301"}, {"validation_fraction": 0.2}]
    keys = {tokens_key(workspace, config.model_copy(update=change)) for change in others}
    assert len(keys | {made.key}) == 5
    assert tokens_key(workspace, DataConfig()) is None, "the built-in text was never made"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"dataset": "nothing"}, NotFound, "no such text"),
        ({"tokenizer": "nothing"}, NotFound, "char, byte, bpe:<size>"),
        ({"tokenizer": "bpe"}, UserError, "names no vocabulary size"),
        ({"tokenizer": "bpe:x"}, UserError, "names no vocabulary size"),
        ({"tokenizer": "bpe:12"}, UserError, "257"),
        ({"context_length": 5_000}, UserError, r"validation part of “story” is too short.*more than 5,000"),
    ],
)
def test_what_cannot_be_cut_is_said_and_leaves_nothing(
    workspace: Workspace, change: dict[str, object], error: type[UserError], message: str
) -> None:
    paste(workspace)
    before = left_behind(workspace)
    with pytest.raises(error, match=message):
        prepare_tokens(workspace, DataConfig.model_validate({"dataset": "story", "context_length": 16, **change}))
    assert left_behind(workspace) == before


def test_a_character_the_tokenizer_does_not_know_is_named(workspace: Workspace) -> None:
    paste(workspace, "plain letters only\n" * 50, "plain")
    train_tokenizer(workspace, "plain", "char", name="letters")
    paste(workspace)
    before = left_behind(workspace)
    with pytest.raises(UserError, match=r"“O” \(U\+004F\)"):
        prepare_tokens(workspace, DataConfig(dataset="story", tokenizer="letters", context_length=16))
    assert left_behind(workspace) == before


def test_cancelling_leaves_nothing(workspace: Workspace) -> None:
    paste(workspace)
    before = left_behind(workspace)
    for tokenizer in ("char", "bpe:300"):
        with pytest.raises(Cancelled):
            prepare_tokens(
                workspace, DataConfig(dataset="story", tokenizer=tokenizer, context_length=16), cancelled=lambda: True
            )
    assert left_behind(workspace) == before


def test_a_damaged_token_folder_is_refused_by_path(workspace: Workspace) -> None:
    paste(workspace)
    config = DataConfig(dataset="story", context_length=16)
    token_set = prepare_tokens(workspace, config)
    with (token_set.path / "train.bin").open("r+b") as file:
        file.truncate(10)
    with pytest.raises(UserError, match="damaged"):
        find_tokens(workspace, config)
    (token_set.path / "meta.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match=r"damaged.*Delete the folder"):
        find_tokens(workspace, config)


def test_tokenizers_are_kept_by_name(workspace: Workspace, tmp_path: Path) -> None:
    paste(workspace)
    phases: list[str] = []
    made = train_tokenizer(workspace, "story", "bpe", 300, progress=lambda phase, *_: phases.append(phase))
    assert (made.name, made.kind, made.vocabulary_size, made.dataset_name) == ("bpe-300 story", "bpe", 300, "story")
    assert list(dict.fromkeys(phases)) == ["reading the training part", "learning merges"]
    tokenizer = open_tokenizer(workspace, "bpe-300 story")
    assert tokenizer.id == made.content_id
    assert len(first_merges(tokenizer, 5)) == 5
    assert first_merges(ByteTokenizer()) == []
    path = tmp_path / "tokenizer.json"
    path.write_text(tokenizer.to_json(), encoding="utf-8")
    brought = import_tokenizer(workspace, path, "copy")
    assert (brought.content_id, brought.origin) == (made.content_id, "imported")
    assert find_tokenizer(workspace, brought.id[:5]).name == "copy"
    assert {record.name for record in list_tokenizers(workspace)} == {"bpe-300 story", "copy"}
    keys = {tokens_key(workspace, DataConfig(dataset="story", tokenizer=name)) for name in ("copy", made.id)}
    assert len(keys) == 1, "equal tokenizers share tokens"
    for name in ("copy", "char", "bpe:300", "../x", "a\0b"):
        with pytest.raises(UserError):
            train_tokenizer(workspace, "story", "char", name=name)
    with pytest.raises(UserError):
        import_tokenizer(workspace, ROOT / "pyproject.toml")
    assert len(list_tokenizers(workspace)) == 2
    assert delete_tokenizer(workspace, "copy") > 0
    with pytest.raises(NotFound):
        find_tokenizer(workspace, "copy")


def test_a_tokenizer_without_end_token_is_refused_for_several_documents(workspace: Workspace) -> None:
    paste(workspace)
    train_tokenizer(workspace, "story", "byte", name="bytes")
    paste(workspace, "one\ntwo\nthree", "lines", separator="\n")
    with pytest.raises(UserError, match="no token that ends one"):
        prepare_tokens(workspace, DataConfig(dataset="lines", tokenizer="bytes", context_length=16))


def test_tiny_shakespeare_has_the_published_split(workspace: Workspace, public_text: Path) -> None:
    import_corpus(workspace, public_text / "tinyshakespeare" / "input.txt", ImportOptions(name="shakespeare"))
    meta = prepare_tokens(workspace, DataConfig(dataset="shakespeare", context_length=64)).meta
    assert (meta.train_tokens, meta.validation_tokens, meta.vocabulary_size) == (1_003_854, 111_540, 65)
    assert meta.unigram_entropy_nats == pytest.approx(3.347, abs=0.001)


def test_a_chinese_novel_works_through_every_step(workspace: Workspace, public_text: Path) -> None:
    path = public_text / "zh-classics" / "xiyouji.txt"
    text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    record = import_corpus(workspace, path, ImportOptions(name="西游记"))
    assert "".join(open_documents(workspace, "西游记")) == text
    assert record.statistics is not None
    assert "行者" not in dict(record.statistics.top_words), "Chinese is counted by characters"
    assert dict(record.statistics.top_words)["道"] > 5_000
    cut = int(0.9 * len(text))
    for tokenizer in ("char", "byte", "bpe:400"):
        token_set = prepare_tokens(workspace, DataConfig(dataset="西游记", tokenizer=tokenizer))
        assert token_set.tokenizer.decode(token_set.validation) == text[cut:]
        assert token_set.meta.validation_bytes == len(text[cut:].encode())


def prepare(workspace: Workspace, config: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "llm_core.text.prepare", str(workspace.root), config]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def test_the_process_says_how_far_it_is_and_where_the_tokens_are(workspace: Workspace) -> None:
    config = DataConfig(dataset="synthetic-addition", tokenizer="bpe:260", context_length=16)
    with prepare(workspace, config.model_dump_json()) as process:
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    *progress, last = [json.loads(line) for line in output.splitlines()]
    phases = list(dict.fromkeys(step["phase"] for step in progress))
    assert phases == [
        "making text",
        "reading the training part",
        "learning merges",
        "cutting tokens",
        "counting tokens",
    ]
    found = find_tokens(workspace, config)
    assert found is not None
    assert last == {"key": found.key, "path": str(found.path)}


@pytest.mark.parametrize("config", ['{"dataset": "nothing"}', '{"context_length": 1}', "{", '{"colour": "red"}'])
def test_the_process_says_what_is_wrong(workspace: Workspace, config: str) -> None:
    with prepare(workspace, config) as process:
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (2, "")
    assert set(json.loads(output.splitlines()[-1])["error"]) == {"what", "value", "limit", "remedy"}
    assert left_behind(workspace) == []


def test_the_process_removes_what_is_unfinished_when_it_is_stopped(workspace: Workspace) -> None:
    paste(workspace, STORY * 800)
    before = left_behind(workspace)
    with prepare(workspace, '{"dataset": "story", "tokenizer": "bpe:5000"}') as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["phase"] == "cutting tokens":
                break
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert left_behind(workspace) == before


def test_the_engine_reads_tokens_without_pyarrow_pandas_or_torch(workspace: Workspace) -> None:
    paste(workspace)
    prepare_tokens(workspace, DataConfig(dataset="story", context_length=16))
    code = """
import sys
from llm_core.config.data import DataConfig
from llm_core.text import batches, tokenizer_library, tokenizers
from llm_core.text.tokens import find_tokens
from llm_core.workspace.paths import open_workspace
token_set = find_tokens(open_workspace(sys.argv[1]), DataConfig(dataset="story", context_length=16))
batches.RandomWindows(token_set.train, 2, 16, 0).next()
print(sorted({"pyarrow", "pandas", "torch", "datasets", "streamlit"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", code, str(workspace.root)]
    finished = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert finished.stdout.strip() == "[]"


def test_learning_merges_is_cancelled_while_the_library_learns(workspace: Workspace) -> None:
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(rng.choice(letters, 12)) for _ in range(30_000)]
    paste(workspace, " ".join(words))
    before = left_behind(workspace)
    phases: list[str] = []
    with pytest.raises(Cancelled):
        train_tokenizer(
            workspace,
            "story",
            "bpe",
            60_000,
            progress=lambda phase, done, total: phases.append(phase),
            cancelled=lambda: "learning merges" in phases,
        )
    assert phases[-1] == "learning merges"
    assert left_behind(workspace) == before

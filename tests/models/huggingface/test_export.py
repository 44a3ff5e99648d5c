"""Our models in transformers: the same class, logits and tokens; and back to us bit for bit."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from llm_core.config.errors import UserError
from llm_core.config.model import GRUConfig, TransformerConfig
from llm_core.models.export import export_checkpoint
from llm_core.models.export_formats import ExportFormat
from llm_core.models.huggingface.families import differences, family_of
from llm_core.models.huggingface.import_model import import_model
from llm_core.models.loading import load_checkpoint_model
from llm_core.models.rnn import RecurrentModel
from llm_core.text.progress import Cancelled
from llm_core.text.tokenizers import ByteTokenizer, CharacterTokenizer, TextTokenizer
from llm_core.workspace.paths import Workspace
from tests.models.huggingface.support import (
    CONTEXT,
    TEXT,
    bpe_tokenizer,
    checkpoint_of,
    load,
    our_checkpoint,
    our_logits,
    their_logits,
    wide_decoder,
)

_GPT2 = {"positions": "learned", "norm": "layer", "activation": "gelu", "qk_norm": False, "biases": True}
FORMS: dict[str, tuple[str, dict[str, object]]] = {
    "the default": ("Qwen3ForCausalLM", {}),
    "wide heads, untied": ("Qwen3ForCausalLM", {"size_per_head": 12, "num_kv_heads": 2, "tie_embeddings": False}),
    "with a window": ("Qwen3ForCausalLM", {"window": 7, "rope_theta": 1e6}),
    "llama": ("LlamaForCausalLM", {"qk_norm": False, "num_kv_heads": 1, "tie_embeddings": False}),
    "llama, biases": ("LlamaForCausalLM", {"qk_norm": False, "biases": True, "feed_forward_size": 40}),
    "mistral": ("MistralForCausalLM", {"qk_norm": False, "window": 7, "num_kv_heads": 2}),
    "gpt2": ("GPT2LMHeadModel", {**_GPT2, "norm_epsilon": 1e-5}),
    "gpt2, untied": ("GPT2LMHeadModel", {**_GPT2, "tie_embeddings": False, "feed_forward_size": 40}),
}
TOKENIZERS: dict[str, TextTokenizer] = {
    "char": CharacterTokenizer(TEXT),
    "char with an end": CharacterTokenizer(TEXT, end_of_text=True),
    "byte": ByteTokenizer(),
    "byte with an end": ByteTokenizer(end_of_text=True),
    "bpe": bpe_tokenizer(),
}


@pytest.mark.parametrize("form", FORMS)
def test_transformers_computes_the_same(form: str, workspace: Workspace, tmp_path: Path) -> None:
    class_name, settings = FORMS[form]
    model = wide_decoder(bpe_tokenizer(), **settings)
    ids = torch.randint(model.vocabulary_size, (2, 40), generator=torch.Generator().manual_seed(1))
    checkpoint = our_checkpoint(tmp_path / "run", model, bpe_tokenizer())
    done = export_checkpoint(checkpoint, tmp_path / "out", "hf")
    assert done.class_name == class_name
    assert done.files.keys() == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.float64, 1e-9)):
        theirs = load(tmp_path / "out", dtype)
        assert type(theirs).__name__ == class_name
        ours = load_checkpoint_model(checkpoint, dtype=dtype).model
        torch.testing.assert_close(their_logits(theirs, ids), our_logits(ours, ids), atol=tolerance, rtol=0)
    back = load_checkpoint_model(checkpoint_of(workspace, import_model(workspace, str(tmp_path / "out")).run_id)).model
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in back.state_dict().items())
    assert torch.equal(our_logits(back, ids), our_logits(model, ids))


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_transformers_cuts_the_same(kind: str, workspace: Workspace, tmp_path: Path) -> None:
    tokenizer = TOKENIZERS[kind]
    checkpoint = our_checkpoint(tmp_path / "run", wide_decoder(tokenizer), tokenizer)
    export_checkpoint(checkpoint, tmp_path / "out", "hf")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    generator = np.random.default_rng(0)
    alphabet = sorted(set(TEXT))
    texts = [TEXT, "", " ", "\n\n  \n", *("".join(generator.choice(alphabet, 60)) for _ in range(30))]
    for text in texts:
        ids = tokenizer.encode(text)
        assert theirs(text)["input_ids"] == ids
        assert theirs.decode(ids) == tokenizer.decode(ids) == text
    assert len(theirs) == tokenizer.vocabulary_size
    expected = None if tokenizer.end_of_text_id is None else tokenizer.end_of_text_id
    assert theirs.eos_token_id == expected
    assert json.loads((tmp_path / "out/config.json").read_text())["eos_token_id"] == expected
    made = import_model(workspace, str(tmp_path / "out"))
    back = load_checkpoint_model(checkpoint_of(workspace, made.run_id)).tokenizer
    assert (back.kind, back.id) == (tokenizer.kind, tokenizer.id)


def test_an_unknown_character_is_an_error_there_too(tmp_path: Path) -> None:
    tokenizer = CharacterTokenizer("abc")
    export_checkpoint(our_checkpoint(tmp_path / "run", wide_decoder(tokenizer), tokenizer), tmp_path / "out", "hf")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    with pytest.raises(Exception, match="UNK"):
        theirs("abx")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"norm": "layer"}, "norm is layer, the class has rms"),
        ({"biases": True}, "Qwen3ForCausalLM comes nearest. Value: biases is True"),
        ({"feed_forward_size": 0}, "feed_forward_size is 0"),
        ({**_GPT2, "biases": False}, "GPT2LMHeadModel comes nearest. Value: biases is False"),
        ({**_GPT2, "num_kv_heads": 2}, "num_kv_heads is 2"),
        ({**_GPT2, "size_per_head": 12}, "size_per_head is 12"),
        ({**_GPT2, "window": 8}, "window is 8"),
        ({"positions": "learned"}, "positions is learned"),
        ({"activation": "gelu"}, "activation is gelu"),
        ({"qk_norm": False, "biases": True, "window": 8}, "MistralForCausalLM|LlamaForCausalLM"),
    ],
)
def test_a_form_of_no_class_is_refused_with_what_differs(
    settings: dict[str, object], words: str, tmp_path: Path
) -> None:
    checkpoint = our_checkpoint(tmp_path / "run", wide_decoder(ByteTokenizer(), **settings), ByteTokenizer())
    with pytest.raises(UserError) as caught:
        export_checkpoint(checkpoint, tmp_path / "out", "hf")
    assert any(word in str(caught.value) for word in words.split("|")) and caught.value.remedy
    assert [path.name for path in tmp_path.iterdir()] == ["run"], "nothing is left behind"


def test_every_class_fits_its_own_form_alone() -> None:
    for class_name, settings in FORMS.values():
        config = TransformerConfig.model_validate({"num_heads": 4, "hidden_size": 32, **settings})
        assert family_of(config).class_name == class_name and differences(family_of(config), config) == []


@pytest.fixture(scope="module")
def gru_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = RecurrentModel(GRUConfig(hidden_size=8), 256, CONTEXT).eval()
    return our_checkpoint(tmp_path_factory.mktemp("gru"), model, ByteTokenizer())


def test_a_recurrent_network_goes_to_onnx(gru_checkpoint: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    done = export_checkpoint(gru_checkpoint, tmp_path / "out", "onnx")
    assert (done.class_name, set(done.files)) == ("gru", {"model.onnx", "tokenizer.json"})
    session = onnxruntime.InferenceSession(tmp_path / "out/model.onnx", providers=["CPUExecutionProvider"])
    loaded = load_checkpoint_model(gru_checkpoint)
    ids = np.array([loaded.tokenizer.encode("Größe")], dtype=np.int64)
    logits = session.run(["logits"], {"tokens": ids, "hidden": np.zeros((1, 1, 8), dtype=np.float32)})[0]
    np.testing.assert_allclose(logits, our_logits(loaded.model, torch.from_numpy(ids)).numpy(), rtol=0, atol=1e-5)
    assert (tmp_path / "out/tokenizer.json").read_text() == loaded.tokenizer.to_json()


@pytest.mark.parametrize(("kind", "format"), [("gru", "hf"), ("gru", "gguf"), ("transformer", "onnx")])
def test_a_format_for_another_family_is_refused(
    kind: str, format: ExportFormat, gru_checkpoint: Path, tmp_path: Path
) -> None:
    other = our_checkpoint(tmp_path / "run", wide_decoder(ByteTokenizer()), ByteTokenizer())
    with pytest.raises(UserError, match=r"are written as (hf|gguf|onnx)"):
        export_checkpoint(gru_checkpoint if kind == "gru" else other, tmp_path / "out", format)
    assert not (tmp_path / "out").exists()


def test_a_missing_package_is_named(gru_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r"package `onnx`.*glassbox-lm\[export\]"):
        export_checkpoint(gru_checkpoint, tmp_path / "out", "onnx")
    assert list(tmp_path.iterdir()) == []


def test_targets(gru_checkpoint: Path, tmp_path: Path) -> None:
    """New, deep and empty folders are filled; anything else is refused and untouched."""
    pytest.importorskip("onnx")
    export_checkpoint(gru_checkpoint, tmp_path / "a/b", "onnx")
    (tmp_path / "empty").mkdir()
    export_checkpoint(gru_checkpoint, tmp_path / "empty", "onnx")
    assert (tmp_path / "empty/model.onnx").is_file()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/letter.txt").write_text("keep me")
    (tmp_path / "file").write_text("keep me too")
    for name, words in (("full", "something in it"), ("file", "is a file"), ("file/deeper", "cannot be made")):
        with pytest.raises(UserError, match=words):
            export_checkpoint(gru_checkpoint, tmp_path / name, "onnx")
    with pytest.raises(Cancelled):
        export_checkpoint(gru_checkpoint, tmp_path / "stopped", "onnx", cancelled=lambda: True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "empty", "file", "full"]
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["letter.txt"]

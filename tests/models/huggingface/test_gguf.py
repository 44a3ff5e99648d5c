"""GGUF files read back: every tensor, the tokenizer's entries, and the logits that transformers finds in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

from llm_core.config.errors import UserError
from llm_core.models.export import export_checkpoint
from llm_core.models.huggingface.gguf_export import halves_to_neighbours
from llm_core.text.subword import SubwordTokenizer
from llm_core.text.tokenizers import ByteTokenizer, CharacterTokenizer, TextTokenizer
from tests.models.huggingface.support import (
    CONTEXT,
    TEXT,
    bpe_tokenizer,
    our_checkpoint,
    our_logits,
    their_logits,
    wide_decoder,
)

gguf = pytest.importorskip("gguf")

_GPT2 = {"positions": "learned", "norm": "layer", "activation": "gelu", "qk_norm": False, "biases": True}
FORMS: dict[str, tuple[str, dict[str, object]]] = {
    "qwen3": ("qwen3", {"num_kv_heads": 2, "size_per_head": 12, "rope_theta": 5e4}),
    "qwen3, untied": ("qwen3", {"tie_embeddings": False}),
    "llama": ("llama", {"qk_norm": False, "num_kv_heads": 2, "tie_embeddings": False, "norm_epsilon": 1e-5}),
    "llama, biases": ("llama", {"qk_norm": False, "biases": True, "size_per_head": 8}),
    "gpt2": ("gpt2", {**_GPT2, "norm_epsilon": 1e-5}),
}


@pytest.mark.parametrize("form", FORMS)
def test_what_is_written_is_read_back(form: str, tmp_path: Path) -> None:
    architecture, settings = FORMS[form]
    model, tokenizer = wide_decoder(bpe_tokenizer(), **settings), bpe_tokenizer()
    done = export_checkpoint(our_checkpoint(tmp_path / "run", model, tokenizer), tmp_path / "out", "gguf", name="mine")
    assert list(done.files) == ["model.gguf"]
    reader = gguf.GGUFReader(tmp_path / "out/model.gguf")
    fields = {name: field.contents() for name, field in reader.fields.items()}
    assert (fields["general.architecture"], fields["general.name"]) == (architecture, "mine")
    assert fields[f"{architecture}.block_count"] == 2 and fields[f"{architecture}.attention.head_count"] == 4
    assert fields[f"{architecture}.context_length"] == model.context_length
    _check_tokenizer(fields, tokenizer)
    held = {tensor.name: tensor.data for tensor in reader.tensors}
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    assert sum(array.size for array in held.values()) == sum(array.size for array in state.values())
    assert all(array.dtype == np.float32 for array in held.values())
    np.testing.assert_array_equal(held["token_embd.weight"], state["embed_tokens.weight"])
    np.testing.assert_array_equal(held["blk.1.ffn_down.weight"], state["layers.1.mlp.down_proj.weight"])
    np.testing.assert_array_equal(held["output_norm.weight"], state["norm.weight"])
    queries = state["layers.1.self_attn.q_proj.weight"]
    if architecture == "gpt2":
        np.testing.assert_array_equal(held["blk.1.attn_qkv.weight"][:32], queries)
        np.testing.assert_array_equal(held["position_embd.weight"], state["embed_positions.weight"])
    else:
        expected = halves_to_neighbours(queries, 4) if architecture == "llama" else queries
        np.testing.assert_array_equal(held["blk.1.attn_q.weight"], expected)


def _check_tokenizer(fields: dict[str, Any], tokenizer: SubwordTokenizer) -> None:
    assert (fields["tokenizer.ggml.model"], fields["tokenizer.ggml.pre"]) == ("gpt2", "gpt-2")
    tokens, kinds = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    assert len(tokens) == len(kinds) == tokenizer.vocabulary_size
    assert [token for token, kind in zip(tokens, kinds, strict=True) if kind == 3] == ["<|endoftext|>"]
    assert tokens[fields["tokenizer.ggml.eos_token_id"]] == "<|endoftext|>"
    assert len(fields["tokenizer.ggml.merges"]) == 290 - 257 and fields["tokenizer.ggml.add_bos_token"] is False


@pytest.mark.parametrize("form", FORMS)
def test_transformers_reads_the_file_and_computes_the_same(form: str, tmp_path: Path) -> None:
    """It undoes the order of rows and the joined matrices by code that is not ours."""
    model = wide_decoder(bpe_tokenizer(), **FORMS[form][1])
    export_checkpoint(our_checkpoint(tmp_path / "run", model, bpe_tokenizer()), tmp_path / "out", "gguf")
    path = tmp_path / "out/model.gguf"
    config = transformers.AutoConfig.from_pretrained(tmp_path / "out", gguf_file="model.gguf")
    # Its reader of the settings passes these over.
    config.update({"head_dim": model.config.head_size} if hasattr(config, "head_dim") else {"n_positions": CONTEXT})
    if FORMS[form][0] == "llama":
        config.update({"attention_bias": model.config.biases, "mlp_bias": model.config.biases})
    theirs = transformers.AutoModelForCausalLM.from_config(config).eval()
    read = load_gguf_checkpoint(path, return_tensors=True, model_to_load=theirs)
    missing, unknown = theirs.load_state_dict(read["tensors"], strict=False)
    assert not unknown and set(missing) <= {"lm_head.weight"}
    ids = torch.randint(model.vocabulary_size, (2, 40), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(their_logits(theirs, ids), our_logits(model, ids), atol=1e-4, rtol=0)


def test_neighbours_are_the_halves() -> None:
    rows = np.arange(8, dtype=np.float32)[:, None]
    assert halves_to_neighbours(rows, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def other_rule() -> SubwordTokenizer:
    return SubwordTokenizer(bpe_tokenizer().to_json().replace('"add_prefix_space":false', '"add_prefix_space":true', 1))


REFUSED: dict[str, tuple[TextTokenizer, dict[str, object], str]] = {
    "characters": (CharacterTokenizer(TEXT), {}, "it is a char tokenizer"),
    "bytes": (ByteTokenizer(), {}, "it is a byte tokenizer"),
    "another rule": (other_rule(), {}, "another rule than GPT-2's"),
    "a window": (bpe_tokenizer(), {"window": 8}, "model.window = 8"),
    "mistral": (bpe_tokenizer(), {"window": 8, "qk_norm": False}, "model.window = 8"),
    "no class": (bpe_tokenizer(), {"norm": "layer"}, "norm is layer"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_llama_cpp_would_compute_otherwise_is_refused(case: str, tmp_path: Path) -> None:
    tokenizer, settings, words = REFUSED[case]
    checkpoint = our_checkpoint(tmp_path / "run", wide_decoder(tokenizer, **settings), tokenizer)
    with pytest.raises(UserError) as caught:
        export_checkpoint(checkpoint, tmp_path / "out", "gguf")
    assert words in str(caught.value) and caught.value.remedy
    assert [path.name for path in tmp_path.iterdir()] == ["run"]

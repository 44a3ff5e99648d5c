"""Models of transformers as runs: the same logits, however they were saved; and back to transformers bit for bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models

from llm_core.backend.inference_methods import Methods
from llm_core.generation.likelihood import likelihood
from llm_core.models.export import export_checkpoint
from llm_core.models.huggingface.import_model import import_model
from llm_core.models.loading import load_checkpoint_model
from llm_core.text.tokens import find_tokens
from llm_core.workspace.checkpoints import list_checkpoints, verify_checkpoint
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry
from llm_core.workspace.runs import run_folder, summarise_run
from tests.models.huggingface.support import (
    CONTEXT,
    FORMS,
    TEXT,
    V,
    change_config,
    checkpoint_of,
    imported,
    load,
    our_logits,
    save,
    their_logits,
    transformers_model,
)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("form", FORMS)
def test_logits_are_equal_and_come_back_bit_for_bit(
    form: str, tied: bool, workspace: Workspace, tmp_path: Path
) -> None:
    theirs = transformers_model(form, tied=tied)
    folder = save(theirs, tmp_path / "model")
    made = import_model(workspace, str(folder))
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.float64, 1e-9)):
        expected = their_logits(theirs.to(dtype))
        torch.testing.assert_close(
            our_logits(imported(workspace, made.run_id, dtype)), expected, atol=tolerance, rtol=0
        )
    assert made.parameters == sum(parameter.numel() for parameter in theirs.parameters())
    export_checkpoint(checkpoint_of(workspace, made.run_id), tmp_path / "back", "hf")
    back = load(tmp_path / "back")
    # Without a window Mistral's form is Llama's.
    assert type(back).__name__ == ("LlamaForCausalLM" if form == "mistral, no window" else made.class_name)
    assert torch.equal(their_logits(back), their_logits(load(folder)))
    again = import_model(workspace, str(tmp_path / "back"))
    ours, second = (imported(workspace, run_id) for run_id in (made.run_id, again.run_id))
    assert again.name == "back" and second.config == ours.config
    assert all(torch.equal(tensor, ours.state_dict()[name]) for name, tensor in second.state_dict().items())


def test_the_run_is_finished_and_whole(workspace: Workspace, tmp_path: Path) -> None:
    folder = save(transformers_model("qwen3"), tmp_path / "tiny qwen")
    made = import_model(workspace, str(folder))
    assert (made.name, made.state, made.class_name) == ("tiny qwen", "finished", "Qwen3ForCausalLM")
    assert (made.vocabulary_size, made.context_length, made.tokenizer) == (V, CONTEXT, "bpe")
    (checkpoint,) = list_checkpoints(run_folder(workspace, made.run_id))
    assert (checkpoint.path.name, checkpoint.kind) == ("step-00000000", "weights")
    assert verify_checkpoint(checkpoint.path) == []
    with Registry(workspace) as registry:
        summary = summarise_run(workspace, registry.get(made.run_id))
    assert (summary.kind, summary.parameters, summary.steps, summary.max_steps) == (
        "transformer",
        made.parameters,
        0,
        None,
    )


def test_the_loss_of_a_text_is_that_of_transformers(workspace: Workspace, tmp_path: Path) -> None:
    """More rows than tokens: the unused ones take part in the softmax as they do in transformers."""
    theirs = transformers_model("llama")
    made = import_model(workspace, str(save(theirs, tmp_path / "model")))
    loaded = load_checkpoint_model(checkpoint_of(workspace, made.run_id))
    ids = loaded.tokenizer.encode(TEXT)[: CONTEXT + 1]
    assert loaded.model.vocabulary_size == V > loaded.tokenizer.vocabulary_size
    found = likelihood(loaded.model, torch.tensor(ids).numpy(), loaded.tokenizer)
    logits = their_logits(theirs, torch.tensor([ids[:-1]]))[0]
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="sum").item()
    assert abs(found.nats - expected) < 1e-3 and found.tokens == CONTEXT


def test_the_pages_questions_are_answered(workspace: Workspace, tmp_path: Path) -> None:
    """What Playground and Attention ask, of a model whose layers look through a window."""
    made = import_model(workspace, str(save(transformers_model("mistral"), tmp_path / "model")))
    methods = Methods(workspace)
    likeliest = methods.next_token(made.run_id, None, "The quick", {})
    assert likeliest["step"] == 0 and likeliest["tokens"]
    assert methods.attention(made.run_id, None, TEXT[:40], 1)
    assert methods.score(made.run_id, None, TEXT[:40])["step"] == 0
    assert find_tokens(workspace, load_checkpoint_model(checkpoint_of(workspace, made.run_id)).config.data) is None


@pytest.mark.parametrize("form", ["gpt2", "llama"])
def test_sharded_weights_are_the_same(form: str, workspace: Workspace, tmp_path: Path) -> None:
    theirs = transformers_model(form, tied=False)
    folder = save(theirs, tmp_path / "model", max_shard_size="40KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2 and not (folder / "model.safetensors").exists()
    made = import_model(workspace, str(folder))
    torch.testing.assert_close(our_logits(imported(workspace, made.run_id)), their_logits(theirs), atol=1e-4, rtol=0)


@pytest.mark.parametrize("form", ["gpt2", "qwen3"])
def test_names_without_prefix_and_old_buffers_are_understood(form: str, workspace: Workspace, tmp_path: Path) -> None:
    """As GPT2Model saves, and as GPT-2 lies on the Hub to this day."""
    theirs = transformers_model(form)
    folder = save(theirs, tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    bare = {name.removeprefix("transformer.").removeprefix("model."): tensor for name, tensor in tensors.items()}
    if form == "gpt2":
        bare |= {"h.0.attn.bias": torch.ones(1, 1, CONTEXT, CONTEXT), "h.1.attn.masked_bias": torch.tensor(-1e4)}
    else:
        bare |= {"layers.0.self_attn.rotary_emb.inv_freq": torch.ones(6), "rotary_emb.inv_freq": torch.ones(6)}
    save_file(bare, folder / "model.safetensors")
    made = import_model(workspace, str(folder))
    torch.testing.assert_close(our_logits(imported(workspace, made.run_id)), their_logits(theirs), atol=1e-4, rtol=0)


@pytest.mark.parametrize("case", ["head alone", "both equal", "both different"])
def test_tying_follows_what_is_stored(case: str, workspace: Workspace, tmp_path: Path) -> None:
    folder = save(transformers_model("llama"), tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    embedding = tensors["model.embed_tokens.weight"]
    tensors["lm_head.weight"] = embedding.clone() + (0.5 if case == "both different" else 0.0)
    if case == "head alone":
        del tensors["model.embed_tokens.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    made = import_model(workspace, str(folder))
    model = imported(workspace, made.run_id)
    assert model.config.tie_embeddings == (case != "both different")
    torch.testing.assert_close(our_logits(model), their_logits(load(folder)), atol=1e-4, rtol=0)


def test_half_precision_stays_as_it_is(workspace: Workspace, tmp_path: Path) -> None:
    folder = save(transformers_model("qwen3", dtype=torch.bfloat16), tmp_path / "model")
    made = import_model(workspace, str(folder))
    checkpoint = checkpoint_of(workspace, made.run_id)
    assert {tensor.dtype for tensor in load_file(checkpoint / "model.safetensors").values()} == {torch.bfloat16}
    export_checkpoint(checkpoint, tmp_path / "back", "hf")
    assert json.loads((tmp_path / "back/config.json").read_text())["dtype"] == "bfloat16"
    first, second = (load_file(path / "model.safetensors") for path in (folder, tmp_path / "back"))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    torch.testing.assert_close(
        our_logits(imported(workspace, made.run_id)), their_logits(load(folder)), atol=1e-4, rtol=0
    )


def test_the_config_of_gpt2_as_it_lies_on_the_hub_is_read(workspace: Workspace, tmp_path: Path) -> None:
    """Its older keys change nothing; neither do those that only training or generation reads."""
    theirs = transformers_model("gpt2")
    folder = save(theirs, tmp_path / "model")
    old = {
        "n_ctx": CONTEXT,
        "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
        "summary_type": "cls_index",
        "torch_dtype": "float32",
        "resid_pdrop": 0.1,
        "model_type": "gpt2",
        "n_inner": ...,
        "dtype": ...,
        "scale_attn_weights": ...,
    }
    made = import_model(workspace, str(change_config(folder, **old)))
    torch.testing.assert_close(our_logits(imported(workspace, made.run_id)), their_logits(theirs), atol=1e-4, rtol=0)


def test_rope_is_read_where_earlier_versions_wrote_it(workspace: Workspace, tmp_path: Path) -> None:
    theirs = transformers_model("llama", rope_parameters={"rope_type": "default", "rope_theta": 7_000.0})
    folder = save(theirs, tmp_path / "model")
    change_config(folder, rope_parameters=..., rope_theta=7_000.0, rope_scaling=None, head_dim=..., pretraining_tp=1)
    made = import_model(workspace, str(folder))
    torch.testing.assert_close(our_logits(imported(workspace, made.run_id)), their_logits(theirs), atol=1e-4, rtol=0)


def test_names_are_free_or_refused(workspace: Workspace, tmp_path: Path) -> None:
    folder = save(transformers_model("gpt2"), tmp_path / "model")
    assert import_model(workspace, str(folder)).name == "model"
    assert import_model(workspace, str(folder)).name == "model-2"
    with pytest.raises(ValueError, match="run with this name"):
        import_model(workspace, str(folder), "model")


def test_a_copy_of_the_workspace_without_its_registry_finds_the_run_again(workspace: Workspace, tmp_path: Path) -> None:
    made = import_model(workspace, str(save(transformers_model("gpt2"), tmp_path / "model")))
    other = Workspace(tmp_path / "copy")
    shutil.copytree(workspace.root, other.root, ignore=shutil.ignore_patterns("glassbox.db*"))
    with Registry(other) as registry:
        record = registry.get(made.run_id)
    assert (record.state, record.reason, record.name) == ("finished", "imported", "model")


def test_a_tokenizer_of_single_words_from_the_library(workspace: Workspace, tmp_path: Path) -> None:
    """One without any end token, as large as the model: the end token that we add has no row, and nothing needs it."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "b": 2, "c": 3}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    folder = save(transformers_model("qwen3", vocab_size=4), tmp_path / "model")
    words.save(str(folder / "tokenizer.json"))
    made = import_model(workspace, str(folder))
    checkpoint = checkpoint_of(workspace, made.run_id)
    loaded = load_checkpoint_model(checkpoint)
    assert loaded.model.vocabulary_size == 4 and loaded.tokenizer.encode("a c b") == [1, 3, 2]
    export_checkpoint(checkpoint, tmp_path / "back", "hf")
    back = transformers.AutoTokenizer.from_pretrained(tmp_path / "back")
    assert back("a c b")["input_ids"] == [1, 3, 2] and len(back) == 4


def test_the_end_that_the_model_was_trained_with_is_kept(workspace: Workspace, tmp_path: Path) -> None:
    """As in Qwen3, whose tokenizer has both names while config.json ends texts with the second."""
    names = ["<|endoftext|>", "<|im_end|>"]
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1, **{name: 2 + i for i, name in enumerate(names)}}, "a"))
    tokenizer.add_special_tokens(names)
    folder = save(transformers_model("qwen3"), tmp_path / "model", tokenizer.to_str())
    for said, expected in ((3, 3), ([3, 2], 3), (2, 2), (0, 2), (None, 2)):
        change_config(folder, eos_token_id=said)
        made = import_model(workspace, str(folder))
        loaded = load_checkpoint_model(checkpoint_of(workspace, made.run_id))
        assert loaded.tokenizer.end_of_text_id == expected, said
        target = tmp_path / f"back-{made.run_id}"
        export_checkpoint(checkpoint_of(workspace, made.run_id), target, "hf")
        assert json.loads((target / "config.json").read_text())["eos_token_id"] == expected
        assert "glassbox" not in (target / "tokenizer.json").read_text()
        back = transformers.AutoTokenizer.from_pretrained(target)
        assert back.convert_tokens_to_ids(names) == [2, 3] and back.eos_token_id == expected

"""Folders that are not what they say: refused before any tensor is read, with what is wrong by name, and nothing left behind."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from llm_core.config.errors import NotFound, UserError
from llm_core.models.huggingface import read_weights
from llm_core.models.huggingface.import_model import import_model
from llm_core.text.progress import Cancelled
from llm_core.text.tokenizers import CharacterTokenizer
from llm_core.workspace.paths import Workspace
from llm_core.workspace.registry import Registry
from tests.models.huggingface.support import change_config, save, transformers_model, tree
from tests.models.huggingface.wide_forms import model_of, tokenizer_of


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One folder of each kind, never changed."""
    root = tmp_path_factory.mktemp("saved")
    return {
        "gpt2": save(transformers_model("gpt2"), root / "gpt2"),
        "llama": save(transformers_model("llama"), root / "llama"),
        "qwen3": save(transformers_model("qwen3"), root / "qwen3"),
        "mistral": save(transformers_model("mistral"), root / "mistral"),
        **{
            form: save(model_of(form), root / form, tokenizer_of(form))
            for form in ("bert", "roberta", "modernbert", "t5")
        },
        "sharded": save(transformers_model("llama", tied=False), root / "sharded", max_shard_size="40KB"),
    }


@pytest.fixture
def copy(saved: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    return lambda kind: Path(shutil.copytree(saved[kind], tmp_path / kind))


@pytest.fixture
def refused(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], UserError]:
    """Import a folder that must be refused; returns the refusal. Reading a tensor would be an error of another kind."""

    def no_reading(*_: object) -> torch.Tensor:
        raise AssertionError("a tensor was read")

    def refuse(folder: Path) -> UserError:
        monkeypatch.setattr(read_weights, "_read", no_reading)
        with Registry(workspace):
            before = tree(workspace.root)
        with pytest.raises(UserError) as caught:
            import_model(workspace, str(folder))
        assert caught.value.remedy, "every refusal says what to do"
        assert tree(workspace.root) == before
        with Registry(workspace) as registry:
            assert registry.jobs() == []
        return caught.value

    return refuse


CONFIGS: list[tuple[str, str, object, str]] = [
    ("gpt2", "architectures", ["BertForPreTraining"], "GPT2LMHeadModel, BertForMaskedLM, RobertaForMaskedLM"),
    ("gpt2", "architectures", ["BertForMaskedLM"], "contradicts itself"),
    ("gpt2", "architectures", ["GPT2Model"], "GPT2LMHeadModel"),
    ("gpt2", "architectures", ["LlamaForCausalLM"], "contradicts itself"),
    ("gpt2", "model_type", "llama", "contradicts itself"),
    ("gpt2", "activation_function", "relu", "activation_function = \"relu\""),
    ("gpt2", "scale_attn_by_inverse_layer_idx", True, "scale_attn_by_inverse_layer_idx = true"),
    ("gpt2", "scale_attn_weights", False, "scale_attn_weights = false"),
    ("gpt2", "reorder_and_upcast_attn", True, "reorder_and_upcast_attn = true"),
    ("gpt2", "add_cross_attention", True, "add_cross_attention = true"),
    ("gpt2", "n_layer", 10**12, "n_layer = 1000000000000"),
    ("gpt2", "n_layer", 2.0, "n_layer = 2.0"),
    ("gpt2", "n_layer", "2", 'n_layer = "2"'),
    ("gpt2", "n_head", 0, "n_head = 0"),
    ("gpt2", "n_head", 5, "5 heads"),
    ("gpt2", "vocab_size", 10**12, "vocab_size = 1000000000000"),
    ("gpt2", "n_positions", 10**9, "n_positions = 1000000000"),
    ("gpt2", "layer_norm_epsilon", None, "layer_norm_epsilon = null"),
    ("gpt2", "invented_by_nobody", 3, "invented_by_nobody = 3"),
    ("gpt2", "auto_map", {"AutoModel": "evil.Model"}, "auto_map"),
    ("llama", "rope_scaling", {"rope_type": "linear", "factor": 2.0}, "rope_scaling"),
    ("llama", "rope_parameters", {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4}, "yarn"),
    ("llama", "rope_parameters", {"rope_type": "default", "rope_theta": 0}, "rope_parameters.rope_theta = 0"),
    ("llama", "partial_rotary_factor", 0.5, "partial_rotary_factor = 0.5"),
    ("llama", "attention_bias", True, "mlp_bias = false"),
    ("llama", "mlp_bias", True, "mlp_bias = true"),
    ("llama", "hidden_act", "gelu", 'hidden_act = "gelu"'),
    ("llama", "tie_word_embeddings", "yes", 'tie_word_embeddings = "yes"'),
    ("llama", "quantization_config", {"bits": 4}, "quantization_config"),
    ("llama", "rms_norm_eps", 0.5, "rms_norm_eps = 0.5"),
    ("llama", "sliding_window", 8, "sliding_window = 8"),
    ("qwen3", "attention_bias", True, "attention_bias = true"),
    ("qwen3", "layer_types", ["full_attention", "sliding_attention"], "layer_types"),
    ("qwen3", "head_dim", 100_000, "head_dim = 100000"),
    ("mistral", "sliding_window", 0, "sliding_window = 0"),
    ("bert", "architectures", ["RobertaForMaskedLM"], "contradicts itself"),
    ("bert", "architectures", ["BertModel"], "BertForMaskedLM"),
    ("bert", "num_hidden_layers", 10**12, "num_hidden_layers = 1000000000000"),
    ("bert", "hidden_act", "gelu_new", 'hidden_act = "gelu_new"'),
    ("bert", "is_decoder", True, "is_decoder = true"),
    ("bert", "position_embedding_type", "relative_key", 'position_embedding_type = "relative_key"'),
    ("bert", "tie_word_embeddings", False, "tie_word_embeddings = false"),
    ("bert", "type_vocab_size", 0, "type_vocab_size = 0"),
    ("bert", "num_attention_heads", 5, "5 heads"),
    ("bert", "summary_type", "last", 'summary_type = "last"'),
    ("roberta", "pad_token_id", None, "pad_token_id = null"),
    ("roberta", "pad_token_id", 10**9, "pad_token_id = 1000000000"),
    ("roberta", "max_position_embeddings", 3, "max_position_embeddings = 3"),
    ("modernbert", "decoder_bias", False, "decoder_bias = false"),
    ("modernbert", "mlp_bias", True, "mlp_bias = true"),
    ("modernbert", "classifier_activation", "silu", 'classifier_activation = "silu"'),
    ("modernbert", "layer_types", ["sliding_attention"] + ["full_attention"] * 4, "layer_types"),
    ("modernbert", "layer_types", ["full_attention"], "layer_types"),
    ("modernbert", "local_attention", 0, "local_attention = 0"),
    ("modernbert", "rope_parameters", {"full_attention": {"rope_type": "linear", "factor": 2}}, "linear"),
    ("modernbert", "rope_parameters", {"full_attention": 3}, "rope_parameters"),
    ("modernbert", "rope_scaling", {"rope_type": "linear"}, "rope_scaling"),
    ("modernbert", "hidden_size", 4, "cannot be rotated"),
    ("t5", "num_layers", 10**12, "num_layers = 1000000000000"),
    ("t5", "num_decoder_layers", 0, "num_decoder_layers = 0"),
    ("t5", "is_encoder_decoder", False, "is_encoder_decoder = false"),
    ("t5", "feed_forward_proj", "gated-silu", 'feed_forward_proj = "gated-silu"'),
    ("t5", "dense_act_fn", "gelu_new", 'dense_act_fn = "gelu_new"'),
    ("t5", "is_gated_act", True, "is_gated_act = true"),
    ("t5", "relative_attention_num_buckets", 30, "multiple of 4"),
    ("t5", "tie_encoder_decoder", True, "tie_encoder_decoder = true"),
    ("t5", "tie_word_embeddings", "no", 'tie_word_embeddings = "no"'),
    ("t5", "vocab_size", 10**12, "vocab_size = 1000000000000"),
    ("t5", "max_position_embeddings", 512, "max_position_embeddings = 512"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "key", "value", "words"), CONFIGS, ids=[f"{row[1]}={row[2]}" for row in CONFIGS])
def test_a_config_that_means_something_else(
    kind: str,
    key: str,
    value: object,
    words: str,
    copy: Callable[[str], Path],
    refused: Callable[[Path], UserError],
) -> None:
    assert words in str(refused(change_config(copy(kind), **{key: value})))


def pickle_only(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")


def renamed_pickle(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(pickle.dumps({"a": [1.0]}))


def renamed_zip(folder: Path) -> None:
    torch.save({"a": torch.ones(2)}, folder / "model.safetensors")


def change_tensors(**changes: torch.Tensor | None) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        for name, tensor in changes.items():
            dotted = name.replace("__", ".")
            if tensor is None:
                del tensors[dotted]
            else:
                tensors[dotted] = tensor
        save_file(tensors, folder / "model.safetensors")

    return change


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def link_out(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        outside = folder.parent / f"outside-{name}"
        (folder / name).rename(outside)
        (folder / name).symlink_to(outside)

    return change


def bad_json(folder: Path) -> None:
    (folder / "config.json").write_text("{'a': 1}", encoding="utf-8")


def deep_json(folder: Path) -> None:
    (folder / "config.json").write_text("[" * 100_000, encoding="utf-8")


def large_json(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"x": "y" * 2**20}), encoding="utf-8")


def too_many_tokens(folder: Path) -> None:
    letters = CharacterTokenizer(chr(0x4E00 + code) for code in range(400))
    (folder / "tokenizer.json").write_text(letters.to_json(), encoding="utf-8")


ONE = torch.ones(1)
FOLDERS: dict[str, tuple[Callable[[Path], None], str]] = {
    "pickled weights alone": (pickle_only, r"pytorch_model\.bin.*save_pretrained"),
    "a pickle renamed": (renamed_pickle, "pickled weights, which could run code"),
    "a zipped pickle renamed": (renamed_zip, "pickled weights, which could run code"),
    "cut short": (cut, "damaged or something else"),
    "a tensor missing": (change_tensors(model__norm__weight=None), r"lack a tensor.*model\.norm\.weight"),
    "a tensor too many": (change_tensors(model__extra=ONE), r"no place for.*model\.extra"),
    "another shape": (change_tensors(model__norm__weight=ONE), r"model\.norm\.weight has another shape.*\[1\].*\[32\]"),
    "one twice": (change_tensors(norm__weight=torch.ones(32)), r"twice.*norm\.weight"),
    "whole numbers": (change_tensors(model__norm__weight=torch.ones(32, dtype=torch.int8)), "I8"),
    "weights behind a link": (link_out("model.safetensors"), r"outside of itself.*model\.safetensors.*cp -rL"),
    "config behind a link": (link_out("config.json"), r"outside of itself.*config\.json"),
    "tokenizer behind a link": (link_out("tokenizer.json"), r"outside of itself.*tokenizer\.json"),
    "no config": (lambda folder: (folder / "config.json").unlink(), r"has no config\.json"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "no weights"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), r"has no tokenizer\.json"),
    "config is no JSON": (bad_json, r"config\.json is no JSON"),
    "config too deep": (deep_json, r"config\.json is no JSON"),
    "config too large": (large_json, r"config\.json is too large"),
    "more tokens than rows": (too_many_tokens, "no vector for"),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_a_folder_that_is_not_what_it_says(
    case: str, copy: Callable[[str], Path], refused: Callable[[Path], UserError]
) -> None:
    change, words = FOLDERS[case]
    folder = copy("llama")
    change(folder)
    assert re.search(words, str(refused(folder)))


def without_gaps(folder: Path) -> None:
    """As many rows as the tokenizer has tokens, and none of them to begin or end a target with."""
    tensors = load_file(folder / "model.safetensors")
    tensors["shared.weight"] = tensors["shared.weight"][:3].clone()
    save_file(tensors, folder / "model.safetensors")
    change_config(folder, vocab_size=3)
    (folder / "tokenizer.json").write_text(CharacterTokenizer("abc").to_json(), encoding="utf-8")


OTHER_FOLDERS: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "bert, pickled weights alone": ("bert", pickle_only, r"pytorch_model\.bin.*save_pretrained"),
    "t5, a pickle renamed": ("t5", renamed_pickle, "pickled weights, which could run code"),
    "roberta, weights behind a link": ("roberta", link_out("model.safetensors"), r"outside of itself.*cp -rL"),
    "bert, the head missing": (
        "bert",
        change_tensors(cls__predictions__transform__dense__weight=None),
        r"lack a tensor.*cls\.predictions\.transform\.dense\.weight",
    ),
    "roberta, another shape": (
        "roberta",
        change_tensors(roberta__embeddings__position_embeddings__weight=torch.ones(160, 32)),
        r"position_embeddings\.weight has another shape.*\[160, 32\].*\[162, 32\]",
    ),
    "modernbert, joined matrix of another shape": (
        "modernbert",
        change_tensors(model__layers__1__mlp__Wi__weight=torch.ones(48, 32)),
        r"Wi\.weight has another shape.*\[48, 32\].*\[96, 32\]",
    ),
    "modernbert, a norm that the first layer has not": (
        "modernbert",
        change_tensors(model__layers__0__attn_norm__weight=torch.ones(32)),
        r"no place for.*layers\.0\.attn_norm",
    ),
    "t5, a layer missing": (
        "t5",
        change_tensors(decoder__block__2__layer__1__EncDecAttention__q__weight=None),
        r"lack a tensor.*decoder\.block\.2\.layer\.1\.EncDecAttention\.q\.weight",
    ),
    "t5, a copy of another shape": (
        "t5",
        change_tensors(lm_head__weight=torch.ones(2, 32)),
        r"lm_head\.weight has another shape",
    ),
    "t5, no token to begin with": ("t5", without_gaps, "lacks special tokens.*</s>, <pad>"),
    "bert, the prefix of another": (
        "bert",
        change_tensors(model__embeddings__word_embeddings__weight=ONE),
        r"no place for.*model\.embeddings",
    ),
}


@pytest.mark.parametrize("case", OTHER_FOLDERS)
def test_a_folder_of_another_kind_that_is_not_what_it_says(
    case: str, copy: Callable[[str], Path], refused: Callable[[Path], UserError]
) -> None:
    kind, change, words = OTHER_FOLDERS[case]
    folder = copy(kind)
    change(folder)
    assert re.search(words, str(refused(folder)))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("bert", "cls.predictions.decoder.weight"),
        ("roberta", "lm_head.decoder.bias"),
        ("modernbert", "decoder.weight"),
        ("t5", "encoder.embed_tokens.weight"),
    ],
)
def test_a_tied_tensor_with_numbers_of_its_own(
    kind: str, name: str, copy: Callable[[str], Path], workspace: Workspace
) -> None:
    """Only reading shows it; nothing is left behind all the same."""
    folder = copy(kind)
    rows = json.loads((folder / "config.json").read_text(encoding="utf-8"))["vocab_size"]
    change_tensors(**{name.replace(".", "__"): torch.ones(rows) if name.endswith("bias") else torch.ones(rows, 32)})(
        folder
    )
    with pytest.raises(UserError, match="differs from the one") as caught:
        import_model(workspace, str(folder))
    assert caught.value.value == name and caught.value.remedy
    with Registry(workspace) as registry:
        assert registry.jobs() == []


INDEXES: dict[str, tuple[Callable[[dict[str, str]], object], str]] = {
    "a path upwards": (lambda places: {**places, "x": "../llama/model.safetensors"}, r"outside of itself.*\.\./llama"),
    "an absolute path": (lambda places: {**places, "x": "/etc/passwd.safetensors"}, "outside of itself"),
    "a shard that is not there": (lambda places: {**places, "x": "gone.safetensors"}, r"no gone\.safetensors"),
    "a shard that is a pickle": (lambda places: {**places, "x": "pytorch_model.bin"}, r"no safetensors"),
    "a tensor that no shard has": (lambda places: {**places, "model.x": min(places.values())}, r"promises.*model\.x"),
    "a tensor left out": (
        lambda places: {name: place for name, place in places.items() if "layers.0.mlp.up" not in name},
        "does not know",
    ),
    "no map": (lambda places: list(places), "no weight_map"),
    "no names": (lambda places: dict.fromkeys(places, 3), "no weight_map"),
}


@pytest.mark.parametrize("case", INDEXES)
def test_an_index_that_is_not_what_it_says(
    case: str, copy: Callable[[str], Path], refused: Callable[[Path], UserError]
) -> None:
    change, words = INDEXES[case]
    folder = copy("sharded")
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**index, "weight_map": change(index["weight_map"])}), encoding="utf-8")
    assert re.search(words, str(refused(folder)))


def test_no_folder_and_a_file(workspace: Workspace, tmp_path: Path, refused: Callable[[Path], UserError]) -> None:
    (tmp_path / "file").write_text("text", encoding="utf-8")
    assert "This is a file" in str(refused(tmp_path / "file"))
    with pytest.raises(NotFound, match="no such folder"):
        import_model(workspace, str(tmp_path / "nowhere"))


def test_cancelling_leaves_nothing(saved: dict[str, Path], workspace: Workspace) -> None:
    with Registry(workspace):
        before = tree(workspace.root)
    with pytest.raises(Cancelled):
        import_model(workspace, str(saved["llama"]), cancelled=lambda: True)
    assert tree(workspace.root) == before

"""BERT, RoBERTa, ModernBERT and T5 as runs and back: logits, gradients, special tokens; and that a wrong reading would be seen."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

from llm_core.config.encoder import encoder_presets
from llm_core.config.encoder_decoder import encoder_decoder_form
from llm_core.config.errors import UserError
from llm_core.models.export import export_checkpoint
from llm_core.models.huggingface.families import FAMILIES
from llm_core.models.huggingface.import_model import import_model
from llm_core.models.huggingface.tensor_names import correspondences
from llm_core.models.loading import load_checkpoint_model
from llm_core.models.registry import build_model
from llm_core.text.tokenizers import ByteTokenizer, CharacterTokenizer, TextTokenizer
from llm_core.text.vocabulary import model_vocabulary
from llm_core.workspace.paths import Workspace
from tests.models.huggingface.support import (
    TEXT,
    bpe_tokenizer,
    change_config,
    checkpoint_of,
    imported,
    load,
    our_checkpoint,
    save,
    wide,
)
from tests.models.huggingface.wide_forms import (
    CONTEXT,
    FORMS,
    V,
    compared,
    exact,
    model_of,
    ours,
    padding_of,
    small_queries,
    theirs,
    tokenizer_of,
    tokens,
)
from tests.models.test_encoder import _rotation_in_the_weights_own_type  # noqa: F401 - ModernBERT without float32 inside

forms = pytest.mark.parametrize("form", FORMS)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One folder of each form, never changed."""
    root = tmp_path_factory.mktemp("saved")
    return {form: save(model_of(form), root / form, tokenizer_of(form)) for form in FORMS}


def family_named(class_name: str) -> Any:
    return next(family for family in FAMILIES if family.class_name == class_name)


@forms
def test_logits_and_gradients_are_equal(form: str, folders: dict[str, Path], workspace: Workspace) -> None:
    made = import_model(workspace, str(folders[form]))
    assert made.class_name == FORMS[form][0] and (made.vocabulary_size, made.state) == (V, "finished")
    if form.startswith("t5"):
        assert made.context_length == 512
    else:
        assert made.context_length == CONTEXT
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.float64, 1e-9)):
        reference = exact(model_of(form, dtype))
        model = imported(workspace, made.run_id, dtype).requires_grad_(True)
        for side in ("none", "left", "right"):
            padding = None if side == "none" else padding_of(side)
            expected, found = theirs(form, reference, tokens(), padding), ours(form, model, tokens(), padding)
            where = compared(form, padding_of(side))
            torch.testing.assert_close(found[where], expected[where], atol=tolerance, rtol=0)
            for logits, network in ((expected, reference), (found, model)):
                network.zero_grad()
                torch.nn.functional.cross_entropy(logits[where], tokens().roll(3, 1)[where]).backward()
            other = dict(reference.named_parameters())
            mine = {name: parameter.grad for name, parameter in model.named_parameters()}
            for item in correspondences(family_named(made.class_name), list(mine)):
                gradient = item.to_theirs([mine[name] for name in item.ours])
                torch.testing.assert_close(gradient, other[item.theirs].grad, atol=tolerance, rtol=tolerance)
    assert made.parameters == sum(parameter.numel() for parameter in reference.parameters())


@forms
def test_it_comes_back_bit_for_bit(form: str, folders: dict[str, Path], workspace: Workspace, tmp_path: Path) -> None:
    made = import_model(workspace, str(folders[form]))
    done = export_checkpoint(checkpoint_of(workspace, made.run_id), tmp_path / "back", "hf")
    assert done.class_name == made.class_name
    first, second = (load_file(folder / "model.safetensors") for folder in (folders[form], tmp_path / "back"))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    back, reference = load(tmp_path / "back"), load(folders[form])
    assert type(back) is type(reference)
    for side in ("none", "right"):
        padding = None if side == "none" else padding_of(side)
        assert torch.equal(theirs(form, back, tokens(), padding), theirs(form, reference, tokens(), padding))
    again = import_model(workspace, str(tmp_path / "back"))
    runs = [load_checkpoint_model(checkpoint_of(workspace, run_id)) for run_id in (made.run_id, again.run_id)]
    assert runs[0].config.model_dump(exclude={"name"}) == runs[1].config.model_dump(exclude={"name"})
    assert runs[0].tokenizer.id == runs[1].tokenizer.id


@forms
def test_tensors_exchanged_would_be_seen(form: str, folders: dict[str, Path], workspace: Workspace) -> None:
    """Any two tensors of the same shape, at the top and in one layer, mean something else in each other's place."""
    model = imported(workspace, import_model(workspace, str(folders[form])).run_id)
    expected = ours(form, model, tokens())
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    names = [name for name in state if ".layers." not in f".{name}" or ".layers.1." in f".{name}"]
    pairs = [(one, two) for one, two in itertools.combinations(names, 2) if state[one].shape == state[two].shape]
    assert len(pairs) > 10
    for one, two in pairs:
        model.load_state_dict({**state, one: state[two], two: state[one]})
        assert (ours(form, model, tokens()) - expected).abs().max() > 1e-2, f"{one} in the place of {two}"


MISREAD = {
    "bert": ({"norm_epsilon": 1e-2},),
    "roberta": ({"norm_epsilon": 1e-2},),
    "modernbert": (
        {"window": 18},
        {"window": 0},
        {"global_every": 2},
        {"rope_theta": 10_000.0},
        {"local_rope_theta": 160_000.0},
        {"norm_epsilon": 1e-2},
    ),
    "t5": (
        {"scale_output": False},
        {"position_buckets": 16},
        {"position_distance": 100},
        {"norm_epsilon": 1e-2},
        {"scale_scores": True},
    ),
    "t5-v1.1": ({"scale_output": True}, {"tie_embeddings": True}),
}


@pytest.mark.parametrize("form", MISREAD)
def test_settings_misread_would_be_seen(form: str, folders: dict[str, Path], workspace: Workspace) -> None:
    model = imported(workspace, import_model(workspace, str(folders[form])).run_id)
    expected = ours(form, model, tokens())
    for changes in MISREAD[form]:
        config = type(model.config).model_validate({**model.config.model_dump(), **changes})
        other = build_model(config, V, model.context_length).eval()
        state = model.state_dict()
        for name, tensor in other.state_dict().items():
            tensor.copy_(state[name][: tensor.shape[0]])
        assert (ours(form, other, tokens()) - expected).abs().max() > 1e-3, changes


def test_positions_of_roberta_would_be_missed(folders: dict[str, Path], workspace: Workspace) -> None:
    model = imported(workspace, import_model(workspace, str(folders["roberta"])).run_id)
    expected = ours("roberta", model, tokens())
    model.embed_positions.weight.copy_(model.embed_positions.weight.roll(2, 0))
    assert (ours("roberta", model, tokens()) - expected).abs().max() > 1e-2


@pytest.mark.parametrize("form", ["bert", "roberta", "modernbert", "t5", "t5-v1.1"])
def test_other_ways_of_saving_are_understood(
    form: str, folders: dict[str, Path], workspace: Workspace, tmp_path: Path
) -> None:
    """Shards; names without the prefix; tied tensors again; what the model with this head does not have; the first BERTs' words."""
    tensors = load_file(folders[form] / "model.safetensors")
    family = family_named(FORMS[form][0])
    bare = {name.removeprefix(family.prefix): tensor for name, tensor in tensors.items()}
    if form == "bert":
        bare = {name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
                for name, tensor in bare.items()}  # fmt: skip
        embedding, bias = bare["embeddings.word_embeddings.weight"], bare.pop("cls.predictions.bias")
        bare |= {
            "cls.predictions.decoder.weight": embedding.clone(),
            "cls.predictions.decoder.bias": bias,
            "embeddings.position_ids": torch.arange(CONTEXT)[None],
            "pooler.dense.weight": torch.ones(32, 32),
            "pooler.dense.bias": torch.ones(32),
            "cls.seq_relationship.weight": torch.ones(2, 32),
            "cls.seq_relationship.bias": torch.ones(2),
        }
    elif form == "roberta":
        bare |= {
            "lm_head.decoder.weight": bare.pop("embeddings.word_embeddings.weight"),
            "lm_head.decoder.bias": bare["lm_head.bias"].clone(),
            "embeddings.position_ids": torch.arange(CONTEXT + 2)[None],
        }
    elif form == "modernbert":
        bare |= {
            "decoder.weight": bare["embeddings.tok_embeddings.weight"].clone(),
            "layers.1.attn.rotary_emb.inv_freq": torch.ones(4),
        }
    else:
        bare |= {f"{side}.embed_tokens.weight": bare["shared.weight"].clone() for side in ("encoder", "decoder")}
        bare["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"] = torch.ones(32, 4)
        if form == "t5":
            bare["lm_head.weight"] = bare["shared.weight"].clone()
    folder = tmp_path / "bare"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_bytes((folders[form] / name).read_bytes())
    halves: list[dict[str, Tensor]] = [dict(list(bare.items())[start::2]) for start in (0, 1)]
    places: dict[str, str] = {}
    for number, half in enumerate(halves):
        file = f"model-0000{number + 1}-of-00002.safetensors"
        save_file(half, folder / file)
        places |= dict.fromkeys(half, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}), encoding="utf-8")
    first, second = (import_model(workspace, str(path)) for path in (folders[form], folder))
    models = [imported(workspace, made.run_id) for made in (first, second)]
    assert models[0].config == models[1].config
    assert torch.equal(ours(form, models[0], tokens()), ours(form, models[1], tokens()))


CONFIGS: dict[str, dict[str, Any]] = {
    # As the published ones lie on the Hub.
    "bert": {
        "gradient_checkpointing": False,
        "position_embedding_type": "absolute",
        "pooler_fc_size": 768,
        "directionality": "bidi",
        "model_type": "bert",
        "transformers_version": "4.6.0.dev0",
    },
    "roberta": {"position_embedding_type": "absolute", "bos_token_id": 0, "eos_token_id": 2},
    "modernbert": {
        "layer_types": ...,
        "rope_parameters": ...,
        "global_attn_every_n_layers": 3,
        "global_rope_theta": 160000.0,
        "local_rope_theta": 10000.0,
        "layer_norm_eps": 1e-5,
        "position_embedding_type": "absolute",
        "gradient_checkpointing": False,
        "reference_compile": None,
    },
    "t5": {
        "n_positions": 512,
        "output_past": True,
        "num_decoder_layers": 3,
        "decoder_start_token_id": 0,
        "scale_decoder_outputs": ...,
        "dense_act_fn": ...,
        "is_gated_act": ...,
        "task_specific_params": {"summarization": {"max_length": 200}},
    },
    "t5-v1.1": {"tie_word_embeddings": False, "scale_decoder_outputs": ..., "dense_act_fn": ..., "is_gated_act": ...},
}


@pytest.mark.parametrize("form", CONFIGS)
def test_older_configs_are_read(form: str, workspace: Workspace, tmp_path: Path) -> None:
    reference = model_of(form)
    folder = change_config(save(reference, tmp_path / "model", tokenizer_of(form)), **CONFIGS[form])
    model = imported(workspace, import_model(workspace, str(folder)).run_id)
    torch.testing.assert_close(ours(form, model, tokens()), theirs(form, reference, tokens()), atol=1e-4, rtol=0)


@pytest.mark.parametrize("form", ["bert", "roberta", "modernbert", "t5"])
def test_special_tokens_are_those_of_the_class(
    form: str, folders: dict[str, Path], workspace: Workspace, tmp_path: Path
) -> None:
    checkpoint = checkpoint_of(workspace, import_model(workspace, str(folders[form])).run_id)
    loaded = load_checkpoint_model(checkpoint)
    vocabulary = model_vocabulary(loaded.tokenizer, loaded.config.objective).with_rows(V)
    export_checkpoint(checkpoint, tmp_path / "back", "hf")
    back = transformers.AutoTokenizer.from_pretrained(tmp_path / "back")
    config = json.loads((tmp_path / "back/config.json").read_text(encoding="utf-8"))
    assert len(back) == loaded.tokenizer.vocabulary_size == V - 10
    if form == "t5":
        assert (loaded.config.objective.kind, loaded.config.objective.num_sentinels) == ("span-corruption", 10)
        assert vocabulary.first_mark == back.convert_tokens_to_ids("<extra_id_0>") == V - 11
        assert (vocabulary.start_token, vocabulary.end_token) == (back.pad_token_id, back.eos_token_id) == (0, 1)
        assert (config["decoder_start_token_id"], config["pad_token_id"], config["eos_token_id"]) == (0, 0, 1)
        written = load(tmp_path / "back").generate(
            **back("w3 <extra_id_0> w5", return_tensors="pt"), max_new_tokens=4, use_cache=False
        )
        assert written.shape[0] == 1
    else:
        assert loaded.config.objective.kind == "masked"
        assert vocabulary.mask_token == back.mask_token_id
        assert back("w3 " + back.mask_token)["input_ids"].count(back.mask_token_id) == 1
        assert back("w3")["input_ids"][0] == back.cls_token_id and back("w3")["input_ids"][-1] == back.sep_token_id
        padded = back(["w3", "w3 w4"], padding=True)["input_ids"]
        assert padded[0][-1] == back.pad_token_id == config["pad_token_id"]


def our_models(tokenizer: TextTokenizer) -> dict[str, tuple[str, Any, dict[str, Any]]]:
    """Forms of ours: the class of transformers, the settings of the network and those of its objective."""
    small = {"num_layers": 3, "num_heads": 4, "hidden_size": 32}
    forms = encoder_presets()
    found: dict[str, tuple[str, Any, dict[str, Any]]] = {}
    for name, class_name in (
        ("bert", "BertForMaskedLM"),
        ("roberta", "BertForMaskedLM"),
        ("modernbert", "ModernBertForMaskedLM"),
    ):
        window = {"window": 16, "dropout": 0.1} if name == "modernbert" else {}
        found[name] = (class_name, forms[name].model_copy(update={**small, **window}), {"kind": "masked"})
    gaps = {"kind": "span-corruption", "num_sentinels": 20}
    for name in ("t5", "t5-v1.1"):
        config = encoder_decoder_form(name).small
        found[name] = ("T5ForConditionalGeneration", config, gaps)
    found["t5, pairs"] = (
        "T5ForConditionalGeneration",
        encoder_decoder_form("t5").small,
        {"kind": "sequence-to-sequence"},
    )
    return found


TOKENIZERS: dict[str, TextTokenizer] = {
    "char": CharacterTokenizer(TEXT),
    "byte with an end": ByteTokenizer(end_of_text=True),
    "bpe": bpe_tokenizer(),
}


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("form", our_models(ByteTokenizer()))
def test_a_model_of_ours_is_the_same_there(form: str, kind: str, workspace: Workspace, tmp_path: Path) -> None:
    tokenizer = TOKENIZERS[kind]
    class_name, config, objective = our_models(tokenizer)[form]
    checkpoint = trained(tmp_path / "run", config, tokenizer, objective)
    done = export_checkpoint(checkpoint, tmp_path / "out", "hf")
    assert done.class_name == class_name
    loaded = load_checkpoint_model(checkpoint)
    rows = loaded.model.vocabulary_size
    ids = torch.randint(rows, (2, T_OURS), generator=torch.Generator().manual_seed(1))
    expected = ours(form, loaded.model, ids)
    torch.testing.assert_close(theirs(form, load(tmp_path / "out"), ids), expected, atol=1e-4, rtol=0)
    back = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert back(TEXT, add_special_tokens=False)["input_ids"] == tokenizer.encode(TEXT)
    vocabulary = model_vocabulary(tokenizer, loaded.config.objective)
    assert len(back) == rows == vocabulary.size
    if vocabulary.mask_token is not None:
        assert (back.mask_token, back.mask_token_id) == ("[MASK]", vocabulary.mask_token)
    else:
        assert (back.pad_token_id, back.eos_token_id) == (vocabulary.start_token, vocabulary.end_token)
    if vocabulary.first_mark is not None:
        assert back.convert_tokens_to_ids(["<extra_id_0>", "<extra_id_19>"]) == [rows - 1, rows - 20]
    again = load_checkpoint_model(checkpoint_of(workspace, import_model(workspace, str(tmp_path / "out")).run_id))
    assert again.tokenizer.id == tokenizer.id or kind == "bpe"
    assert model_vocabulary(again.tokenizer, again.config.objective).mask_token == vocabulary.mask_token
    assert model_vocabulary(again.tokenizer, again.config.objective).first_mark == vocabulary.first_mark
    assert torch.equal(ours(form, again.model, ids), expected)


T_OURS = 60


def trained(folder: Path, config: Any, tokenizer: TextTokenizer, objective: dict[str, Any]) -> Path:
    """A checkpoint as a run of our own leaves it, on wide random weights."""
    from llm_core.config.run import config_from_dict

    values = {"model": config.model_dump(mode="json"), "objective": objective}
    rows = model_vocabulary(tokenizer, config_from_dict(values).objective).size
    model = wide(build_model(config, rows, 64))
    if config.kind == "encoder-decoder":
        small_queries(model)
    return our_checkpoint(folder, model.eval(), tokenizer, objective=objective)


def test_roberta_with_a_padding_token_of_its_own_stays_roberta(tmp_path: Path) -> None:
    from llm_core.text.tokenizers import tokenizer_from_json

    tokenizer = tokenizer_from_json(tokenizer_of("roberta"))
    config = encoder_presets()["roberta-small"].model_copy(update={"num_layers": 2, "hidden_size": 32})
    checkpoint = trained(tmp_path / "run", config, tokenizer, {"kind": "masked"})
    assert export_checkpoint(checkpoint, tmp_path / "out", "hf").class_name == "RobertaForMaskedLM"
    ids = torch.randint(2, tokenizer.vocabulary_size, (2, T_OURS), generator=torch.Generator().manual_seed(1))
    expected = ours("roberta", load_checkpoint_model(checkpoint).model, ids)
    torch.testing.assert_close(theirs("roberta", load(tmp_path / "out"), ids), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (encoder_decoder_form("transformer-2017").small, "T5ForConditionalGeneration comes nearest"),
        (encoder_presets()["bert-small"].model_copy(update={"token_types": 0}), "token_types is 0"),
        (encoder_presets()["bert-small"].model_copy(update={"biases": False}), "biases is False"),
        (encoder_presets()["modernbert-small"].model_copy(update={"norm_placement": "post"}), "norm_placement is post"),
        (encoder_decoder_form("t5").small.model_copy(update={"scale_scores": True}), "scale_scores is True"),
    ],
)
def test_a_form_of_no_class_is_refused_with_what_differs(settings: Any, words: str, tmp_path: Path) -> None:
    objective = "masked" if settings.kind == "encoder" else "span-corruption"
    checkpoint = trained(tmp_path / "run", settings, ByteTokenizer(), {"kind": objective})
    with pytest.raises(UserError) as caught:
        export_checkpoint(checkpoint, tmp_path / "out", "hf")
    assert words in str(caught.value) and caught.value.remedy
    assert [path.name for path in tmp_path.iterdir()] == ["run"], "nothing is left behind"


@pytest.mark.parametrize("format", ["gguf", "onnx"])
@pytest.mark.parametrize("form", ["bert", "t5"])
def test_other_formats_are_refused_with_the_reason(form: str, format: Any, tmp_path: Path) -> None:
    _, config, objective = our_models(ByteTokenizer())[form]
    checkpoint = trained(tmp_path / "run", config, ByteTokenizer(), objective)
    with pytest.raises(UserError, match=f"are written as {format}.*--format hf"):
        export_checkpoint(checkpoint, tmp_path / "out", format)

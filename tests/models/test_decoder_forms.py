"""GPT-2, Llama and Mistral as settings of the same layers, against transformers as it is; each test fails without its mechanism."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from llm_core.config.model import TransformerConfig
from llm_core.models.decoder import Decoder
from tests.models.test_decoder import wide_random

V, CONTEXT = 29, 160
GPT2 = {
    "positions": "learned",
    "norm": "layer",
    "activation": "gelu",
    "qk_norm": False,
    "biases": True,
    "norm_epsilon": 1e-5,
}
LLAMA = {"qk_norm": False, "tie_embeddings": False, "num_kv_heads": 2}
FORMS: dict[str, dict[str, object]] = {
    "gpt2": GPT2,
    "llama": LLAMA,
    "mistral": {**LLAMA, "window": 24},
    "qwen3, wide heads": {"size_per_head": 12, "num_kv_heads": 2},
}
PRECISIONS = pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])


def ours(form: str, dtype: torch.dtype = torch.float64, **changes: object) -> Decoder:
    values = {"num_layers": 3, "num_heads": 4, "hidden_size": 32, **FORMS[form], **changes}
    return wide_random(Decoder(TransformerConfig.model_validate(values), V, CONTEXT).to(dtype))  # pyright: ignore


def reference(form: str, model: Decoder) -> torch.nn.Module:
    """The same weights in the class of transformers that a form is named after."""
    import transformers

    config = model.config
    if form == "gpt2":
        theirs = transformers.GPT2LMHeadModel(
            transformers.GPT2Config(
                vocab_size=V,
                n_positions=CONTEXT,
                n_embd=config.hidden_size,
                n_layer=config.num_layers,
                n_head=config.num_heads,
                layer_norm_epsilon=config.norm_epsilon,
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
            )
        ).to(model.dtype)
        theirs.load_state_dict(gpt2_names(model))
        return theirs.eval()
    common = {
        "vocab_size": V,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.resolved_feed_forward_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.resolved_num_kv_heads,
        "head_dim": config.head_size,
        "max_position_embeddings": CONTEXT,
        "tie_word_embeddings": config.tie_embeddings,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "rms_norm_eps": config.norm_epsilon,
    }
    if form == "llama":
        theirs = transformers.LlamaForCausalLM(transformers.LlamaConfig(**common))
    elif form == "mistral":
        theirs = transformers.MistralForCausalLM(transformers.MistralConfig(**common, sliding_window=config.window))
    else:
        theirs = transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**common))
    theirs = theirs.to(model.dtype)
    weights = {
        name if name.startswith("lm_head") else f"model.{name}": value for name, value in model.state_dict().items()
    }
    if config.tie_embeddings:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    theirs.load_state_dict(weights)
    return theirs.eval()


def gpt2_names(model: Decoder) -> dict[str, torch.Tensor]:
    """Our weights under GPT-2's names: queries, keys and values in one matrix, all matrices the other way round."""
    state = model.state_dict()
    found = {
        "transformer.wte.weight": state["embed_tokens.weight"],
        "transformer.wpe.weight": state["embed_positions.weight"],
    }
    found["lm_head.weight"] = state["embed_tokens.weight"]
    for part in ("weight", "bias"):
        found[f"transformer.ln_f.{part}"] = state[f"norm.{part}"]
        for layer in range(model.config.num_layers):
            mine, theirs = f"layers.{layer}", f"transformer.h.{layer}"
            qkv = torch.cat([state[f"{mine}.self_attn.{name}_proj.{part}"] for name in "qkv"])
            found[f"{theirs}.ln_1.{part}"] = state[f"{mine}.input_layernorm.{part}"]
            found[f"{theirs}.ln_2.{part}"] = state[f"{mine}.post_attention_layernorm.{part}"]
            found[f"{theirs}.attn.c_attn.{part}"] = qkv.T if part == "weight" else qkv
            for name, own in (
                ("attn.c_proj", "self_attn.o_proj"),
                ("mlp.c_fc", "mlp.up_proj"),
                ("mlp.c_proj", "mlp.down_proj"),
            ):
                value = state[f"{mine}.{own}.{part}"]
                found[f"{theirs}.{name}.{part}"] = value.T if part == "weight" else value
    return {name: value.contiguous() for name, value in found.items()}


def logits_of(model: Decoder, tokens: torch.Tensor, **arguments: torch.Tensor) -> torch.Tensor:
    return model.logits(model(tokens, **arguments).hidden_BTD)


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(V, (2, 130), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("form", FORMS)
@PRECISIONS
def test_logits_and_gradients_are_equal(tokens: torch.Tensor, form: str, dtype: torch.dtype, tolerance: float) -> None:
    model = ours(form, dtype)
    theirs = reference(form, model)
    expected = theirs(tokens).logits
    found = logits_of(model, tokens)
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)
    for logits in (found, expected):
        torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()).backward()
    gradients = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    if form == "gpt2":
        torch.testing.assert_close(
            model.embed_positions.weight.grad, gradients["transformer.wpe.weight"], atol=tolerance, rtol=tolerance
        )
        torch.testing.assert_close(
            model.layers[1].mlp.up_proj.weight.grad.T,
            gradients["transformer.h.1.mlp.c_fc.weight"],
            atol=tolerance,
            rtol=tolerance,
        )
        return
    for name, parameter in model.named_parameters():
        other = gradients[name if name.startswith("lm_head") else f"model.{name}"]
        torch.testing.assert_close(parameter.grad, other, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("form", FORMS)
@PRECISIONS
def test_padding_on_the_left_is_equal(tokens: torch.Tensor, form: str, dtype: torch.dtype, tolerance: float) -> None:
    model = ours(form, dtype)
    padding = torch.zeros_like(tokens, dtype=torch.bool)
    padding[1, :11] = True
    positions = ((~padding).cumsum(1) - 1).clamp(min=0)
    theirs = reference(form, model)(tokens, attention_mask=(~padding).long(), position_ids=positions).logits
    mine = logits_of(model, tokens, padding_BT=padding)
    torch.testing.assert_close(mine[~padding], theirs[~padding], atol=tolerance, rtol=0)


@pytest.mark.parametrize("form", FORMS)
@PRECISIONS
def test_decoding_with_caches_is_equal(tokens: torch.Tensor, form: str, dtype: torch.dtype, tolerance: float) -> None:
    model = ours(form, dtype)
    theirs = reference(form, model)
    whole = logits_of(model, tokens)
    state, cache, parts = model.initial_state(2, CONTEXT), None, []
    with torch.no_grad():
        for piece in tokens.split([60, 1, 1, 20, 1, 47], dim=1):
            output = model(piece, state=state)
            expected = theirs(piece, past_key_values=cache, use_cache=True)
            state, cache = output.state, expected.past_key_values
            parts.append(model.logits(output.hidden_BTD))
            torch.testing.assert_close(parts[-1], expected.logits, atol=tolerance, rtol=0)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=tolerance, rtol=0)


def _set(name: str, value: object) -> Callable[[Decoder], None]:
    def change(model: Decoder) -> None:
        model.config = model.config.model_copy(update={name: value})

    return change


def _zero(word: str) -> Callable[[Decoder], None]:
    def change(model: Decoder) -> None:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if word in name:
                    parameter.zero_()

    return change


def _relu(model: Decoder) -> None:
    for block in model.layers:
        block.mlp.up_proj.register_forward_hook(lambda _module, _inputs, output: output.relu())


def _centred(model: Decoder) -> None:
    for block in model.layers:
        block.input_layernorm.register_forward_pre_hook(lambda _module, inputs: (inputs[0] + 1.0,))
        block.input_layernorm.forward = lambda x: torch.nn.functional.rms_norm(x, x.shape[-1:])


MECHANISMS: dict[str, tuple[str, Callable[[Decoder], None]]] = {
    "window": ("mistral", _set("window", 0)),
    "learned positions": ("gpt2", _zero("embed_positions")),
    "biases of products": ("gpt2", _zero("proj.bias")),
    "biases of norms": ("gpt2", _zero("layernorm.bias")),
    "the activation": ("gpt2", _relu),
    "taking the mean off": ("gpt2", _centred),
}


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_missing_mechanism_would_be_seen(tokens: torch.Tensor, mechanism: str) -> None:
    form, change = MECHANISMS[mechanism]
    model = ours(form)
    before = logits_of(model, tokens)
    change(model)
    assert (before - logits_of(model, tokens)).abs().max() > 0.01


@pytest.mark.parametrize("form", FORMS)
def test_packed_documents_equal_each_alone(tokens: torch.Tensor, form: str) -> None:
    model = ours(form)
    documents = torch.zeros_like(tokens)
    documents[:, 40:], documents[:, 97:] = 1, 2
    packed = logits_of(model, tokens, documents_BT=documents)
    for start, end in ((0, 40), (40, 97), (97, 130)):
        torch.testing.assert_close(packed[:, start:end], logits_of(model, tokens[:, start:end]), atol=1e-9, rtol=0)


@pytest.mark.parametrize("form", FORMS)
def test_the_first_loss_is_chance(form: str) -> None:
    torch.manual_seed(0)
    model = Decoder(TransformerConfig.model_validate({"hidden_size": 768, "num_heads": 12, **FORMS[form]}), 500, 64)
    inputs = torch.randint(500, (4, 65))
    logits = logits_of(model, inputs[:, :-1])
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), inputs[:, 1:].flatten())
    assert abs(loss.item() - torch.tensor(500.0).log().item()) < 0.05

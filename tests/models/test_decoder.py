"""The Transformer against Qwen3ForCausalLM of transformers as it is, on weights wide enough that every fault shows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from llm_core.config.errors import UserError
from llm_core.config.model import TransformerConfig
from llm_core.models.decoder import Decoder
from llm_core.models.tap import RecordingTap
from llm_core.objectives.train_step import TrainStep

V, CONTEXT = 29, 160


def wide_random(model: torch.nn.Module) -> torch.nn.Module:
    """Weights drawn so wide that a missing norm, mask or rotation moves the result visibly."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(
                torch.empty_like(parameter).normal_(1.0 if parameter.dim() == 1 else 0.0, 0.25, generator=generator)
            )
    return model.eval()


def ours(dtype: torch.dtype = torch.float64, **changes: object) -> Decoder:
    settings = {"num_layers": 3, "num_heads": 4, "num_kv_heads": 2, "hidden_size": 32, **changes}
    return wide_random(Decoder(TransformerConfig(**settings), V, CONTEXT).to(dtype))  # pyright: ignore


def reference(model: Decoder) -> torch.nn.Module:
    """The same weights in transformers, nothing of it changed."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = model.config
    theirs = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=V,
            hidden_size=config.hidden_size,
            intermediate_size=config.resolved_feed_forward_size,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            num_key_value_heads=config.resolved_num_kv_heads,
            head_dim=config.head_size,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=config.tie_embeddings,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
            rms_norm_eps=config.norm_epsilon,
            use_cache=False,
        )
    ).to(model.dtype)
    weights = {
        name if name.startswith("lm_head") else f"model.{name}": tensor for name, tensor in model.state_dict().items()
    }
    if config.tie_embeddings:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    theirs.load_state_dict(weights)
    return theirs.eval()


def logits_of(model: Decoder, tokens: torch.Tensor, **arguments: torch.Tensor) -> torch.Tensor:
    return model.logits(model(tokens, **arguments).hidden_BTD)


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(V, (2, 130), generator=torch.Generator().manual_seed(1))


PRECISIONS = pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
FORMS: dict[str, dict[str, object]] = {
    "grouped and tied": {},
    "grouped and untied": {"tie_embeddings": False},
    "one key-value head": {"num_kv_heads": 1},
    "all heads, other base and epsilon": {"num_kv_heads": 0, "rope_theta": 500.0, "norm_epsilon": 1e-2},
    "narrow feed-forward": {"feed_forward_size": 12},
}


@pytest.mark.parametrize("form", FORMS)
@PRECISIONS
def test_logits_and_gradients_equal_qwen3(
    tokens: torch.Tensor, form: str, dtype: torch.dtype, tolerance: float
) -> None:
    model = ours(dtype, **FORMS[form])
    theirs = reference(model)
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    their_logits = theirs(inputs).logits
    torch.testing.assert_close(logits_of(model, inputs), their_logits, atol=tolerance, rtol=0)
    loss_sum, count, _ = TrainStep(model)(inputs, targets)
    # The loss of transformers goes down to float32, so it is taken here from its logits.
    their_loss = torch.nn.functional.cross_entropy(their_logits.flatten(0, 1), targets.flatten())
    torch.testing.assert_close(loss_sum / count, their_loss, atol=tolerance, rtol=0)
    (loss_sum / count).backward()
    their_loss.backward()
    gradients = dict(theirs.named_parameters())
    for name, parameter in model.named_parameters():
        expected = gradients[name if name.startswith("lm_head") else f"model.{name}"].grad
        torch.testing.assert_close(parameter.grad, expected, atol=tolerance, rtol=tolerance)


@PRECISIONS
def test_left_padding_equals_qwen3(tokens: torch.Tensor, dtype: torch.dtype, tolerance: float) -> None:
    model = ours(dtype)
    padding = torch.zeros_like(tokens, dtype=torch.bool)
    padding[1, :11] = True
    positions = ((~padding).cumsum(1) - 1).clamp(min=0)
    theirs = reference(model)(tokens, attention_mask=(~padding).long(), position_ids=positions).logits
    mine = logits_of(model, tokens, padding_BT=padding)
    torch.testing.assert_close(mine[~padding], theirs[~padding], atol=tolerance, rtol=0)
    alone = logits_of(model, tokens[1:, 11:])
    torch.testing.assert_close(mine[1, 11:], alone[0], atol=tolerance, rtol=0)


@PRECISIONS
def test_decoding_with_caches_equals_qwen3(tokens: torch.Tensor, dtype: torch.dtype, tolerance: float) -> None:
    model = ours(dtype)
    theirs = reference(model)
    state, cache = model.initial_state(2, CONTEXT), None
    with torch.no_grad():
        for piece in tokens.split([100, 1, 1, 20, 8], dim=1):
            output = model(piece, state=state)
            expected = theirs(piece, past_key_values=cache, use_cache=True)
            state, cache = output.state, expected.past_key_values
            torch.testing.assert_close(model.logits(output.hidden_BTD), expected.logits, atol=tolerance, rtol=0)


def _without_rotation(model: Decoder) -> None:
    for table in (model.rotary.cosine_TE, model.rotary.sine_TE):
        table.copy_(table[:1].expand_as(table).clone())


def _without_norm(name: str) -> Callable[[Decoder], None]:
    def change(model: Decoder) -> None:
        for block in model.layers:
            module = block.self_attn if name.startswith(("q_", "k_")) else block
            setattr(module, name, torch.nn.Identity())

    return change


def _without_feed_forward(model: Decoder) -> None:
    for block in model.layers:
        block.mlp = None


def _with_heads_in_another_group(model: Decoder) -> None:
    for block in model.layers:
        weight = block.self_attn.k_proj.weight
        weight.data = weight.data.roll(model.config.head_size, 0)


def _without_the_final_norm(model: Decoder) -> None:
    model.norm = torch.nn.Identity()


def _without_scale(model: Decoder) -> None:
    for block in model.layers:
        block.self_attn.scale = 1.0


MECHANISMS: dict[str, Callable[[Decoder], None]] = {
    "rotation": _without_rotation,
    "query norm": _without_norm("q_norm"),
    "key norm": _without_norm("k_norm"),
    "input norm": _without_norm("input_layernorm"),
    "feed-forward norm": _without_norm("post_attention_layernorm"),
    "final norm": _without_the_final_norm,
    "feed-forward": _without_feed_forward,
    "grouping": _with_heads_in_another_group,
    "scale": _without_scale,
}


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_missing_mechanism_would_be_seen(tokens: torch.Tensor, mechanism: str) -> None:
    """Each parity above would fail by far more than its tolerance if one part were left out."""
    model = ours()
    before = logits_of(model, tokens)
    MECHANISMS[mechanism](model)
    assert (before - logits_of(model, tokens)).abs().max() > 0.01


def test_the_mask_and_the_padding_would_be_missed(tokens: torch.Tensor) -> None:
    model = ours()
    padding = torch.zeros_like(tokens, dtype=torch.bool)
    padding[:, :11] = True
    plain = logits_of(model, tokens)
    assert (plain - logits_of(model, tokens, padding_BT=padding))[:, 11:].abs().max() > 0.01
    future = tokens.clone()
    future[:, -1] = (future[:, -1] + 1) % V
    assert torch.equal(plain[:, :-1], logits_of(model, future)[:, :-1])


def test_packed_documents_equal_each_alone(tokens: torch.Tensor) -> None:
    model = ours()
    documents = torch.zeros_like(tokens)
    documents[0, 17:], documents[0, 30:], documents[1, 5:] = 7, 2, 1
    padding = torch.zeros_like(tokens, dtype=torch.bool)
    padding[:, 120:] = True
    packed = logits_of(model, tokens, documents_BT=documents, padding_BT=padding)
    for row, start, end in [(0, 0, 17), (0, 17, 30), (0, 30, 120), (1, 0, 5), (1, 5, 120)]:
        alone = logits_of(model, tokens[row : row + 1, start:end])[0]
        torch.testing.assert_close(packed[row, start:end], alone, atol=1e-9, rtol=0)


def test_packed_gradients_are_the_sum_of_each_document_s(tokens: torch.Tensor) -> None:
    model = ours(dtype=torch.float64)
    documents = (torch.arange(130)[None] >= 40).long().expand(2, -1)
    logits_of(model, tokens, documents_BT=documents).square().sum().backward()
    together = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    for piece in (tokens[:, :40], tokens[:, 40:]):
        logits_of(model, piece).square().sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, together[name], atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize("side", ["left", "right", "scattered"])
def test_rows_of_unequal_length_share_a_cache(tokens: torch.Tensor, side: str) -> None:
    model = ours()
    padding = torch.zeros(2, 10, dtype=torch.bool)
    padding[1, {"left": [0, 1, 2, 3], "right": [6, 7, 8, 9], "scattered": [0, 3, 4, 9]}[side]] = True
    prompt = model(tokens[:, :10], padding_BT=padding, state=model.initial_state(2, 16))
    assert prompt.state.lengths_B.tolist() == [10, 6]
    short = tokens[1:, :10][~padding[1:]][None]
    torch.testing.assert_close(prompt.hidden_BTD[1][~padding[1]], model(short).hidden_BTD[0], atol=1e-9, rtol=0)
    first = model(torch.cat([tokens[:1, :10], tokens[:1, 20:26]], 1)).hidden_BTD[:, 10:]
    second = model(torch.cat([short, tokens[1:, 20:26]], 1)).hidden_BTD[:, 6:]
    state, after = prompt.state, []
    for piece in tokens[:, 20:26].split([1, 4, 1], dim=1):
        hidden, state = model(piece, state=state)
        after.append(hidden)
    torch.testing.assert_close(torch.cat(after, 1), torch.cat([first, second]), atol=1e-9, rtol=0)
    assert state.lengths_B.tolist() == [16, 12]


def test_a_row_may_bring_nothing_but_padding(tokens: torch.Tensor) -> None:
    model = ours()
    padding = torch.tensor([[True] * 4, [False] * 4])
    state = model(tokens[:, :4], padding_BT=padding, state=model.initial_state(2, 8)).state
    assert state.lengths_B.tolist() == [0, 4]
    after = model(tokens[:, 4:6], state=state).hidden_BTD
    torch.testing.assert_close(after[0], model(tokens[:1, 4:6]).hidden_BTD[0], atol=1e-9, rtol=0)
    torch.testing.assert_close(after[1], model(tokens[1:, :6]).hidden_BTD[0, 4:], atol=1e-9, rtol=0)


@pytest.mark.parametrize("kept", [[8, 3], [5, 5], [0, 20]])
def test_a_truncated_cache_goes_on_from_there(tokens: torch.Tensor, kept: list[int]) -> None:
    model = ours()
    state = model(tokens[:, :20], state=model.initial_state(2, 40)).state.truncate(torch.tensor(kept))
    after = model(tokens[:, 30:33], state=state).hidden_BTD
    for row, length in enumerate(kept):
        text = torch.cat([tokens[row : row + 1, :length], tokens[row : row + 1, 30:33]], 1)
        torch.testing.assert_close(after[row], model(text).hidden_BTD[0, length:], atol=1e-9, rtol=0)


def test_a_cache_in_bfloat16_is_near_the_exact_one(tokens: torch.Tensor) -> None:
    model = ours(torch.float32)
    state = model(tokens[:, :20], state=model.initial_state(2, 40, dtype=torch.bfloat16)).state
    assert state.keys_LBKSE.dtype == torch.bfloat16
    near = model(tokens[:, 20:21], state=state).hidden_BTD
    torch.testing.assert_close(near[:, 0], model(tokens[:, :21]).hidden_BTD[:, -1], atol=0.1, rtol=0.05)


def test_greedy_decoding_with_a_cache_writes_the_same_256_tokens() -> None:
    torch.manual_seed(0)
    model = Decoder(TransformerConfig(num_layers=2, num_heads=2, hidden_size=32), V, 320).eval()
    wide_random(model)
    whole = torch.tensor([[1, 2, 3, 4]])
    state, new = model.initial_state(1, 320), whole
    with torch.inference_mode():
        for _ in range(256):
            output = model(new, state=state)
            state = output.state
            cached, plain = model.logits(output.hidden_BTD[:, -1]), logits_of(model, whole)[:, -1]
            torch.testing.assert_close(cached, plain, atol=1e-5, rtol=1e-5)
            new = cached.argmax(-1, keepdim=True)
            assert new == plain.argmax(-1, keepdim=True)
            whole = torch.cat([whole, new], dim=1)


def test_the_tap_changes_nothing_and_sees_every_layer(tokens: torch.Tensor) -> None:
    model = ours()
    tap = RecordingTap()
    assert torch.equal(model(tokens, tap=tap).hidden_BTD, model(tokens).hidden_BTD)
    assert sorted(tap.attentions) == [0, 1, 2]
    assert sorted(tap.hiddens) == [-1, 0, 1, 2]
    assert tap.attentions[0].q_BHTE.shape == (2, 4, 130, 8)
    assert tap.attentions[0].k_BKSE.shape == (2, 2, 130, 8)
    assert torch.equal(model.norm(tap.hiddens[2]), model(tokens).hidden_BTD)


@pytest.mark.parametrize("how", ["plain", "padded", "packed", "cached"])
def test_attention_worked_out_from_the_tap_gives_the_layer_s_output(tokens: torch.Tensor, how: str) -> None:
    """softmax(scale · q kᵀ) under the mask, times the values, is what the kernel computed."""
    model = ours(num_kv_heads=0)
    layer = model.layers[0].self_attn
    seen: list[torch.Tensor] = []
    layer.o_proj.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    values: list[torch.Tensor] = []
    layer.v_proj.register_forward_hook(lambda _module, _inputs, output: values.append(output))
    tap, arguments = RecordingTap(), {}
    if how == "padded":
        arguments["padding_BT"] = torch.arange(130)[None].expand(2, -1) < torch.tensor([[0], [9]])
    elif how == "packed":
        arguments["documents_BT"] = (torch.arange(130)[None] // 50).expand(2, -1)
    elif how == "cached":
        arguments["state"] = model(tokens[:, :30], state=model.initial_state(2, CONTEXT)).state
        seen.clear()
    output_from = 30 if how == "cached" else 0
    model(tokens[:, output_from:], tap=tap, **arguments)
    recorded = tap.attentions[0]
    scores = recorded.scale * recorded.q_BHTE @ recorded.k_BKSE.mT
    if recorded.mask is not None:
        scores = scores.masked_fill(~recorded.mask, -torch.inf)
    v = torch.cat(values, 1).view(2, -1, 4, 8).transpose(1, 2)
    expected = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
    torch.testing.assert_close(seen[0], expected, atol=1e-9, rtol=0)
    if how == "packed":
        assert recorded.positions_BT[0, 50] == 0
    if how == "cached":
        assert recorded.positions_BT[0, 0] == 30


def test_moving_and_casting_keep_the_rotation_exact(tokens: torch.Tensor) -> None:
    model = ours(torch.float32)
    exact = model.rotary.cosine_TE.clone()
    model.to(torch.bfloat16).to(torch.float32)
    assert torch.equal(model.rotary.cosine_TE, exact)
    assert not any("rotary" in name for name in model.state_dict())
    with torch.device("meta"):
        hollow = Decoder(model.config, V, CONTEXT)
    assert hollow.rotary.cosine_TE.is_meta
    filled = hollow.to_empty(device="cpu").eval()
    assert torch.equal(filled.rotary.cosine_TE, exact)
    filled.load_state_dict(model.state_dict())
    assert torch.equal(logits_of(filled, tokens), logits_of(model, tokens))


def test_a_text_beyond_the_context_is_refused() -> None:
    model = ours(torch.float32)
    with pytest.raises(UserError, match="longer than the model's context"):
        model(torch.zeros(1, CONTEXT + 1, dtype=torch.int64))
    with pytest.raises(UserError, match="longer than the model's context"):
        model.initial_state(1, CONTEXT + 1)
    state = model(torch.zeros(1, 6, dtype=torch.int64), state=model.initial_state(1, 8)).state
    with pytest.raises(UserError, match="room kept for it"):
        model(torch.zeros(1, 3, dtype=torch.int64), state=state)
    with pytest.raises(UserError, match="only be cut shorter"):
        state.truncate(torch.tensor([7]))


def test_documents_and_a_state_do_not_mix() -> None:
    model = ours(torch.float32)
    zeros = torch.zeros(1, 4, dtype=torch.int64)
    with pytest.raises(UserError, match="one pass"):
        model(zeros, documents_BT=zeros, state=model.initial_state(1, 8))
    with pytest.raises(UserError, match="no encoder"):
        model.encode(zeros)


def test_dropout_acts_in_training_only(tokens: torch.Tensor) -> None:
    model = ours(torch.float32, dropout=0.5)
    assert torch.equal(logits_of(model, tokens), logits_of(model, tokens))
    model.train()
    assert not torch.equal(logits_of(model, tokens), logits_of(model, tokens))

"""The Transformer against Qwen3ForCausalLM of transformers, and its own masks against plain texts."""

from __future__ import annotations

import pytest
import torch

from llm_core.config.model import TransformerConfig
from llm_core.models.decoder import Decoder
from llm_core.models.tap import RecordingTap

V, CONTEXT = 29, 64


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
    config = TransformerConfig(num_layers=3, num_heads=4, num_kv_heads=2, hidden_size=32, **changes)  # pyright: ignore
    return wide_random(Decoder(config, V, CONTEXT).to(dtype))  # pyright: ignore


def reference(model: Decoder) -> torch.nn.Module:
    """The same weights in transformers."""
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
    if model.dtype == torch.float64:
        _compute_in_float64(theirs, config)
    return theirs.eval()


def _compute_in_float64(theirs: torch.nn.Module, config: TransformerConfig) -> None:
    """transformers casts norms and rotation to float32 whatever the model is; lift only that, so that 1e-9 means something."""
    for module in theirs.modules():
        if type(module).__name__ == "Qwen3RMSNorm":
            module.forward = lambda x, m=module: (
                m.weight * x * (x.pow(2).mean(-1, keepdim=True) + m.variance_epsilon).rsqrt()
            )

    def angles(x: torch.Tensor, position_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        frequencies = config.rope_theta ** -(
            torch.arange(0, config.head_size, 2, dtype=torch.float64) / config.head_size
        )
        half = position_ids[..., None].double() * frequencies
        whole = torch.cat([half, half], dim=-1)
        return whole.cos(), whole.sin()

    theirs.model.rotary_emb.forward = angles  # pyright: ignore


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(V, (2, 48), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_logits_and_gradients_equal_qwen3(
    tokens: torch.Tensor, tied: bool, dtype: torch.dtype, tolerance: float
) -> None:
    model = ours(dtype, tie_embeddings=tied)
    theirs = reference(model)
    ours_logits, their_logits = model.logits(model(tokens).hidden_BTD), theirs(tokens).logits
    torch.testing.assert_close(ours_logits, their_logits, atol=tolerance, rtol=0)
    for logits in (ours_logits, their_logits):
        torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()).backward()
    gradients = dict(theirs.named_parameters())
    for name, parameter in model.named_parameters():
        expected = gradients[name if name.startswith("lm_head") else f"model.{name}"].grad
        torch.testing.assert_close(
            parameter.grad, expected, atol=tolerance, rtol=1e-4 if dtype == torch.float32 else 1e-9
        )


def test_left_padding_equals_qwen3(tokens: torch.Tensor) -> None:
    model = ours()
    padding = torch.zeros_like(tokens, dtype=torch.bool)
    padding[1, :11] = True
    theirs = reference(model)(
        tokens, attention_mask=(~padding).long(), position_ids=((~padding).cumsum(1) - 1).clamp(min=0)
    ).logits
    mine = model.logits(model(tokens, padding_BT=padding).hidden_BTD)
    torch.testing.assert_close(mine[~padding], theirs[~padding], atol=1e-9, rtol=0)
    alone = model.logits(model(tokens[1:, 11:]).hidden_BTD)
    torch.testing.assert_close(mine[1, 11:], alone[0], atol=1e-9, rtol=0)


@pytest.mark.parametrize("mechanism", ["rotation", "query norm", "feed-forward", "grouping"])
def test_a_missing_mechanism_would_be_seen(
    tokens: torch.Tensor, mechanism: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ours()
    before = model.logits(model(tokens).hidden_BTD)
    if mechanism == "rotation":
        monkeypatch.setattr("llm_core.models.layers.rotate", lambda x, *_: x)
    elif mechanism == "query norm":
        for layer in model.layers:
            monkeypatch.setattr(layer.self_attn.q_norm, "forward", lambda x: x)
    elif mechanism == "feed-forward":
        for layer in model.layers:
            monkeypatch.setattr(layer, "mlp", None)
    else:
        for layer in model.layers:
            layer.self_attn.k_proj.weight.data = layer.self_attn.k_proj.weight.data.roll(model.config.head_size, 0)
    after = model.logits(model(tokens).hidden_BTD)
    assert (before - after).abs().max() > 0.01


def test_packed_documents_equal_each_alone(tokens: torch.Tensor) -> None:
    model = ours()
    documents = torch.zeros_like(tokens)
    documents[0, 17:], documents[0, 30:], documents[1, 5:] = 1, 2, 1
    packed = model(tokens, documents_BT=documents).hidden_BTD
    for row, start, end in [(0, 0, 17), (0, 17, 30), (0, 30, 48), (1, 0, 5), (1, 5, 48)]:
        alone = model(tokens[row : row + 1, start:end]).hidden_BTD[0]
        torch.testing.assert_close(packed[row, start:end], alone, atol=1e-9, rtol=0)


def test_rows_of_unequal_length_share_a_cache(tokens: torch.Tensor) -> None:
    model = ours()
    padding = torch.zeros(2, 10, dtype=torch.bool)
    padding[1, 6:] = True  # on the right: the row simply ends there
    state = model.initial_state(2, 32)
    prompt = model(tokens[:, :10], padding_BT=padding, state=state)
    assert prompt.state.lengths_B.tolist() == [10, 6]
    after = model(tokens[:, 20:24], state=prompt.state).hidden_BTD
    first = model(torch.cat([tokens[:1, :10], tokens[:1, 20:24]], 1)).hidden_BTD[:, 10:]
    second = model(torch.cat([tokens[1:, :6], tokens[1:, 20:24]], 1)).hidden_BTD[:, 6:]
    torch.testing.assert_close(after, torch.cat([first, second]), atol=1e-9, rtol=0)


def test_a_truncated_cache_goes_on_from_there(tokens: torch.Tensor) -> None:
    model = ours()
    state = model(tokens[:, :20], state=model.initial_state(2, 40)).state.truncate(torch.tensor([8, 3]))
    after = model(tokens[:, 30:33], state=state).hidden_BTD
    for row, kept in [(0, 8), (1, 3)]:
        text = torch.cat([tokens[row : row + 1, :kept], tokens[row : row + 1, 30:33]], 1)
        torch.testing.assert_close(after[row], model(text).hidden_BTD[0, kept:], atol=1e-9, rtol=0)


def test_the_tap_changes_nothing_and_sees_every_layer(tokens: torch.Tensor) -> None:
    model = ours()
    tap = RecordingTap()
    torch.testing.assert_close(model(tokens, tap=tap).hidden_BTD, model(tokens).hidden_BTD, atol=0, rtol=0)
    assert sorted(tap.attentions) == [0, 1, 2]
    assert sorted(tap.hiddens) == [-1, 0, 1, 2]
    assert tap.attentions[0].q_BHTE.shape == (2, 4, 48, 8)
    assert tap.attentions[0].k_BKSE.shape == (2, 2, 48, 8)

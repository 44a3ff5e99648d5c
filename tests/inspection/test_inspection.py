"""Looking inside: exact attention, what heads do, influence, units."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from llm_core.config.errors import UserError
from llm_core.config.learning import OptimizerConfig
from llm_core.config.model import GRUConfig, LSTMConfig, MinGRUConfig, ModelConfig, RNNConfig, TransformerConfig
from llm_core.inspection.attention import attention_weights
from llm_core.inspection.head_scores import HeadScore, behaviours_of, head_scores
from llm_core.inspection.influence import influence_map
from llm_core.inspection.overview import attention_overview, pooled
from llm_core.inspection.units import recurrent_units
from llm_core.models.registry import build_model
from llm_core.objectives.train_step import TrainStep
from llm_core.training.optimizers import build_optimizer

V = 20


def wide(config: ModelConfig) -> torch.nn.Module:
    torch.manual_seed(3)
    model = build_model(config, V, 64).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.25)
    return model


TRANSFORMER = TransformerConfig(num_layers=2, num_heads=4, num_kv_heads=2, hidden_size=32, dropout=0.3)
TOKENS = np.random.default_rng(0).integers(0, V, 24).tolist()


def causal_scores(weights_LHTT: np.ndarray, tokens: list[int]) -> dict[str, HeadScore]:
    seen = np.tril(np.ones((len(tokens), len(tokens)), dtype=bool))
    return head_scores(weights_LHTT.astype(np.float32), behaviours_of("decoder", tokens, tokens), seen)


def test_attention_is_what_the_kernel_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel is replaced by an eager reference that keeps its weights; model and recomputation must both agree with it."""
    model = wide(TRANSFORMER)
    tokens = torch.tensor([TOKENS])
    expected_hidden = model(tokens).hidden_BTD
    kept: list[torch.Tensor] = []

    def eager(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **_: object) -> torch.Tensor:
        k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for x in (k, v))
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        weights = torch.softmax(scores.masked_fill(future, float("-inf")), dim=-1)
        kept.append(weights)
        return weights @ v

    weights_LHTT = attention_weights(model.train(), TOKENS)
    assert model.training, "the mode comes back"
    model.eval()
    monkeypatch.setattr("torch.nn.functional.scaled_dot_product_attention", eager)
    torch.testing.assert_close(model(tokens).hidden_BTD, expected_hidden, atol=1e-5, rtol=0)
    reference = torch.stack([weights[0] for weights in kept]).detach().numpy()
    np.testing.assert_allclose(weights_LHTT, reference, atol=1e-5)
    assert weights_LHTT.shape == (2, 4, 24, 24)
    np.testing.assert_allclose(weights_LHTT.sum(-1), 1, atol=1e-5)
    assert np.abs(np.triu(weights_LHTT, 1)).max() == 0


def test_chosen_layers_and_heads_are_those_of_the_whole() -> None:
    model = wide(TRANSFORMER)
    whole = attention_weights(model, TOKENS)
    np.testing.assert_array_equal(attention_weights(model, TOKENS, layers=[1], heads=[2, 0]), whole[1:2, [2, 0]])


def test_the_overview_is_the_same_attention_layer_by_layer() -> None:
    model = wide(TRANSFORMER)
    whole = attention_weights(model, TOKENS)
    overview = attention_overview(model, TOKENS, layer=1)
    np.testing.assert_array_equal(overview.layer_HTS, whole[1])
    np.testing.assert_array_equal(overview.thumbnails_LHTS, whole)
    for name, score in causal_scores(whole, TOKENS).items():
        np.testing.assert_allclose(overview.scores[name].values_LH, score.values_LH, atol=1e-6)
        np.testing.assert_allclose(overview.scores[name].chance_L, score.chance_L, atol=1e-6)
    with pytest.raises(UserError, match="no such layer"):
        attention_overview(model, TOKENS, layer=2)
    with pytest.raises(UserError, match="influence map"):
        attention_overview(wide(LSTMConfig(hidden_size=16)), TOKENS, layer=0)


def test_thumbnails_keep_the_largest_weight_of_each_block() -> None:
    weights = np.random.default_rng(1).random((2, 101, 101)).astype(np.float32)
    small = pooled(weights, 48)
    assert small.shape == (2, 34, 34)
    assert small[1, 5, 7] == weights[1, 15:18, 21:24].max()
    assert small.max() == weights.max()


def test_perfect_heads_score_one_and_even_ones_score_chance() -> None:
    tokens = [3, 1, 4, 5, 3, 1, 4, 5]
    length = len(tokens)
    even = np.tril(np.ones((length, length)))
    even /= even.sum(-1, keepdims=True)
    previous = np.eye(length, k=-1)
    previous[0, 0] = 1
    induction = np.eye(length, k=-3)
    induction[:3, 0] = 1
    scores = causal_scores(np.stack([even, previous, induction])[None], tokens)
    for name in ("previous", "induction", "duplicate"):
        assert scores[name].values_LH[0, 0] == pytest.approx(scores[name].chance_L[0], abs=1e-6)
    assert scores["previous"].values_LH[0, 1] == pytest.approx(1)
    assert scores["induction"].values_LH[0, 2] == pytest.approx(1)
    assert "duplicate" not in causal_scores(even[None, None], list(range(length)))


def test_a_head_that_looks_at_itself_is_no_induction_head_where_letters_double() -> None:
    itself = np.eye(5)
    assert "induction" not in causal_scores(itself[None, None], [1, 2, 3, 3, 4])
    scores = causal_scores(itself[None, None], [1, 2, 2, 1, 2])
    assert scores["induction"].values_LH[0, 0] == 0


@pytest.mark.parametrize(
    "config",
    [
        RNNConfig(hidden_size=16),
        GRUConfig(hidden_size=16),
        LSTMConfig(hidden_size=16, num_layers=2),
        MinGRUConfig(hidden_size=16),
        TRANSFORMER,
    ],
    ids=lambda config: config.kind,
)
def test_influence_is_causal_and_finds_what_matters(config: ModelConfig) -> None:
    model = wide(config)
    weights = influence_map(model, TOKENS)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    assert np.abs(np.triu(weights, 1)).max() == 0
    assert (np.diag(weights) > 0).all()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_units_are_the_states_of_the_network() -> None:
    model = wide(LSTMConfig(hidden_size=16, num_layers=2))
    units = recurrent_units(model, TOKENS)
    assert units.states_LTU.shape == (2, 24, 16)
    assert set(units.gates) == {"i", "f", "g", "o"}
    state = model(torch.tensor([TOKENS])).state
    np.testing.assert_allclose(units.states_LTU[1, -1], state.cell_LBU[1, 0].tanh().detach(), atol=1e-5)
    varied = units.states_LTU[0].var(axis=0)[units.order_LU[0]]
    assert (np.diff(varied) <= 1e-9).all()
    with pytest.raises(UserError, match="attention"):
        recurrent_units(wide(TRANSFORMER), TOKENS)


def test_the_gate_of_a_minimal_gru_is_among_its_units() -> None:
    model = wide(MinGRUConfig(hidden_size=16, num_layers=2))
    units = recurrent_units(model, TOKENS)
    assert set(units.gates) == {"z", "n"}
    assert 0 <= units.gates["z"].min() <= units.gates["z"].max() <= 1
    state = model(torch.tensor([TOKENS])).state
    np.testing.assert_allclose(units.states_LTU[:, -1], state.hidden_LBU[:, 0].detach(), atol=1e-5)


HELD_OUT_PERIOD = 11


def repeated(generator: np.random.Generator, period: int, length: int, alphabet: int) -> list[int]:
    return np.resize(generator.integers(0, alphabet, period), length).tolist()


@pytest.mark.slow
def test_induction_appears_where_it_should(capsys: pytest.CaptureFixture[str]) -> None:
    """Two layers of attention alone, random periods: a previous-token head below, an induction head above, at a period never seen.

    With one fixed period a network learns to look that far back and scores as high without any induction, so 11 is held out.
    """
    alphabet, length = 64, 32
    torch.manual_seed(0)
    config = TransformerConfig(num_layers=2, num_heads=2, hidden_size=64, feed_forward_size=0, tie_embeddings=False)
    model = build_model(config, alphabet, 64)
    step, optimizer = (
        TrainStep(model),
        build_optimizer(model, OptimizerConfig(learning_rate=3e-3, weight_decay=0.0), "cpu"),
    )
    generator = np.random.default_rng(0)
    periods = [period for period in range(5, 17) if period != HELD_OUT_PERIOD]
    for _ in range(900):
        rows = [repeated(generator, int(generator.choice(periods)), length, alphabet) for _ in range(32)]
        tokens = torch.tensor(rows)
        loss_sum, count, _ = step(tokens[:, :-1], tokens[:, 1:])
        optimizer.zero_grad()
        (loss_sum / count).backward()
        optimizer.step()
    found: dict[str, list[np.ndarray]] = {"previous": [], "induction": []}
    chance: dict[str, float] = {}
    for _ in range(20):
        text = generator.permutation(alphabet)[:HELD_OUT_PERIOD].tolist() * 2  # exactly two copies of distinct symbols
        scores = causal_scores(attention_weights(model, text), text)
        for name, values in found.items():
            values.append(scores[name].values_LH)
            chance[name] = float(scores[name].chance_L[0])
    previous, induction = (np.mean(found[name], axis=0) for name in ("previous", "induction"))
    with capsys.disabled():
        for name, scores_LH in (("previous", previous), ("induction", induction)):
            print(f"\n{name} {scores_LH.round(2).tolist()} chance {chance[name]:.2f}")
    assert previous[0].max() > 0.4 > 2 * chance["previous"]
    assert induction[1].max() > 0.4 > 4 * chance["induction"]
    assert induction[0].max() < 0.2, "induction takes two layers"

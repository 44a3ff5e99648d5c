"""What holds for every family: first loss, state, causality, learning."""

from __future__ import annotations

import math

import pytest
import torch

from llm_core.config.model import (
    GRUConfig,
    LSTMConfig,
    MinGRUConfig,
    ModelConfig,
    NgramConfig,
    RNNConfig,
    TransformerConfig,
)
from llm_core.config.presets import presets
from llm_core.models.registry import build_model
from llm_core.objectives.registry import build_objective
from llm_core.objectives.train_step import TrainStep
from llm_core.text.vocabulary import assumed_vocabulary
from llm_core.training.execution import random_tokens

SMALL: dict[str, ModelConfig] = {
    "rnn-tanh": RNNConfig(num_layers=2, hidden_size=16),
    "rnn-relu": RNNConfig(num_layers=1, hidden_size=16, nonlinearity="relu", tie_embeddings=True),
    "rnn-sigmoid": RNNConfig(num_layers=2, hidden_size=16, nonlinearity="sigmoid"),
    "gru": GRUConfig(num_layers=2, hidden_size=16, embedding_size=8),
    "lstm": LSTMConfig(num_layers=2, hidden_size=16),
    "mingru": MinGRUConfig(num_layers=2, hidden_size=16),
    "mingru-tied": MinGRUConfig(num_layers=1, hidden_size=16, tie_embeddings=True),
    "transformer": TransformerConfig(num_layers=2, num_heads=4, num_kv_heads=2, hidden_size=16),
    "transformer-attention-only": TransformerConfig(num_layers=2, num_heads=2, hidden_size=16, feed_forward_size=0),
    "transformer-untied": TransformerConfig(num_layers=1, num_heads=2, hidden_size=16, tie_embeddings=False),
}
V = 11

configurations = pytest.mark.parametrize("config", SMALL.values(), ids=SMALL.keys())


def model_of(config: ModelConfig, context_length: int = 32) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(config, V, context_length).double().eval()


@pytest.mark.parametrize("name", [name for name, known in presets().items() if known.config.model.kind != "ngram"])
def test_first_loss_is_that_of_chance_at_each_presets_width(name: str) -> None:
    """Large presets keep their width and lose layers, so that the test fits a small machine."""
    config = presets()[name].config
    model_config = config.model
    assert not isinstance(model_config, NgramConfig)
    is_wide = model_config.hidden_size > 1024
    stand_in = model_config.model_copy(update={"num_layers": 1 if is_wide else 2, "dropout": 0.0})
    small = {
        "model": stand_in,
        "data": config.data.model_copy(update={"context_length": 64}),
        "training": config.training.model_copy(update={"batch_size": 4 if is_wide else 32}),
    }
    config = config.model_copy(update=small)
    objective = build_objective(config, assumed_vocabulary(2_000, has_end=True, objective=config.objective))
    batch = objective.reader(random_tokens(objective.vocabulary, config)).next()
    torch.manual_seed(1)
    step = objective.step(build_model(stand_in, objective.vocabulary.size, 64))
    loss_sum, count, _ = step(**{name: torch.from_numpy(array) for name, array in batch.arrays.items()})
    assert loss_sum.item() / count == pytest.approx(math.log(objective.vocabulary.size), abs=0.05)


@configurations
def test_reading_in_pieces_equals_reading_at_once(config: ModelConfig) -> None:
    model = model_of(config)
    tokens = torch.randint(V, (3, 20))
    whole = model.logits(model(tokens).hidden_BTD)
    state = model.initial_state(3, 20)
    pieces = []
    for piece in tokens.split([7, 1, 1, 5, 6], dim=1):
        hidden, state = model(piece, state=state)
        pieces.append(model.logits(hidden))
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, atol=1e-10, rtol=1e-10)
    assert state.lengths_B.tolist() == [20, 20, 20]


@configurations
def test_the_future_does_not_reach_back(config: ModelConfig) -> None:
    model = model_of(config)
    tokens = torch.randint(V, (1, 12))
    changed = tokens.clone()
    changed[0, 7] = (changed[0, 7] + 1) % V
    before, after = model(tokens).hidden_BTD, model(changed).hidden_BTD
    torch.testing.assert_close(before[:, :7], after[:, :7], atol=0, rtol=0)
    assert not torch.allclose(before[:, 7:], after[:, 7:])


def test_a_cache_forgets_how_long_the_dropped_rows_were() -> None:
    model = build_model(TransformerConfig(num_layers=1, num_heads=2, hidden_size=16), 20, 32).eval()
    state = model.initial_state(2, 16)
    padding = torch.zeros(2, 12, dtype=torch.bool)
    padding[1, :9] = True
    tokens = torch.randint(0, 20, (2, 12))
    with torch.no_grad():
        state = model(tokens, padding_BT=padding, state=state).state.select(torch.tensor([1]))
        for token in range(13):  # 3 were read and 16 fit
            state = model(torch.tensor([[token]]), state=state).state
    assert state.lengths_B.tolist() == [16]


@configurations
def test_selected_rows_go_on_alone(config: ModelConfig) -> None:
    model = model_of(config)
    tokens, more = torch.randint(V, (3, 6)), torch.randint(V, (2, 4))
    state = model(tokens, state=model.initial_state(3, 16)).state.select(torch.tensor([2, 0]))
    both = model(more, state=state).hidden_BTD
    alone = model(torch.cat([tokens[[2, 0]], more], dim=1)).hidden_BTD[:, 6:]
    torch.testing.assert_close(both, alone, atol=1e-10, rtol=1e-10)


@configurations
def test_restarted_rows_forget(config: ModelConfig) -> None:
    model = model_of(config)
    tokens, more = torch.randint(V, (2, 6)), torch.randint(V, (2, 4))
    state = model(tokens, state=model.initial_state(2, 16)).state.restart(torch.tensor([True, False]))
    hidden = model(more, state=state).hidden_BTD
    torch.testing.assert_close(hidden[0], model(more[:1]).hidden_BTD[0], atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(hidden[1], model(torch.cat([tokens, more], 1)).hidden_BTD[1, 6:], atol=1e-10, rtol=1e-10)


@configurations
def test_one_batch_can_be_learned_by_heart(config: ModelConfig) -> None:
    torch.manual_seed(0)
    model = build_model(config, V, 12)
    tokens = torch.randint(V, (2, 9), generator=torch.Generator().manual_seed(3))
    tokens[:, 0] = torch.arange(2)  # rows must differ from the first token on, else the first target is a coin toss
    step, optimizer = TrainStep(model), torch.optim.AdamW(model.parameters(), lr=2e-2, weight_decay=0.0)
    loss = math.inf
    for _ in range(600):
        loss_sum, count, _ = step(tokens[:, :-1], tokens[:, 1:])
        loss = loss_sum.item() / count
        if loss < 0.01:
            break
        optimizer.zero_grad()
        loss_sum.div(count).backward()
        optimizer.step()
    assert loss < 0.01

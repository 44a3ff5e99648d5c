"""What the closed forms say a backward pass keeps, against the tensors that torch keeps for it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from llm_core.config.encoder import encoder_presets
from llm_core.config.encoder_decoder import encoder_decoder_forms
from llm_core.config.model import (
    EncoderConfig,
    EncoderDecoderConfig,
    GRUConfig,
    LSTMConfig,
    MinGRUConfig,
    ModelConfig,
    NgramConfig,
    RNNConfig,
    TransformerConfig,
)
from llm_core.config.run import RunConfig
from llm_core.models.counting import RowShape, training_memory, whole_row
from llm_core.models.encoder import Encoder
from llm_core.models.encoder_decoder import EncoderDecoder
from llm_core.models.interface import LanguageModel
from llm_core.models.registry import build_model

B, T, V = 4, 64, 65
GPT2 = {"positions": "learned", "norm": "layer", "activation": "gelu", "qk_norm": False, "biases": True}
FORMS: dict[str, ModelConfig] = {
    "rnn": RNNConfig(num_layers=2, hidden_size=128),
    "gru": GRUConfig(num_layers=2, hidden_size=128),
    "mingru": MinGRUConfig(num_layers=2, hidden_size=128),
    "lstm": LSTMConfig(num_layers=2, hidden_size=128),
    "qwen3": TransformerConfig(num_layers=2, num_heads=4, hidden_size=128),
    "gpt2": TransformerConfig(num_layers=2, num_heads=4, hidden_size=128, **GPT2),
    **{
        name: preset.model_copy(update={"num_layers": 2, "dropout": 0.0})
        for name, preset in encoder_presets().items()
        if "small" in name
    },
    **{name: form.small for name, form in encoder_decoder_forms().items()},
}


def kept_bytes(model: nn.Module, *arguments: Any) -> int:
    """Bytes of the different storages that the graph of a call holds, parameters left out."""
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    storages: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        graph = model(*arguments)
    kept = sum(storages.values())
    del graph
    return kept


class Scored(nn.Module):
    """A model up to its scores, whose matrix keeps what it multiplies; the scores themselves are estimated on their own."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, row: RowShape) -> Tensor:
        memory = self.model.encode(tokens) if row.written else None
        hidden = self.model(tokens[:, : row.written or row.read], memory=memory).hidden_BTD
        return self.model.logits(hidden[:, : row.scored])


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("name", FORMS)
def test_a_backward_pass_keeps_what_is_estimated(name: str, dropout: float) -> None:
    torch.manual_seed(0)
    config = FORMS[name].model_copy(update={"dropout": dropout})
    tokens = torch.randint(V, (B, T))
    row = whole_row(config, T)
    if isinstance(config, EncoderDecoderConfig):
        row, model = RowShape(T, read=T, scored=20, written=20), EncoderDecoder(config, V, T)
    elif isinstance(config, EncoderConfig):
        row, model = RowShape(T, read=T, scored=10), Encoder(config, V, T)
    else:
        model = build_model(config, V, T)
    kept = kept_bytes(Scored(model).train(), tokens, row)
    run = RunConfig(model=config).model_copy(
        update={"training": RunConfig().training.model_copy(update={"batch_size": B})}
    )
    assert training_memory(run, V, row=row).activations_bytes == pytest.approx(kept, rel=0.08)


def test_counting_ngrams_takes_more_for_more_text() -> None:
    run = RunConfig(model=NgramConfig(order=3))
    small, large = (training_memory(run, 65, train_tokens=tokens) for tokens in (10_000, 1_000_000))
    assert small.total_bytes < large.total_bytes
    assert large.gradients_bytes == large.optimizer_bytes == large.logits_bytes == 0

"""Looking inside encoders and encoder-decoders: exact attention of every kind, what heads do, what moves a prediction."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from llm_core.config.encoder import EncoderConfig, encoder_presets
from llm_core.config.encoder_decoder import EncoderDecoderConfig, encoder_decoder_form
from llm_core.config.errors import UserError
from llm_core.config.learning import OptimizerConfig
from llm_core.inspection.attention import attention_weights
from llm_core.inspection.head_scores import behaviours_of, head_scores
from llm_core.inspection.influence import answer_influence_map, filling_influence_map
from llm_core.inspection.overview import attention_overview, pooled
from llm_core.inspection.recording import record_part
from llm_core.models.interface import LanguageModel
from llm_core.models.registry import build_model
from llm_core.training.optimizers import build_optimizer

V, MASK = 20, 19
SIZE = {"num_layers": 2, "num_heads": 4, "hidden_size": 32}
DRAWN = np.random.default_rng(0)
TEXT = DRAWN.integers(0, V - 1, 24).tolist()
SOURCE = DRAWN.integers(0, V - 1, 21).tolist()
ENCODERS = {
    "bert": encoder_presets()["bert-small"].model_copy(update=SIZE),
    "windows": EncoderConfig(**SIZE, window=6, global_every=2),
}


def wide(config: EncoderConfig | EncoderDecoderConfig) -> LanguageModel:
    torch.manual_seed(3)
    model = build_model(config, V, 64).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.25)
    return model


def pair_model(form: str) -> LanguageModel:
    values = {**encoder_decoder_form(form).small.model_dump(), **SIZE, "num_decoder_layers": 3, "feed_forward_size": 48}
    return wide(EncoderDecoderConfig.model_validate(values))


class Eager:
    """Takes the kernel's place, computes what it should and keeps the weights."""

    def __init__(self) -> None:
        self.kept: list[torch.Tensor] = []

    def __call__(
        self,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        is_causal: bool = False,
        scale: float = 1.0,
        **_: object,
    ) -> torch.Tensor:
        scores = q @ k.transpose(-1, -2) * scale
        if is_causal:
            scores = scores.masked_fill(torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1), float("-inf"))
        elif attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, float("-inf"))
        elif attn_mask is not None:
            scores = scores + attn_mask
        weights = torch.softmax(scores, dim=-1)
        self.kept.append(weights[0])
        return weights @ v


@pytest.mark.parametrize("form", list(ENCODERS))
def test_an_encoder_is_seen_as_its_kernel_computed(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = wide(ENCODERS[form]).double()
    tokens = torch.tensor([TEXT])
    expected_hidden = model(tokens).hidden_BTD
    eager = Eager()
    monkeypatch.setattr("torch.nn.functional.scaled_dot_product_attention", eager)
    torch.testing.assert_close(model(tokens).hidden_BTD, expected_hidden, atol=1e-5, rtol=0)
    weights_LHTT = attention_weights(model, TEXT)
    np.testing.assert_allclose(weights_LHTT, torch.stack(eager.kept[:2]).detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(weights_LHTT.sum(-1), 1, atol=1e-5)
    assert weights_LHTT[0][:, 0, -1].min() > 0, "the first token sees the last one"


@pytest.mark.parametrize("form", ["t5", "t5-v1.1", "transformer-2017"])
def test_an_encoder_decoder_is_seen_as_its_kernel_computed(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = pair_model(form).double()  # so that only the float32 of the softmax is left
    eager = Eager()
    monkeypatch.setattr("torch.nn.functional.scaled_dot_product_attention", eager)
    model(torch.tensor([TEXT]), memory=model.encode(torch.tensor([SOURCE])))
    monkeypatch.undo()
    expected = {"encoder": eager.kept[:2], "decoder": eager.kept[2::2], "cross": eager.kept[3::2]}
    for part, weights in expected.items():
        seen_LHTS = attention_weights(model, TEXT, source=SOURCE, part=part)
        np.testing.assert_allclose(seen_LHTS, torch.stack(weights).detach().numpy(), atol=1e-5)
        np.testing.assert_allclose(seen_LHTS.sum(-1), 1, atol=1e-5)
    assert attention_weights(model, TEXT, source=SOURCE).shape == (3, 4, 24, 21), "cross is what is taken"


@pytest.mark.parametrize("form", ["t5", "t5-v1.1"])
def test_t5_of_transformers_looks_at_the_same_places(form: str) -> None:
    from tests.models.encoder_decoder_references import ours, t5

    model = ours(form)  # in float64, so that only the float32 of the softmax is left
    theirs = t5(model)
    theirs.set_attn_implementation("eager")
    with torch.no_grad():
        answer = theirs(
            input_ids=torch.tensor([SOURCE]), decoder_input_ids=torch.tensor([TEXT]), output_attentions=True
        )
    expected = {
        "encoder": answer.encoder_attentions,
        "decoder": answer.decoder_attentions,
        "cross": answer.cross_attentions,
    }
    for part, weights in expected.items():
        seen_LHTS = attention_weights(model, TEXT, source=SOURCE, part=part)
        np.testing.assert_allclose(seen_LHTS, torch.stack(weights)[:, 0].numpy(), atol=1e-5, rtol=0)


def test_the_overview_of_cross_attention_is_not_square() -> None:
    model = pair_model("t5")
    answer = TEXT[:5]
    overview = attention_overview(model, answer, 2, source=SOURCE, part="cross")
    whole = attention_weights(model, answer, source=SOURCE, part="cross")
    np.testing.assert_array_equal(overview.thumbnails_LHTS, whole)
    np.testing.assert_array_equal(overview.layer_HTS, whole[2])
    assert overview.visible_TS.shape == (5, 21) and overview.visible_TS.all()
    assert (overview.recorded.rows, overview.recorded.columns) == (answer, SOURCE)
    assert pooled(np.ones((3, 101), dtype=np.float32), 48).shape == (3, 34)


def test_windows_are_seen_and_give_each_layer_its_own_chance() -> None:
    overview = attention_overview(wide(ENCODERS["windows"]), TEXT, 1)
    distance_TT = np.abs(np.subtract.outer(np.arange(24), np.arange(24)))
    np.testing.assert_array_equal(overview.visible_TS, distance_TT <= 3)
    chance_L = overview.scores["previous"].chance_L
    assert chance_L[0] == pytest.approx(1 / 24) and chance_L[1] > 1 / 7


def test_what_heads_do_to_both_sides_and_across() -> None:
    tokens = [3, 1, 4, 3]
    everywhere = np.ones((4, 4), dtype=bool)
    following = np.eye(4, k=1, dtype=np.float32)
    scores = head_scores(following[None, None], behaviours_of("encoder", tokens, tokens), everywhere)
    assert scores["next"].values_LH.item() == 1 and scores["next"].chance_L.item() == pytest.approx(1 / 4)
    assert scores["previous"].values_LH.item() == 0
    assert scores["last"].values_LH.item() == pytest.approx(1 / 3)

    source, answer = [5, 6, 7, 0], [1, 7, 6, 5]  # reversed; 0 ends the source, 1 begins the answer
    mirrored = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float32)
    scores = head_scores(mirrored[None, None], behaviours_of("cross", answer, source), everywhere)
    assert scores["written"].values_LH.item() == 1
    assert scores["written"].chance_L.item() == pytest.approx(1 / 4)
    assert scores["read"].values_LH.item() == 0


def test_a_part_that_a_model_does_not_have_is_refused() -> None:
    with pytest.raises(UserError, match="no such attention"):
        record_part(wide(ENCODERS["bert"]), TEXT, part="cross")
    with pytest.raises(UserError, match="source text"):
        record_part(pair_model("t5"), TEXT)


def test_filling_in_is_moved_from_both_sides_and_never_by_itself() -> None:
    model = wide(ENCODERS["bert"])
    tokens = [*TEXT[:5], MASK, *TEXT[6:20]]
    weights_TT = filling_influence_map(model, tokens, MASK)
    np.testing.assert_allclose(weights_TT.sum(-1), 1, atol=1e-5)
    assert (np.diag(weights_TT) == 0).all()
    assert (weights_TT[~np.eye(20, dtype=bool)] > 0).all()

    hidden = torch.tensor([[*tokens[:17], MASK, *tokens[18:]]])
    vectors = model.embed_tokens(hidden).detach().requires_grad_(True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model.embed_tokens, "forward", lambda _: vectors)
        model.logits(model(hidden).hidden_BTD[0, 17]).log_softmax(-1)[tokens[17]].backward()
    lengths = vectors.grad[0].norm(dim=-1)
    lengths[17] = 0
    np.testing.assert_allclose(weights_TT[17], (lengths / lengths.sum()).numpy(), atol=1e-5)


def test_an_answer_is_moved_by_its_source_and_by_what_was_written() -> None:
    model = pair_model("transformer-2017")
    weights_TW = answer_influence_map(model, SOURCE, TEXT)
    assert weights_TW.shape == (24, 21 + 24)
    np.testing.assert_allclose(weights_TW.sum(-1), 1, atol=1e-5)
    assert np.abs(np.triu(weights_TW[:, 21:], 1)).max() == 0
    assert (weights_TW[:, :21] > 0).all()
    short = answer_influence_map(model, SOURCE, TEXT[:18])
    np.testing.assert_allclose(short[:17], weights_TW[:17, : 21 + 18], atol=1e-5)


def test_who_writes_words_backwards_looks_along_the_other_diagonal() -> None:
    """A layer that has learned to reverse looks, for each letter it writes, at that letter: seen on words of no repeated letter."""
    letters, end, start = 12, 12, 13
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    model = build_model(EncoderDecoderConfig(num_layers=1, num_heads=2, hidden_size=32), 14, 16)
    optimizer = build_optimizer(model, OptimizerConfig(learning_rate=5e-3, weight_decay=0.0), "cpu")
    for _ in range(400):
        words = torch.tensor(generator.integers(0, letters, (32, generator.integers(3, 9))))
        ends, starts = torch.full((32, 1), end), torch.full((32, 1), start)
        memory = model.encode(torch.cat([words, ends], dim=1))
        hidden = model(torch.cat([starts, words.flip(1)], dim=1), memory=memory).hidden_BTD
        targets = torch.cat([words.flip(1), ends], dim=1)
        loss = torch.nn.functional.cross_entropy(model.logits(hidden).flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    mirrored: list[np.ndarray] = []
    for _ in range(20):
        word = generator.permutation(letters)[:7].tolist()
        seen = attention_overview(model, [start, *word[::-1]], 0, source=[*word, end], part="cross")
        mirrored.append(seen.scores["written"].values_LH)
        assert seen.scores["written"].chance_L.item() == pytest.approx(1 / 8)
    assert np.mean(mirrored, axis=0).max() > 0.7

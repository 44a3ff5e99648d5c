"""Writing and scoring: the cuts, the cache, the seed, the likelihood against one token at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from llm_core.config.errors import UserError
from llm_core.config.model import GRUConfig, LSTMConfig, ModelConfig, RNNConfig, TransformerConfig
from llm_core.config.sampling import SamplingConfig
from llm_core.generation.decoding import Generation, generate
from llm_core.generation.incremental_text import IncrementalText
from llm_core.generation.likelihood import likelihood, target_losses
from llm_core.generation.sampling import candidate_probabilities, compare_candidates, draw
from llm_core.generation.text_model import NeuralTextModel
from llm_core.models.registry import build_model
from llm_core.text.tokenizers import ByteTokenizer, CharacterTokenizer
from llm_core.text.words import WordTokenizer

TOKENIZER = CharacterTokenizer("abcdefghijklmnopqrst\n")
V, CONTEXT = TOKENIZER.vocabulary_size, 16
CONFIGS: dict[str, ModelConfig] = {
    "rnn": RNNConfig(hidden_size=12, num_layers=2),
    "gru": GRUConfig(hidden_size=12),
    "lstm": LSTMConfig(hidden_size=12, num_layers=2),
    "transformer": TransformerConfig(hidden_size=16, num_layers=2, num_heads=2),
}
families = pytest.mark.parametrize("family", CONFIGS)


def model_of(
    family: str, dtype: torch.dtype = torch.float64, context: int = CONTEXT, vocabulary: int = V
) -> torch.nn.Module:
    torch.manual_seed(4)
    model = build_model(CONFIGS[family], vocabulary, context).to(dtype).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.25)
    return model


def settings_of(**changes: object) -> SamplingConfig:
    return SamplingConfig.model_validate({"max_tokens": 40, "seed": 1, **changes})


@families
def test_cached_equals_uncached_across_the_cut(family: str) -> None:
    model = model_of(family)
    prompt = TOKENIZER.encode("abcdefg")
    cached = generate(NeuralTextModel(model, TOKENIZER), prompt, settings_of(max_tokens=60))
    uncached = generate(NeuralTextModel(model, TOKENIZER, use_cache=False), prompt, settings_of(max_tokens=60))
    assert cached.text == uncached.text
    assert len(cached.text) == 60
    assert cached.truncated == (family == "transformer") == uncached.truncated


def test_256_greedy_tokens_are_the_same_with_a_cache() -> None:
    model = model_of("transformer", torch.float32, context=320)
    texts = {
        use_cache: generate(
            NeuralTextModel(model, TOKENIZER, use_cache=use_cache),
            [1, 2, 3],
            settings_of(max_tokens=256, temperature=0),
        ).text
        for use_cache in (True, False)
    }
    assert texts[True] == texts[False]
    assert len(texts[True]) == 256


@families
def test_the_seed_decides_and_is_always_known(family: str) -> None:
    model = NeuralTextModel(model_of(family), TOKENIZER)
    first, again = (generate(model, [1], settings_of(seed=7)) for _ in range(2))
    assert first.text == again.text and first.seed == 7
    unknown = generate(model, [1], settings_of(seed=None))
    assert generate(model, [1], settings_of(seed=unknown.seed)).text == unknown.text
    torch.manual_seed(0)
    before = torch.get_rng_state()
    generate(model, [1], settings_of())
    assert torch.equal(before, torch.get_rng_state()), "writing must not disturb a training beside it"


def test_greedy_takes_the_likeliest() -> None:
    logits = torch.tensor([1.0, 3.0, 3.0, 2.0])
    probabilities = candidate_probabilities(logits, set(), settings_of(temperature=0))
    assert probabilities.tolist() == [0, 1, 0, 0]


def test_the_known_vector_of_transformers_order() -> None:
    logits = torch.tensor([0.5, 0.2, 0.15, 0.1, 0.05]).log()
    after = candidate_probabilities(logits, set(), settings_of(temperature=2.0, top_p=0.8))
    assert after.tolist() == pytest.approx([0.381, 0.241, 0.208, 0.170, 0], abs=5e-4)


def test_cuts_equal_those_of_transformers() -> None:
    from transformers import LogitsProcessorList
    from transformers.generation.logits_process import (
        MinPLogitsWarper,
        RepetitionPenaltyLogitsProcessor,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    generator = torch.Generator().manual_seed(0)
    for trial in range(50):
        logits = torch.randn(30, generator=generator, dtype=torch.float64) * 3
        seen = torch.randint(30, (6,), generator=generator)
        settings = settings_of(
            temperature=0.3 + trial / 25,
            top_k=trial % 12,
            top_p=0.35 + trial / 100,
            min_p=trial / 500,
            repetition_penalty=1 + trial / 50,
        )
        theirs = LogitsProcessorList(
            [
                RepetitionPenaltyLogitsProcessor(settings.repetition_penalty),
                TemperatureLogitsWarper(settings.temperature),
            ]
        )
        if settings.top_k:
            theirs.append(TopKLogitsWarper(settings.top_k))
        theirs.append(TopPLogitsWarper(settings.top_p))
        theirs.append(MinPLogitsWarper(settings.min_p))
        expected = theirs(seen[None], logits[None].clone())[0].softmax(-1)
        ours = candidate_probabilities(logits, set(seen.tolist()), settings)
        torch.testing.assert_close(ours, expected, atol=1e-12, rtol=0)


def test_draws_follow_the_distribution() -> None:
    """Chi-square of 20,000 draws; 27.9 is the 0.1 % point of nine degrees of freedom."""
    probabilities = torch.tensor([0.3, 0.2, 0.15, 0.1, 0.08, 0.07, 0.05, 0.03, 0.015, 0.005, 0.0], dtype=torch.float64)
    generator = torch.Generator().manual_seed(2)
    counts = np.bincount([draw(probabilities, generator) for _ in range(20_000)], minlength=11)
    expected = 20_000 * probabilities.numpy()[:10]
    assert counts[10] == 0
    assert (((counts[:10] - expected) ** 2) / expected).sum() < 27.9


def test_ten_alternatives_sum_below_one_and_the_picture_agrees() -> None:
    model = NeuralTextModel(model_of("transformer"), TOKENIZER)
    tokens = list(Generation(model, [1, 2], settings_of(max_tokens=5)))
    assert len(tokens) == 5
    for token in tokens:
        assert len(token.alternatives) == 10
        assert 0 < sum(other.probability for other in token.alternatives) < 1
        assert token.probability <= token.alternatives[0].probability
    logits = model.start().read([1, 2])
    candidates = compare_candidates(logits, {1, 2}, settings_of(top_k=3))
    assert [candidate.candidate_probability > 0 for candidate in candidates[:4]] == [True, True, True, False]
    assert sum(candidate.candidate_probability for candidate in candidates) == pytest.approx(1)


class Parrot:
    """A text model that always says the same bytes, to test how text leaves a generation."""

    begins_text = False
    context_length = 10_000
    is_full = False

    def __init__(self, text: str) -> None:
        self.tokenizer = ByteTokenizer()
        self.vocabulary_size = self.tokenizer.vocabulary_size
        self._bytes = text.encode()

    def start(self, max_tokens: int | None = None) -> Parrot:
        self._at, self.truncated = 0, False
        return self

    def read(self, tokens: object) -> torch.Tensor:
        logits = torch.full((self.vocabulary_size,), -50.0)
        logits[self._bytes[self._at % len(self._bytes)]] = 50.0
        self._at += 1
        return logits


def test_only_whole_characters_are_shown() -> None:
    generation = Generation(Parrot("é你🙂x"), [65], settings_of(max_tokens=10))
    seen = [generation.text for _ in generation]
    assert seen == ["", "é", "é", "é", "é你", "é你", "é你", "é你", "é你🙂", "é你🙂x"]


def test_a_stop_string_may_span_tokens_and_never_shows() -> None:
    generation = Generation(Parrot("abc-STOP-def"), [65], settings_of(stop=["-STOP"]))
    seen = [generation.text for _ in generation]
    assert generation.finish == "stop" and generation.text == "abc"
    assert all("-" not in text for text in seen)
    unfinished = generate(Parrot("abc-ST"), [65], settings_of(stop=["-STOP"], max_tokens=6))
    assert unfinished.text == "abc-ST", "what was held back comes out at the end"


def test_a_generation_can_be_cancelled() -> None:
    generation = Generation(Parrot("abc"), [65], settings_of(), is_cancelled=lambda: generation.num_tokens >= 3)
    assert len(list(generation)) == 3
    assert generation.finish == "cancelled"


def test_a_token_outside_the_vocabulary_is_refused() -> None:
    with pytest.raises(UserError, match="vocabulary"):
        Generation(NeuralTextModel(model_of("lstm"), TOKENIZER), [V], settings_of())


@families
@pytest.mark.parametrize("length", [2, CONTEXT, CONTEXT + 1, 3 * CONTEXT + 5])
def test_likelihood_equals_one_token_at_a_time(family: str, length: int) -> None:
    model = model_of(family)
    tokens = np.random.default_rng(1).integers(0, V, length)
    expected = 0.0
    for position in range(1, length):
        start = 0 if family != "transformer" else (position - 1) // CONTEXT * CONTEXT
        hidden = model(torch.from_numpy(tokens[start:position])[None]).hidden_BTD[0, -1]
        expected -= model.logits(hidden).log_softmax(-1)[tokens[position]].item()
    result = likelihood(model, tokens, TOKENIZER)
    assert result.nats == pytest.approx(expected, abs=1e-6 * length)
    assert (result.tokens, result.bytes) == (length - 1, length - 1)
    assert result.perplexity == pytest.approx(math.exp(expected / (length - 1)))
    assert result.bits_per_byte == pytest.approx(expected / math.log(2) / (length - 1))


@pytest.mark.parametrize("stride", [1, 5, CONTEXT])
def test_every_target_counts_once_at_any_stride(stride: int) -> None:
    model = model_of("transformer")
    tokens = np.random.default_rng(1).integers(0, V, 3 * CONTEXT + 7)
    losses = np.concatenate(list(target_losses(model, tokens, stride=stride)))
    assert len(losses) == len(tokens) - 1
    position = 2 * CONTEXT + 3  # predicted by the first window that reaches it
    start = 0
    while start + CONTEXT < position:
        start += stride
    hidden = model(torch.from_numpy(tokens[start:position])[None]).hidden_BTD[0, -1]
    expected = -model.logits(hidden).log_softmax(-1)[tokens[position]].item()
    assert losses[position - 1] == pytest.approx(expected, abs=1e-5)


def test_scoring_leaves_the_model_as_it_was() -> None:
    model = model_of("transformer").train()
    state = torch.get_rng_state()
    likelihood(model, np.arange(10) % V, TOKENIZER)
    assert model.training and torch.equal(state, torch.get_rng_state())


def test_bad_strides_and_short_texts_are_refused() -> None:
    model = model_of("transformer")
    with pytest.raises(UserError, match="stride"):
        likelihood(model, np.arange(10) % V, TOKENIZER, stride=CONTEXT + 1)
    with pytest.raises(UserError, match="too short"):
        likelihood(model, np.array([1]), TOKENIZER)


def test_a_small_budget_of_logits_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model(TransformerConfig(num_layers=1, num_heads=2, hidden_size=16), 50, 32).eval()
    tokens = np.random.default_rng(0).integers(0, 50, 100)
    whole = np.concatenate(list(target_losses(model, tokens)))
    monkeypatch.setattr("llm_core.generation.likelihood._LOGITS_BUDGET", 50 * 7)
    np.testing.assert_allclose(np.concatenate(list(target_losses(model, tokens))), whole, atol=1e-6)


def test_documents_that_were_learned_apart_are_measured_apart() -> None:
    model = build_model(TransformerConfig(num_layers=2, num_heads=2, hidden_size=16), 50, 64).eval()
    first, second = np.random.default_rng(0).integers(1, 50, (2, 20))
    end = np.array([0])
    together = np.concatenate(list(target_losses(model, np.concatenate((first, end, second)), document_end=0)))
    alone = [
        np.concatenate(list(target_losses(model, part))) for part in (np.concatenate((first, end, second[:1])), second)
    ]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-5)
    across = np.concatenate(list(target_losses(model, np.concatenate((first, end, second)))))
    assert not np.allclose(across[-10:], together[-10:], atol=1e-4)


def test_an_answer_does_not_begin_with_the_space_of_its_first_word() -> None:
    tokenizer = WordTokenizer(["a", "cat"])
    ids = tokenizer.encode("a cat")
    for begins, expected in ((True, tokenizer.decode(ids)), (False, " " + tokenizer.decode(ids))):
        text = IncrementalText(tokenizer, (), begins_text=begins)
        for token in ids:
            text.add(token)
        assert text.finish() == expected

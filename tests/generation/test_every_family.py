"""Opened checkpoints of the families beyond the causal networks: counts that write, encoders that fill, sources that are answered."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llm_core.config.encoder_decoder import encoder_decoder_forms
from llm_core.config.errors import UserError
from llm_core.config.sampling import SamplingConfig
from llm_core.config.span_corruption import SpanCorruptionConfig
from llm_core.generation import ngram_text_model
from llm_core.generation.answer_text_model import AnswerTextModel
from llm_core.generation.decoding import Generation, generate
from llm_core.generation.filling import fill_masks, fill_text
from llm_core.generation.likelihood import sum_losses
from llm_core.generation.ngram_text_model import NgramTextModel
from llm_core.generation.opening import OpenedModel
from llm_core.generation.prompts import fill_gaps, gap_numbers, ready_to_write, source_tokens
from llm_core.models.ngram import fit_ngrams
from llm_core.models.registry import build_model
from llm_core.text.extended_tokenizer import ExtendedTokenizer
from llm_core.text.hidden_places import GAP, MASK
from llm_core.text.subword_training import train_bpe, train_unigram, train_wordpiece
from llm_core.text.tokenizers import CharacterTokenizer
from llm_core.text.vocabulary import model_vocabulary
from tests.generation.families import CONTEXT, FAMILIES, TEXT, open_family

LETTERS = CharacterTokenizer("".join(sorted(set(TEXT))))
GREEDY = SamplingConfig(max_tokens=64, temperature=0.0, seed=1)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> dict[str, OpenedModel]:
    home = tmp_path_factory.mktemp("families")
    return {family: open_family(home / family, family, LETTERS) for family in FAMILIES}


# Counts.


@given(text=st.text(alphabet="the sta\n", min_size=1, max_size=12), reads=st.lists(st.integers(1, 4), max_size=12))
def test_what_counts_say_does_not_depend_on_how_they_read(text: str, reads: list[int]) -> None:
    counts = fit_ngrams(np.array(LETTERS.encode(TEXT)), 4, LETTERS.vocabulary_size)
    tokens = LETTERS.encode(text)
    session = NgramTextModel(counts, LETTERS).start()
    unread = list(tokens)
    logits_V = torch.empty(0)
    for count in [*reads, len(tokens)]:
        piece, unread = unread[:count], unread[count:]
        if piece:
            logits_V = session.read(piece)
    # Far from its beginning a text is no document's beginning either; near it, both know that it is.
    np.testing.assert_allclose(logits_V.exp().numpy(), counts.next_token_probabilities(tokens), rtol=1e-12)
    assert logits_V.dtype == torch.float64 and float(logits_V.exp().sum()) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("piece_tokens", [1, 3, 7, 50])
@pytest.mark.parametrize("end_of_text", [None, 0])
def test_scores_in_pieces_are_scores_in_one_go(
    piece_tokens: int, end_of_text: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = np.array(LETTERS.encode(TEXT[:200]))
    counts = fit_ngrams(tokens, 4, LETTERS.vocabulary_size, end_of_text)
    model = NgramTextModel(counts, LETTERS)
    (whole,) = model.target_nats(tokens)
    monkeypatch.setattr(ngram_text_model, "_PIECE_TOKENS", piece_tokens)
    pieces = list(model.target_nats(tokens))
    assert len(pieces) == -(-(len(tokens) - 1) // piece_tokens)
    np.testing.assert_allclose(np.concatenate(pieces), whole, rtol=1e-12)
    one_by_one = [
        -np.log(counts.next_token_probabilities(tokens[:place].tolist())[tokens[place]]) for place in range(1, 40)
    ]
    np.testing.assert_allclose(whole[:39], one_by_one, rtol=1e-9)


def test_counts_write_what_they_read_and_are_never_full(opened: dict[str, OpenedModel]) -> None:
    model, prompt = ready_to_write(opened["ngram"], "the st")
    written = generate(model, prompt, GREEDY)
    assert written.text == "atement is executed (or not)\nthe statement is executed (or not)\n"[:64]
    assert (written.finish, written.truncated, written.num_tokens) == ("length", False, 64)
    assert generate(model, [], SamplingConfig(max_tokens=5)).num_tokens == 5
    tokens = np.array(LETTERS.encode(TEXT))
    score = sum_losses(model.target_nats(tokens), tokens, LETTERS)
    assert score.loss < 0.5 and score.bits_per_byte == pytest.approx(score.loss / np.log(2))
    with pytest.raises(UserError, match="too short to be scored"):
        list(model.target_nats(tokens[:1]))
    with pytest.raises(UserError, match="table of counts"):
        opened["ngram"].require_network()


def test_a_minimal_gru_writes_like_any_recurrent_network(opened: dict[str, OpenedModel]) -> None:
    model, prompt = ready_to_write(opened["mingru"], "the st")
    written = generate(model, prompt, SamplingConfig(max_tokens=2 * CONTEXT, temperature=0.0))
    assert (written.num_tokens, written.truncated) == (2 * CONTEXT, False)


# Encoders.


@given(data=st.data())
def test_filling_one_place_is_the_softmax_of_the_model(opened: dict[str, OpenedModel], data: st.DataObject) -> None:
    text = data.draw(st.text(alphabet="the stamn", min_size=1, max_size=30))
    place = data.draw(st.integers(0, len(text) - 1))
    encoder = opened["encoder"]
    filled = fill_text(encoder, text[:place] + MASK + text[place + 1 :])
    tokens = LETTERS.encode(text)
    mask = encoder.vocabulary.mask_token
    assert mask == LETTERS.vocabulary_size
    tokens[place] = mask
    network = encoder.require_network()
    logits_V = network.logits(network(torch.tensor([tokens])).hidden_BTD)[0, place]
    top = logits_V.softmax(-1).topk(10)
    (filling,) = filled.fillings
    assert filling.position == place and [token for token, _ in filling.candidates] == top.indices.tolist()
    assert [p for _, p in filling.candidates] == pytest.approx(top.values.tolist(), abs=1e-6)
    best = encoder.tokenizer.decode([filling.candidates[0][0]])
    assert filled.text == text[:place] + best + text[place + 1 :]


def test_several_places_are_filled_at_once_each_by_its_own(opened: dict[str, OpenedModel]) -> None:
    filled = fill_text(opened["encoder"], f"the {MASK}tat{MASK}ment", count=3)
    assert [place.position for place in filled.fillings] == [4, 8]
    assert all(len(place.candidates) == 3 for place in filled.fillings)
    assert [token.text for token in filled.cut[3:6]] == [" ", MASK, "t"]
    alone = fill_masks(
        opened["encoder"].require_network(), [1, 2, LETTERS.vocabulary_size], LETTERS.vocabulary_size, 99
    )
    assert len(alone[0].candidates) == LETTERS.vocabulary_size + 1
    assert sum(p for _, p in alone[0].candidates) == pytest.approx(1.0, abs=1e-5)


def test_a_word_to_fill_takes_its_space_with_it(tmp_path: Path) -> None:
    for tokenizer in (train_bpe([TEXT], 300), train_wordpiece([TEXT], 120, "".join(sorted(set(TEXT))))):
        encoder = open_family(tmp_path / tokenizer.kind, "encoder", tokenizer)
        close, apart = (fill_text(encoder, f"the{space}{MASK} is") for space in ("", " "))
        assert close.fillings == apart.fillings and len(apart.cut) == 3
        known = encoder.vocabulary.mask_token
        assert known == (4 if tokenizer.kind == "wordpiece" else tokenizer.vocabulary_size)


def test_an_imported_encoder_reads_the_signs_that_it_was_trained_with(tmp_path: Path) -> None:
    tokenizer = train_wordpiece([TEXT], 120, "".join(sorted(set(TEXT))))
    text = f"the {MASK} is executed"
    imported = open_family(tmp_path / "imported", "encoder", tokenizer, "data.dataset=")
    trained_here = open_family(tmp_path / "here", "encoder", tokenizer)
    plain = [token.token_id if token.token_id is not None else 4 for token in fill_text(trained_here, text).cut]
    framed = fill_masks(imported.require_network(), [2, *plain, 3], 4)
    (place,) = fill_text(imported, text).fillings
    assert place.position == 1 and place.candidates == framed[0].candidates
    assert place.candidates != fill_text(trained_here, text).fillings[0].candidates


def test_what_cannot_be_filled_says_what_to_do(opened: dict[str, OpenedModel]) -> None:
    with pytest.raises(UserError, match=r"no place to fill.*\[MASK\]"):
        fill_text(opened["encoder"], "the statement")
    with pytest.raises(UserError, match=r"masked objective.*glassbox generate"):
        fill_text(opened["transformer"], f"the {MASK}")
    with pytest.raises(UserError, match="longer than the model's context"):
        fill_text(opened["encoder"], MASK + "t" * CONTEXT)
    with pytest.raises(UserError, match=r"does not write.*glassbox fill RUN"):
        ready_to_write(opened["encoder"], "the")


# Sources and answers.


@pytest.mark.parametrize("family", ["gaps", "pairs"])
def test_an_answer_is_the_same_with_a_cache(opened: dict[str, OpenedModel], family: str) -> None:
    model = opened[family]
    source = source_tokens(model, "the statement is executed")
    network, start = model.require_network(), model.vocabulary.start_token
    assert start is not None
    endless = ExtendedTokenizer(LETTERS, {}, network.vocabulary_size)
    cached, uncached = (AnswerTextModel(network, endless, source, use_cache=use_cache) for use_cache in (True, False))
    sessions = (cached.start(30), uncached.start(30))
    generator = np.random.default_rng(2)
    for tokens in ([start], *([int(token)] for token in generator.integers(0, network.vocabulary_size, 29))):
        one, other = (session.read(tokens) for session in sessions)
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    texts = [[token.token for token in Generation(each, [start], GREEDY)] for each in (cached, uncached)]
    assert texts[0] == texts[1] and len(texts[0]) == 64


@pytest.mark.parametrize("form", encoder_decoder_forms())
def test_256_greedy_tokens_of_an_answer_are_the_same_with_a_cache(form: str) -> None:
    """Far beyond the distances that T5 tells apart, and in float32, where an unlike order of sums shows."""
    torch.manual_seed(3)
    small = {"num_layers": 2, "num_decoder_layers": 2, "hidden_size": 32, "num_heads": 2, "tie_embeddings": False}
    config = encoder_decoder_forms()[form].small.model_copy(update=small)
    network = build_model(config, 40, 320).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 2:
                parameter.normal_(std=0.25)
    endless = ExtendedTokenizer(LETTERS, {}, 40)
    source = np.random.default_rng(0).integers(0, 40, 50).tolist()
    # Random weights love to repeat themselves; a penalty lets the text go through the vocabulary.
    settings = GREEDY.model_copy(update={"max_tokens": 256, "repetition_penalty": 1.2})
    texts = [
        [token.token for token in Generation(AnswerTextModel(network, endless, source, use_cache=each), [1], settings)]
        for each in (True, False)
    ]
    assert texts[0] == texts[1] and len(texts[0]) == 256 and len(set(texts[0])) > 3


def test_a_score_of_an_answer_is_what_the_session_said(opened: dict[str, OpenedModel]) -> None:
    model, (start,) = ready_to_write(opened["pairs"], "the st")
    answer = [start, *LETTERS.encode("not")]
    (nats,) = model.target_nats(np.array(answer))
    session = model.start(len(answer))
    said = [-float(session.read([before]).log_softmax(-1)[token]) for before, token in pairwise(answer)]
    assert nats.tolist() == pytest.approx(said, abs=1e-5)


def test_an_answer_ends_at_its_end_token_and_where_the_context_does(opened: dict[str, OpenedModel]) -> None:
    model, (start,) = ready_to_write(opened["pairs"], "the st")
    assert isinstance(model, AnswerTextModel)
    full = generate(model, [start], SamplingConfig(max_tokens=1000, temperature=0.0))
    assert (full.finish, full.num_tokens, full.truncated) == ("context", CONTEXT, False)
    end = opened["pairs"].vocabulary.end_token
    assert end == model.tokenizer.end_of_text_id
    ended = next(
        written
        for seed in range(500)
        if (written := generate(model, [start], SamplingConfig(max_tokens=50, temperature=3.0, seed=seed))).finish
        == "eos"
    )
    assert ended.num_tokens < 50 and "⟨end⟩" not in ended.text


def test_gaps_become_marks_and_the_answer_fills_them(opened: dict[str, OpenedModel], tmp_path: Path) -> None:
    model = opened["gaps"]
    numbers = gap_numbers(model)
    first, second, third, *_ = numbers
    end = model.vocabulary.end_token
    assert list(numbers.values()) == [1, 2, 3, 4, 5, 6] and first - 1 == second
    assert source_tokens(model, f"t{GAP}e s{GAP}") == [*LETTERS.encode("t"), first, *LETTERS.encode("e s"), second, end]
    assert model.tokenizer.token_text(second) == "⟨gap 2⟩"
    answer = [*LETTERS.encode("no"), first, *LETTERS.encode("h"), third, *LETTERS.encode("no"), first]
    assert fill_gaps(model, f"t{GAP}e s{GAP}", answer) == f"the s{GAP}"
    with pytest.raises(UserError, match="more gaps than there are marks"):
        source_tokens(model, GAP * 7)
    with pytest.raises(UserError, match="no source to answer"):
        ready_to_write(model, "")
    with pytest.raises(UserError, match="longer than the model's context"):
        ready_to_write(model, "t" * CONTEXT)
    tokenizer = train_bpe([TEXT], 300)
    words = open_family(tmp_path / "words", "gaps", tokenizer)
    written = [next(iter(gap_numbers(words))), *tokenizer.encode(" statement")]
    assert fill_gaps(words, f"the {GAP} is", written) == "the statement is"


def test_marks_of_a_tokenizer_that_has_them_are_taken(tmp_path: Path) -> None:
    tokenizer = train_unigram([TEXT], 300)
    model = open_family(tmp_path / "unigram", "pairs", tokenizer)
    assert (model.vocabulary.start_token, model.vocabulary.end_token) == (0, 1)
    assert source_tokens(model, "the")[-1] == 1 and gap_numbers(model) == {}
    with pytest.raises(UserError, match=r"likely or not for a source.*--prompt SOURCE"):
        model.text_model()


def test_a_tokenizer_with_too_few_marks_says_how_many_there_are() -> None:
    size = LETTERS.vocabulary_size
    marked = ExtendedTokenizer(LETTERS, {size + 2 - gap: f"<extra_id_{gap}>" for gap in range(3)}, size + 3)
    with pytest.raises(UserError, match="fewer marks of gaps") as raised:
        model_vocabulary(marked, SpanCorruptionConfig(num_sentinels=4))
    assert (raised.value.limit, raised.value.remedy) == ("at most 3", "Set objective.num_sentinels to 3")
    enough = model_vocabulary(marked, SpanCorruptionConfig(num_sentinels=3))
    assert (enough.first_mark, enough.num_marks) == (size + 2, 3)

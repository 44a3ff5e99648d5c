"""The tokens that stand for no text, under the names by which transformers knows them (`mask_token`, `pad_token`, …).

Those that an objective added to a tokenizer get the names that BERT and T5 gave theirs. Not here: which ids they have
(`llm_core.text.vocabulary`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from llm_core.config.errors import UserError
from llm_core.config.masking import MaskingConfig
from llm_core.config.model import EncoderConfig, EncoderDecoderConfig
from llm_core.config.objective import CausalConfig, ObjectiveConfig, SequenceToSequenceConfig
from llm_core.config.run import RunConfig
from llm_core.config.span_corruption import SpanCorruptionConfig
from llm_core.models.huggingface.families import ROBERTA, T5, Family
from llm_core.text.tokenizers import TextTokenizer
from llm_core.text.vocabulary import ModelVocabulary, model_vocabulary, special_tokens

MASK, PADDING, END, GAP = "[MASK]", "<pad>", "</s>", "<extra_id_{}>"

_USUAL = {
    "pad_token": ("[PAD]", "<pad>"),
    "cls_token": ("[CLS]", "<s>"),
    "sep_token": ("[SEP]", "</s>"),
    "unk_token": ("[UNK]", "<unk>"),
}


@dataclass(frozen=True)
class SpecialTokens:
    """What a folder says about its special tokens."""

    ids: dict[str, int]
    """By the name of their part: `mask_token`, `eos_token`, …"""
    added: dict[int, str]
    """Those that the tokenizer has not: id and text."""


def special_tokens_of(family: Family, config: RunConfig, tokenizer: TextTokenizer, rows: int) -> SpecialTokens:
    """The special tokens of a model of one class.

    Args:
        rows: of the embedding; what is beyond it, which no text becomes, is left out.
    """
    vocabulary = model_vocabulary(tokenizer, config.objective)
    known = {token: token_id for token, token_id in special_tokens(tokenizer).items() if token_id < rows}
    if config.model.kind == "transformer":
        end = vocabulary.end_of_text
        return SpecialTokens({} if end is None or end >= rows else {"eos_token": end}, {})
    ids: dict[str, int] = {}
    for part, names in _USUAL.items():
        found = next((known[name] for name in names if name in known), None)
        if found is not None and not (family is T5 and part in ("cls_token", "sep_token")):
            ids[part] = found
    if family is T5:
        assert vocabulary.start_token is not None and vocabulary.end_token is not None, "every pair has both"
        ids |= {"pad_token": vocabulary.start_token, "eos_token": vocabulary.end_token}
    elif vocabulary.mask_token is not None:
        ids["mask_token"] = vocabulary.mask_token
    if family is ROBERTA:
        ids |= {new: ids[old] for new, old in (("bos_token", "cls_token"), ("eos_token", "sep_token")) if old in ids}
    added = {
        token_id: token
        for token_id, token in _added(vocabulary, config.objective).items()
        if token_id >= tokenizer.vocabulary_size
    }
    return SpecialTokens(ids, added)


def objective_of(family: Family, tokenizer: TextTokenizer, names: Mapping[str, int], rows: int) -> ObjectiveConfig:
    """What a model of a class is asked to predict, with the tokens that its tokenizer has for that.

    Args:
        names: of the tokens in its tokenizer.json that are no pieces of text.
        rows: of the embedding.

    Raises:
        UserError: the objective needs a token that neither the tokenizer nor the embedding has.
    """
    objective = _usual_objective(family, names)
    lacking = [
        name for token_id, name in _added(model_vocabulary(tokenizer, objective), objective).items() if token_id >= rows
    ]
    if lacking:
        raise UserError(
            f"The tokenizer lacks special tokens that a {family.class_name} needs",
            value=", ".join(lacking),
            limit=f"{rows:,} rows in the embedding",
            remedy="Use the tokenizer.json that belongs to these weights",
        )
    return objective


def _usual_objective(family: Family, names: Mapping[str, int]) -> ObjectiveConfig:
    if family.settings is EncoderConfig:
        return MaskingConfig()
    if family.settings is not EncoderDecoderConfig:
        return CausalConfig()
    first = names.get(GAP.format(0))
    if first is None:
        return SequenceToSequenceConfig()
    gaps = 1
    while names.get(GAP.format(gaps)) == first - gaps:
        gaps += 1
    return SpanCorruptionConfig(num_sentinels=gaps)


def is_padding(tokenizer: TextTokenizer, token_id: int) -> bool:
    """Whether an id is the tokenizer's for padding."""
    return token_id in tokenizer.special_ids and tokenizer.token_text(token_id) in _USUAL["pad_token"]


def _added(vocabulary: ModelVocabulary, objective: ObjectiveConfig) -> dict[int, str]:
    """Every id that an objective may have added, with its name."""
    found: dict[int, str] = {}
    if vocabulary.first_mark is not None and isinstance(objective, SpanCorruptionConfig):
        found |= {vocabulary.first_mark - gap: GAP.format(gap) for gap in range(objective.num_sentinels)}
    for token_id, token in (
        (vocabulary.end_token, END),
        (vocabulary.start_token, PADDING),
        (vocabulary.mask_token, MASK),
    ):
        if token_id is not None:
            found[token_id] = token
    return found

"""Masked language models and encoder-decoders of transformers with wide random weights, long enough for windows and buckets to matter."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn

from llm_core.models.interface import LanguageModel
from tests.models.huggingface.support import random_model

V, CONTEXT, T = 120, 160, 140
_SIZE = {
    "vocab_size": V,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
}
_MODERNBERT = {
    **_SIZE,
    "num_hidden_layers": 5,
    "max_position_embeddings": CONTEXT,
    "local_attention": 16,
    "pad_token_id": 0,
    **dict.fromkeys(("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")),
}
_T5 = {"vocab_size": V, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 4}
_V1_1 = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
_BIASES = dict.fromkeys(("norm_bias", "attention_bias", "mlp_bias", "classifier_bias"), True)
FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("BertForMaskedLM", {**_SIZE, "max_position_embeddings": CONTEXT}),
    "roberta": (
        "RobertaForMaskedLM",
        {**_SIZE, "max_position_embeddings": CONTEXT + 2, "type_vocab_size": 1, "layer_norm_eps": 1e-5},
    ),
    "roberta, padding 0": ("RobertaForMaskedLM", {**_SIZE, "max_position_embeddings": CONTEXT + 1, "pad_token_id": 0}),
    "modernbert": ("ModernBertForMaskedLM", _MODERNBERT),
    "modernbert, biases, every other layer": (
        "ModernBertForMaskedLM",
        {
            **_MODERNBERT,
            **_BIASES,
            "layer_types": ["full_attention", "sliding_attention"] * 2 + ["full_attention"],
            "local_attention": 9,
            "rope_parameters": {
                "full_attention": {"rope_type": "default", "rope_theta": 5_000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 700.0},
            },
        },
    ),
    "modernbert, no window": ("ModernBertForMaskedLM", {**_MODERNBERT, "layer_types": ["full_attention"] * 5}),
    "t5": ("T5ForConditionalGeneration", _T5),
    "t5-v1.1": ("T5ForConditionalGeneration", {**_T5, **_V1_1}),
    "t5-v1.1, tied": ("T5ForConditionalGeneration", {**_T5, **_V1_1}),
    "t5, wide heads, few buckets": (
        "T5ForConditionalGeneration",
        {**_T5, "d_kv": 12, "relative_attention_num_buckets": 8, "relative_attention_max_distance": 20},
    ),
}
PADDING = {"bert": 0, "roberta": 1, "roberta, padding 0": 0}


def model_of(form: str, dtype: torch.dtype = torch.float32) -> Any:
    """A model of a form; T5 v1.1 with a matrix of its own for the output, unless it is to be tied."""
    class_name, values = FORMS[form]
    model = random_model(class_name, values)
    if form == "t5-v1.1":
        model.lm_head.weight = nn.Parameter(
            torch.empty(V, 32).normal_(0.0, 0.25, generator=torch.Generator().manual_seed(9))
        )
    return small_queries(model).to(dtype)


def small_queries(model: Any) -> Any:
    """T5's scores are not divided by the root of the head's width; its first weights are smaller instead, and so are these."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith((".SelfAttention.q.weight", ".EncDecAttention.q.weight", "attn.q_proj.weight")):
                parameter.mul_(0.25)
    return model


def exact(model: Any) -> Any:
    """The same without T5's detour of norms through float32, which would hide small differences in float64."""
    from transformers.models.t5.modeling_t5 import T5LayerNorm

    from tests.models.encoder_decoder_references import ExactNorm

    if model.dtype == torch.float64:
        for name, module in list(model.named_modules()):
            if isinstance(module, T5LayerNorm):
                parent, _, last = name.rpartition(".")
                setattr(model.get_submodule(parent), last, ExactNorm(module))
    return model


def tokens() -> Tensor:
    """Two rows without the id of padding."""
    return torch.randint(2, V, (2, T), generator=torch.Generator().manual_seed(1))


def padding_of(side: str) -> Tensor:
    """Of the second row, 11 places at one side."""
    padding = torch.zeros(2, T, dtype=torch.bool)
    if side != "none":
        padding[1, slice(0, 11) if side == "left" else slice(T - 11, T)] = True
    return padding


def theirs(form: str, model: Any, tokens_BT: Tensor, padding_BT: Tensor | None = None) -> Tensor:
    """Logits; T5 writes the rows backwards about their source."""
    arguments: dict[str, Tensor] = {}
    inputs = tokens_BT
    if padding_BT is not None:
        inputs = tokens_BT.masked_fill(padding_BT, PADDING.get(form, 0))
        arguments["attention_mask"] = (~padding_BT).long()
        if form.startswith(("bert", "modernbert")):  # RoBERTa finds positions itself, T5 has none
            arguments["position_ids"] = ((~padding_BT).cumsum(1) - 1).clamp(min=0)
    if form.startswith("t5"):
        arguments["decoder_input_ids"] = tokens_BT.flip(1)
    return model(inputs, **arguments).logits


def ours(form: str, model: LanguageModel, tokens_BT: Tensor, padding_BT: Tensor | None = None) -> Tensor:
    """The same of our model."""
    if form.startswith("t5"):
        memory = model.encode(tokens_BT, padding_BS=padding_BT)
        return model.logits(model(tokens_BT.flip(1), memory=memory).hidden_BTD)
    return model.logits(model(tokens_BT, padding_BT=padding_BT).hidden_BTD)


def compared(form: str, padding_BT: Tensor) -> Tensor:
    """Where logits mean something: at every target of T5, at the tokens of the others."""
    return torch.ones_like(padding_BT) if form.startswith("t5") else ~padding_BT


def tokenizer_of(form: str) -> str:
    """A tokenizer.json with the special tokens that the class usually has, at their usual ids."""
    if form.startswith("t5"):
        special = ["<pad>", "</s>", "<unk>"]
        last = [f"<extra_id_{number}>" for number in reversed(range(10))]
    elif form.startswith("roberta"):
        special, last = ["<s>", "<pad>", "</s>", "<unk>"], ["<mask>"]
    else:
        special, last = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], []
    words = [f"w{number}" for number in range(V - 10 - len(special) - len(last))]  # ten rows more than tokens
    vocabulary = {word: number for number, word in enumerate([*special, *words, *last])}
    unknown = next(token for token in special if "unk" in token.lower())
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([*special, *last])
    if not form.startswith("t5"):
        first, end = (special[0], special[2]) if form.startswith("roberta") else ("[CLS]", "[SEP]")
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{first} $A {end}", special_tokens=[(first, vocabulary[first]), (end, vocabulary[end])]
        )
    return tokenizer.to_str()

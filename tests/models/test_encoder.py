"""BERT, RoBERTa and ModernBERT as settings of one encoder, against transformers as it is."""

from __future__ import annotations

import pytest
import torch

from llm_core.config.encoder import EncoderConfig, encoder_presets
from llm_core.models.encoder import Encoder
from llm_core.models.tap import RecordingTap

V, CONTEXT, T = 29, 160, 130
PAD = {"bert": 0, "roberta": 1, "modernbert": 0}
FORMS = tuple(PAD)
forms = pytest.mark.parametrize("form", FORMS)
PRECISIONS = pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])


def ours(form: str, dtype: torch.dtype = torch.float64, **changes: object) -> Encoder:
    """The preset's form at a width of 32, with weights so wide that every fault shows; ModernBERT's windows far shorter than the text."""
    small = {"num_layers": 3, "num_heads": 4, "hidden_size": 32, "dropout": 0.0}
    if form == "modernbert":
        small.update(num_layers=5, window=16)
    config = EncoderConfig.model_validate({**encoder_presets()[form].model_dump(), **small, **changes})
    model = Encoder(config, V, CONTEXT).to(dtype).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Biases around 0: a large common part in every vector would make all positions, and so all faults, look alike.
            mean = 1.0 if name.endswith("norm.weight") else 0.0
            parameter.copy_(torch.empty_like(parameter).normal_(mean, 0.25, generator=generator))
    return model


@pytest.fixture(autouse=True)
def _rotation_in_the_weights_own_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """ModernBERT of transformers rotates in float32 whatever the weights are; this is its formula without that detour."""
    from transformers.models.modernbert import modeling_modernbert as theirs

    def rotate(
        q: torch.Tensor, k: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor, unsqueeze_dim: int = 1
    ) -> tuple[torch.Tensor, torch.Tensor]:
        cosine, sine = cosine.unsqueeze(unsqueeze_dim), sine.unsqueeze(unsqueeze_dim)
        return q * cosine + theirs.rotate_half(q) * sine, k * cosine + theirs.rotate_half(k) * sine

    monkeypatch.setattr(theirs, "apply_rotary_pos_emb", rotate)


def reference(form: str, model: Encoder, attention: str = "sdpa") -> torch.nn.Module:
    """The same weights in the class of transformers that a form is named after."""
    import transformers

    config = model.config
    common = {
        "vocab_size": V,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.resolved_feed_forward_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "pad_token_id": PAD[form],
        "bos_token_id": None,
        "eos_token_id": None,
        "attn_implementation": attention,
    }
    if form == "modernbert":
        theirs = transformers.ModernBertForMaskedLM(
            transformers.ModernBertConfig(
                **common,
                cls_token_id=None,
                sep_token_id=None,
                max_position_embeddings=CONTEXT,
                local_attention=config.window,
                norm_eps=config.norm_epsilon,
            )
        )
    else:
        of_bert = {
            **common,
            "max_position_embeddings": CONTEXT + config.position_offset,
            "type_vocab_size": config.token_types,
            "layer_norm_eps": config.norm_epsilon,
        }
        if form == "bert":
            theirs = transformers.BertForMaskedLM(transformers.BertConfig(**of_bert))
        else:
            theirs = transformers.RobertaForMaskedLM(transformers.RobertaConfig(**of_bert))
    theirs = theirs.to(model.dtype)
    theirs.load_state_dict(their_names(form, model.state_dict()))
    return theirs.eval()


def their_names(form: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Our tensors, weights or gradients, under the names and in the packing of transformers."""
    return _modernbert_names(state) if form == "modernbert" else _bert_names(form, state)


def _bert_names(form: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    head = "cls.predictions" if form == "bert" else "lm_head"
    transform = f"{head}.transform" if form == "bert" else head
    head_norm = "LayerNorm" if form == "bert" else "layer_norm"
    found = {
        f"{form}.embeddings.word_embeddings.weight": state["embed_tokens.weight"],
        f"{form}.embeddings.position_embeddings.weight": state["embed_positions.weight"],
        f"{form}.embeddings.token_type_embeddings.weight": state["embed_types.weight"],
        f"{head}.decoder.weight": state["embed_tokens.weight"],
        f"{head}.decoder.bias": state["head.bias"],
        f"{head}.bias": state["head.bias"],
    }
    of_layer = {
        "attention.self.query": "self_attn.q_proj",
        "attention.self.key": "self_attn.k_proj",
        "attention.self.value": "self_attn.v_proj",
        "attention.output.dense": "self_attn.o_proj",
        "attention.output.LayerNorm": "attention_norm",
        "intermediate.dense": "mlp.up_proj",
        "output.dense": "mlp.down_proj",
        "output.LayerNorm": "feed_forward_norm",
    }
    for part in ("weight", "bias"):
        found[f"{form}.embeddings.LayerNorm.{part}"] = state[f"embed_norm.{part}"]
        found[f"{transform}.dense.{part}"] = state[f"head.dense.{part}"]
        found[f"{transform}.{head_norm}.{part}"] = state[f"head.norm.{part}"]
        for layer in range(3):
            for their, own in of_layer.items():
                found[f"{form}.encoder.layer.{layer}.{their}.{part}"] = state[f"layers.{layer}.{own}.{part}"]
    return found


def _modernbert_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    found = {
        "model.embeddings.tok_embeddings.weight": state["embed_tokens.weight"],
        "model.embeddings.norm.weight": state["embed_norm.weight"],
        "model.final_norm.weight": state["norm.weight"],
        "head.dense.weight": state["head.dense.weight"],
        "head.norm.weight": state["head.norm.weight"],
        "decoder.weight": state["embed_tokens.weight"],
        "decoder.bias": state["head.bias"],
    }
    for layer in range(5):
        own, their = f"layers.{layer}", f"model.layers.{layer}"
        qkv = [state[f"{own}.self_attn.{name}_proj.weight"] for name in "qkv"]
        gate_and_up = [state[f"{own}.mlp.{name}_proj.weight"] for name in ("gate", "up")]
        found[f"{their}.attn.Wqkv.weight"] = torch.cat(qkv)
        found[f"{their}.attn.Wo.weight"] = state[f"{own}.self_attn.o_proj.weight"]
        found[f"{their}.mlp.Wi.weight"] = torch.cat(gate_and_up)
        found[f"{their}.mlp.Wo.weight"] = state[f"{own}.mlp.down_proj.weight"]
        found[f"{their}.mlp_norm.weight"] = state[f"{own}.feed_forward_norm.weight"]
        if layer:
            found[f"{their}.attn_norm.weight"] = state[f"{own}.attention_norm.weight"]
    return found


def logits_of(model: Encoder, tokens: torch.Tensor, **arguments: torch.Tensor) -> torch.Tensor:
    return model.logits(model(tokens, **arguments).hidden_BTD)


@pytest.fixture
def tokens() -> torch.Tensor:
    """Rows without the ids that the references take for padding."""
    return torch.randint(2, V, (2, T), generator=torch.Generator().manual_seed(1))


def padded(tokens: torch.Tensor, side: str, form: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The second row cut by 11 tokens at one side, with the form's padding token there."""
    padding = torch.zeros_like(tokens, dtype=torch.bool)
    if side == "left":
        padding[1, :11] = True
    elif side == "right":
        padding[1, -11:] = True
    return tokens.masked_fill(padding, PAD[form]), padding


def their_arguments(form: str, padding: torch.Tensor) -> dict[str, torch.Tensor]:
    """RoBERTa finds its positions itself, from the padding token; the others are told them."""
    arguments = {"attention_mask": (~padding).long()}
    if form != "roberta":
        arguments["position_ids"] = ((~padding).cumsum(1) - 1).clamp(min=0)
    return arguments


@pytest.mark.parametrize("side", ["none", "left", "right"])
@forms
@PRECISIONS
def test_logits_loss_and_gradients_are_equal(
    tokens: torch.Tensor, form: str, dtype: torch.dtype, tolerance: float, side: str
) -> None:
    model = ours(form, dtype)
    inputs, padding = padded(tokens, side, form)
    theirs = reference(form, model)
    if side == "none":
        expected, output = theirs(inputs).logits, model(inputs)
    else:
        expected, output = theirs(inputs, **their_arguments(form, padding)).logits, model(inputs, padding_BT=padding)
    torch.testing.assert_close(model.logits(output.hidden_BTD)[~padding], expected[~padding], atol=tolerance, rtol=0)
    chosen = (torch.arange(T)[None] % 7 == torch.tensor([[2], [4]])) & ~padding
    targets = tokens.flip(1)[chosen]
    # The head runs at the chosen places alone; the loss of transformers goes down to float32, so it is taken from its logits.
    mine = torch.nn.functional.cross_entropy(model.logits(output.hidden_BTD[chosen]), targets)
    other = torch.nn.functional.cross_entropy(expected[chosen], targets)
    torch.testing.assert_close(mine, other, atol=tolerance, rtol=0)
    mine.backward()
    other.backward()
    gradients = their_names(form, {name: parameter.grad for name, parameter in model.named_parameters()})
    for name, parameter in theirs.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad, atol=tolerance, rtol=tolerance)


@forms
@PRECISIONS
def test_the_loss_of_transformers_is_ours(
    tokens: torch.Tensor, form: str, dtype: torch.dtype, tolerance: float
) -> None:
    """Its own labels, -100 where nothing is hidden; in float32 at best, so both precisions are held to the looser bound."""
    model = ours(form, dtype)
    chosen = torch.arange(T)[None].expand(2, -1) % 5 == 3
    expected = reference(form, model)(tokens, labels=tokens.masked_fill(~chosen, -100)).loss
    found = torch.nn.functional.cross_entropy(model.logits(model(tokens).hidden_BTD[chosen]), tokens[chosen])
    torch.testing.assert_close(found.float(), expected.float(), atol=max(tolerance, 1e-4), rtol=0)


@forms
def test_a_padded_row_equals_the_text_alone(tokens: torch.Tensor, form: str) -> None:
    model = ours(form)
    for side, part in (("left", slice(11, None)), ("right", slice(None, -11))):
        inputs, padding = padded(tokens, side, form)
        found = logits_of(model, inputs, padding_BT=padding)[1, part]
        torch.testing.assert_close(found, logits_of(model, tokens[1:, part])[0], atol=1e-9, rtol=0)


@forms
def test_packed_documents_equal_each_alone(tokens: torch.Tensor, form: str) -> None:
    model = ours(form)
    documents = torch.zeros_like(tokens)
    documents[0, 17:], documents[0, 60:], documents[1, 5:] = 7, 2, 1
    padding = torch.zeros_like(tokens, dtype=torch.bool)
    padding[:, 120:] = True
    packed = logits_of(model, tokens, documents_BT=documents, padding_BT=padding)
    for row, start, end in [(0, 0, 17), (0, 17, 60), (0, 60, 120), (1, 0, 5), (1, 5, 120)]:
        alone = logits_of(model, tokens[row : row + 1, start:end])[0]
        torch.testing.assert_close(packed[row, start:end], alone, atol=1e-9, rtol=0)


@forms
@pytest.mark.parametrize("side", ["none", "left", "right"])
def test_attention_worked_out_from_the_tap_is_that_of_an_eager_reference(
    tokens: torch.Tensor, form: str, side: str
) -> None:
    """In float32: eager ModernBERT has a softmax in float32, in which the float64 mask of a padded row becomes NaN."""
    model = ours(form, torch.float32)
    inputs, padding = padded(tokens, side, form)
    theirs = reference(form, model, attention="eager")
    expected = theirs(inputs, output_attentions=True, **their_arguments(form, padding)).attentions
    tap = RecordingTap()
    arguments = {} if side == "none" else {"padding_BT": padding}
    assert torch.equal(model(inputs, tap=tap, **arguments).hidden_BTD, model(inputs, **arguments).hidden_BTD)
    assert len(tap.attentions) == model.config.num_layers and min(tap.hiddens) == -1
    for layer, recorded in tap.attentions.items():
        scores = recorded.scale * recorded.q_BHTE @ recorded.k_BKSE.mT
        if recorded.mask is not None:
            scores = scores.masked_fill(~recorded.mask, -torch.inf)
        found = scores.softmax(-1).transpose(1, 2)[~padding]
        torch.testing.assert_close(found, expected[layer].transpose(1, 2)[~padding], atol=1e-5, rtol=0)
        assert torch.equal(recorded.positions_BT.expand(2, -1)[~padding], positions_of(padding)[~padding])
    assert (tap.attentions[0].mask is None) == (side == "none")
    torch.testing.assert_close(
        model.norm(tap.hiddens[model.config.num_layers - 1]), model(inputs, **arguments).hidden_BTD, atol=0, rtol=0
    )


def positions_of(padding: torch.Tensor) -> torch.Tensor:
    return ((~padding).cumsum(1) - 1).clamp(min=0)

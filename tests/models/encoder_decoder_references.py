"""What encoder-decoders are compared with: the same weights in T5 of transformers and in the layers of torch.nn.Transformer."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from llm_core.config.encoder_decoder import EncoderDecoderConfig, encoder_decoder_form
from llm_core.models.encoder_decoder import EncoderDecoder

V, CONTEXT, SOURCE, TARGET = 29, 160, 150, 140
SIZE = {"num_layers": 2, "num_decoder_layers": 3, "num_heads": 4, "hidden_size": 32, "feed_forward_size": 48}
T5_FORMS: dict[str, dict[str, object]] = {
    "t5": {},
    "t5-v1.1": {},
    "t5 with its own output matrix": {"tie_embeddings": False, "scale_output": False},
    "t5-v1.1 with a tied matrix": {"tie_embeddings": True, "scale_output": True},
    "t5-v1.1, wide heads, few buckets": {"size_per_head": 12, "position_buckets": 8, "position_distance": 20},
}
FORMS = ("transformer-2017", "t5", "t5-v1.1")
PRECISIONS = pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
forms = pytest.mark.parametrize("form", FORMS)


def wide_random(model: nn.Module, seed: int = 5) -> nn.Module:
    """Weights drawn so wide that a missing norm, mask or bias moves the result visibly."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            is_norm = parameter.dim() == 1 and name.endswith("weight")
            drawn = torch.empty_like(parameter).normal_(1.0 if is_norm else 0.0, 0.25, generator=generator)
            parameter.copy_(drawn)
    return model.eval()


def ours(form: str, dtype: torch.dtype = torch.float64, **changes: object) -> EncoderDecoder:
    """A form by its own settings at a small size, on wide weights; `T5_FORMS` has names that add changes to a form."""
    name = form.split(" ")[0].rstrip(",")
    values = {**encoder_decoder_form(name).small.model_dump(), **SIZE, **T5_FORMS.get(form, {}), **changes}
    return wide_random(EncoderDecoder(EncoderDecoderConfig.model_validate(values), V, CONTEXT).to(dtype))  # pyright: ignore


class ExactNorm(nn.Module):
    """T5LayerNorm without its detour through float32, which would hide differences below 1e-7 in float64."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.weight, self.epsilon = norm.weight, norm.variance_epsilon

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x / (x.square().mean(-1, keepdim=True) + self.epsilon).sqrt()


def t5(model: EncoderDecoder) -> nn.Module:
    """The same weights in transformers; in float64 its norms stay in float64, everything else is as it is."""
    from transformers import T5Config, T5ForConditionalGeneration
    from transformers.models.t5.modeling_t5 import T5LayerNorm

    config = model.config
    theirs = T5ForConditionalGeneration(
        T5Config(
            vocab_size=V,
            d_model=config.hidden_size,
            d_kv=config.head_size,
            d_ff=config.resolved_feed_forward_size,
            num_layers=config.num_layers,
            num_decoder_layers=config.resolved_num_decoder_layers,
            num_heads=config.num_heads,
            relative_attention_num_buckets=config.position_buckets,
            relative_attention_max_distance=config.position_distance,
            feed_forward_proj="relu" if config.activation == "relu" else "gated-gelu",
            # transformers 5 keeps this word only to say whether outputs are scaled; the matrix is tied in any case.
            tie_word_embeddings=config.scale_output,
            layer_norm_epsilon=config.norm_epsilon,
            dropout_rate=0.0,
        )
    ).to(model.dtype)
    if not config.tie_embeddings:
        theirs.lm_head.weight = nn.Parameter(theirs.lm_head.weight.detach().clone())
    weights = t5_weights(model)
    for name in ("encoder.embed_tokens", "decoder.embed_tokens", *(["lm_head"] if config.tie_embeddings else [])):
        weights[f"{name}.weight"] = weights["shared.weight"]
    theirs.load_state_dict(weights)
    if model.dtype == torch.float64:
        for name, module in list(theirs.named_modules()):
            if isinstance(module, T5LayerNorm):
                parent, _, last = name.rpartition(".")
                setattr(theirs.get_submodule(parent), last, ExactNorm(module))
    return theirs.eval()


def t5_weights(model: EncoderDecoder) -> dict[str, Tensor]:
    """Our weights under T5's names."""
    up = "wi" if model.config.activation == "relu" else "wi_1"
    words = {
        "embed_tokens": "shared",
        "relative_bias": "block.0.layer.0.SelfAttention.relative_attention_bias",
        "encoder.norm": "encoder.final_layer_norm",
        "decoder.norm": "decoder.final_layer_norm",
        "layers": "block",
        "self_attn_norm": "layer.0.layer_norm",
        "cross_attn_norm": "layer.1.layer_norm",
        "self_attn": "layer.0.SelfAttention",
        "cross_attn": "layer.1.EncDecAttention",
        "gate_proj": "wi_0",
        "up_proj": up,
        "down_proj": "wo",
        "_proj": "",
    }
    found = {}
    for name, tensor in model.state_dict().items():
        mlp = "layer.1" if name.startswith("encoder") else "layer.2"
        for mine, theirs in {**words, "mlp_norm": f"{mlp}.layer_norm", "mlp": f"{mlp}.DenseReluDense"}.items():
            name = name.replace(mine, theirs)
        found[name] = tensor
    return found


def t5_gradients(model: EncoderDecoder, theirs: nn.Module) -> dict[str, tuple[Tensor, Tensor]]:
    """Our gradient of each parameter beside that of T5."""
    own = {tensor.data_ptr(): parameter for parameter in model.parameters() for tensor in [parameter.data]}
    other = dict(theirs.named_parameters())
    return {name: (own[tensor.data_ptr()].grad, other[name].grad) for name, tensor in t5_weights(model).items()}


class Of2017(nn.Module):
    """The layers of torch.nn.Transformer as they are, with the embedding, the sinusoids and the output written out here."""

    def __init__(self, model: EncoderDecoder) -> None:
        super().__init__()
        config = model.config
        arguments = {
            "d_model": config.hidden_size,
            "nhead": config.num_heads,
            "dim_feedforward": config.resolved_feed_forward_size,
            "dropout": 0.0,
            "layer_norm_eps": config.norm_epsilon,
            "batch_first": True,
            "dtype": model.dtype,
        }
        self.dropout = nn.Dropout(0.0)
        self.embedding = nn.Parameter(model.embed_tokens.weight.detach().clone())
        self.encoder = nn.ModuleList(nn.TransformerEncoderLayer(**arguments) for _ in range(config.num_layers))
        self.decoder = nn.ModuleList(
            nn.TransformerDecoderLayer(**arguments) for _ in range(config.resolved_num_decoder_layers)
        )
        self.own = [(side, layer) for side in ("encoder", "decoder") for layer in range(len(getattr(self, side)))]
        for side, layer in self.own:
            getattr(self, side)[layer].load_state_dict(weights_of_2017(model, side, layer, lambda x: x.detach()))

    def forward(self, source: Tensor, padding: Tensor | None, target: Tensor) -> Tensor:
        x = self.dropout(self.embed(source, padding))
        for layer in self.encoder:
            x = layer(x, src_key_padding_mask=padding)
        y = self.dropout(self.embed(target, None))
        future = torch.ones(target.shape[1], target.shape[1], dtype=torch.bool).triu(1)
        for layer in self.decoder:
            y = layer(y, x, tgt_mask=future, memory_key_padding_mask=padding)
        return y @ self.embedding.T

    def embed(self, tokens: Tensor, padding: Tensor | None) -> Tensor:
        """The words, and waves that are kept in float32 as ours are, in a model of any type."""
        width = self.embedding.shape[1]
        waves = torch.zeros(*tokens.shape, width)
        for row in range(tokens.shape[0]):
            place = 0
            for column in range(tokens.shape[1]):
                if padding is not None and padding[row, column]:
                    continue
                for i in range(width // 2):
                    angle = place / 10_000 ** (2 * i / width)
                    waves[row, column, 2 * i] = math.sin(angle)
                    waves[row, column, 2 * i + 1] = math.cos(angle)
                place += 1
        return self.embedding[tokens] * math.sqrt(width) + waves


def weights_of_2017(
    model: EncoderDecoder, side: str, layer: int, of: Callable[[nn.Parameter], Tensor | None]
) -> dict[str, Tensor]:
    """What `of` makes of one layer's parameters, under the names of torch.nn.Transformer."""
    block = model.get_submodule(side).layers[layer]
    attentions = {"self_attn": block.self_attn}
    norms = [block.self_attn_norm, block.mlp_norm]
    if side == "decoder":
        attentions["multihead_attn"] = block.cross_attn
        norms.insert(1, block.cross_attn_norm)
    found = {}
    for end in ("weight", "bias"):
        for name, attention in attentions.items():
            parts = [
                of(getattr(projection, end)) for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
            ]
            found[f"{name}.in_proj_{end}"] = torch.cat(parts)
            found[f"{name}.out_proj.{end}"] = of(getattr(attention.o_proj, end))
        found[f"linear1.{end}"] = of(getattr(block.mlp.up_proj, end))
        found[f"linear2.{end}"] = of(getattr(block.mlp.down_proj, end))
        for number, norm in enumerate(norms, start=1):
            found[f"norm{number}.{end}"] = of(getattr(norm, end))
    return found


def logits_of(model: EncoderDecoder, source: Tensor, target: Tensor, padding: Tensor | None = None) -> Tensor:
    return model.logits(model(target, memory=model.encode(source, padding_BS=padding)).hidden_BTD)


def summed_loss(logits: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def padding_of(side: str) -> Tensor:
    """The second source has 13 places of padding."""
    padding = torch.zeros(2, SOURCE, dtype=torch.bool)
    padding[1, slice(0, 13) if side == "left" else slice(SOURCE - 13, SOURCE)] = True
    return padding


def scale_queries(model: EncoderDecoder, factor: float) -> None:
    for name, parameter in model.named_parameters():
        if "q_proj" in name:
            parameter.data.mul_(factor)

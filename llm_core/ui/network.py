"""The boxes of a configuration's network, for `llm_core.figures.architecture`.

Not here: how they are drawn; how many parameters there are (`llm_core.models.counting`).
"""

from __future__ import annotations

from llm_core.config.model import (
    EncoderConfig,
    EncoderDecoderConfig,
    ModelConfig,
    NgramConfig,
    RecurrentConfig,
    TransformerConfig,
)
from llm_core.figures.architecture import Block, Network, Stage
from llm_core.models.counting import count_parameters
from llm_core.models.counting_base import ParameterCount
from llm_core.models.families import families


def network_of(model: ModelConfig, vocabulary_size: int, context_length: int) -> Network:
    """The blocks in the order a token passes them; norms are counted with none of them."""
    if isinstance(model, NgramConfig):
        return _counts(model, vocabulary_size)
    count = count_parameters(model, vocabulary_size, context_length)
    if isinstance(model, TransformerConfig):
        stages = [
            _embedding(count, vocabulary_size, model.hidden_size),
            _decoder(model, count),
            _head(model, count, vocabulary_size),
        ]
        return Network(stages, "token numbers", _outcome(vocabulary_size))
    if isinstance(model, EncoderConfig):
        return _encoder(model, count, vocabulary_size)
    if isinstance(model, EncoderDecoderConfig):
        return _encoder_decoder(model, count, vocabulary_size)
    return _recurrent(model, count, vocabulary_size)


def _outcome(vocabulary_size: int) -> str:
    return f"a probability for each of {vocabulary_size:,} tokens"


def _embedding(count: ParameterCount, vocabulary_size: int, width: int) -> Stage:
    return Stage([Block("embedding", "Embedding", f"{vocabulary_size:,} × {width:,}", count.embedding)])


def _head(
    model: TransformerConfig | RecurrentConfig | EncoderDecoderConfig, count: ParameterCount, vocabulary_size: int
) -> Stage:
    tied = ", the embedding's own matrix" if model.tie_embeddings else ""
    return Stage([Block("head", "Head", f"{model.hidden_size:,} → {vocabulary_size:,}{tied}", count.head)])


def _feed_forward(width: int, inner: int, parameters: int) -> Block:
    return Block("feed-forward", "Feed-forward", f"{width:,} → {inner:,} → {width:,}", parameters)


def _decoder(model: TransformerConfig, count: ParameterCount) -> Stage:
    heads = f"{model.num_heads} × {model.head_size} units"
    if model.resolved_num_kv_heads != model.num_heads:
        heads += f", {model.resolved_num_kv_heads} for keys and values"
    if model.window:
        heads += f", {model.window:,} tokens back"
    blocks = [Block("attention", "Attention", heads, count.attention)]
    if model.resolved_feed_forward_size:
        blocks.append(_feed_forward(model.hidden_size, model.resolved_feed_forward_size, count.feed_forward))
    return Stage(blocks, model.num_layers)


def _encoder(model: EncoderConfig, count: ParameterCount, vocabulary_size: int) -> Network:
    reach = f"mostly ± {model.window // 2:,} tokens" if model.window else "to both sides"
    heads = f"{model.num_heads} × {model.head_size} units, {reach}"
    blocks = [
        Block("attention", "Attention", heads, count.attention),
        _feed_forward(model.hidden_size, model.resolved_feed_forward_size, count.feed_forward),
    ]
    head = Block("head", "Head", f"{model.hidden_size:,} → {vocabulary_size:,}, at hidden places only", count.head)
    stages = [_embedding(count, vocabulary_size, model.hidden_size), Stage(blocks, model.num_layers), Stage([head])]
    return Network(stages, "token numbers, some hidden", f"{vocabulary_size:,} probabilities for each hidden place")


def _encoder_decoder(model: EncoderDecoderConfig, count: ParameterCount, vocabulary_size: int) -> Network:
    readers, writers = model.num_layers, model.resolved_num_decoder_layers
    attention, inner = count.attention // (readers + 2 * writers), count.feed_forward // (readers + writers)
    width, feed_forward = model.hidden_size, model.resolved_feed_forward_size
    heads = f"{model.num_heads} × {model.head_size} units"
    encoder = [
        Block("attention", "Attention", f"{heads}, to both sides", readers * attention),
        _feed_forward(width, feed_forward, readers * inner),
    ]
    decoder = [
        Block("attention", "Attention", f"{heads}, back", writers * attention),
        Block("cross", "Cross attention", f"{heads}, into the source", writers * attention),
        _feed_forward(width, feed_forward, writers * inner),
    ]
    stages = [
        _embedding(count, vocabulary_size, width),
        Stage(encoder, readers),
        Stage(decoder, writers, reads="source vectors, and the answer so far"),
        _head(model, count, vocabulary_size),
    ]
    return Network(stages, "token numbers of the source", _outcome(vocabulary_size))


def _recurrent(model: RecurrentConfig, count: ParameterCount, vocabulary_size: int) -> Network:
    state = "h and c go" if model.kind == "lstm" else "h goes"
    title = f"{families()[model.kind].title} layer"
    layer = Block("recurrent", title, f"{model.hidden_size:,} units; {state} on", count.recurrent)
    stages = [
        _embedding(count, vocabulary_size, model.resolved_embedding_size),
        Stage([layer], model.num_layers, carries_state=True),
        _head(model, count, vocabulary_size),
    ]
    return Network(stages, "token numbers", _outcome(vocabulary_size))


def _counts(model: NgramConfig, vocabulary_size: int) -> Network:
    """The longest memory first; each gives what it has not seen to the next."""
    blocks = [Block("counts", f"Order {order}", _memory(order), 0) for order in range(model.order, 0, -1)]
    source = "the last token" if model.order == 2 else f"the last {model.order - 1} tokens"
    return Network([Stage(blocks)], source if model.order > 1 else "nothing", _outcome(vocabulary_size))


def _memory(order: int) -> str:
    if order == 1:
        return "after how many different tokens each one stood"
    return f"what followed the last {'token' if order == 2 else f'{order - 1} tokens'}; the rest goes down"

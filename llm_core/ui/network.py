"""The boxes of a configuration's network, for `llm_core.figures.architecture`.

Not here: how they are drawn; how many parameters there are (`llm_core.models.counting`).
"""

from __future__ import annotations

from llm_core.config.model import ModelConfig, TransformerConfig
from llm_core.figures.architecture import Block, Network
from llm_core.models.counting import count_parameters
from llm_core.models.families import families


def network_of(model: ModelConfig, vocabulary_size: int, context_length: int) -> Network:
    """The blocks in the order a token passes them; norms are counted with the block they stand before."""
    count = count_parameters(model, vocabulary_size, context_length)
    width = model.hidden_size
    embedding = width if isinstance(model, TransformerConfig) else model.resolved_embedding_size
    head_detail = f"{width:,} → {vocabulary_size:,}" + (", the embedding's own matrix" if model.tie_embeddings else "")
    head = Block("head", "Head", head_detail, count.head)
    if isinstance(model, TransformerConfig):
        inner = model.resolved_feed_forward_size
        heads = f"{model.num_heads} × {model.head_size} units"
        if model.resolved_num_kv_heads != model.num_heads:
            heads += f", {model.resolved_num_kv_heads} for keys and values"
        repeated = [Block("attention", "Attention", heads, count.attention)]
        if inner:
            detail = f"{width:,} → {inner:,} → {width:,}"
            repeated.append(Block("feed-forward", "Feed-forward", detail, count.feed_forward))
    else:
        title = families()[model.kind].title
        state = "h and c go" if model.kind == "lstm" else "h goes"
        repeated = [Block("recurrent", f"{title} layer", f"{width:,} units; {state} on", count.recurrent)]
    return Network(
        before=[Block("embedding", "Embedding", f"{vocabulary_size:,} × {embedding:,}", count.embedding)],
        repeated=repeated,
        repeats=model.num_layers,
        after=[head],
        source="token numbers",
        outcome=f"a probability for each of {vocabulary_size:,} tokens",
        carries_state=not isinstance(model, TransformerConfig),
    )

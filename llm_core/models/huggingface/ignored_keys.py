"""Keys of a config.json that do not change what a model computes from tokens, for each class.

They act in training alone (dropout, initialisation), in generation, in other heads than the language model's, or are notes.
Not here: keys that have one supported value (`read_config.py` and its neighbours).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from llm_core.models.huggingface.families import BERT, GPT2, LLAMA, MISTRAL, MODERNBERT, QWEN3, ROBERTA, T5, Family


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_OF_EVERY_CLASS = _words(
    """
    _attn_implementation _commit_hash _name_or_path bad_words_ids begin_suppress_tokens bos_token_id chunk_size_feed_forward
    cross_attention_hidden_size decoder_start_token_id diversity_penalty do_sample dtype early_stopping
    encoder_no_repeat_ngram_size eos_token_id exponential_decay_length_penalty finetuning_task forced_bos_token_id
    forced_eos_token_id gradient_checkpointing id2label initializer_range keys_to_ignore_at_inference label2id length_penalty
    max_length min_length no_repeat_ngram_size num_beam_groups num_beams num_labels num_return_sequences output_attentions
    output_hidden_states output_past output_scores pad_token_id prefix problem_type remove_invalid_values repetition_penalty
    return_dict return_dict_in_generate sep_token_id suppress_tokens task_specific_params temperature tf_legacy_loss
    tokenizer_class top_k top_p torch_dtype torchscript transformers_version typical_p use_bfloat16 use_cache
    """
)
_LLAMA_LIKE = _words("attention_dropout pretraining_tp tie_encoder_decoder")
_BERT_LIKE = _words("attention_probs_dropout_prob classifier_dropout hidden_dropout_prob tie_encoder_decoder")
_OF_CLASS: Mapping[Family, frozenset[str]] = MappingProxyType(
    {
        QWEN3: _LLAMA_LIKE,
        LLAMA: _LLAMA_LIKE,
        MISTRAL: _LLAMA_LIKE,
        GPT2: _words(
            """
            attn_pdrop embd_pdrop n_ctx predict_special_tokens resid_pdrop summary_activation summary_first_dropout
            summary_proj_to_labels summary_type summary_use_proj tie_encoder_decoder
            """
        ),
        BERT: _BERT_LIKE
        | _words(
            """
            directionality pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head pooler_type
            """
        ),
        ROBERTA: _BERT_LIKE,
        MODERNBERT: _words(
            """
            attention_dropout classifier_dropout classifier_pooling cls_token_id deterministic_flash_attn embedding_dropout
            initializer_cutoff_factor layer_norm_eps mlp_dropout position_embedding_type reference_compile
            repad_logits_with_grad sparse_pred_ignore_index sparse_prediction tie_encoder_decoder
            """
        ),
        T5: _words("classifier_dropout dropout_rate initializer_factor is_decoder"),
    }
)


def keys_without_effect(family: Family) -> frozenset[str]:
    """The listed keys of one class; every other key is used, has one supported value, or is refused by name."""
    return _OF_EVERY_CLASS | _OF_CLASS[family]

"""A checkpoint as a folder that `from_pretrained` of transformers loads: config.json, model.safetensors, tokenizer.json.

The bits of the weights stay as they are. Not here: which class it is (`families.py`), GGUF (`gguf_export.py`).
"""

from __future__ import annotations

from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from llm_core.config.model import TransformerConfig
from llm_core.config.run import RunConfig
from llm_core.models.huggingface.families import Family, family_of
from llm_core.models.huggingface.source_folder import CONFIG_FILE, SINGLE_FILE, TOKENIZER_FILE
from llm_core.models.huggingface.tensor_names import correspondences, full_name
from llm_core.models.huggingface.tokenizer_files import end_token_id, tokenizer_config, tokenizer_json
from llm_core.models.huggingface.write_config import write_config
from llm_core.models.loading import WEIGHTS_FILE, stored_vocabulary_size
from llm_core.text.tokenizers import TextTokenizer
from llm_core.workspace.json_files import write_json, write_text

TOKENIZER_CONFIG_FILE = "tokenizer_config.json"


def write_folder(checkpoint: Path, config: RunConfig, tokenizer: TextTokenizer, folder: Path) -> Family:
    """Write the files of one checkpoint of a Transformer into a folder that is there; returns the class they are for.

    Raises:
        UserError: no class of transformers has this form.
    """
    assert isinstance(config.model, TransformerConfig), "the caller knows the family"
    family = family_of(config.model)
    weights = checkpoint / WEIGHTS_FILE
    vocabulary_size, context_length = stored_vocabulary_size(weights), config.data.context_length
    tensors = their_tensors(family, weights)
    dtype = max((tensor.dtype for tensor in tensors.values()), key=lambda dtype: dtype.itemsize)
    values = write_config(
        family,
        config.model,
        vocabulary_size=vocabulary_size,
        context_length=context_length,
        end_of_text_id=end_token_id(tokenizer, vocabulary_size),
        dtype=str(dtype).removeprefix("torch."),
    )
    write_json(folder / CONFIG_FILE, values)
    save_file(tensors, folder / SINGLE_FILE, metadata={"format": "pt"})
    write_text(folder / TOKENIZER_FILE, tokenizer_json(tokenizer, vocabulary_size))
    write_json(folder / TOKENIZER_CONFIG_FILE, tokenizer_config(tokenizer, vocabulary_size, context_length))
    return family


def their_tensors(family: Family, weights: Path) -> dict[str, Tensor]:
    """The tensors of a weights file of ours under the names of the class; a tied head is left out."""
    with safe_open(weights, framework="pt") as file:
        names = list(file.keys())
        return {
            full_name(family, item.theirs): item.to_theirs([file.get_tensor(name) for name in item.ours])
            for item in correspondences(family, names)
        }

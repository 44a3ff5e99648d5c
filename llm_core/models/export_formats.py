"""Which formats a family of models can be written in, why not the others, and the lines of Python that load the result. Free of torch.

Not here: writing (`export.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, get_args

from llm_core.config.errors import UserError
from llm_core.models.huggingface.families import loader_of

ExportFormat = Literal["hf", "onnx", "gguf"]
FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)

ONNX_FILE: Final = "model.onnx"
GGUF_FILE: Final = "model.gguf"


@dataclass(frozen=True)
class FormatWords:
    """A format as a person meets it."""

    title: str
    sentence: str
    kinds: tuple[str, ...]
    """The families that can be written in it."""
    families: str
    """The same in words."""


WORDS: Mapping[ExportFormat, FormatWords] = MappingProxyType(
    {
        "hf": FormatWords(
            "Hugging Face folder",
            "Config, safetensors and tokenizer, as `from_pretrained` of transformers loads them; vLLM reads it too.",
            ("transformer", "encoder", "encoder-decoder"),
            "Transformers",
        ),
        "gguf": FormatWords(
            "GGUF file",
            "One file for llama.cpp and what is built on it.",
            ("transformer",),
            "causal Transformers",
        ),
        "onnx": FormatWords(
            "ONNX file",
            "The network as a graph for onnxruntime, with its state going in and coming out.",
            ("rnn", "gru", "mingru", "lstm"),
            "RNN, GRU and LSTM",
        ),
    }
)


def formats_of(kind: str) -> tuple[ExportFormat, ...]:
    """The formats that models of a family can be written in, the usual one first."""
    return tuple(format for format, words in WORDS.items() if kind in words.kinds)


def check_format(kind: str, format: ExportFormat) -> None:
    """Raise UserError unless models of a family can be written in a format."""
    words = WORDS[format]
    if kind in words.kinds:
        return
    others = formats_of(kind)
    raise UserError(
        f"Only {words.families} are written as {format}",
        value=kind,
        limit=", ".join(words.kinds),
        remedy=f"Export it with --format {' or --format '.join(others)}"
        if others
        else "Its checkpoint holds plain safetensors and JSON",
    )


def lines_of_python(format: ExportFormat, class_name: str, folder: str) -> str:
    """What to type to load an export.

    Args:
        class_name: of transformers, for the formats of Transformers.
        folder: where it lies.
    """
    if format == "hf":
        loader = loader_of(class_name)
        return (
            f"from transformers import {loader}, AutoTokenizer\n\n"
            f"folder = {folder!r}\n"
            "tokenizer = AutoTokenizer.from_pretrained(folder)\n"
            f"model = {loader}.from_pretrained(folder)"
        )
    if format == "gguf":
        return f"from llama_cpp import Llama\n\nmodel = Llama({f'{folder}/{GGUF_FILE}'!r})\nprint(model('Once upon a time'))"
    return (
        "import onnxruntime\n\n"
        f"session = onnxruntime.InferenceSession({f'{folder}/{ONNX_FILE}'!r})\n"
        "print([given.name for given in session.get_inputs()])"
    )

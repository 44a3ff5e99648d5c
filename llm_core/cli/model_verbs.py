"""`glassbox generate`, `fill` and `score`: what a trained model writes, what it puts where something is hidden, how likely it finds
a text."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_core.cli.output import print_json
from llm_core.cli.run_argument import run_of
from llm_core.config.errors import UserError
from llm_core.config.overrides import read_value
from llm_core.config.sampling import SamplingConfig
from llm_core.config.schema import describe_settings
from llm_core.quantities import three_digits
from llm_core.workspace.checkpoints import find_checkpoint
from llm_core.workspace.paths import Workspace
from llm_core.workspace.runs import run_folder

if TYPE_CHECKING:
    from llm_core.generation.opening import OpenedModel


def add_verbs(verbs: Any) -> None:
    """Declare the verbs on argparse's subparsers."""
    generate = verbs.add_parser("generate", help="let a run's model go on from a prompt, or answer a source")
    generate.add_argument("run", metavar="RUN")
    generate.add_argument(
        "--prompt",
        required=True,
        help="the beginning; for an encoder-decoder the source, with [GAP] for what it is to fill",
    )
    for row in describe_settings(SamplingConfig):
        if row.path != "stop":
            generate.add_argument(
                f"--{row.path.replace('_', '-')}", metavar="VALUE", help=row.help, dest=f"sampling_{row.path}"
            )
    generate.add_argument(
        "--stop", action="append", default=[], metavar="TEXT", help="end before this text; may be repeated"
    )
    generate.set_defaults(run_verb=generate_text)
    fill = verbs.add_parser("fill", help="let a run's encoder fill in what is hidden")
    fill.add_argument("run", metavar="RUN")
    fill.add_argument("--text", required=True, help="with [MASK] for each hidden token")
    fill.set_defaults(run_verb=fill_in)
    score = verbs.add_parser("score", help="how likely a run's model finds a text")
    score.add_argument("run", metavar="RUN")
    source = score.add_mutually_exclusive_group(required=True)
    source.add_argument("--file", metavar="FILE")
    source.add_argument("--split", choices=("train", "validation"))
    score.add_argument("--stride", type=int, help="tokens between windows (default: the context)")
    score.set_defaults(run_verb=score_text)
    for parser in (generate, fill, score):
        parser.add_argument("--step", type=int, help="the checkpoint (default: the newest)")
        parser.add_argument("--json", action="store_true", help="one JSON object on the last line")


def _load(options: argparse.Namespace) -> tuple[Workspace, OpenedModel]:
    from llm_core.generation.opening import open_model

    workspace, record = run_of(options)
    checkpoint = find_checkpoint(run_folder(workspace, record.id), options.step)
    return workspace, open_model(checkpoint.path)


def _sampling(options: argparse.Namespace) -> SamplingConfig:
    from pydantic import ValidationError

    from llm_core.config.run import user_error

    values: dict[str, Any] = {"stop": tuple(options.stop)}
    for row in describe_settings(SamplingConfig):
        text = getattr(options, f"sampling_{row.path}", None)
        if text is not None:
            values[row.path] = read_value(row, text)
    try:
        return SamplingConfig.model_validate(values)
    except ValidationError as error:
        raise user_error(error) from error


def generate_text(options: argparse.Namespace) -> int:
    """Write, streaming to the terminal unless --json; a source with gaps is shown at the end, filled."""
    from llm_core.generation.answer_text_model import AnswerTextModel
    from llm_core.generation.decoding import Generation
    from llm_core.generation.prompts import fill_gaps, ready_to_write
    from llm_core.text.hidden_places import GAP

    settings = _sampling(options)
    _, opened = _load(options)
    model, tokens = ready_to_write(opened, options.prompt)
    is_answer = isinstance(model, AnswerTextModel)
    has_gaps = is_answer and GAP in options.prompt
    is_streamed = not options.json and not has_gaps
    generation = Generation(model, tokens, settings)
    written: list[int] = []
    shown = 0
    if is_streamed and not is_answer:
        print(options.prompt, end="", flush=True)
    for token in generation:
        written.append(token.token)
        if is_streamed:
            print(generation.text[shown:], end="", flush=True)
            shown = len(generation.text)
    filled = fill_gaps(opened, options.prompt, written) if has_gaps else None
    if not options.json:
        print(generation.text[shown:] if filled is None else filled)
        return 0
    print_json(
        {
            "text": generation.text,
            **({} if filled is None else {"filled": filled}),
            "prompt": options.prompt,
            "tokens": generation.num_tokens,
            "finish": generation.finish,
            "truncated": generation.truncated,
            "seed": generation.seed,
            "tokens_per_second": generation.tokens_per_second,
        }
    )
    return 0


def fill_in(options: argparse.Namespace) -> int:
    """Fill the places of a text, and say for each what else could stand there."""
    from llm_core.generation.filling import fill_text

    _, opened = _load(options)
    filled = fill_text(opened, options.text)
    if options.json:
        print_json(filled.to_json(opened.tokenizer))
        return 0
    print(filled.text)
    for number, place in enumerate(filled.fillings, start=1):
        listed = (f"{opened.tokenizer.token_text(token)!r} {p:.1%}" for token, p in place.candidates)
        print(f"[MASK] {number}: {' · '.join(listed)}")
    return 0


def score_text(options: argparse.Namespace) -> int:
    """Likelihood of a file, or of a split of the run's own text."""
    import numpy as np

    from llm_core.generation.likelihood import sum_losses
    from llm_core.text.tokens import find_tokens

    text = "" if options.file is None else _read_text(options.file)
    workspace, opened = _load(options)
    model = opened.text_model()
    if options.split:
        found = find_tokens(workspace, opened.config.data)
        if found is None:
            raise UserError("The run's own text is no longer cut into tokens here", remedy="Give the text with --file")
        tokens = found.train if options.split == "train" else found.validation
    else:
        tokens = np.array(opened.tokenizer.encode(text), dtype=np.int64)
    result = sum_losses(model.target_nats(tokens, stride=options.stride), tokens, opened.tokenizer)
    values = {
        "nats": result.nats,
        "tokens": result.tokens,
        "bytes": result.bytes,
        "perplexity": result.perplexity,
        "bits_per_byte": result.bits_per_byte,
        "unknown_tokens": result.unknown_tokens,
    }
    if options.json:
        print_json(values)
        return 0
    bits = "" if result.bits_per_byte is None else f" · {result.bits_per_byte:.4f} bits a byte"
    print(
        f"{result.loss:.4f} nats a token{bits} · perplexity {three_digits(result.perplexity)} · {result.tokens:,} tokens"
    )
    return 0


def _read_text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError("The file cannot be read as UTF-8 text", value=path, remedy=str(error)) from error

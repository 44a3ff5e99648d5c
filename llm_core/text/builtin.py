"""Texts that are always there, without a download: two from Python's own documentation and source, four made up.

The Python texts are those of the Python that runs, so they differ between its versions; the content hash of the stored
text says which it is. Not here: storing them (`library.py`), how the made-up ones are made (`synthetic.py`).
"""

from __future__ import annotations

import platform
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from llm_core.config.errors import NotFound
from llm_core.text import synthetic
from llm_core.text.pairs import join_pair

LARGEST_SOURCE_BYTES = 4_000_000

# Modules and packages of the standard library: much used, written by many hands, without tables of data; about 3.6 MB with
# Python 3.11. One that a Python version lacks, or that would go over the limit, is left out.
SOURCE_MODULES = (
    "abc argparse ast asyncio base64 bdb bisect bz2 calendar cmd code codecs collections concurrent configparser contextlib copy "
    "copyreg csv dataclasses datetime _pydatetime decimal difflib dis enum filecmp fileinput fnmatch fractions "
    "functools genericpath getopt gettext glob graphlib gzip hashlib heapq hmac inspect io ipaddress "
    "json keyword linecache logging lzma netrc numbers operator optparse os pathlib pdb pickle "
    "pkgutil platform plistlib posixpath pprint profile pstats queue quopri random reprlib runpy sched secrets selectors "
    "shelve shlex shutil smtplib socket socketserver ssl stat statistics string subprocess tempfile textwrap threading "
    "timeit token tokenize tomllib trace traceback tracemalloc types typing uuid warnings wave weakref wsgiref xml "
    "zipfile zoneinfo"
)


@dataclass(frozen=True)
class BuiltinCorpus:
    """A text that can be made at any time."""

    id: str
    title: str
    sentence: str
    """What it is."""
    look_for: str
    """What to look for inside a model that has learned it."""
    depends_on_python: bool
    is_pairs: bool = False


@dataclass(frozen=True)
class _Recipe:
    corpus: BuiltinCorpus
    documents: Callable[[], Iterator[str]]


def builtin_corpora() -> list[BuiltinCorpus]:
    """All built-in texts, the one to start with first."""
    return [recipe.corpus for recipe in _recipes().values()]


def builtin_corpus(corpus_id: str) -> BuiltinCorpus:
    """The built-in text with this id; NotFound for others."""
    return _recipe(corpus_id).corpus


def documents(corpus_id: str) -> Iterator[str]:
    """The documents of a built-in text, the same at every call."""
    return _recipe(corpus_id).documents()


def python_version() -> str:
    """The Python whose texts these are."""
    return platform.python_version()


def _recipe(corpus_id: str) -> _Recipe:
    recipes = _recipes()
    if corpus_id not in recipes:
        raise NotFound("There is no such built-in text", value=corpus_id, limit=", ".join(recipes))
    return recipes[corpus_id]


def _recipes() -> dict[str, _Recipe]:
    recipes = [
        _Recipe(
            BuiltinCorpus(
                "python-reference",
                "Python language reference",
                "The chapters of Python's reference manual that its help() shows, one after another: English prose with code.",
                "Heads or units for indented code, for open quotes and for headings with their underlines. A few sections of the "
                "manual occur twice, so a small part of the validation text was also trained on.",
                depends_on_python=True,
            ),
            _reference,
        ),
        _Recipe(
            BuiltinCorpus(
                "python-source",
                "Python standard library",
                "Source code of the standard library, one document a file, at most 4 MB.",
                "Units that follow the depth of indentation, heads that find the name a line assigns to, the state inside a string.",
                depends_on_python=True,
            ),
            _source_files,
        ),
        _Recipe(
            BuiltinCorpus(
                "synthetic-induction",
                "Repeated random symbols",
                "Lines of random symbols that repeat with a random period from 5 to 16, never 11.",
                "An attention-only Transformer of two layers needs two heads: one in layer 0 that looks at the token before, and one in "
                "layer 1, an induction head, that finds the last time this symbol stood here and looks at what came next. Period 11 "
                "is held out: a model that repeats it too has learned to search, not to count back.",
                depends_on_python=False,
            ),
            lambda: iter(["".join(synthetic.induction_lines())]),
        ),
        _Recipe(
            BuiltinCorpus(
                "synthetic-brackets",
                "Nested brackets",
                "Lines of properly nested brackets of four kinds, at most eight open at once.",
                "A unit whose value rises with every opening and falls with every closing bracket, or a head that looks at the bracket "
                "that is to be closed.",
                depends_on_python=False,
            ),
            lambda: iter(["".join(synthetic.bracket_lines())]),
        ),
        _Recipe(
            BuiltinCorpus(
                "synthetic-addition",
                "Addition of two numbers",
                "All 10,000 sums of two numbers from 0 to 99, one a line in random order, such as 27+48=75.",
                "Heads that look from a digit of the answer at the two digits it is made of. Sums in the validation part were never "
                "trained on as they stand, so right answers there are reckoned, not remembered.",
                depends_on_python=False,
            ),
            lambda: iter(["".join(synthetic.addition_lines())]),
        ),
        _Recipe(
            BuiltinCorpus(
                "synthetic-reversal",
                "Reversed words",
                "Pairs for sequence-to-sequence training: a random word of 3 to 10 letters, and the same word backwards.",
                "Cross attention: the first letter of the answer looks at the last of the source, the next one at the letter before "
                "it, so the map shows one slanted line that runs against the reading direction. No word occurs twice, so a right "
                "answer in the validation part was worked out, not remembered.",
                depends_on_python=False,
                is_pairs=True,
            ),
            lambda: (join_pair(word, backwards) for word, backwards in synthetic.reversal_pairs()),
        ),
    ]
    return {recipe.corpus.id: recipe for recipe in recipes}


def _reference() -> Iterator[str]:
    from pydoc_data.topics import topics

    yield "\n".join(topics[name] for name in sorted(topics))


def _source_files() -> Iterator[str]:
    library = Path(sysconfig.get_paths()["stdlib"])
    remaining = LARGEST_SOURCE_BYTES
    for name in SOURCE_MODULES.split():
        package = library / name
        module = library / f"{name}.py"
        files = [module] if module.is_file() else sorted(package.glob("*.py")) if package.is_dir() else []
        for path in files:
            data = path.read_bytes()
            if data.strip() and len(data) <= remaining:
                remaining -= len(data)
                yield data.decode("utf-8").replace("\r\n", "\n")

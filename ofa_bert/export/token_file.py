"""The token file of `trim_vocab`, out of texts: which of the model's tokens they need."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ofa_bert.data.corpus import read_lines
from ofa_bert.data.encoding.encoded import encode
from ofa_bert.data.readers.own_files import default_text
from ofa_bert.data.table_files import Table, read_table
from ofa_bert.data.tokenization.text_tokenizer import Cutter, TextTokenizer
from ofa_bert.errors import UserError
from ofa_bert.export.job import PLAIN, VocabularyJob
from ofa_bert.files.atomic import write_text_atomic
from ofa_bert.models.pretrained import build_config, load_tokenizer, locate
from ofa_bert.models.record import best_of
from ofa_bert.numerics import Ints
from ofa_bert.reporting import shown
from ofa_bert.tasks.task import Example

logger = logging.getLogger(__name__)

_NO_LIMIT = 10**6  # tokens of a text: nothing is cut off
_CONTINUES = "##"  # WordPiece, of a token that goes on with a word


def write_token_file(job: VocabularyJob) -> str:
    """Write it; returns what to tell."""
    source = locate(best_of(job.model_name_or_path), job.model_type)
    config = build_config(source, source.model_type, None, {})
    tokenizer = load_tokenizer(source, source.model_type, config.vocab_size)
    if isinstance(tokenizer, TextTokenizer) and not tokenizer.can_trim:
        raise UserError(f"{source.where}: has a byte-pair tokenizer, whose tokens are made of each other; none can go")
    examples = [Example(text, None, 0) for path in job.texts for text in texts_of(Path(path), job.text_columns)]
    counts = token_counts(examples, tokenizer, config.vocab_size)
    tokens = needed(counts, tokenizer, job.least, job.characters)
    if not tokens:
        raise UserError(f"`least` {job.least}: no token stands so often in {len(examples)} texts; ask for fewer")
    write_text_atomic(job.output, "".join(f"{token}\n" for token in tokens))
    hidden, before = config.hidden_size, config.vocab_size
    saved = 4 * hidden * (before - len(tokens)) / 2**20
    lacking = _unknown(counts, tokenizer)
    return (
        f"{job.output}: {len(tokens)} of {before} tokens, out of {len(examples)} texts ({counts.sum()} tokens);"
        f" the embeddings shrink by {saved:.1f} MiB in FP32{lacking}"
    )


def texts_of(path: Path, text_columns: tuple[str, ...] | None) -> Iterator[str]:
    """The texts of a file. UserError for a column that is not there or holds no text."""
    if path.suffix.lower() == PLAIN:
        if not path.is_file():
            raise UserError(f"`texts` {path}: no such file; name a UTF-8 text file with one text a line")
        yield from read_lines(path)
        return
    table = read_table(path, has_header=not (text_columns and all(name.isdecimal() for name in text_columns)))
    for name in text_columns or default_text(table):
        yield from _column(table, name)


def _column(table: Table, name: str) -> Iterator[str]:
    place = table.column(name)
    for line, row in table.rows:
        if not isinstance(row[place], str):
            raise UserError(f"{table.path}:{line}: column {name!r} holds no text: {shown(row[place])}")
        yield str(row[place]).strip()


def token_counts(examples: list[Example], tokenizer: Cutter, vocab_size: int) -> Ints:
    """How often each token stands in the texts [V]; the marks around a text are none of it."""
    counts = np.zeros(vocab_size, dtype=np.int64)
    for ids in encode(examples, tokenizer, _NO_LIMIT).input_ids:
        counts += np.bincount(ids, minlength=vocab_size)
    unknown = _unknown_ids(tokenizer)
    counts[[place for place in tokenizer.all_special_ids if place not in unknown]] = 0
    return counts


def needed(counts: Ints, tokenizer: Cutter, least: int, characters: bool) -> list[str]:
    """The tokens to keep, in the order of the vocabulary; special ones are kept by `trim_vocab` itself."""
    vocabulary, special = tokenizer.get_vocab(), set(tokenizer.all_special_ids)
    kept = [
        (place, token)
        for token, place in vocabulary.items()
        if place not in special
        and (counts[place] >= least or (characters and len(token.removeprefix(_CONTINUES).removeprefix("▁")) == 1))
    ]
    return [token for _, token in sorted(kept)]


def _unknown(counts: Ints, tokenizer: Cutter) -> str:
    """What to add where the texts have words that the model cannot spell."""
    unknown = sum(int(counts[place]) for place in _unknown_ids(tokenizer))
    return f"; {unknown} of these are unknown to the model anyway" if unknown else ""


def _unknown_ids(tokenizer: Cutter) -> list[int]:
    vocabulary = tokenizer.get_vocab()
    return [vocabulary[token] for token in ("[UNK]", "<unk>") if token in vocabulary]

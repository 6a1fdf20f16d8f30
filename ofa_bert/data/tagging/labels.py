"""Labels of single tokens: from parts of texts to tags of words, and what of a data set's tokens counts."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from ofa_bert.numerics import Array, Bools, Ints
from ofa_bert.tasks.kinds.base import Spans, Words
from ofa_bert.tasks.kinds.tokens import IGNORED
from ofa_bert.tasks.task import Example

logger = logging.getLogger(__name__)


def tags(spans: Spans, words: Words) -> Ints:
    """Of each word [W] its tag: the part that it belongs to, or overlaps first, begins with it or goes on."""
    found = np.zeros(len(words.pieces), dtype=np.int64)
    for span in spans:
        inside = (words.spans[:, 1] > span.start) & (words.spans[:, 0] < span.end) & (found == 0)
        for count, place in enumerate(np.flatnonzero(inside)):
            found[place] = 1 + 2 * span.name + (count > 0)
    return found


def tag_rows(examples: Sequence[Example], words: Sequence[Words], rows: Sequence[Ints]) -> Ints:
    """[N, T] int64 of texts whose tokens are `rows`: at first pieces of words their tags, elsewhere IGNORED."""
    found = np.full((len(rows), max(map(len, rows))), IGNORED, dtype=np.int64)
    inside = 0
    for row, (example, own) in enumerate(zip(examples, words)):
        if isinstance(example.label, Spans):
            found[row, own.pieces] = tags(example.label, own)
            inside += _inside_words(example.label, own)
    if inside:
        logger.warning(
            "%d labelled part(s) begin or end inside a word of the tokenizer's; the whole word is taken for each",
            inside,
        )
    return found


def _inside_words(spans: Spans, words: Words) -> int:
    """How many parts have an end that is strictly inside of a word."""

    def splits(place: int) -> bool:
        return bool(((words.spans[:, 0] < place) & (place < words.spans[:, 1])).any())

    return sum(splits(span.start) or splits(span.end) for span in spans)


def counted(labels: Array) -> Bools:
    """Which tokens [N, T] count."""
    return np.asarray(labels != IGNORED)


def scored_tokens(labels: Array) -> Ints:
    """[M, 2]: of each token that counts its tag and the number of its text, in the data set's order."""
    rows, places = np.nonzero(counted(labels))
    return np.stack([labels[rows, places], rows], axis=1)


def scored_words(examples: Sequence[Example], words: Sequence[Words]) -> Ints:
    """The same of texts whose words are known: [M, 2] of all words."""
    found = [np.zeros((0, 2), dtype=np.int64)]
    for row, (example, own) in enumerate(zip(examples, words)):
        if isinstance(example.label, Spans):
            tagged = tags(example.label, own)
            found.append(np.stack([tagged, np.full(len(tagged), row)], axis=1))
    return np.concatenate(found)

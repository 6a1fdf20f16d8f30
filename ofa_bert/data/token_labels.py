"""Labels of single tokens: from parts of texts to tags of words, and what of a data set's tokens counts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ofa_bert.numerics import Array, Bools, Ints
from ofa_bert.tasks.kinds.base import Spans, Words
from ofa_bert.tasks.kinds.tokens import IGNORED

if TYPE_CHECKING:
    from ofa_bert.data.batches import Encoded
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


class Answered:
    """Collects what a model says of a data set, batch by batch: [N, C], or [M, C] of the tokens that count."""

    def __init__(self, encoded: Encoded, width: int) -> None:
        self._labels = encoded.labels if encoded.per_token else None
        if self._labels is None:
            self._ends = np.arange(1, len(encoded) + 1)
        else:
            self._ends = np.cumsum(counted(self._labels).sum(axis=1))  # [N]
        self.logits = np.zeros([int(self._ends[-1]) if len(self._ends) else 0, width], dtype=np.float32)

    def put(self, index: Ints, logits: Array) -> None:
        """logits: of the examples at `index` [B], [B, C] or [B, T, C]."""
        if self._labels is None:
            self.logits[index] = logits
            return
        mask = counted(self._labels[index])[:, : logits.shape[1]]  # [B, T]
        self.logits[self.places(index)] = logits[mask]

    def places(self, index: Ints) -> Ints:
        """Where the counting tokens of the examples at `index` stand in `logits`, one after the other."""
        if self._labels is None:
            return index
        counts = counted(self._labels[index]).sum(axis=1)
        return np.concatenate([np.arange(end - count, end) for end, count in zip(self._ends[index], counts)])

    def of(self, index: Ints, length: int) -> Array:
        """The inverse of `put`: [B, C], or [B, T, C] with zeros where tokens do not count."""
        if self._labels is None:
            return self.logits[index]
        mask = counted(self._labels[index])[:, :length]
        found = np.zeros([*mask.shape, self.logits.shape[1]], dtype=np.float32)
        found[mask] = self.logits[self.places(index)]
        return found

"""What a model answers, batch by batch, put together in the order of the texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from ofa_bert.data.tokenization.text_tokenizer import CutTexts
from ofa_bert.data.tokenization.windows import CutWindows
from ofa_bert.errors import UserError
from ofa_bert.exits.loop import Answers
from ofa_bert.numerics import Floats, Ints
from ofa_bert.runtime.texts import Text, TextEncoder
from ofa_bert.runtime.workers import Found
from ofa_bert.tasks.kinds.base import Words
from ofa_bert.tasks.passages import placed


class WordAnswers(NamedTuple):
    """Of each text its words, and of each word the logits: a row of logits [M, C] float32, text by text."""

    words: list[Words]
    logits: Floats

    def each(self) -> Iterator[tuple[Words, Floats]]:
        """The words of each text, and their logits [W, C]."""
        ends = np.cumsum([len(words.pieces) for words in self.words])
        return zip(self.words, np.split(self.logits, ends[:-1]))


class Collector(Protocol):
    """Cuts texts, which come in their order, and takes what the model answers, which comes in any."""

    def cut(self, encoder: TextEncoder, texts: Sequence[Text]) -> CutTexts: ...
    def put(self, rows: Ints, found: Found) -> bool:
        """found: of the texts `rows` [B]. Whether its numbers are finite."""


class Rows:
    """Of every text one answer."""

    def __init__(self, count: int, num_labels: int) -> None:
        self.answers = Answers.empty(count, num_labels)

    def cut(self, encoder: TextEncoder, texts: Sequence[Text]) -> CutTexts:
        return encoder.cut(texts)

    def put(self, rows: Ints, found: Found) -> bool:
        logits, layers = found if isinstance(found, Answers) else (found, 0)
        self.answers.logits[rows], self.answers.layers[rows] = logits, layers
        return bool(np.isfinite(logits).all())


class WordRows:
    """Of every word one answer, its first piece's."""

    def __init__(self, num_labels: int) -> None:
        self._words: list[Words] = []
        self._logits: dict[int, Floats] = {}
        self._num_labels = num_labels

    def cut(self, encoder: TextEncoder, texts: Sequence[Text]) -> CutTexts:
        if encoder.cut_words is None:
            raise UserError("this bundle has no tokenizer.json, which says where words stand; export it again with one")
        ids, words = encoder.cut_words([text if isinstance(text, str) else text[0] for text in texts])
        self._words += words
        return ids

    def put(self, rows: Ints, found: Found) -> bool:
        logits = np.asarray(found.logits if isinstance(found, Answers) else found)  # [B, T, C]
        finite = True
        for row, own in zip(rows.tolist(), logits):
            self._logits[row] = own[self._words[row].pieces].astype(np.float32)
            finite &= bool(np.isfinite(self._logits[row]).all())
        return finite

    def answers(self) -> WordAnswers:
        rows = [self._logits[row] for row in range(len(self._words))]
        empty = np.zeros([0, self._num_labels], dtype=np.float32)
        return WordAnswers(self._words, np.concatenate([empty, *rows]))


class WindowRows:
    """Of every window one row; its texts are the windows themselves, which are cut already."""

    def __init__(self, cut: CutWindows, num_labels: int) -> None:
        self._cut = cut
        self._logits = [np.zeros([len(cut.places(row)), num_labels], np.float32) for row in range(len(cut.group))]
        self._next = 0

    def cut(self, encoder: TextEncoder, texts: Sequence[Text]) -> CutTexts:
        part = slice(self._next, self._next + len(texts))
        self._next = part.stop
        ids, types, whole = self._cut.ids
        return CutTexts(ids[part], types[part], whole[part])

    def put(self, rows: Ints, found: Found) -> bool:
        logits = np.asarray(found.logits if isinstance(found, Answers) else found)  # [B, T, 2]
        for row, own in zip(rows.tolist(), logits):
            self._logits[row] = own[self._cut.places(row)].astype(np.float32)
        return all(bool(np.isfinite(self._logits[row]).all()) for row in rows.tolist())

    def answers(self) -> Floats:
        """[E, W, 5] as of `tasks.passages`."""
        if not self._logits:
            return np.zeros([0, 0, 5], np.float32)
        spans = [self._cut.spans(row) for row in range(len(self._cut.group))]
        return placed(np.concatenate(self._logits), spans, self._cut.group)

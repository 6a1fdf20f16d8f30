"""Where the words of a text stand: in the text, in characters, and among its tokens.

Words are the tokenizer's own: what it parts a text into before it looks for pieces. So a text has the same words in
training, whatever its file called words there, and where it is answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ofa_bert.data.tokenization.text_tokenizer import Cutter, CutTexts, TextTokenizer, cut_encodings
from ofa_bert.errors import UserError
from ofa_bert.tasks.kinds.base import Words

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer


class CutWords(NamedTuple):
    """Token ids of texts, and the words of each that are left."""

    ids: CutTexts
    words: list[Words]


def cut_words(fast: Tokenizer, texts: Sequence[str], limit: int | None) -> CutWords:
    """As `cut_texts` cuts them."""
    ids, encodings = cut_encodings(fast, texts, limit, with_offsets=True)
    return CutWords(ids, [_words(encoding, text) for encoding, text in zip(encodings, texts)])


def words_with(tokenizer: Cutter, texts: Sequence[str], limit: int) -> CutWords:
    """UserError for a tokenizer that does not say where words stand."""
    if not isinstance(tokenizer, TextTokenizer):
        raise UserError(
            "label_kind tokens needs a tokenizer that says where words stand, and this model's settings are known to"
            " PaddleNLP's alone; take a model with a tokenizer.json"
        )
    return cut_words(tokenizer.fast, texts, limit)


def _words(encoding: Encoding, text: str) -> Words:
    pieces: list[int] = []
    spans: list[tuple[int, int]] = []
    last = None
    for place, (word, (start, end)) in enumerate(zip(encoding.word_ids, encoding.offsets)):
        if word is None:  # a special token
            last = None
            continue
        if word == last and spans:
            spans[-1] = (spans[-1][0], max(spans[-1][1], end))
        else:
            pieces.append(place)
            spans.append((start, end))
        last = word
    return _of(zip(pieces, (_bare(text, *span) for span in spans)))


def _of(found: Iterable[tuple[int, tuple[int, int]]]) -> Words:
    """Without words of which nothing is seen."""
    kept = [(piece, span) for piece, span in found if span[0] < span[1]]
    return Words(
        np.asarray([piece for piece, _ in kept], dtype=np.int64),
        np.asarray([span for _, span in kept], dtype=np.int64).reshape(-1, 2),
    )


def _bare(text: str, start: int, end: int) -> tuple[int, int]:
    """Without blanks around it: byte pairs have the one before a word."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end

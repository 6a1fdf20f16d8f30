"""A question beside each part of a long context that a model can read at once: [CLS] question [SEP] part [SEP]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ofa_bert.data.tokenization.text_tokenizer import Cutter, CutTexts, TextTokenizer, cut_encodings
from ofa_bert.errors import UserError
from ofa_bert.numerics import Ints

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

_QUESTION = 64  # tokens of it at most, as in BERT's own program, and half of what there is room for


class CutWindows(NamedTuple):
    """N windows of E contexts. ids.whole is the length of each: no token of a context is lost.

    group: the question of each [N]. begins: the token of the context that each begins with [N]. contexts: where their
    tokens stand, in characters, E of [n, 2]. first: the place of a window's first token of the context [N].
    """

    ids: CutTexts
    group: Ints
    begins: Ints
    first: Ints
    contexts: list[Ints]

    def spans(self, row: int) -> Ints:
        """[K, 2] of the tokens that count: the first of the window, which stands for no answer, and the context's."""
        return np.concatenate([np.zeros([1, 2], np.int64), self.contexts[self.group[row]][self._part(row)]])

    def places(self, row: int) -> Ints:
        """[K] int64: where they stand among the window's tokens."""
        part = self._part(row)
        return np.append(0, self.first[row] + np.arange(part.stop - part.start))

    def _part(self, row: int) -> slice:
        begin = int(self.begins[row])
        return slice(begin, begin + len(self.ids.input_ids[row]) - int(self.first[row]) - 1)  # a mark ends the window


def cut_windows(fast: Tokenizer, pairs: Sequence[tuple[str, str]], limit: int, stride: int) -> CutWindows:
    """Of questions and contexts; a window begins `stride` tokens behind the one before it, or where that one ends."""
    if stride < 1:
        raise ValueError(f"windows {stride} tokens apart: a task that is read in windows says how far these are")
    questions = cut_encodings(fast, [question for question, _ in pairs], None)[1]
    contexts = cut_encodings(fast, [context for _, context in pairs], None, with_offsets=True)[1]
    ids: list[Ints] = []
    types: list[Ints] = []
    places: list[tuple[int, int, int]] = []
    spans: list[Ints] = []
    for number, ((_, context), asks, reads) in enumerate(zip(pairs, questions, contexts)):
        before, after = _around(fast, asks, limit)
        inside = np.flatnonzero(np.asarray(reads.special_tokens_mask) == 0)
        tokens = np.asarray(reads.ids, dtype=np.int64)[inside]
        spans.append(_bare(context, np.asarray(reads.offsets, dtype=np.int64).reshape(-1, 2)[inside]))
        room = max(1, limit - len(before[0]) - 1)
        for begin in _begins(len(tokens), room, stride):
            part = tokens[begin : begin + room]
            ids.append(np.concatenate([before[0], part, after[0]]))
            types.append(np.concatenate([before[1], np.full(len(part), after[1][0]), after[1]]))
            places.append((number, begin, len(before[0])))
    group, begins, first = np.asarray(places, dtype=np.int64).reshape(-1, 3).T
    whole = np.asarray([len(row) for row in ids], dtype=np.int64)
    return CutWindows(CutTexts(ids, types, whole), group, begins, first, spans)


def joined(parts: Sequence[CutWindows]) -> CutWindows:
    """The windows of several lists of questions, one after the other."""
    ids = [row for part in parts for row in part.ids.input_ids]
    types = [row for part in parts for row in part.ids.token_type_ids]
    before = np.cumsum([0, *(len(part.contexts) for part in parts)])
    return CutWindows(
        CutTexts(ids, types, np.concatenate([part.ids.whole for part in parts])),
        np.concatenate([part.group + start for part, start in zip(parts, before)]),
        np.concatenate([part.begins for part in parts]),
        np.concatenate([part.first for part in parts]),
        [spans for part in parts for spans in part.contexts],
    )


def windows_with(tokenizer: Cutter, pairs: Sequence[tuple[str, str]], limit: int, stride: int) -> CutWindows:
    """UserError for a tokenizer that does not say where tokens stand."""
    if not isinstance(tokenizer, TextTokenizer):
        raise UserError(
            "label_kind answers needs a tokenizer that says where words stand, and this model's settings are known to"
            " PaddleNLP's alone; take a model with a tokenizer.json"
        )
    return cut_windows(tokenizer.fast, pairs, limit, stride)


def _begins(count: int, room: int, stride: int) -> range:
    """Where windows begin that hold `room` of `count` tokens, the last with the end of the context."""
    step = max(1, min(stride, room))
    return range(0, max(0, count - room) + step, step)


def _around(fast: Tokenizer, asks: Encoding, limit: int) -> tuple[tuple[Ints, Ints], tuple[Ints, Ints]]:
    """(ids, types) of what stands before the context in every window, and of the mark behind it."""
    marks = fast.num_special_tokens_to_add(True)
    inside = [token for token, mark in zip(asks.ids, asks.special_tokens_mask) if not mark]
    kept = inside[: max(1, min(_QUESTION, (limit - marks) // 2))]
    empty = fast.encode("", add_special_tokens=False)
    empty.truncate(0)
    frame = fast.post_process(empty, empty)
    ids, types = (np.asarray(each, dtype=np.int64) for each in (frame.ids, frame.type_ids))  # [CLS] [SEP] ... [SEP]
    before = np.concatenate([ids[:1], np.asarray(kept, dtype=np.int64), ids[1:-1]])
    first = np.concatenate([np.full(1 + len(kept), types[0]), types[1:-1]])
    return (before, first), (ids[-1:], types[-1:])


def _bare(context: str, spans: Ints) -> Ints:
    """Without the blanks that byte pairs have before a word."""
    found = spans.copy()
    for row, (start, end) in enumerate(spans.tolist()):
        text = context[start:end]
        if text.strip() and (text[0].isspace() or text[-1].isspace()):
            found[row] = start + len(text) - len(text.lstrip()), end - len(text) + len(text.rstrip())
    return found

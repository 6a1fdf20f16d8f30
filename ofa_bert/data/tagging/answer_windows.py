"""Labels of the windows of contexts: where the right answer begins and ends, or that it is in another window."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from ofa_bert.data.tokenization.windows import CutWindows
from ofa_bert.numerics import Ints
from ofa_bert.tasks.kinds.answers import ENDS, STARTS
from ofa_bert.tasks.kinds.base import Golds
from ofa_bert.tasks.kinds.tokens import IGNORED
from ofa_bert.tasks.passages import Passage, Window
from ofa_bert.tasks.task import Example

logger = logging.getLogger(__name__)


def pairs_of(examples: Sequence[Example]) -> list[tuple[str, str]]:
    """Questions and contexts."""
    return [(example.text, example.text_pair or "") for example in examples]


def passage_of(example: Example) -> Passage:
    golds = example.label if isinstance(example.label, Golds) else ()
    return Passage(example.text_pair or "", tuple(gold.text for gold in golds))


def windows_of(examples: Sequence[Example], group: Ints, spans: Sequence[Ints]) -> tuple[Window, ...]:
    passages = [passage_of(example) for example in examples]
    return tuple(Window(own, passages[which]) for own, which in zip(spans, group))


def label_rows(examples: Sequence[Example], cut: CutWindows) -> Ints:
    """[N, T] int64: IGNORED where no answer can be; the first token has both marks where the window has no answer."""
    rows = cut.ids.input_ids
    found = np.full((len(rows), max(map(len, rows))), IGNORED, dtype=np.int64)
    tokens = [_tokens(example, spans) for example, spans in zip(examples, cut.contexts)]
    for row in range(len(rows)):
        places, (first, last), begin = cut.places(row), tokens[cut.group[row]], int(cut.begins[row])
        found[row, places] = 0
        inside = begin <= first and last < begin + len(places) - 1
        for place, mark in ((first, STARTS), (last, ENDS)):
            found[row, places[1 + place - begin] if inside else places[0]] += mark
    return found


def _tokens(example: Example, spans: Ints) -> tuple[int, int]:
    """The first and the last token of the first right answer; (-1, -1) without any."""
    if not isinstance(example.label, Golds) or not example.label:
        return -1, -1
    gold = example.label[0]
    hit = np.flatnonzero((spans[:, 1] > gold.start) & (spans[:, 0] < gold.start + len(gold.text)))
    if not len(hit):
        logger.warning("the answer %r has no token of its own in its context; it counts as no answer", gold.text[:40])
        return -1, -1
    return int(hit[0]), int(hit[-1])

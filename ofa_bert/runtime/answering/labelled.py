"""What a bundle answers to examples whose labels are known."""

from __future__ import annotations

from collections.abc import Sequence

from ofa_bert.data.encoding.encoded import judged, texts_of
from ofa_bert.data.tagging.answer_windows import passage_of
from ofa_bert.data.tagging.labels import scored_words
from ofa_bert.numerics import Array, Floats
from ofa_bert.runtime.predictor import Predictor
from ofa_bert.tasks.passages import passages_of
from ofa_bert.tasks.task import Example

Answered = tuple[Floats, Array]  # logits [M, C] and labels [M], as metrics take them: of M examples, or of M words


def answered(predictor: Predictor, examples: Sequence[Example]) -> Answered:
    """By all of them, in their order."""
    texts = texts_of(examples)
    if predictor.task.kind.windowed:
        return predictor.passage_logits(texts, True), passages_of(map(passage_of, examples))
    if not predictor.task.kind.per_token:
        return judged(examples, predictor.logits(texts, True))
    found = predictor.word_answers(texts, True)
    return found.logits, scored_words(examples, found.words)

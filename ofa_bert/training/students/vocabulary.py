"""Who learns from a teacher must read the same ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ofa_bert.data.encoding.encoded import encode
from ofa_bert.data.tokenization.text_tokenizer import Cutter
from ofa_bert.errors import UserError
from ofa_bert.tasks.task import Example

COMPARED = 32  # sentences that both tokenizers must cut alike


class Pupil(NamedTuple):
    """How messages name who learns and its teacher, and what they advise. cure: for another vocabulary; cut_cure: for
    the same one by which sentences are cut otherwise."""

    name: str
    teacher: str
    cure: str
    cut_cure: str


def check_vocabulary(
    pupil: Pupil, theirs: Cutter, own: Cutter, train: Sequence[Example], length: int, doc_stride: int
) -> None:
    """The same tokens under the same numbers, and the first of these sentences cut alike; `theirs` is the teacher's."""
    teacher, learner = theirs.get_vocab(), own.get_vocab()
    if teacher != learner:
        other = sorted(token for token in {*teacher, *learner} if teacher.get(token) != learner.get(token))
        raise UserError(
            f"{pupil.name}: has another vocabulary than the teacher {pupil.teacher}"
            f" ({len(learner)} and {len(teacher)} tokens; {other[0]!r} is number {learner.get(other[0], 'none')} and"
            f" {teacher.get(other[0], 'none')}); {pupil.cure}"
        )
    examples = train[:COMPARED]
    cut = [encode(examples, tokenizer, length, False, doc_stride).input_ids for tokenizer in (theirs, own)]
    for row, (first, second) in enumerate(zip(*cut)):
        if list(first) != list(second):
            example = examples[min(row, len(examples) - 1)]
            raise UserError(
                f"{pupil.name}: its tokenizer cuts {example.text[:40]!r} otherwise than the teacher's,"
                f" perhaps for do_lower_case in tokenizer_config.json; {pupil.cut_cure}"
            )

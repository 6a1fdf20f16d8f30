"""A teacher and its student before the first step: loaded or cut out, and checked to speak of the same things."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from paddle import nn

from ofa_bert.data.batches import encode
from ofa_bert.data.tokenization.text_tokenizer import Cutter
from ofa_bert.errors import UserError
from ofa_bert.models.directories import load_model
from ofa_bert.models.encoder import longest_input
from ofa_bert.models.record import best_of, check_task
from ofa_bert.models.supernet import whole
from ofa_bert.submodels.values import even_layers
from ofa_bert.tasks.task import Datasets, Example, Task
from ofa_bert.training.early import other_hidden
from ofa_bert.training.finetune import About, what_it_is
from ofa_bert.training.setup import TrainingSetup, prepare
from ofa_bert.training.students.cut import cut
from ofa_bert.training.students.jobs import CutShape, DistilJob
from ofa_bert.training.supernet.importance import held_out_importance

logger = logging.getLogger(__name__)

COMPARED = 32  # sentences that both tokenizers must cut alike


class Pair(NamedTuple):
    """`setup` holds the student's token ids; its model is the student, or for a cut one still the teacher."""

    setup: TrainingSetup
    teacher: nn.Layer  # in eval mode
    student: nn.Layer
    about: About  # what the student is
    taught: Task  # as the teacher decides it


def load_pair(job: DistilJob, datasets: Datasets, token_cache: Path) -> Pair:
    """Student and teacher; UserError when they differ in vocabulary, task or labels, or the shape cannot be cut."""
    shape, where = job.pair.shape(), job.pair.teacher
    if shape is not None:
        return _cut_out(job, datasets, shape, token_cache)
    teacher, tokenizer, record = load_model(best_of(where), job.pair.model_type, task=datasets.task)
    task, length = check_task(where, record, datasets.task), job.loop.length
    if teacher.config.num_labels != task.num_labels:
        raise UserError(
            f"`teacher` {where}: answers with {teacher.config.num_labels} numbers, {task.name} needs"
            f" {task.num_labels}; finetune it on this task with run_glue.py"
        )
    if length > longest_input(teacher):
        raise UserError(f"`max_seq_length` {length}: the teacher has positions for {longest_input(teacher)} tokens")
    setup = prepare(job.pair.source(job.pair.student), job.loop, datasets, token_cache, job.held_out())
    check_vocabulary(job, tokenizer, setup.tokenizer, datasets.train[:COMPARED], task.doc_stride)
    teacher.eval()
    return Pair(setup, teacher, setup.model, what_it_is(setup), task)


def check_vocabulary(job: DistilJob, theirs: Cutter, own: Cutter, examples: Sequence[Example], doc_stride: int) -> None:
    """Both models read the same ids: the same tokens under the same numbers, and sentences cut alike."""
    teacher, student = theirs.get_vocab(), own.get_vocab()
    if teacher != student:
        other = sorted(token for token in {*teacher, *student} if teacher.get(token) != student.get(token))
        raise UserError(
            f"`student` {job.pair.student}: has another vocabulary than the teacher {job.pair.teacher}"
            f" ({len(student)} and {len(teacher)} tokens; {other[0]!r} is number {student.get(other[0], 'none')} and"
            f" {teacher.get(other[0], 'none')}); take a student with the teacher's vocab.txt, or cut one from the"
            " teacher with `student` layers,heads,hidden,ffn"
        )
    cut = [encode(examples, tokenizer, job.loop.length, False, doc_stride).input_ids for tokenizer in (theirs, own)]
    for row, (first, second) in enumerate(zip(*cut)):
        if list(first) != list(second):
            example = examples[min(row, len(examples) - 1)]
            raise UserError(
                f"`student` {job.pair.student}: its tokenizer cuts {example.text[:40]!r} otherwise than the teacher's,"
                " perhaps for do_lower_case in tokenizer_config.json; give the student the teacher's tokenizer files"
            )


def _cut_out(job: DistilJob, datasets: Datasets, shape: CutShape, token_cache: Path) -> Pair:
    setup = prepare(job.pair.source(job.pair.teacher), job.loop, datasets, token_cache, job.held_out(), "needed")
    teacher = setup.model
    if shape.hidden != teacher.config.hidden_size:
        raise UserError(other_hidden(shape.hidden, teacher.config.hidden_size, job.pair.student))
    flag = f"`student` {job.pair.student}"
    wanted = {"layers": (shape.layers, flag), "heads": (shape.heads, flag), "ffn": (shape.ffn, flag)}
    whole(teacher).check_has("the teacher", wanted)
    importance = held_out_importance(setup, Path(job.output_dir))
    depth = whole(teacher).depth
    layers = even_layers(depth, shape.layers / depth)
    student, about = cut(teacher, setup.record, importance, shape.heads, shape.ffn, layers)
    logger.info("student: layers %s of the teacher", " ".join(map(str, layers)))
    teacher.eval()
    return Pair(setup, teacher, student, {**about}, setup.task)

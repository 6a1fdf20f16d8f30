"""A teacher and its student before the first step: loaded or cut out, and checked to speak of the same things."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

from paddle import nn

from ofa_bert.errors import UserError
from ofa_bert.models.directories import load_model
from ofa_bert.models.encoder import longest_input
from ofa_bert.models.record import best_of, check_task
from ofa_bert.models.supernet import whole
from ofa_bert.submodels.values import even_layers
from ofa_bert.tasks.task import Datasets, Task
from ofa_bert.training.early import other_hidden
from ofa_bert.training.finetune import About, what_it_is
from ofa_bert.training.setup import TrainingSetup, prepare
from ofa_bert.training.students.cut import cut
from ofa_bert.training.students.jobs import CutShape, DistilJob
from ofa_bert.training.students.vocabulary import Pupil, check_vocabulary
from ofa_bert.training.supernet.importance import held_out_importance

logger = logging.getLogger(__name__)


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
    check_vocabulary(_pupil(job), tokenizer, setup.tokenizer, datasets.train, job.loop.length, task.doc_stride)
    teacher.eval()
    return Pair(setup, teacher, setup.model, what_it_is(setup), task)


def _pupil(job: DistilJob) -> Pupil:
    return Pupil(
        f"`student` {job.pair.student}",
        job.pair.teacher,
        "take a student with the teacher's vocab.txt, or cut one from the teacher with `student`"
        " layers,heads,hidden,ffn",
        "give the student the teacher's tokenizer files",
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

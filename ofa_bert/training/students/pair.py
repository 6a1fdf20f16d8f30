"""A teacher and its student before the first step: loaded or cut out, and checked to speak of the same things."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from paddle import nn

from ofa_bert.data.batches import encode
from ofa_bert.errors import UserError
from ofa_bert.models.directories import best_of, load_model
from ofa_bert.models.encoder import longest_input
from ofa_bert.models.record import check_task
from ofa_bert.models.supernet import whole
from ofa_bert.submodels.values import even_layers
from ofa_bert.tasks.task import Datasets, Example, Task
from ofa_bert.training.finetune import what_it_is
from ofa_bert.training.setup import TrainingSetup, prepare
from ofa_bert.training.students.config import CutShape, DistilConfig, as_training
from ofa_bert.training.students.cut import check_size, cut
from ofa_bert.training.supernet.importance import held_out_importance

logger = logging.getLogger(__name__)

COMPARED = 32  # sentences that both tokenizers must cut alike


class Pair(NamedTuple):
    """`setup` holds the student's token ids; its model is the student, or for a cut one still the teacher."""

    setup: TrainingSetup
    teacher: nn.Layer  # in eval mode
    student: nn.Layer
    about: dict[str, Any]  # what the student is, for ofa_config.json
    taught: Task  # the task as the teacher decides it


def load_pair(config: DistilConfig, datasets: Datasets, token_cache: Path | None = None) -> Pair:
    """Student and teacher; UserError when they differ in vocabulary, task or labels, or the shape cannot be cut."""
    shape = config.shape()
    if shape is not None:
        return _cut_out(config, datasets, shape, token_cache)
    teacher, tokenizer, meta = load_model(best_of(config.teacher), config.model_type)
    task = check_task(config.teacher, meta, datasets.task)
    if teacher.config.num_labels != task.num_labels:
        raise UserError(
            f"--teacher {config.teacher}: answers with {teacher.config.num_labels} numbers, {task.name} needs"
            f" {task.num_labels}; finetune it on this task with run_glue.py"
        )
    if config.max_seq_length > longest_input(teacher):
        longest = longest_input(teacher)
        raise UserError(f"--max_seq_length {config.max_seq_length}: the teacher has positions for {longest} tokens")
    setup = prepare(as_training(config, config.student), datasets, config.held_out(), token_cache=token_cache)
    check_vocabulary(config, tokenizer, setup.tokenizer, datasets.train[:COMPARED])
    teacher.eval()
    return Pair(setup, teacher, setup.model, what_it_is(setup), task)


def check_vocabulary(config: DistilConfig, theirs: Any, own: Any, examples: Sequence[Example]) -> None:
    """Both models read the same ids: the same tokens under the same numbers, and sentences cut alike."""
    teacher, student = theirs.get_vocab(), own.get_vocab()
    if teacher != student:
        other = sorted(token for token in {*teacher, *student} if teacher.get(token) != student.get(token))
        raise UserError(
            f"--student {config.student}: has another vocabulary than the teacher {config.teacher}"
            f" ({len(student)} and {len(teacher)} tokens; {other[0]!r} is number {student.get(other[0], 'none')} and"
            f" {teacher.get(other[0], 'none')}); take a student with the teacher's vocab.txt, or cut one from the"
            " teacher with --student layers,heads,hidden,ffn"
        )
    ids = [encode(examples, tokenizer, config.max_seq_length, progress=False).input_ids for tokenizer in (theirs, own)]
    for example, first, second in zip(examples, *ids):
        if list(first) != list(second):
            raise UserError(
                f"--student {config.student}: its tokenizer cuts {example.text[:40]!r} otherwise than the teacher's,"
                " perhaps for do_lower_case in tokenizer_config.json; give the student the teacher's tokenizer files"
            )


def _cut_out(config: DistilConfig, datasets: Datasets, shape: CutShape, token_cache: Path | None) -> Pair:
    setup = prepare(as_training(config, config.teacher), datasets, config.held_out(), False, token_cache)
    teacher = setup.model
    if shape.hidden != teacher.config.hidden_size:
        raise UserError(
            f"--student {config.student}: hidden size {shape.hidden} cannot be cut from a teacher of"
            f" {teacher.config.hidden_size}, only layers, heads and neurons can; give {teacher.config.hidden_size}, or"
            " pre-train this shape (python -m ofa_bert pretrain --shape ...) and pass its directory as --student"
        )
    flag = f"--student {config.student}"
    wanted = {"layers": (shape.layers, flag), "heads": (shape.heads, flag), "ffn": (shape.ffn, flag)}
    check_size(teacher, "the teacher", wanted)
    importance = held_out_importance(setup, Path(config.output_dir))
    depth = whole(teacher).depth
    layers = even_layers(depth, shape.layers / depth)
    student, about = cut(teacher, setup.meta, importance, shape.heads, shape.ffn, layers)
    logger.info("student: layers %s of the teacher", " ".join(map(str, layers)))
    teacher.eval()
    return Pair(setup, teacher, student, about, setup.task)

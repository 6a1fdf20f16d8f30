"""Distil a finetuned teacher into a smaller student: the job behind python -m ofa_bert distil."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import paddle
from paddle import nn

from ofa_bert.data import token_ids
from ofa_bert.data.augmentation import augment
from ofa_bert.models.encoder import backbone, set_dropout
from ofa_bert.models.record import describe
from ofa_bert.options import to_json
from ofa_bert.tasks.metrics import as_text
from ofa_bert.tasks.task import Datasets
from ofa_bert.training import distributed, loop
from ofa_bert.training.evaluation import score, stock_forward, tuned
from ofa_bert.training.losses.task import losses_of
from ofa_bert.training.run_directory import RunDirectory, check_output_dir, restore
from ofa_bert.training.students.config import DistilConfig, as_training
from ofa_bert.training.students.cut import fingerprint
from ofa_bert.training.students.pair import Pair, load_pair
from ofa_bert.training.students.step import StudentObjective, student_step
from ofa_bert.training.students.teacher_logits import TeacherLogits

logger = logging.getLogger(__name__)

KIND = "distil"


def settings(config: DistilConfig) -> dict[str, Any]:
    """What a run in the same directory must share: the command line, and the weights it starts from."""
    found = {"teacher_weights": fingerprint(config.teacher, config.model_type)}
    if config.shape() is None:
        found["student_weights"] = fingerprint(config.student, config.model_type)
    return {**to_json(config), **found}


def distil(config: DistilConfig, datasets: Datasets, token_cache: Path | None = None) -> dict[str, Any]:
    """Train the student; best/ is the best on dev. Returns what results.json in the output directory says."""
    output = Path(config.output_dir)
    check_output_dir(output, settings(config), config.resume, KIND)
    pair = _augmented(config, load_pair(config, datasets, token_cache))
    setup, task, student = pair.setup, pair.setup.task, pair.student
    pad_id = setup.tokenizer.pad_token_id
    if config.student_dropout is not None:
        set_dropout(student, config.student_dropout)
    trained = loop.JointLayers(student=student, projection=_projection(config, pair))
    distributed.same_start(trained.parameters())
    batches = setup.train_batches(as_training(config, config.student))
    plan = loop.make_plan(config, batches.steps_per_epoch)
    optimizer = loop.make_optimizer(config, trained, plan)
    state = restore(output, trained, optimizer) if config.resume else {}
    teacher_scores = score(pair.taught, stock_forward(pair.teacher), setup.dev, pad_id, label="teacher on dev")
    logger.info("teacher  dev %s", as_text(teacher_scores))
    meta = describe(task, config, **pair.about, teacher=teacher_scores)
    kept = RunDirectory(output, student, setup.tokenizer, meta, state, trained=trained)

    def checkpoint(step: int) -> None:
        student.eval()
        decided = tuned(task, student, [stock_forward(student)], setup.held_out, pad_id)
        kept.meta["task"] = decided.to_json()
        scores = score(decided, stock_forward(student), setup.dev, pad_id, label="dev")
        student.train()
        logger.info("step %d  dev %s", step, as_text(scores))
        kept.consider("best", step, scores["score"], scores)
        kept.checkpoint(step, optimizer, scores, last=step == plan.total_steps)

    trained.train()
    cache = token_cache or output / token_ids.DIRECTORY
    step = _step(config, pair, getattr(trained, "projection", None), cache)
    loop.fit(config, trained, optimizer, batches, plan, step, checkpoint, state.get("step", 0), "distil")
    own = {
        "task": task.name,
        "teacher": teacher_scores,
        "best": kept.best["best"],
        "last": kept.history[-1],
        "parameters": sum(parameter.size for parameter in student.parameters()),
        "teacher_parameters": sum(parameter.size for parameter in pair.teacher.parameters()),
    }
    return kept.write_results(config, own)


def _augmented(config: DistilConfig, pair: Pair) -> Pair:
    """With the copies of --augment among the training texts."""
    if not config.augment:
        return pair
    setup = pair.setup
    embeddings = backbone(pair.teacher).embeddings.word_embeddings.weight.numpy()
    more = augment(setup.train, setup.tokenizer, embeddings, config.augment, config.seed)
    logger.info("train: %d texts with their copies", len(more))
    return pair._replace(setup=dataclasses.replace(setup, train=more))


def _projection(config: DistilConfig, pair: Pair) -> nn.Linear | None:
    """To the teacher's hidden size, when that differs and hidden states are compared."""
    own, wanted = pair.student.config.hidden_size, pair.teacher.config.hidden_size
    if own == wanted or not config.state_weight:
        return None
    paddle.seed(config.seed)
    return nn.Linear(own, wanted)


def _step(config: DistilConfig, pair: Pair, projection: nn.Layer | None, cache: Path) -> loop.Step:
    task = pair.setup.task
    objective = StudentObjective(
        losses_of(task), config.logit_weight, config.state_weight, config.attention_weight, config.label_weight,
        projection,
    )  # fmt: skip
    known = None
    if not objective.needs_states:
        pad_id = pair.setup.tokenizer.pad_token_id
        known = TeacherLogits(pair.teacher, pair.setup.train, task.num_labels, pad_id, cache)
    return student_step(pair.student, pair.teacher, objective, known)

"""Distil a finetuned teacher into a smaller student: the job behind python -m ofa_bert distil."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path

import paddle
from paddle import nn

from ofa_bert.data.encoding import token_ids
from ofa_bert.data.encoding.augmentation import augment
from ofa_bert.models.encoder import set_dropout, word_embeddings
from ofa_bert.models.model_type import with_model_type
from ofa_bert.options import to_json
from ofa_bert.tasks.metrics import as_text
from ofa_bert.tasks.task import Datasets
from ofa_bert.training import distributed, loop
from ofa_bert.training.data.test_split import TestScores, TestSplit
from ofa_bert.training.evaluation import score, stock_forward, tuned, warn_below_chance
from ofa_bert.training.finetune import trained_record
from ofa_bert.training.losses.task import losses_of
from ofa_bert.training.presets import DISTIL, recipe_record
from ofa_bert.training.run import Training, train
from ofa_bert.training.run_directory import Evaluation, RunResults, Scored, ScoredEntry, check_output_dir
from ofa_bert.training.students.cut import fingerprint
from ofa_bert.training.students.jobs import DistilJob
from ofa_bert.training.students.pair import Pair, load_pair
from ofa_bert.training.students.step import StudentObjective, student_step
from ofa_bert.training.students.teacher_logits import TeacherLogits

logger = logging.getLogger(__name__)

KIND = "distil"


class DistilResults(RunResults, total=False):
    task: str
    test: TestScores
    teacher: Mapping[str, float]
    best: Scored
    last: ScoredEntry
    parameters: int
    teacher_parameters: int


def settings(job: DistilJob) -> dict[str, object]:
    """What a run in the same directory must share: its settings, and the weights it starts from."""
    found = {"teacher_weights": fingerprint(job.pair.teacher, job.pair.model_type)}
    if job.pair.shape() is None:
        found["student_weights"] = fingerprint(job.pair.student, job.pair.model_type)
    return {**to_json(job), **found}


def distil(job: DistilJob, datasets: Datasets, token_cache: Path | None = None) -> DistilResults:
    """Train the student; best/ is the best on dev. Returns what results.json in the output directory says."""
    job = dataclasses.replace(job, pair=with_model_type(job.pair, job.pair.teacher))
    output, cache = Path(job.output_dir), token_cache or Path(job.output_dir, token_ids.DIRECTORY)
    check_output_dir(output, settings(job), job.loop.resume, KIND)
    recipe = recipe_record(job.recipe, DISTIL, job)
    pair = _with_copies(job, load_pair(job, datasets, cache))
    setup, task, student = pair.setup, pair.setup.task, pair.student
    pad_id = setup.tokenizer.pad_token_id
    if job.weights.student_dropout is not None:
        set_dropout(student, job.weights.student_dropout)
    projection = _projection(job, pair)
    trained = loop.JointLayers(student=student, projection=projection)
    distributed.same_start(trained.parameters())
    test = TestSplit.read(job.evaluations.test_file, job.data, task)
    teacher_scores = score(pair.taught, stock_forward(pair.teacher), setup.dev, pad_id, label="teacher on dev")
    logger.info("teacher  dev %s", as_text(teacher_scores))
    warn_below_chance(job.pair.teacher, task, teacher_scores["score"])

    def evaluate() -> Evaluation:
        decided = tuned(task, student, [stock_forward(student)], setup.held_out, pad_id)
        scores = score(decided, stock_forward(student), setup.dev, pad_id, label="dev")
        return Evaluation(score=scores["score"], scores=scores, lines=[f"dev {as_text(scores)}"], task=decided)

    training = Training(
        name="distil",
        model=student,
        trained=trained,
        tokenizer=setup.tokenizer,
        record=trained_record(
            setup, job.pair.model_type, to_json(job), **pair.about, more={**recipe, "teacher": teacher_scores}
        ),
        batches=setup.train_batches(job.loop, job.augmentation, pair.teacher),
        make_step=lambda plan: _step(job, pair, projection, cache),
        evaluate=evaluate,
        data=setup.facts,
    )
    kept = train(training, output, job.loop, job.optimizer, job.evaluations)
    own: DistilResults = {
        "task": task.name,
        "teacher": teacher_scores,
        "best": kept.scored_best(),
        "last": kept.scored_last(),
        "parameters": sum(parameter.size for parameter in student.parameters()),
        "teacher_parameters": sum(parameter.size for parameter in pair.teacher.parameters()),
    }
    if test is not None:
        own["test"] = test.scores(output / "best", job.loop.length, lambda best: {"best": stock_forward(best)})
    return kept.write_results(to_json(job), own)


def _with_copies(job: DistilJob, pair: Pair) -> Pair:
    """With the copies of `augment_copies` among the training texts."""
    count = job.weights.augment_copies
    if not count:
        return pair
    setup = pair.setup
    more = augment(setup.train, setup.tokenizer, word_embeddings(pair.teacher), count, job.loop.seed)
    logger.info("train: %d texts with their copies", len(more))
    return pair._replace(setup=dataclasses.replace(setup, train=more))


def _projection(job: DistilJob, pair: Pair) -> nn.Linear | None:
    """To the teacher's hidden size, when that differs and hidden states are compared."""
    own, wanted = pair.student.config.hidden_size, pair.teacher.config.hidden_size
    if own == wanted or not job.weights.state_weight:
        return None
    paddle.seed(job.loop.seed)
    return nn.Linear(own, wanted)


def _step(job: DistilJob, pair: Pair, projection: nn.Layer | None, cache: Path) -> loop.Step:
    task, weights = pair.setup.task, job.weights
    objective = StudentObjective(
        losses_of(task), weights.logit_weight, weights.state_weight, weights.attention_weight, weights.label_weight,
        projection,
    )  # fmt: skip
    known = None
    if not objective.needs_states and not job.augmentation.augment:  # no changed text comes twice
        pad_id = pair.setup.tokenizer.pad_token_id
        known = TeacherLogits(pair.teacher, pair.setup.train, task.num_labels, pad_id, cache)
    return student_step(pair.student, pair.teacher, objective, known)

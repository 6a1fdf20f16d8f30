"""Pre-train a shape by distillation (Bort, arXiv 2010.10499 section 4): masked-LM loss and KL to a teacher's logits.

    L = mlm_weight * CE(true words) + kd_weight * T^2 * KL(teacher / T || student / T), at masked tokens

The result is an encoder that run_glue.py finetunes; its masked-LM head is stored beside it under PaddleNLP's names.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import paddle

from ofa_bert.data.corpus import Corpus
from ofa_bert.data.encoding.batches import Batch
from ofa_bert.data.tokenization.text_tokenizer import Cutter
from ofa_bert.errors import UserError
from ofa_bert.files.atomic import MODEL_META
from ofa_bert.models.directories import save_model
from ofa_bert.models.encoder import longest_input
from ofa_bert.models.masked_lm import Loaded, MaskedLM, copy_leading, load, student_of
from ofa_bert.models.model_type import with_model_type
from ofa_bert.models.record import ModelRecord
from ofa_bert.options import to_json
from ofa_bert.training import distributed, loop
from ofa_bert.training.evaluation import to_tensors
from ofa_bert.training.losses.masked_lm import kd_loss, masked_of, mlm_loss
from ofa_bert.training.pretraining.job import PretrainJob, PretrainLosses, shape_from
from ofa_bert.training.run import Training, train
from ofa_bert.training.run_directory import Evaluation, RunResults, Scored, ScoredEntry, check_output_dir

logger = logging.getLogger(__name__)

TEACHER = "teacher"  # the teacher after `teacher_steps`


class PretrainResults(RunResults):
    shape: Mapping[str, int]
    parameters: int
    teacher: Mapping[str, float]
    best: Scored
    last: ScoredEntry


def pretrain(job: PretrainJob) -> PretrainResults:
    """Train the student; best/ is the most accurate on held-out texts. Returns what results.json says."""
    job = with_model_type(job, job.teacher)
    shape, output, settings, loops = shape_from(job.shape), Path(job.output_dir), to_json(job), job.loop
    check_output_dir(output, settings, loops.resume, "pretrain")
    paddle.seed(loops.seed)  # a head that the teacher lacks starts at random values
    source = load(job.teacher, job.model_type)
    length = loops.length
    if length > longest_input(source.model):
        longest = longest_input(source.model)
        raise UserError(f"`max_seq_length` {length}: the teacher has positions for {longest} tokens")
    corpus = Corpus(
        job.corpus, source.tokenizer, length, loops.batch_size, loops.seed, job.mask_share, job.held_out,
        distributed.rank(), distributed.world_size(),
    )  # fmt: skip
    logger.info("corpus: %d texts to train on, %d held out", corpus.size, corpus.texts - corpus.size)
    held_out = corpus.held_out()
    teacher, teacher_scores = _teacher(job, source, corpus, held_out)
    paddle.seed(loops.seed)
    student = student_of(source.model, job.model_type, shape)
    if job.initialise == "teacher":
        copy_leading(student, teacher or source.model)
    distributed.same_start(student.parameters())

    def found() -> Evaluation:
        scores = evaluate(student, held_out)
        return Evaluation(score=scores["score"], scores=scores, lines=[f"held out {_text(scores)}"])

    training = Training(
        name="pretrain",
        model=student,
        tokenizer=source.tokenizer,
        record=ModelRecord(
            kind="pretrained", model_type=job.model_type, seed=loops.seed, config=settings,
            more={"pretrained_shape": shape.to_json()},
        ),
        batches=corpus,
        make_step=lambda plan: pretrain_step(student, teacher, job.losses),
        evaluate=found,
        data=corpus.facts,
    )  # fmt: skip
    kept = train(training, output, loops, job.optimizer)
    own: PretrainResults = {
        "shape": shape.to_json(),
        "parameters": sum(parameter.size for parameter in student.parameters()),
        "teacher": teacher_scores,
        "best": kept.scored_best(),
        "last": kept.scored_last(),
    }
    return kept.write_results(settings, own)


def pretrain_step(student: MaskedLM, teacher: MaskedLM | None, losses: PretrainLosses) -> loop.Step:
    """One batch: both losses at its masked tokens. The teacher is in eval mode and gets no gradient."""

    def step(batch: Batch, number: int, backward: Callable[[paddle.Tensor], None]) -> dict[str, float]:
        masked = masked_of(batch.labels)
        logits = student(batch.input_ids, batch.token_type_ids, masked.places)  # [M, V]
        mlm = mlm_loss(logits, masked)
        total, parts = losses.mlm_weight * mlm, {"mlm": mlm.item()}
        if teacher is not None:
            with paddle.no_grad():
                wanted = teacher(batch.input_ids, batch.token_type_ids, masked.places)  # [M, V]
            kd = kd_loss(logits, wanted, masked, losses.temperature)
            total, parts["kd"] = total + losses.kd_weight * kd, kd.item()
        backward(total)
        return parts

    return step


def evaluate(model: MaskedLM, batches: Sequence[Batch]) -> dict[str, float]:
    """Accuracy and loss over the masked tokens of held-out texts, every token alike; all processes compute it."""
    was_training = model.training
    model.eval()
    right, loss, count = 0.0, 0.0, 0
    with paddle.no_grad():
        for batch in map(to_tensors, batches):
            masked = masked_of(batch.labels)
            if not masked.weights.any():
                continue
            logits = model(batch.input_ids, batch.token_type_ids, masked.places)
            right += float((logits.argmax(-1) == masked.labels).astype("float32").sum())
            loss += float(paddle.nn.functional.cross_entropy(logits, masked.labels, reduction="sum"))
            count += len(masked.labels)
    if was_training:
        model.train()
    accuracy = right / max(1, count)
    return {"score": accuracy, "accuracy": accuracy, "loss": loss / max(1, count)}


def _teacher(
    job: PretrainJob, source: Loaded, corpus: Corpus, held_out: Sequence[Batch]
) -> tuple[MaskedLM | None, dict[str, float]]:
    """The teacher in eval mode with its scores; None when no loss needs one."""
    if not job.losses.kd_weight and not (job.teacher_steps and job.initialise == "teacher"):
        return None, {}
    if not source.has_head and not job.teacher_steps:
        raise UserError(
            f"`teacher` {job.teacher}: is an encoder without a masked-LM head, so it cannot guess masked words; give"
            " `teacher_steps` (for example 2000) to train it on the corpus first, or name a masked-LM"
        )
    model = source.model
    where = Path(job.output_dir, TEACHER)
    if job.teacher_steps and job.loop.resume and (where / MODEL_META).exists():
        model = load(str(where), job.model_type).model
    elif job.teacher_steps:
        _train_teacher(job, model, corpus, where, source.tokenizer)
    model.eval()
    scores = evaluate(model, held_out)
    logger.info("teacher  held out %s", _text(scores))
    return (model if job.losses.kd_weight else None), scores


def _train_teacher(job: PretrainJob, model: MaskedLM, corpus: Corpus, where: Path, tokenizer: Cutter) -> None:
    """Masked-LM training of the whole teacher, head and encoder; kept in a directory for a resumed run."""
    steps = job.teacher_steps
    settings = dataclasses.replace(job.loop, max_steps=steps, save_steps=steps, warmup_proportion=0.1, warmup_steps=0)
    distributed.same_start(model.parameters())
    plan = loop.make_plan(settings, corpus.steps_per_epoch)
    rate = dataclasses.replace(job.optimizer, learning_rate=job.teacher_learning_rate)
    optimizer = loop.make_optimizer(rate, model, plan)

    def keep(step: int) -> None:
        if distributed.is_main():
            save_model(where, model, tokenizer, ModelRecord(kind="teacher", model_type=job.model_type))
        distributed.barrier()

    model.train()
    step = pretrain_step(model, None, PretrainLosses(mlm_weight=1.0, kd_weight=0.0))
    loop.fit(settings, model, optimizer, corpus, plan, step, keep, label="teacher")


def _text(scores: Mapping[str, float]) -> str:
    return f"accuracy {scores['accuracy']:.4f}  loss {scores['loss']:.4f}"

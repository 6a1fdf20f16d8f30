"""Pre-train a shape by distillation (Bort, arXiv 2010.10499 section 4): masked-LM loss and KL to a teacher's logits.

    L = mlm_weight * CE(true words) + kd_weight * T^2 * KL(teacher / T || student / T), at masked tokens

The result is an encoder that run_glue.py finetunes; its masked-LM head is stored beside it under PaddleNLP's names.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import paddle

from ofa_bert.data.batches import Batch
from ofa_bert.data.corpus import Corpus
from ofa_bert.errors import UserError
from ofa_bert.files.atomic import MODEL_META
from ofa_bert.models.directories import save_model
from ofa_bert.models.encoder import longest_input
from ofa_bert.models.masked_lm import Loaded, MaskedLM, copy_leading, load, student_of
from ofa_bert.models.record import FORMAT
from ofa_bert.options import to_json
from ofa_bert.submodels.shape import Shape
from ofa_bert.system.provenance import versions
from ofa_bert.training import distributed, loop
from ofa_bert.training.evaluation import to_tensors
from ofa_bert.training.losses.masked_lm import kd_loss, masked_of, mlm_loss
from ofa_bert.training.pretraining.config import PretrainConfig, shape_from
from ofa_bert.training.run_directory import RunDirectory, check_output_dir, restore

logger = logging.getLogger(__name__)

TEACHER = "teacher"  # the teacher after --teacher_steps


def pretrain(config: PretrainConfig) -> dict[str, Any]:
    """Train the student; best/ is the most accurate on held-out texts. Returns what results.json says."""
    shape, output = shape_from(config.shape), Path(config.output_dir)
    check_output_dir(output, to_json(config), config.resume, "pretrain")
    paddle.seed(config.seed)  # a head that the teacher lacks starts at random values
    source = load(config.teacher, config.model_type)
    if config.max_seq_length > longest_input(source.model):
        longest = longest_input(source.model)
        raise UserError(f"--max_seq_length {config.max_seq_length}: the teacher has positions for {longest} tokens")
    corpus = Corpus(
        config.corpus, source.tokenizer, config.max_seq_length, config.batch_size, config.seed, config.mask_share,
        config.held_out, distributed.rank(), distributed.world_size(),
    )  # fmt: skip
    logger.info("corpus: %d texts to train on, %d held out", corpus.size, corpus.texts - corpus.size)
    held_out = corpus.held_out()
    teacher, teacher_scores = _teacher(config, source, corpus, held_out)
    paddle.seed(config.seed)
    student = student_of(source.model, config.model_type, shape)
    if config.initialise == "teacher":
        copy_leading(student, teacher or source.model)
    distributed.same_start(student.parameters())
    plan = loop.make_plan(config, corpus.steps_per_epoch)
    optimizer = loop.make_optimizer(config, student, plan)
    state = restore(output, student, optimizer) if config.resume else {}
    kept = RunDirectory(output, student, source.tokenizer, _meta(config, shape), state)

    def checkpoint(step: int) -> None:
        scores = evaluate(student, held_out)
        logger.info("step %d  held out %s", step, _text(scores))
        kept.consider("best", step, scores["score"], scores)
        kept.checkpoint(step, optimizer, scores, last=step == plan.total_steps)

    student.train()
    step = pretrain_step(student, teacher, config)
    loop.fit(config, student, optimizer, corpus, plan, step, checkpoint, state.get("step", 0), "pretrain")
    own = {
        "shape": shape.to_json(),
        "parameters": sum(parameter.size for parameter in student.parameters()),
        "teacher": teacher_scores,
        "best": kept.best["best"],
        "last": kept.history[-1],
    }
    return kept.write_results(config, own)


def pretrain_step(student: MaskedLM, teacher: MaskedLM | None, config: Any) -> loop.Step:
    """One batch: both losses at its masked tokens. The teacher is in eval mode and gets no gradient."""

    def step(batch: Batch, number: int, backward: Callable[[paddle.Tensor], None]) -> dict[str, float]:
        masked = masked_of(batch.labels)
        logits = student(batch.input_ids, batch.token_type_ids, masked.places)  # [M, V]
        mlm = mlm_loss(logits, masked)
        total, parts = config.mlm_weight * mlm, {"mlm": mlm.item()}
        if teacher is not None:
            with paddle.no_grad():
                wanted = teacher(batch.input_ids, batch.token_type_ids, masked.places)  # [M, V]
            kd = kd_loss(logits, wanted, masked, config.temperature)
            total, parts["kd"] = total + config.kd_weight * kd, kd.item()
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
    config: PretrainConfig, source: Loaded, corpus: Corpus, held_out: Sequence[Batch]
) -> tuple[MaskedLM | None, dict[str, float]]:
    """The teacher in eval mode with its scores; None when no loss needs one."""
    if not config.kd_weight and not (config.teacher_steps and config.initialise == "teacher"):
        return None, {}
    if not source.has_head and not config.teacher_steps:
        raise UserError(
            f"--teacher {config.teacher}: is an encoder without a masked-LM head, so it cannot guess masked words; give"
            " --teacher_steps (for example 2000) to train it on the corpus first, or name a masked-LM"
        )
    model = source.model
    where = Path(config.output_dir, TEACHER)
    if config.teacher_steps and config.resume and (where / MODEL_META).exists():
        model = load(str(where), config.model_type).model
    elif config.teacher_steps:
        _train_teacher(config, model, corpus, where, source.tokenizer)
    model.eval()
    scores = evaluate(model, held_out)
    logger.info("teacher  held out %s", _text(scores))
    return (model if config.kd_weight else None), scores


def _train_teacher(config: PretrainConfig, model: MaskedLM, corpus: Corpus, where: Path, tokenizer: Any) -> None:
    """Masked-LM training of the whole teacher, head and encoder; kept in a directory for a resumed run."""
    settings = dataclasses.replace(
        config, max_steps=config.teacher_steps, learning_rate=config.teacher_learning_rate, mlm_weight=1.0,
        kd_weight=0.0, save_steps=config.teacher_steps, warmup_proportion=0.1, warmup_steps=0,
    )  # fmt: skip
    distributed.same_start(model.parameters())
    plan = loop.make_plan(settings, corpus.steps_per_epoch)
    optimizer = loop.make_optimizer(settings, model, plan)

    def keep(step: int) -> None:
        if distributed.is_main():
            save_model(where, model, tokenizer, {"format": FORMAT, "kind": "teacher", "model_type": config.model_type})
        distributed.barrier()

    model.train()
    loop.fit(settings, model, optimizer, corpus, plan, pretrain_step(model, None, settings), keep, label="teacher")


def _meta(config: PretrainConfig, shape: Shape) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "kind": "pretrained",
        "model_type": config.model_type,
        "pretrained_shape": shape.to_json(),
        "seed": config.seed,
        "config": to_json(config),
        "versions": versions(),
    }


def _text(scores: Mapping[str, float]) -> str:
    return f"accuracy {scores['accuracy']:.4f}  loss {scores['loss']:.4f}"

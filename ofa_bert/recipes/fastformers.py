"""The FastFormers chain as one command: distil, prune, distil again, export, quantize, several instances, measure.

Every stage is what a command of its own does, in a directory of its own; one that is finished with the same settings
and the same weights is kept, a training stage that was cut off goes on.
"""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from ofa_bert.bundle.manifest import read_manifest
from ofa_bert.data.encoding import token_ids
from ofa_bert.data.source import DataSource
from ofa_bert.errors import UserError
from ofa_bert.export.job import ExportJob
from ofa_bert.export.onnx import converter
from ofa_bert.export.sub_model import deploy
from ofa_bert.files import lock
from ofa_bert.files.atomic import write_json_atomic
from ofa_bert.files.reading import read_json
from ofa_bert.models.model_type import with_model_type
from ofa_bert.models.pretrained import build_config, load_tokenizer, locate
from ofa_bert.models.record import best_of, check_task
from ofa_bert.options import arguments, problems_of, to_json
from ofa_bert.recipes.jobs import DeploymentSettings, RecipeJob
from ofa_bert.recipes.report import write_report
from ofa_bert.recipes.timing import EAGER, Contender, TimingPlan, measure
from ofa_bert.runtime.backends.registry import best_form, wants_fused
from ofa_bert.runtime.opening import check_choice
from ofa_bert.submodels.values import scaled
from ofa_bert.system import environment
from ofa_bert.tasks.task import Datasets
from ofa_bert.training import distributed
from ofa_bert.training.finetune import finetune
from ofa_bert.training.output_directory import RESULTS
from ofa_bert.training.pretraining.job import PretrainJob
from ofa_bert.training.pretraining.pretrain import pretrain
from ofa_bert.training.run_directory import check_output_dir
from ofa_bert.training.settings import FinetuneJob
from ofa_bert.training.students.cut import fingerprint
from ofa_bert.training.students.jobs import DistilJob, PairSource, PruneJob
from ofa_bert.training.students.prune import prune
from ofa_bert.training.students.prune import settings as prune_settings
from ofa_bert.training.students.train import distil
from ofa_bert.training.students.train import settings as distil_settings

logger = logging.getLogger(__name__)

KEPT_HEADS, KEPT_NEURONS = 2 / 3, 1 / 2  # the paper's fastest row: 8 of 12 heads, 600 of 1200 neurons


class Stages(NamedTuple):
    """Where each stage's model is; pruned and again are None when pruning is skipped."""

    student: Path
    pruned: Path | None
    again: Path | None


class StageJob(Protocol):
    """What a stage is told."""

    @property
    def output_dir(self) -> str: ...


J = TypeVar("J", bound=StageJob)


@lock.writer("output_dir")
def recipe(job: RecipeJob, datasets: Datasets, argv: Sequence[str] = ()) -> str:
    """Run what is missing, measure everything, write the report and return it as text."""
    job = replace(job, pair=with_model_type(job.pair, job.pair.teacher))
    output, loops = Path(job.output_dir), job.loop
    _check(job, datasets)
    stages = train_stages(job, datasets, output)
    how = job.deployment
    bundles = _bundles(job, stages, output)
    contenders = _contenders(job.pair.teacher, how, job.last_precision, loops.device, bundles)
    plan = TimingPlan(
        model_type=job.pair.model_type,
        max_seq_length=loops.length,
        batch_size=job.timing.timing_batch_size or loops.batch_size,
        samples=job.timing.samples,
        repeats=job.timing.repeats,
        seed=loops.seed,
        device=loops.device,
    )
    rows = measure(plan, datasets, contenders)
    command = shlex.join(["python", "-m", "ofa_bert", "recipe", *argv])
    about = {"config": to_json(job), "command": command}
    return write_report(rows, datasets.task, output, plan, how.backend, job.timing.price_per_hour, about)


def _check(job: RecipeJob, datasets: Datasets) -> None:
    """What would fail hours later fails now."""
    if distributed.world_size() > 1:
        raise UserError(
            "recipe runs in one process, as it measures; train its stages by the commands that it prints, each under"
            " paddle.distributed.launch, and give the recipe the same `batch_size`: it keeps stages that are finished"
        )
    pair, stages = job.pair, job.stages
    if not Path(best_of(pair.teacher)).is_dir():
        raise UserError(f"`teacher` {pair.teacher}: no such directory; give an output directory of run_glue.py")
    record = locate(best_of(pair.teacher), pair.model_type).record
    if record.task is None or record.shape is None:
        raise UserError(f"`teacher` {pair.teacher}: was not made by run_glue.py; finetune it with that first")
    check_task(pair.teacher, record, datasets.task)
    heads, neurons = student_size(pair)
    for what, wanted, has in (
        ("num_heads", stages.target_num_heads, heads),
        ("ffn_dim", stages.target_ffn_dim, neurons),
    ):
        if wanted is not None and wanted > has:
            raise UserError(f"`target_{what}` {wanted}: the student has {has}; ask for 1 to {has}")
    if job.corpus.corpus and job.corpus.pretrain_teacher:
        _check_vocabularies(pair, job.corpus.pretrain_teacher)
    converter.require(("onnx", "onnxruntime"))
    provider = "cuda" if job.loop.device == "gpu" else "cpu"
    for precision in ("fp32", job.last_precision):
        check_choice(job.deployment.backend, precision, provider)


def _check_vocabularies(pair: PairSource, pretrain_teacher: str) -> None:
    tokenizers = [
        load_tokenizer(locate(best_of(name), pair.model_type), pair.model_type, sys.maxsize)
        for name in (pair.teacher, pretrain_teacher)
    ]
    if tokenizers[0].get_vocab() != tokenizers[1].get_vocab():
        raise UserError(f"`pretrain_teacher` {pretrain_teacher}: has another vocabulary than `teacher`")


def train_stages(job: RecipeJob, datasets: Datasets, output: Path) -> Stages:
    """Student, pruned student, and the pruned student after it has learned from the teacher once more."""
    loops, settings, pair = replace(job.loop, resume=True), job.stages, job.pair
    epochs = settings.distil_epochs or loops.num_train_epochs
    if job.corpus.corpus:
        student = _agnostic_student(job, job.corpus.corpus, datasets, output)
    else:
        student = output / "1-student"
        first = DistilJob(
            data=job.data, pair=pair, output_dir=str(student), weights=job.weights,
            augmentation=job.augmentation, loop=replace(loops, num_train_epochs=epochs), optimizer=job.optimizer,
        )  # fmt: skip
        _stage("distil", first, datasets, distil, distil_settings)
    if "prune" in settings.skip:
        return Stages(student, None, None)
    pruned, again = output / "2-pruned", output / "3-again"
    heads, neurons = student_size(pair)
    pruning = PruneJob(
        data=job.data, model_name_or_path=str(student), output_dir=str(pruned), model_type=pair.model_type,
        target_num_heads=settings.target_num_heads or scaled(heads, KEPT_HEADS),
        target_ffn_dim=settings.target_ffn_dim or scaled(neurons, KEPT_NEURONS),
        max_seq_length=loops.length, seed=loops.seed, device=loops.device, resume=True,
    )  # fmt: skip
    _stage("prune", pruning, datasets, prune, prune_settings)
    rate = settings.again_learning_rate or job.optimizer.learning_rate
    second = DistilJob(
        data=job.data, pair=replace(pair, student=str(pruned)), output_dir=str(again), weights=job.weights,
        augmentation=job.augmentation,
        loop=replace(loops, num_train_epochs=settings.again_epochs or epochs),
        optimizer=replace(job.optimizer, learning_rate=rate),
    )  # fmt: skip
    _stage("distil", second, datasets, distil, distil_settings)
    return Stages(student, pruned, again)


def _agnostic_student(job: RecipeJob, texts: str, datasets: Datasets, output: Path) -> Path:
    """Task-agnostic distillation: the shape is pre-trained on the file `texts`, then finetuned on the labels."""
    general, student = output / "0-pretrained", output / "1-student"
    pair, corpus, loops = job.pair, job.corpus, replace(job.loop, resume=True)
    # Pre-training has learning rates of its own; the recipe's are for finetuned models.
    own = PretrainJob(teacher="", shape="", corpus="", output_dir="")
    rates = replace(job.optimizer, learning_rate=own.optimizer.learning_rate, weight_decay=own.optimizer.weight_decay)
    pretraining = PretrainJob(
        teacher=best_of(corpus.pretrain_teacher or pair.teacher), shape=pair.student, corpus=texts,
        output_dir=str(general), model_type=pair.model_type, teacher_steps=corpus.pretrain_teacher_steps,
        loop=replace(
            loops, num_train_epochs=corpus.pretrain_epochs, warmup_proportion=own.loop.warmup_proportion
        ),
        optimizer=rates,
    )  # fmt: skip
    _stage("pretrain", pretraining, datasets, lambda job, _, cache: pretrain(job), to_json)
    finetuning = FinetuneJob(
        data=job.data, model=pair.source(str(general)), output_dir=str(student), optimizer=job.optimizer,
        loop=replace(loops, num_train_epochs=job.stages.distil_epochs or loops.num_train_epochs),
    )  # fmt: skip
    _stage("finetune", finetuning, datasets, lambda job, data, cache: finetune(job, data, token_cache=cache), to_json)
    return student


def student_size(pair: PairSource) -> tuple[int, int]:
    """(heads, neurons) of the student's narrowest layer."""
    shape = pair.shape()
    if shape is not None:
        return shape.heads, shape.ffn
    source = locate(best_of(pair.student), pair.model_type)
    sub_model = source.record.sub_model
    if sub_model is not None:
        return min(sub_model.heads), min(sub_model.ffn)
    built = build_config(source, source.model_type, None, {})
    return built.num_attention_heads, built.intermediate_size


def command_of(name: str, job: object) -> str:
    """The command line that does a stage alone, without the options that are at their defaults."""
    words = {"finetune": ["python", "run_glue.py"], "export": ["python", "export_model.py"]}.get(
        name, ["python", "-m", "ofa_bert", name]
    )
    return shlex.join([*words, *arguments(job, defaults=False)])


def _stage(
    name: str,
    job: J,
    datasets: Datasets,
    work: Callable[[J, Datasets, Path], object],
    settings: Callable[[J], Mapping[str, object]],
) -> None:
    problems = problems_of(job)
    if problems:
        raise UserError("; ".join(problems))
    output = Path(job.output_dir)
    logger.info("stage %s: %s", output.name, command_of(name, job))
    if (output / RESULTS).exists() and (output / "best").is_dir():
        check_output_dir(output, settings(job), True, name)
        logger.info("stage %s: kept, it is finished", output.name)
        return
    work(job, datasets, output.parent / token_ids.DIRECTORY)


def _bundles(job: RecipeJob, stages: Stages, output: Path) -> dict[str, Path]:
    """Name -> bundle of the teacher and of every stage; the last one also holds the last precision."""
    sources = {"teacher": Path(job.pair.teacher), **{k: v for k, v in stages._asdict().items() if v is not None}}
    backend, device = job.deployment.backend, job.loop.device
    last = best_form(backend, job.last_precision)
    names = list(sources)
    bundles = {}
    for name, source in sources.items():
        bundles[name] = output / "bundles" / name
        both = name == names[-1] and last != "fp32"  # the score of the others is measured later
        export = ExportJob(
            data=job.data if both else DataSource(), model_name_or_path=str(source), model_type=job.pair.model_type,
            static_sub_model=str(bundles[name]), sub_model_output_dir=str(output / "exported" / name), onnx=True,
            precision=("fp32", last) if both else ("fp32",), fused=wants_fused(backend, device),
            max_drop=job.deployment.max_drop, max_seq_length=job.loop.length, device=device,
        )  # fmt: skip
        _export(export, bundles[name])
    return bundles


def _export(job: ExportJob, bundle: Path) -> None:
    problems = problems_of(job)
    if problems:
        raise UserError("; ".join(problems))
    logger.info("stage bundles/%s: %s", bundle.name, command_of("export", job))
    record = bundle.with_name(f"{bundle.name}.json")
    wanted = {"settings": to_json(job), "weights": fingerprint(job.model_name_or_path, job.model_type)}
    if record.exists() and read_json(record) == wanted and bundle.is_dir():
        read_manifest(bundle)
        logger.info("stage bundles/%s: kept, it is finished", bundle.name)
        return
    deploy(job)
    write_json_atomic(record, wanted)


def _contenders(
    teacher: str, how: DeploymentSettings, precision: str, device: str, bundles: Mapping[str, Path]
) -> list[Contender]:
    """What is measured, in the order of the table."""
    cores = environment.cores()
    found = [
        Contender("teacher, padded", best_of(teacher), EAGER, "fp32", cores, padded=True),
        Contender("teacher, dynamic length", best_of(teacher), EAGER, "fp32", cores),
    ]
    titles = {
        "teacher": "teacher, exported",
        "student": "student",
        "pruned": "pruned, not trained again",
        "again": "distilled again",
    }
    for name, bundle in bundles.items():
        found.append(Contender(titles[name], str(bundle), how.backend, "fp32", cores))
    last = str(list(bundles.values())[-1])
    if precision != "fp32":
        found.append(Contender(precision.upper(), last, how.backend, precision, cores))
    workers = how.workers if how.workers is not None else (cores if device == "cpu" else 0)
    if workers:
        name = f"{workers} instance" + ("s" if workers > 1 else "")
        found.append(Contender(name, last, how.backend, precision, 1, workers=workers))
    return found

"""The FastFormers chain as one command: distil, prune, distil again, export, quantize, several instances, measure.

Every stage is what a command of its own does, in a directory of its own; one that is finished with the same settings
and the same weights is kept, a training stage that was cut off goes on.
"""

from __future__ import annotations

import dataclasses
import logging
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ofa_bert.bundle.manifest import read_manifest
from ofa_bert.data import token_ids
from ofa_bert.data.config import LABEL_FLAGS, DataConfig
from ofa_bert.errors import UserError
from ofa_bert.export.config import ExportConfig
from ofa_bert.export.onnx import converter
from ofa_bert.export.sub_model import deploy
from ofa_bert.files import lock
from ofa_bert.files.atomic import MODEL_META, write_json_atomic
from ofa_bert.files.reading import read_json, read_object
from ofa_bert.models.directories import best_of
from ofa_bert.models.pretrained import build_config, load_tokenizer, locate
from ofa_bert.models.record import check_task
from ofa_bert.options import arguments, shared, to_json
from ofa_bert.recipes.config import RecipeConfig
from ofa_bert.recipes.report import write_report
from ofa_bert.recipes.timing import EAGER, Contender, measure
from ofa_bert.runtime.backends.registry import best_form, wants_fused
from ofa_bert.runtime.opening import check_choice
from ofa_bert.submodels.values import scaled
from ofa_bert.system import environment
from ofa_bert.tasks.task import Datasets
from ofa_bert.training import distributed
from ofa_bert.training.config import FinetuneConfig
from ofa_bert.training.finetune import finetune
from ofa_bert.training.pretraining.config import PretrainConfig
from ofa_bert.training.pretraining.pretrain import pretrain
from ofa_bert.training.run_directory import RESULTS, check_output_dir
from ofa_bert.training.students.config import DistilConfig, PruneConfig, shape_in
from ofa_bert.training.students.cut import fingerprint
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


@lock.writer("output_dir")
def recipe(config: RecipeConfig, datasets: Datasets, argv: Sequence[str] = ()) -> str:
    """Run what is missing, measure everything, write the report and return it as text."""
    output = Path(config.output_dir)
    _check(config, datasets)
    stages = train_stages(config, datasets, output)
    contenders = _contenders(config, _bundles(config, stages, output))
    rows = measure(config, datasets, contenders)
    command = shlex.join(["python", "-m", "ofa_bert", "recipe", *argv])
    return write_report(config, datasets.task, rows, output, command)


def _check(config: RecipeConfig, datasets: Datasets) -> None:
    """What would fail hours later fails now."""
    if distributed.world_size() > 1:
        raise UserError(
            "recipe runs in one process, as it measures; train its stages by the commands that it prints, each under"
            " paddle.distributed.launch, and give the recipe the same --batch_size: it keeps stages that are finished"
        )
    teacher = best_of(config.teacher)
    if not Path(teacher).is_dir():
        raise UserError(f"--teacher {config.teacher}: no such directory; give an output directory of run_glue.py")
    meta = read_object(Path(teacher, MODEL_META)) if Path(teacher, MODEL_META).is_file() else {}
    if not meta.get("task") or not meta.get("shape"):
        raise UserError(f"--teacher {config.teacher}: was not made by run_glue.py; finetune it with that first")
    check_task(config.teacher, meta, datasets.task)
    heads, neurons = student_size(config)
    for flag, wanted, has in (
        ("num_heads", config.target_num_heads, heads),
        ("ffn_dim", config.target_ffn_dim, neurons),
    ):
        if wanted is not None and wanted > has:
            raise UserError(f"--target_{flag} {wanted}: the student has {has}; ask for 1 to {has}")
    if config.corpus and config.pretrain_teacher:
        tokenizers = [
            load_tokenizer(locate(best_of(name), config.model_type), config.model_type, sys.maxsize)
            for name in (config.teacher, config.pretrain_teacher)
        ]
        if tokenizers[0].get_vocab() != tokenizers[1].get_vocab():
            raise UserError(f"--pretrain_teacher {config.pretrain_teacher}: has another vocabulary than --teacher")
    converter.require(("onnx", "onnxruntime"))
    provider = "cuda" if config.device == "gpu" else "cpu"
    for precision in ("fp32", last_precision(config)):
        check_choice(config.backend, precision, provider)


def last_precision(config: RecipeConfig) -> str:
    return config.precision or ("fp16" if config.device == "gpu" else "int8")


def train_stages(config: RecipeConfig, datasets: Datasets, output: Path) -> Stages:
    """Student, pruned student, and the pruned student after it has learned from the teacher once more."""
    if config.corpus:
        student = _agnostic_student(config, datasets, output)
    else:
        student = output / "1-student"
        epochs = config.distil_epochs or config.num_train_epochs
        job = _derived(DistilConfig, config, output_dir=str(student), num_train_epochs=epochs, resume=True)
        _stage("distil", job, datasets, distil, distil_settings)
    if "prune" in config.skip:
        return Stages(student, None, None)
    pruned, again = output / "2-pruned", output / "3-again"
    heads, neurons = student_size(config)
    heads = config.target_num_heads or scaled(heads, KEPT_HEADS)
    neurons = config.target_ffn_dim or scaled(neurons, KEPT_NEURONS)
    job = _derived(
        PruneConfig, config, model_name_or_path=str(student), output_dir=str(pruned), target_num_heads=heads,
        target_ffn_dim=neurons, resume=True,
    )  # fmt: skip
    _stage("prune", job, datasets, prune, prune_settings)
    job = _derived(
        DistilConfig, config, student=str(pruned), output_dir=str(again), resume=True,
        num_train_epochs=config.again_epochs or config.distil_epochs or config.num_train_epochs,
        learning_rate=config.again_learning_rate or config.learning_rate,
    )  # fmt: skip
    _stage("distil", job, datasets, distil, distil_settings)
    return Stages(student, pruned, again)


def _agnostic_student(config: RecipeConfig, datasets: Datasets, output: Path) -> Path:
    """Task-agnostic distillation: the shape is pre-trained on the corpus, then finetuned on the labels."""
    general, student = output / "0-pretrained", output / "1-student"
    # Pre-training has learning rates of its own; the recipe's are for finetuned models.
    kept = ("learning_rate", "weight_decay", "warmup_proportion")
    own = {field.name: field.default for field in dataclasses.fields(PretrainConfig) if field.name in kept}
    job = _derived(
        PretrainConfig, config, teacher=best_of(config.pretrain_teacher or config.teacher), shape=config.student,
        corpus=config.corpus, output_dir=str(general), teacher_steps=config.pretrain_teacher_steps,
        num_train_epochs=config.pretrain_epochs, resume=True, **own,
    )  # fmt: skip
    _stage("pretrain", job, datasets, lambda job, _, token_cache: pretrain(job), to_json)
    epochs = config.distil_epochs or config.num_train_epochs
    job = _derived(
        FinetuneConfig, config, model_name_or_path=str(general), output_dir=str(student), num_train_epochs=epochs,
        resume=True,
    )  # fmt: skip
    _stage("finetune", job, datasets, finetune, to_json)
    return student


def student_size(config: RecipeConfig) -> tuple[int, int]:
    """(heads, neurons) of the student's narrowest layer."""
    shape = shape_in(config.student)
    if shape is not None:
        return shape.heads, shape.ffn
    source = locate(best_of(config.student), config.model_type)
    sub_model = source.meta.get("sub_model")
    if sub_model:
        return min(sub_model["heads"]), min(sub_model["ffn"])
    built = build_config(source, config.model_type, None, {})
    return built.num_attention_heads, built.intermediate_size


def _derived(cls: Any, config: RecipeConfig, **own: Any) -> Any:
    """A stage's configuration: the recipe's values for the fields that both have, and the stage's own."""
    made = cls(**{**shared(cls, config), **own})
    problems = made.problems()
    if problems:
        raise UserError("; ".join(problems))
    return made


def command_of(name: str, config: Any) -> str:
    """The command line that does a stage alone, without the flags that are at their defaults."""
    words = {"finetune": ["python", "run_glue.py"], "export": ["python", "export_model.py"]}.get(
        name, ["python", "-m", "ofa_bert", name]
    )
    return shlex.join([*words, *arguments(config, defaults=False)])


def _stage(
    name: str,
    config: Any,
    datasets: Datasets,
    job: Callable[..., Any],
    settings: Callable[[Any], Mapping[str, Any]],
) -> None:
    logger.info("stage %s: %s", Path(config.output_dir).name, command_of(name, config))
    output = Path(config.output_dir)
    if (output / RESULTS).exists() and (output / "best").is_dir():
        check_output_dir(output, settings(config), True, name)
        logger.info("stage %s: kept, it is finished", output.name)
        return
    job(config, datasets, token_cache=output.parent / token_ids.DIRECTORY)


def _bundles(config: RecipeConfig, stages: Stages, output: Path) -> dict[str, Path]:
    """Name -> bundle of the teacher and of every stage; the last one also holds the last precision."""
    sources = {"teacher": Path(config.teacher), **{k: v for k, v in stages._asdict().items() if v is not None}}
    last = best_form(config.backend, last_precision(config))
    names = list(sources)
    bundles = {}
    for name, source in sources.items():
        bundles[name] = output / "bundles" / name
        fused = wants_fused(config.backend, config.device)
        own: dict[str, Any] = {"precision": ("fp32",), "fused": fused}
        if name == names[-1] and last != "fp32":
            own["precision"] = ("fp32", last)
        else:  # its score is measured later, with the others'
            own.update(dict.fromkeys(("task_name", "data_dir", "train_file", "dev_file", "text_columns"), None))
            own.update({flag: DataConfig.__dataclass_fields__[flag].default for flag in LABEL_FLAGS})
        job = _derived(
            ExportConfig, config, model_name_or_path=str(source), static_sub_model=str(bundles[name]),
            sub_model_output_dir=str(output / "exported" / name), onnx=True, **own,
        )  # fmt: skip
        _export(job, bundles[name])
    return bundles


def _export(job: ExportConfig, bundle: Path) -> None:
    logger.info("stage bundles/%s: %s", bundle.name, command_of("export", job))
    record = bundle.with_name(f"{bundle.name}.json")
    wanted = {"settings": to_json(job), "weights": fingerprint(job.model_name_or_path, job.model_type)}
    if record.exists() and read_json(record) == wanted and bundle.is_dir():
        read_manifest(bundle)
        logger.info("stage bundles/%s: kept, it is finished", bundle.name)
        return
    deploy(job)
    write_json_atomic(record, wanted)


def _contenders(config: RecipeConfig, bundles: Mapping[str, Path]) -> list[Contender]:
    """What is measured, in the order of the table."""
    cores = environment.cores()
    teacher = best_of(config.teacher)
    found = [
        Contender("teacher, padded", teacher, EAGER, "fp32", cores, padded=True),
        Contender("teacher, dynamic length", teacher, EAGER, "fp32", cores),
    ]
    titles = {
        "teacher": "teacher, exported",
        "student": "student",
        "pruned": "pruned, not trained again",
        "again": "distilled again",
    }
    for name, bundle in bundles.items():
        found.append(Contender(titles[name], str(bundle), config.backend, "fp32", cores))
    last, precision = str(list(bundles.values())[-1]), last_precision(config)
    if precision != "fp32":
        found.append(Contender(precision.upper(), last, config.backend, precision, cores))
    workers = config.workers if config.workers is not None else (cores if config.device == "cpu" else 0)
    if workers:
        name = f"{workers} instance" + ("s" if workers > 1 else "")
        found.append(Contender(name, last, config.backend, precision, 1, workers=workers))
    return found

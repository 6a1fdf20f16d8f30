"""Flags of the demo and of the recipe."""

from __future__ import annotations

from dataclasses import dataclass

from ofa_bert.export.config import PRECISIONS
from ofa_bert.options import not_negative, number, option, positive, unused, whole
from ofa_bert.runtime.backends.registry import BACKENDS
from ofa_bert.training.config import DEVICES, LoopConfig
from ofa_bert.training.students.config import DistilWeights, PairConfig, shape_in, student_problems


@dataclass(frozen=True)
class DemoConfig:
    """python -m ofa_bert demo."""

    output_dir: str = option("where models and bundles go; a second run continues there", "output/demo")
    device: str = option("where to run", "cpu", choices=DEVICES)

    def problems(self) -> list[str]:
        return []


@dataclass(frozen=True)
class RecipeConfig(LoopConfig, DistilWeights, PairConfig):
    """python -m ofa_bert recipe."""

    output_dir: str = option("where the stages, the bundles, table.md, rows.json and waterfall.png go")
    device: str = option("where to train and to measure", "gpu", choices=("gpu", "cpu"))
    max_steps: int = option("optimizer steps of each training stage; above 0 it overrides the epochs", -1, whole)
    num_train_epochs: float = option("passes over train of each training stage", 3.0, number)
    distil_epochs: float | None = option("passes of the first training stage; default: the above", None, number)
    again_epochs: float | None = option("passes of distilling again; default: as the first one's", None, number)
    again_learning_rate: float | None = option("its peak learning rate; default: --learning_rate", None, number)
    target_num_heads: int | None = option("heads that every layer keeps; default: two thirds", None, whole)
    target_ffn_dim: int | None = option("FFN neurons that every layer keeps; default: half", None, whole)
    skip: tuple = option(
        "stages to leave out; prune: neither prune nor distil again", (), many=True, choices=("prune",)
    )
    corpus: str | None = option(
        "UTF-8 text file, one sentence a line: pre-train the shape of --student on it by distillation, then finetune it"
        " on the labels, in place of distilling from the finetuned teacher (task-agnostic distillation)",
        None,
    )
    pretrain_teacher: str | None = option("with --corpus: masked-LM to learn from; default: --teacher", None)
    pretrain_teacher_steps: int = option(
        "with --corpus: first train the teacher's masked-LM head for N steps; needed by a teacher without one", 0, whole
    )
    pretrain_epochs: float = option("with --corpus: passes over it", 1.0, number)
    precision: str | None = option(
        "of the last models; default: int8 on a CPU, fp16 on a GPU", None, choices=PRECISIONS
    )
    max_drop: float = option("points of dev score that this precision may lose; more ends the command", 1.0, number)
    backend: str = option("what runs exported models", BACKENDS[0], choices=BACKENDS)
    workers: int | None = option(
        "instances in the last row, one thread each; default: one per core, on a GPU none", None, whole
    )
    timing_batch_size: int | None = option(
        "texts per batch of all rows' throughput; default: --batch_size", None, whole
    )
    samples: int = option("dev texts that every row is timed on", 512, whole)
    repeats: int = option("timed rounds over all rows", 5, whole)
    price_per_hour: float | None = option("USD per hour of this machine, for the cost line", None, number)
    resume: bool = option("not needed: the same recipe command goes on where it stopped", False, bool)

    def problems(self) -> list[str]:
        found = super().problems() + self.loop_problems() + self.weight_problems() + student_problems(self.student)
        found += positive(
            self, "distil_epochs", "again_epochs", "again_learning_rate", "target_num_heads", "target_ffn_dim",
            "pretrain_epochs", "timing_batch_size", "samples", "repeats", "price_per_hour",
        )  # fmt: skip
        found += not_negative(self, "max_drop", "pretrain_teacher_steps")
        if self.workers is not None and self.workers < 0:
            found.append(f"--workers {self.workers}: must not be negative; 0 leaves the row of several instances out")
        if self.resume:
            found.append("--resume: the same recipe command resumes by itself; leave it out")
        if self.skip and (self.target_num_heads or self.target_ffn_dim):
            found.append("--skip prune leaves --target_num_heads and --target_ffn_dim without a use; drop them")
        if "prune" in self.skip:
            found += unused(self, ("again_epochs", "again_learning_rate"), "has no use with --skip prune; drop it")
        if self.corpus is None:
            found += unused(self, ("pretrain_epochs",), "needs --corpus")
        if self.corpus is None and (self.pretrain_teacher or self.pretrain_teacher_steps):
            found.append("--pretrain_teacher and --pretrain_teacher_steps need --corpus")
        if self.corpus is not None and not found and shape_in(self.student) is None:
            found.append(f"--corpus pre-trains a shape: --student {self.student} must be one, such as 6,12,384,1536")
        return found

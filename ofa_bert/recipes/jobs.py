"""What the demo and the recipe do, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ofa_bert.bundle.entries import PRECISIONS
from ofa_bert.data import demo_task
from ofa_bert.data.source import TrainingData
from ofa_bert.data.tagging import answers_demo
from ofa_bert.data.tagging import demo as tagging_demo
from ofa_bert.options import option, unused
from ofa_bert.runtime.backends.registry import OF_MODELS
from ofa_bert.system.accelerator import WHERE, Device, means
from ofa_bert.tasks.kinds import answers, tokens
from ofa_bert.training.settings import Augmentation, LoopSettings, OptimizerSettings, unused_share
from ofa_bert.training.students.jobs import DistilWeights, PairSource


@dataclass(frozen=True)
class Demo:
    """A built-in task, and how it is trained in a few minutes; epochs are of train, `elastic_epochs` the supernet's."""

    task_name: str
    batch_size: int = 32
    learning_rate: float = 1e-4
    elastic_epochs: float = 1.0
    elastic_learning_rate: float = OptimizerSettings().learning_rate


# What `task` says. To find answers in texts is learned slowly at first: more steps of fewer texts, and larger ones.
DEMOS = {
    "sentiment": Demo(demo_task.TASK.name),
    tokens.KIND.word: Demo(tagging_demo.TASK.name),
    answers.KIND.word: Demo(answers_demo.TASK.name, 16, 5e-4, 0.25, 2e-4),
}


@dataclass(frozen=True, kw_only=True)
class DemoJob:
    """What python -m ofa_bert demo does."""

    task: str = option(
        "what is learned: whether a sentence praises, which words of it name persons, organisations and places, or"
        " where a text answers a question",
        next(iter(DEMOS)),
        choices=tuple(DEMOS),
    )
    output_dir: str = option(
        "where models and bundles go; a second run of the same task continues there", "output/demo"
    )
    device: Device = option(WHERE, "cpu", means=means)
    max_steps: int = option(
        "train so few steps, to see that everything works here; the scores say nothing then. Default: to the end", -1
    )


@dataclass(frozen=True, kw_only=True)
class StageSettings:
    """What each training stage does differently from the others."""

    distil_epochs: float | None = option(
        "passes of the first training stage; default: `num_train_epochs`", None, above=0
    )
    again_epochs: float | None = option("passes of distilling again; default: as the first one's", None, above=0)
    again_learning_rate: float | None = option("its peak learning rate; default: `learning_rate`", None, above=0)
    target_num_heads: int | None = option("heads that every layer keeps; default: two thirds", None, above=0)
    target_ffn_dim: int | None = option("FFN neurons that every layer keeps; default: half", None, above=0)
    skip: tuple[Literal["prune"], ...] = option("stages to leave out; prune: neither prune nor distil again", ())

    def problems(self) -> list[str]:
        found = []
        if self.skip and (self.target_num_heads or self.target_ffn_dim):
            found.append("`skip` prune leaves `target_num_heads` and `target_ffn_dim` without a use; drop them")
        if "prune" in self.skip:
            found += unused(self, ("again_epochs", "again_learning_rate"), "has no use with `skip` prune; drop it")
        return found


@dataclass(frozen=True, kw_only=True)
class CorpusSettings:
    """Task-agnostic distillation, in place of distilling from the finetuned teacher."""

    corpus: str | None = option(
        "UTF-8 text file, one sentence a line: pre-train the shape of `student` on it by distillation, then finetune it"
        " on the labels, in place of distilling from the finetuned teacher (task-agnostic distillation)",
        None,
    )
    pretrain_teacher: str | None = option("with `corpus`: masked-LM to learn from; default: `teacher`", None)
    pretrain_teacher_steps: int = option(
        "with `corpus`: first train the teacher's masked-LM head for N steps; needed by a teacher without one",
        0,
        least=0,
    )
    pretrain_epochs: float = option("with `corpus`: passes over it", 1.0, above=0)

    def problems(self) -> list[str]:
        if self.corpus is not None:
            return []
        found = unused(self, ("pretrain_epochs",), "needs `corpus`")
        if self.pretrain_teacher or self.pretrain_teacher_steps:
            found.append("`pretrain_teacher` and `pretrain_teacher_steps` need `corpus`")
        return found


@dataclass(frozen=True, kw_only=True)
class DeploymentSettings:
    """How the last models are exported and run."""

    precision: str | None = option(
        "of the last models; default: int8 on a CPU, fp16 on a GPU", None, choices=PRECISIONS
    )
    max_drop: float = option("points of dev score that this precision may lose; more ends the command", 1.0, least=0)
    backend: str = option("what runs exported models", OF_MODELS[0], choices=OF_MODELS)
    workers: int | None = option(
        "instances in the last row, one thread each; default: one per core, on a GPU none; 0 leaves that row out",
        None,
        least=0,
    )


@dataclass(frozen=True, kw_only=True)
class RowTiming:
    """How the rows are timed."""

    timing_batch_size: int | None = option(
        "texts per batch of all rows' throughput; default: `batch_size`", None, above=0
    )
    samples: int = option("dev texts that every row is timed on", 512, above=0)
    repeats: int = option("timed rounds over all rows", 5, above=0)
    price_per_hour: float | None = option("USD per hour of this machine, for the cost line", None, above=0)


@dataclass(frozen=True, kw_only=True)
class RecipeJob:
    """What python -m ofa_bert recipe does."""

    data: TrainingData
    pair: PairSource
    output_dir: str = option("where the stages, the bundles, table.md, rows.json and waterfall.png go")
    loop: LoopSettings = LoopSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    weights: DistilWeights = DistilWeights()
    augmentation: Augmentation = Augmentation()
    stages: StageSettings = StageSettings()
    corpus: CorpusSettings = CorpusSettings()
    deployment: DeploymentSettings = DeploymentSettings()
    timing: RowTiming = RowTiming()

    @property
    def last_precision(self) -> str:
        return self.deployment.precision or ("fp16" if self.loop.device == "gpu" else "int8")

    def problems(self) -> list[str]:
        found = unused_share(self, self.augmentation) + self.weights.problems_with(self.augmentation)
        if self.loop.resume:
            found.append("`resume`: the same recipe command resumes by itself; leave it out")
        if self.loop.device == "xpu":
            found.append("`device` xpu: what is exported is measured on gpu or cpu")
        if self.corpus.corpus is not None and not self.pair.problems() and self.pair.shape() is None:
            student = self.pair.student
            found.append(f"`corpus` pre-trains a shape: `student` {student} must be one, such as 6,12,384,1536")
        return found

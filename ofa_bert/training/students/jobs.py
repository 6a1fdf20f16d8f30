"""What distil and prune do, as values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ofa_bert.data.source import DataSource
from ofa_bert.models.families.registry import model_type_option
from ofa_bert.options import option
from ofa_bert.system.accelerator import WHERE, Device, means
from ofa_bert.training.presets import DISTIL, described
from ofa_bert.training.settings import (
    Augmentation,
    Evaluations,
    LoopSettings,
    ModelSource,
    OptimizerSettings,
    unused_share,
)

HELD_OUT = 0.05
STUDENT = (
    "where the student starts: a directory or name of a smaller encoder with the teacher's vocabulary, or a shape"
    " layers,heads,hidden,ffn such as 6,12,384,1536, which is cut from the teacher: its most important heads and"
    " neurons, measured on a held-out part of train, in evenly spread layers"
)


class CutShape(NamedTuple):
    """What a student that is cut from its teacher keeps."""

    layers: int
    heads: int
    hidden: int
    ffn: int


def shape_in(student: str) -> CutShape | None:
    """The shape that `student` names; None when it names a model. ValueError for a shape that is none."""
    if not re.fullmatch(r"[\d\s]*,[\d\s,]*", student):
        return None
    words = [word.strip() for word in student.split(",")]
    if len(words) != 4 or not all(word.isdigit() and int(word) > 0 for word in words):
        raise ValueError(
            f"`student` {student}: a shape is layers,heads,hidden,ffn, four numbers above 0 such as 6,12,384,1536"
        )
    return CutShape(*map(int, words))


@dataclass(frozen=True, kw_only=True)
class DistilWeights:
    """What a student learns from its teacher, and how much each part counts. Defaults as FastFormers'."""

    logit_weight: float = option("weight of the soft cross-entropy to the teacher's logits", 1.0, least=0)
    state_weight: float = option(
        "weight of the squared difference of hidden states: the embeddings' output, and every student layer beside the"
        " teacher's layer at the same share of its depth; through a learned projection when hidden sizes differ",
        0.1,
        least=0,
    )
    attention_weight: float = option("weight of 1 - cosine between the attention maps of those layers", 0.0, least=0)
    label_weight: float = option("weight of the loss on the true labels", 0.0, least=0)
    student_dropout: float | None = option("dropout of the student; default: its own", None, least=0, below=1)
    augment_copies: int = option(
        "also train on N copies of every text in which words are replaced by near ones, which the teacher answers; an"
        " epoch then has N + 1 times the steps",
        0,
        least=0,
    )

    def problems(self) -> list[str]:
        found = []
        if self.augment_copies and self.label_weight:
            found.append(
                f"`augment_copies` {self.augment_copies} makes texts without true labels: `label_weight` must be 0"
            )
        if not any((self.logit_weight, self.state_weight, self.attention_weight, self.label_weight)):
            found.append("all loss weights are 0, which leaves no loss; give `logit_weight` 1")
        return found

    def problems_with(self, augmentation: Augmentation) -> list[str]:
        """What is wrong with both together."""
        if augmentation.augment >= 1:
            return ["copies of every text are `augment_copies`"]
        if not augmentation.augment or not self.label_weight:
            return []
        if not any((self.logit_weight, self.state_weight, self.attention_weight)):
            return [f"`augment` {augmentation.augment:g}: nothing asks the teacher; give `logit_weight` too"]
        return augmentation.unlabelled(f"`label_weight` {self.label_weight:g}")


@dataclass(frozen=True, kw_only=True)
class PairSource:
    """A teacher and where its student starts."""

    teacher: str = option("finetuned model to learn from: output directory of run_glue.py, or its best/")
    student: str = option(STUDENT)
    model_type: str = model_type_option("both")

    def problems(self) -> list[str]:
        try:
            shape_in(self.student)
        except ValueError as error:
            return [str(error)]
        return []

    def shape(self) -> CutShape | None:
        return shape_in(self.student)

    def source(self, name_or_path: str) -> ModelSource:
        """One of the two, as `prepare` takes it."""
        return ModelSource(model_type=self.model_type, model_name_or_path=name_or_path)


@dataclass(frozen=True, kw_only=True)
class DistilJob:
    """What `distil` and python -m ofa_bert distil do.

    >>> from ofa_bert import DistilJob, make_job
    >>> job = make_job(DistilJob, teacher="teacher", student="6,12,768,1536", task_name="demo", output_dir="student")
    >>> job.pair.shape()
    CutShape(layers=6, heads=12, hidden=768, ffn=1536)
    """

    data: DataSource = DataSource()
    pair: PairSource
    output_dir: str = option("where best/, last/ and checkpoints go")
    recipe: Literal["quick", "strong"] | None = option(described(DISTIL), None, presets=DISTIL)
    weights: DistilWeights = DistilWeights()
    augmentation: Augmentation = Augmentation()
    loop: LoopSettings = LoopSettings()
    evaluations: Evaluations = Evaluations()
    optimizer: OptimizerSettings = OptimizerSettings()
    held_out_share: float | None = option(
        "share of train that is not trained on, at most 1024 examples; importance for a shape is measured there."
        f" Default: {HELD_OUT} for a shape, none for a directory",
        None,
        least=0,
        below=1,
    )

    def problems(self) -> list[str]:
        found = unused_share(self, self.augmentation) + self.weights.problems_with(self.augmentation)
        if self.held_out_share == 0 and not self.pair.problems() and self.pair.shape():
            student = self.pair.student
            found.append(f"`held_out_share` 0: importance for `student` {student} is measured there; try {HELD_OUT}")
        return found

    def held_out(self) -> float:
        if self.held_out_share is not None:
            return self.held_out_share
        return HELD_OUT if self.pair.shape() else 0.0


@dataclass(frozen=True, kw_only=True)
class PruneJob:
    """What `prune` and python -m ofa_bert prune do.

    >>> from ofa_bert import PruneJob, make_job
    >>> job = make_job(PruneJob, task_name="demo", model_name_or_path="student", output_dir="pruned",
    ...                target_num_heads=8, target_ffn_dim=768)
    >>> job.held_out_share
    0.05
    """

    data: DataSource = DataSource()
    model_name_or_path: str = option("finetuned or distilled model: an output directory, or its best/ or last/")
    model_type: str = model_type_option()
    target_num_heads: int = option("attention heads that every layer keeps", above=0)
    target_ffn_dim: int = option("FFN neurons that every layer keeps", above=0)
    output_dir: str = option("where best/, the pruned model, and importance.json, .png and results.json go")
    held_out_share: float = option(
        "share of train that importance is measured on, at most 1024 examples: those that training holds out with the"
        " same seed and share",
        HELD_OUT,
        above=0,
        below=1,
    )
    max_seq_length: int | None = option(
        "tokens per example, longer ones are cut; default: as the model was trained, else 128",
        None,
        least=3,
        example=", room for one word and two marks",
    )
    seed: int = option("seed of the held-out part", 42, least=0)
    device: Device = option(WHERE, "auto", means=means)
    resume: bool = option("go on where a pruning was cut off; a finished one is made again", False)

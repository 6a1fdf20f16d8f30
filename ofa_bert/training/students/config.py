"""Flags of distil and prune."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from ofa_bert.data.config import DataConfig
from ofa_bert.models.families.registry import MODEL_TYPES
from ofa_bert.options import not_negative, number, option, positive, shared, whole
from ofa_bert.training.config import DEVICES, LoopConfig, TrainConfig

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
    """The shape that --student names; None when it names a model. ValueError for a shape that is none."""
    if not re.fullmatch(r"[\d\s]*,[\d\s,]*", student):
        return None
    words = [word.strip() for word in student.split(",")]
    if len(words) != 4 or not all(word.isdigit() and int(word) > 0 for word in words):
        raise ValueError(
            f"--student {student}: a shape is layers,heads,hidden,ffn, four numbers above 0 such as 6,12,384,1536"
        )
    return CutShape(*map(int, words))


def student_problems(student: str | None) -> list[str]:
    try:
        shape_in(student or "")
    except ValueError as error:
        return [str(error)]
    return []


def as_training(config: Any, model_name_or_path: str) -> TrainConfig:
    """The same data and loop for `setup.prepare`, with that model."""
    return TrainConfig(**{**shared(TrainConfig, config), "model_name_or_path": model_name_or_path})


@dataclass(frozen=True)
class DistilWeights:
    """What a student learns from its teacher, and how much each part counts. Defaults as FastFormers'."""

    logit_weight: float = option("weight of the soft cross-entropy to the teacher's logits", 1.0, number)
    state_weight: float = option(
        "weight of the squared difference of hidden states: the embeddings' output, and every student layer beside the"
        " teacher's layer at the same share of its depth; through a learned projection when hidden sizes differ",
        0.1,
        number,
    )
    attention_weight: float = option("weight of 1 - cosine between the attention maps of those layers", 0.0, number)
    label_weight: float = option("weight of the loss on the true labels", 0.0, number)
    student_dropout: float | None = option("dropout of the student; default: its own", None, number)
    augment: int = option(
        "also train on N copies of every text in which words are replaced by near ones, which the teacher answers; an"
        " epoch then has N + 1 times the steps",
        0,
        whole,
    )

    def weight_problems(self) -> list[str]:
        names = ("logit_weight", "state_weight", "attention_weight", "label_weight")
        found = not_negative(self, *names, "augment")
        if self.augment and self.label_weight:
            found.append(f"--augment {self.augment} makes texts without true labels: --label_weight must be 0")
        if not any(getattr(self, name) for name in names):
            found.append("all loss weights are 0, which leaves no loss; give --logit_weight 1")
        if self.student_dropout is not None and not 0 <= self.student_dropout < 1:
            found.append(f"--student_dropout {self.student_dropout}: must be at least 0 and below 1")
        return found


@dataclass(frozen=True)
class PairConfig(DataConfig):
    """Two models, the task, and where the outcome goes."""

    teacher: str = option("finetuned model to learn from: output directory of run_glue.py, or its best/")
    student: str = option(STUDENT)
    output_dir: str = option("where best/, last/ and checkpoints go")
    model_type: str = option("model family of both", "bert", choices=MODEL_TYPES)


@dataclass(frozen=True)
class DistilConfig(LoopConfig, DistilWeights, PairConfig):
    """python -m ofa_bert distil."""

    held_out_share: float | None = option(
        "share of train that is not trained on, at most 1024 examples; importance for a shape is measured there."
        f" Default: {HELD_OUT} for a shape, none for a directory",
        None,
        number,
    )

    def problems(self) -> list[str]:
        found = super().problems() + self.loop_problems() + self.weight_problems() + student_problems(self.student)
        if self.held_out_share is not None and not 0 <= self.held_out_share < 1:
            found.append(f"--held_out_share {self.held_out_share}: must be at least 0 and below 1")
        if self.held_out_share == 0 and not found and self.shape():
            found.append(
                f"--held_out_share 0: importance for --student {self.student} is measured there; try {HELD_OUT}"
            )
        return found

    def shape(self) -> CutShape | None:
        return shape_in(self.student)

    def held_out(self) -> float:
        if self.held_out_share is not None:
            return self.held_out_share
        return HELD_OUT if self.shape() else 0.0


@dataclass(frozen=True)
class PruneConfig(DataConfig):
    """python -m ofa_bert prune."""

    model_name_or_path: str = option("finetuned or distilled model: an output directory, or its best/ or last/")
    target_num_heads: int = option("attention heads that every layer keeps", kind=whole)
    target_ffn_dim: int = option("FFN neurons that every layer keeps", kind=whole)
    output_dir: str = option("where best/, the pruned model, and importance.json, .png and results.json go")
    model_type: str = option("model family, one with a paddle.nn.TransformerEncoder", "bert", choices=MODEL_TYPES)
    held_out_share: float = option(
        "share of train that importance is measured on, at most 1024 examples: those that training holds out with the"
        " same seed and share",
        HELD_OUT,
        number,
    )
    max_seq_length: int = option("tokens per example, longer ones are cut", 128, whole)
    seed: int = option("seed of the held-out part", 42, whole)
    device: str = option("where to run", "gpu", choices=DEVICES)
    resume: bool = option("go on where a pruning was cut off; a finished one is made again", False, bool)

    def problems(self) -> list[str]:
        found = super().problems() + positive(self, "target_num_heads", "target_ffn_dim")
        found += not_negative(self, "seed")
        if not 0 < self.held_out_share < 1:
            found.append(f"--held_out_share {self.held_out_share}: must be above 0 and below 1")
        if self.max_seq_length < 3:
            found.append(f"--max_seq_length {self.max_seq_length}: must be at least 3, room for one word and two marks")
        return found

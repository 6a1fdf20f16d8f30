"""What python -m ofa_bert pretrain does, as a value."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from ofa_bert.errors import UserError
from ofa_bert.files.fields import Fields
from ofa_bert.files.reading import read_json
from ofa_bert.models.families.registry import model_type_option
from ofa_bert.options import option, unused
from ofa_bert.submodels.shape import Shape
from ofa_bert.training.settings import LoopSettings, OptimizerSettings


@dataclass(frozen=True, kw_only=True)
class PretrainLosses:
    """Loss weights and temperature as Bort's."""

    mlm_weight: float = option("weight of the masked-LM loss on the true words", 0.1, least=0)
    kd_weight: float = option("weight of the distillation loss at masked tokens; 0: no teacher is asked", 0.5, least=0)
    temperature: float = option("temperature of the distillation loss", 2.0, above=0)

    def problems(self) -> list[str]:
        if not self.mlm_weight and not self.kd_weight:
            return ["`mlm_weight` 0 with `kd_weight` 0 leaves no loss; give one of them"]
        if not self.kd_weight:
            return unused(self, ("temperature",), "is about distillation, which `kd_weight` 0 switches off")
        return []


@dataclass(frozen=True, kw_only=True)
class PretrainJob:
    """What it learns from and how. Learning rate and warm-up as Bort's."""

    teacher: str = option(
        "masked-LM to learn from: a PaddleNLP name, or a directory (PaddleNLP or Hugging Face layout)"
    )
    shape: str = option("the student: layers,heads,hidden,ffn such as 4,8,1024,768; or a shape.json of search")
    corpus: str = option("UTF-8 text file, one sentence or paragraph a line; it is streamed")
    output_dir: str = option("where best/, last/ and checkpoints go")
    model_type: str = model_type_option()
    losses: PretrainLosses = PretrainLosses()
    mask_share: float = option("share of the words of a text that are masked", 0.15, above=0, most=1)
    initialise: Literal["random", "teacher"] = option(
        "where the student starts: random weights, or evenly spaced layers and leading slices of the teacher", "random"
    )
    teacher_steps: int = option(
        "first train the teacher itself on the corpus for N steps; needed by an encoder without a masked-LM head",
        0,
        least=0,
    )
    teacher_learning_rate: float = option("peak learning rate of `teacher_steps`", 1e-4, above=0)
    held_out: int = option(
        "texts spread over the corpus that are never trained on, to measure accuracy on", 500, above=0
    )
    loop: LoopSettings = LoopSettings(num_train_epochs=1.0, warmup_proportion=0.01, save_steps=1000)
    optimizer: OptimizerSettings = OptimizerSettings(learning_rate=1e-4, weight_decay=0.01)

    def problems(self) -> list[str]:
        if self.teacher_steps:
            return []
        return unused(self, ("teacher_learning_rate",), "is about `teacher_steps`; give those too")


def shape_from(text: str) -> Shape:
    """The shape that `shape` names: four numbers, or a file with them."""
    try:
        if text.endswith(".json"):
            numbers = Fields(read_json(text), text)
            return Shape(*(numbers.whole(field.name) for field in dataclasses.fields(Shape)))
        return Shape(*(int(word) for word in text.split(",")))
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(
            f"`shape` {text}: must be layers,heads,hidden,ffn such as 4,8,1024,768, or a shape.json that"
            " search `algorithm` fptas `from_scratch` wrote"
        ) from error
    except UserError as error:
        raise UserError(f"`shape` {text}: {error}") from error

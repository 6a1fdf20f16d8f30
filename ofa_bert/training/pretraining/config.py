"""Flags of pretrain."""

from __future__ import annotations

from dataclasses import dataclass

from ofa_bert.errors import UserError
from ofa_bert.files.reading import read_json
from ofa_bert.models.families.registry import MODEL_TYPES
from ofa_bert.options import not_negative, number, option, positive, unused, whole
from ofa_bert.submodels.shape import Shape
from ofa_bert.training.config import LoopConfig


@dataclass(frozen=True)
class DistilPretraining:
    """What pretrain learns from and how. Loss weights and temperature as Bort's."""

    teacher: str = option(
        "masked-LM to learn from: a PaddleNLP name, or a directory (PaddleNLP or Hugging Face layout)"
    )
    shape: str = option("the student: layers,heads,hidden,ffn such as 4,8,1024,768; or a shape.json of search")
    corpus: str = option("UTF-8 text file, one sentence or paragraph a line; it is streamed")
    output_dir: str = option("where best/, last/ and checkpoints go")
    model_type: str = option("model family, one with a paddle.nn.TransformerEncoder", "bert", choices=MODEL_TYPES)
    mlm_weight: float = option("weight of the masked-LM loss on the true words", 0.1, number)
    kd_weight: float = option("weight of the distillation loss at masked tokens; 0: no teacher is asked", 0.5, number)
    temperature: float = option("temperature of the distillation loss", 2.0, number)
    mask_share: float = option("share of the words of a text that are masked", 0.15, number)
    initialise: str = option(
        "where the student starts: random weights, or evenly spaced layers and leading slices of the teacher",
        "random",
        choices=("random", "teacher"),
    )
    teacher_steps: int = option(
        "first train the teacher itself on the corpus for N steps; needed by an encoder without a masked-LM head",
        0,
        whole,
    )
    teacher_learning_rate: float = option("peak learning rate of --teacher_steps", 1e-4, number)
    held_out: int = option("texts spread over the corpus that are never trained on, to measure accuracy on", 500, whole)


@dataclass(frozen=True)
class PretrainConfig(LoopConfig, DistilPretraining):
    """python -m ofa_bert pretrain. Learning rate and warm-up as Bort's."""

    learning_rate: float = option("peak learning rate", 1e-4, number)
    weight_decay: float = option("AdamW weight decay; not applied to biases and LayerNorms", 0.01, number)
    num_train_epochs: float = option("passes over the corpus", 1.0, number)
    warmup_proportion: float = option("share of all steps spent on linear warm-up", 0.01, number)
    save_steps: int = option("evaluate and write a checkpoint every N steps", 1000, whole)

    def problems(self) -> list[str]:
        found = self.loop_problems()
        found += positive(self, "temperature", "mask_share", "teacher_learning_rate", "held_out")
        found += not_negative(self, "mlm_weight", "kd_weight", "teacher_steps")
        if not self.mlm_weight and not self.kd_weight:
            found.append("--mlm_weight 0 with --kd_weight 0 leaves no loss; give one of them")
        if not self.kd_weight:
            found += unused(self, ("temperature",), "is about distillation, which --kd_weight 0 switches off")
        if not self.teacher_steps:
            found += unused(self, ("teacher_learning_rate",), "is about --teacher_steps; give those too")
        if self.mask_share > 1:
            found.append(f"--mask_share {self.mask_share}: must be at most 1")
        return found


def shape_from(text: str) -> Shape:
    """The shape that --shape names: four numbers, or a file with them."""
    try:
        if text.endswith(".json"):
            return Shape(**{name: int(value) for name, value in read_json(text).items()})
        return Shape(*(int(word) for word in text.split(",")))
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(
            f"--shape {text}: must be layers,heads,hidden,ffn such as 4,8,1024,768, or a shape.json that"
            " search --algorithm fptas --from_scratch wrote"
        ) from error
    except UserError as error:
        raise UserError(f"--shape {text}: {error}") from error

"""Command lines of pretrain and tune."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from ofa_bert.config import MODEL_TYPES, FinetuneConfig, LoopConfig
from ofa_bert.errors import UserError
from ofa_bert.options import not_negative, number, option, positive, whole
from ofa_bert.submodels.shape import Shape


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
        if self.mask_share > 1:
            found.append(f"--mask_share {self.mask_share}: must be at most 1")
        return found


def shape_from(text: str) -> Shape:
    """The shape that --shape names: four numbers, or a file with them."""
    from ofa_bert.files.atomic import read_json

    try:
        if text.endswith(".json"):
            return Shape(**{name: int(value) for name, value in read_json(text).items()})
        return Shape(*(int(word) for word in text.split(",")))
    except (TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"--shape {text}: must be layers,heads,hidden,ffn such as 4,8,1024,768, or a shape.json that"
            " search --algorithm fptas --from_scratch wrote"
        ) from error
    except UserError as error:
        raise UserError(f"--shape {text}: {error}") from error


@dataclass(frozen=True)
class TuneConfig(FinetuneConfig):
    """python -m ofa_bert tune."""

    trials: int = option("finetuning runs, most of them stopped early", 20, whole)
    minutes: Optional[float] = option("begin no further run after so many minutes", None, number)
    learning_rates: tuple = option("lowest and highest learning rate to try", (1e-5, 2e-4), number, many=True)
    batch_sizes: tuple = option("batch sizes to try", (8, 16, 32), whole, many=True)
    weight_decays: tuple = option("weight decays to try", (0.0, 0.01, 0.1), number, many=True)
    warmups: tuple = option("warm-up shares to try", (0.0, 0.1, 0.35), number, many=True)
    tune_share: float = option(
        "share of the training data that runs are compared on, held out from them; dev is used once, for the best run",
        0.1,
        number,
    )

    def problems(self) -> list[str]:
        found = super().problems() + positive(self, "trials", "minutes")
        if len(self.learning_rates) != 2 or not 0 < self.learning_rates[0] <= self.learning_rates[1]:
            found.append(f"--learning_rates {self.learning_rates}: must be two numbers above 0, the lower one first")
        if any(size < 1 for size in self.batch_sizes):
            found.append(f"--batch_sizes {self.batch_sizes}: every size must be above 0")
        if any(not 0 <= share < 1 for share in self.warmups) or any(decay < 0 for decay in self.weight_decays):
            found.append("--warmups must be at least 0 and below 1, --weight_decays not negative")
        if not 0 < self.tune_share < 1:
            found.append(f"--tune_share {self.tune_share}: must be above 0 and below 1")
        if self.resume:
            found.append("--resume: the same tune command resumes by itself; leave it out")
        return found

"""What every training is told."""

from __future__ import annotations

from dataclasses import dataclass

from ofa_bert.data.config import DataConfig
from ofa_bert.models.families.registry import MODEL_TYPES
from ofa_bert.options import not_negative, number, option, positive, unused, whole

DEVICES = ("gpu", "cpu", "xpu")


@dataclass(frozen=True)
class LoopConfig:
    """What `loop.fit` and its optimizer are told, whatever is trained."""

    max_seq_length: int = option("tokens per example, longer ones are cut", 128, whole)
    batch_size: int = option("examples per step and process", 32, whole)
    gradient_accumulation_steps: int = option("batches per optimizer step", 1, whole)
    learning_rate: float = option("peak learning rate", 5e-5, number)
    weight_decay: float = option("AdamW weight decay; not applied to biases and LayerNorms", 0.0, number)
    adam_epsilon: float = option("AdamW epsilon", 1e-8, number)
    max_grad_norm: float = option("gradients are clipped to this global norm; 0 switches clipping off", 1.0, number)
    num_train_epochs: float = option("passes over the training data", 3.0, number)
    max_steps: int = option("optimizer steps; above 0 it overrides --num_train_epochs", -1, whole)
    warmup_steps: int = option("steps of linear warm-up; above 0 it overrides --warmup_proportion", 0, whole)
    warmup_proportion: float = option("share of all steps spent on linear warm-up", 0.1, number)
    logging_steps: int = option("log the loss every N steps", 100, whole)
    save_steps: int = option("evaluate and write a checkpoint every N steps", 500, whole)
    seed: int = option("seed of everything random", 42, whole)
    device: str = option("where to run", "gpu", choices=DEVICES)
    amp: str = option("mixed precision, on a GPU", "off", choices=("off", "bf16", "fp16"))
    resume: bool = option("continue from the newest whole checkpoint in --output_dir", False, bool)

    def loop_problems(self) -> list[str]:
        found = positive(
            self, "batch_size", "gradient_accumulation_steps", "learning_rate", "num_train_epochs", "adam_epsilon",
            "logging_steps", "save_steps",
        )  # fmt: skip
        found += not_negative(self, "weight_decay", "max_grad_norm", "warmup_steps", "seed")
        if self.max_seq_length < 3:
            found.append(f"--max_seq_length {self.max_seq_length}: must be at least 3, room for one word and two marks")
        if not 0 <= self.warmup_proportion < 1:
            found.append(f"--warmup_proportion {self.warmup_proportion}: must be at least 0 and below 1")
        if self.amp != "off" and self.device == "cpu":
            found.append(f"--amp {self.amp}: needs --device gpu; leave it out on a CPU")
        return found


@dataclass(frozen=True)
class ModelConfig(DataConfig):
    """A model to train on a task, and where the outcome goes."""

    model_type: str = option("model family, one with a paddle.nn.TransformerEncoder", "bert", choices=MODEL_TYPES)
    model_name_or_path: str = option("a PaddleNLP model name, or a local directory (PaddleNLP or Hugging Face layout)")
    tokenizer_name_or_path: str | None = option("another place for the tokenizer; default: the model's", None)
    output_dir: str = option("where best/, last/ and checkpoints go")


@dataclass(frozen=True)
class TrainConfig(LoopConfig, ModelConfig):  # the model's flags come first in --help
    """What finetuning and supernet training share."""

    def problems(self) -> list[str]:
        return super().problems() + self.loop_problems()


@dataclass(frozen=True)
class FinetuneConfig(TrainConfig):
    """run_glue.py. Defaults as PaddleNLP's script."""

    learning_rate: float = option("peak learning rate", 1e-4, number)
    adam_epsilon: float = option("AdamW epsilon", 1e-6, number)
    save_steps: int = option("evaluate and write a checkpoint every N steps", 100, whole)
    held_out_share: float = option(
        "share of the training data that is not trained on, at most 1024 examples: those that run_glue_ofa.py holds out"
        " with the same seed and share, so that exit thresholds are chosen on sentences new to the model",
        0.0,
        number,
    )

    def problems(self) -> list[str]:
        found = super().problems()
        if not 0 <= self.held_out_share < 1:
            found.append(f"--held_out_share {self.held_out_share}: must be at least 0 and below 1")
        return found


# Of finetuning; tune tries several.
_TRIED = {
    "learning_rate": "learning_rates", "batch_size": "batch_sizes", "weight_decay": "weight_decays",
    "warmup_proportion": "warmups", "warmup_steps": "warmups",
}  # fmt: skip


@dataclass(frozen=True)
class TuneConfig(FinetuneConfig):
    """python -m ofa_bert tune."""

    trials: int = option("finetuning runs, most of them stopped early", 20, whole)
    minutes: float | None = option("begin no further run after so many minutes", None, number)
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
        for name, several in _TRIED.items():
            found += unused(self, (name,), f"is what tune tries; give --{several}")
        return found

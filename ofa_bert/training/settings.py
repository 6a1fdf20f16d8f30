"""What trainings are told, as values: the loop, the optimizer, the model and the data that a run starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ofa_bert.data.source import TrainingData
from ofa_bert.models.families.registry import model_type_option
from ofa_bert.options import option, repeated, unused
from ofa_bert.system import packages
from ofa_bert.system.accelerator import WHERE, Device, means

DEFAULT_LENGTH = 128  # tokens, where neither the user nor the model says it


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How training goes through the data, whatever is trained.

    >>> from ofa_bert import LoopSettings
    >>> LoopSettings(batch_size=16, max_steps=100, device="cpu").num_train_epochs
    3.0
    """

    max_seq_length: int | None = option(
        "tokens per example, longer ones are cut; default: as the model was trained, else 128",
        None,
        least=3,
        example=", room for one word and two marks",
    )
    batch_size: int = option("examples per step and process", 32, above=0)
    gradient_accumulation_steps: int = option("batches per optimizer step", 1, above=0)
    num_train_epochs: float = option("passes over the training data", 3.0, above=0)
    max_steps: int = option("optimizer steps; above 0 it overrides `num_train_epochs`", -1)
    warmup_steps: int = option("steps of linear warm-up; above 0 it overrides `warmup_proportion`", 0, least=0)
    warmup_proportion: float = option("share of all steps spent on linear warm-up", 0.1, least=0, below=1)
    logging_steps: int = option("log the loss every N steps", 100, above=0)
    log_to: tuple[Literal["tensorboard", "visualdl", "wandb"], ...] = option(
        "also write losses, learning rate and scores for these viewers, each into a directory of its name in"
        " `output_dir`; where wandb sends them, its own settings say, such as WANDB_MODE=offline",
        (),
    )
    save_steps: int = option("evaluate and write a checkpoint every N steps", 500, above=0)
    seed: int = option("seed of everything random", 42, least=0)
    device: Device = option(WHERE, "auto", means=means)
    amp: Literal["off", "bf16", "fp16"] = option("mixed precision, on a GPU", "off")
    resume: bool = option("continue from the newest whole checkpoint in `output_dir`", False)

    @property
    def length(self) -> int:
        """Tokens per example, also where nobody says it."""
        return self.max_seq_length or DEFAULT_LENGTH

    def problems(self) -> list[str]:
        found = repeated("log_to", self.log_to)
        found += [f"`log_to` {name}: {packages.missing(name)}" for name in self.log_to if not packages.installed(name)]
        if self.amp != "off" and self.device == "cpu":
            found.append(f"`amp` {self.amp}: needs `device` gpu; leave it out on a CPU")
        return found


@dataclass(frozen=True, kw_only=True)
class Evaluations:
    """When a training is evaluated on dev, and when it ends for that.

    >>> from ofa_bert import FinetuneJob, make_job
    >>> job = make_job(FinetuneJob, task_name="demo", model_name_or_path="m", output_dir="o", eval_every="epoch")
    >>> job.evaluations.eval_every, job.evaluations.early_stopping
    ('epoch', None)
    """

    eval_every: Literal["steps", "epoch"] = option(
        "evaluate and write a checkpoint every `save_steps` steps, or after every pass over the training data", "steps"
    )
    early_stopping: int | None = option(
        "end the training after N evaluations without a better score; the learning rate falls as if it went on."
        " Of several stages the last one alone ends early",
        None,
        above=0,
    )
    test_file: str | None = option(
        "labelled file of the training data's format that best/ is scored on once, after the last step; it chooses"
        " nothing",
        None,
    )


@dataclass(frozen=True, kw_only=True)
class LabelLoss:
    """How labels count in the loss of a finetuning.

    >>> from ofa_bert import LabelLoss
    >>> LabelLoss(class_weights="balanced").label_smoothing
    0.0
    """

    class_weights: Literal["none", "balanced"] = option(
        "balanced: every class counts alike in the loss, however rare its examples are; of tasks with classes", "none"
    )
    label_smoothing: float = option(
        "share of a label that is spread over all classes, of tasks with classes", 0.0, least=0, below=1
    )

    @property
    def changes(self) -> bool:
        return self.class_weights != "none" or self.label_smoothing > 0


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """AdamW.

    >>> from ofa_bert import OptimizerSettings
    >>> OptimizerSettings(learning_rate=2e-5).max_grad_norm
    1.0
    """

    learning_rate: float = option("peak learning rate", 5e-5, above=0)
    weight_decay: float = option("AdamW weight decay; not applied to biases and LayerNorms", 0.0, least=0)
    adam_epsilon: float = option("AdamW epsilon", 1e-8, above=0)
    max_grad_norm: float = option("gradients are clipped to this global norm; 0 switches clipping off", 1.0, least=0)


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Texts that are changed on the fly, so that every epoch is new; a teacher, not a label, says what they mean.

    >>> from ofa_bert import SupernetJob, make_job
    >>> make_job(SupernetJob, task_name="demo", model_name_or_path="m", output_dir="o", augment=0.3).augmentation
    Augmentation(augment=0.3, augment_share=0.5)
    """

    augment: float = option(
        "in a share of the sentences of every batch, replace each word piece with this probability by one of its 15"
        " nearest in the teacher's word embeddings; the teacher answers the changed sentence, whose label counts"
        " nowhere. 0: off",
        0.0,
        least=0,
        below=1,
        example=", for example 0.3",
    )
    augment_share: float = option("share of the sentences that `augment` changes", 0.5, above=0, most=1)

    def unlabelled(self, why: str) -> list[str]:
        """A problem where no sentence would keep its label, though a loss asks for labels."""
        if not self.augment or self.augment_share < 1:
            return []
        return [f"`augment_share` {self.augment_share:g}: {why} needs sentences with their labels; give less than 1"]


def unused_share(job: object, augmentation: Augmentation) -> list[str]:
    """A problem where a job is told a share of nothing."""
    return [] if augmentation.augment else unused(job, ("augment_share",), "is about `augment`; give that too")


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """The model that a run starts from.

    >>> from ofa_bert import ModelSource
    >>> ModelSource(model_name_or_path="bert-base-uncased").model_type
    'auto'
    """

    model_type: str = model_type_option()
    model_name_or_path: str = option(
        "a local directory (PaddleNLP or Hugging Face layout), a PaddleNLP model name, or owner/name[@revision] on a"
        " Hugging Face hub"
    )
    tokenizer_name_or_path: str | None = option("another place for the tokenizer; default: the model's", None)


@dataclass(frozen=True, kw_only=True)
class FinetuneJob:
    """What `finetune` and run_glue.py do. Defaults as PaddleNLP's script.

    `make_job` makes the same job from its options side by side, and checks them.

    >>> from ofa_bert import FinetuneJob, LoopSettings, ModelSource, TrainingData, make_job
    >>> job = FinetuneJob(data=TrainingData(task_name="demo"), model=ModelSource(model_name_or_path="bert"),
    ...                   output_dir="out", loop=LoopSettings(device="cpu", save_steps=100))
    >>> job == make_job(FinetuneJob, task_name="demo", model_name_or_path="bert", output_dir="out", device="cpu")
    True
    """

    data: TrainingData
    model: ModelSource
    output_dir: str = option("where best/, last/ and checkpoints go")
    loop: LoopSettings = LoopSettings(save_steps=100)
    evaluations: Evaluations = Evaluations()
    labels: LabelLoss = LabelLoss()
    optimizer: OptimizerSettings = OptimizerSettings(learning_rate=1e-4, adam_epsilon=1e-6)
    held_out_share: float = option(
        "share of the training data that is not trained on, at most 1024 examples: those that run_glue_ofa.py holds out"
        " with the same seed and share, so that exit thresholds are chosen on sentences new to the model",
        0.0,
        least=0,
        below=1,
    )
    fresh_head: bool = option(
        "start the classifier at random weights whatever the model has: for one that was finetuned for other classes",
        False,
    )

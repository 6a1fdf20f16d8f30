"""What run_glue_ofa.py does, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ofa_bert.data.source import DataSource
from ofa_bert.options import option, unused
from ofa_bert.submodels.values import MULTIPLIER
from ofa_bert.training.presets import SUPERNET, described
from ofa_bert.training.settings import (
    Augmentation,
    Evaluations,
    LoopSettings,
    ModelSource,
    OptimizerSettings,
    unused_share,
)

WIDTHS = (1.0, 5 / 6, 2 / 3, 0.5)


@dataclass(frozen=True, kw_only=True)
class SupernetJob:
    """What `train_supernet` and run_glue_ofa.py do. Defaults as PaddleNLP's script.

    >>> from ofa_bert import SupernetJob, make_job
    >>> job = make_job(SupernetJob, task_name="demo", model_name_or_path="teacher", output_dir="supernet",
    ...                depth_mult_list=[1.0, 0.5], layer_choice="importance", device="cpu")
    >>> [round(width, 4) for width in job.width_mult_list]
    [1.0, 0.8333, 0.6667, 0.5]
    """

    data: DataSource = DataSource()
    model: ModelSource
    teacher: str | None = option(
        "the finetuned model that teaches: output directory of run_glue.py or its best/; default: the model itself, as"
        " it is before the first step",
        None,
    )
    output_dir: str = option("where best/, last/ and checkpoints go")
    recipe: Literal["quick", "strong"] | None = option(described(SUPERNET), None, presets=SUPERNET)
    loop: LoopSettings = LoopSettings(batch_size=8, warmup_proportion=0.0, logging_steps=500)
    evaluations: Evaluations = Evaluations()
    optimizer: OptimizerSettings = OptimizerSettings()
    width_mult_list: tuple[float, ...] = option(
        "widths: share of heads and FFN neurons kept", WIDTHS, above=0, most=1, example=MULTIPLIER
    )
    depth_mult_list: tuple[float, ...] = option(
        "depths: share of layers kept", (1.0,), above=0, most=1, example=MULTIPLIER
    )
    lambda_logit: float = option("weight of the logit loss against the teacher", 1.0, least=0)
    lambda_rep: float = option("weight of the hidden-state loss against the teacher", 0.1, least=0)
    layer_choice: Literal["recorded", "even", "prefix", "importance", "trial"] = option(
        "which layers a depth below 1 keeps. recorded: those that the encoder was pre-trained with (python -m ofa_bert"
        " pretrain `elastic`); even where it was not. even: evenly spaced, the first and the last among them. prefix:"
        " the first ones. importance: those whose loss on the held-out part hurts most. trial: several such sets are"
        " trained for `trial_steps` each from the same start, and the one that scores best on the held-out part is"
        " taken",
        "recorded",
    )
    trial_steps: int = option("steps that `layer_choice` trial trains each set of layers for", 300, above=0)
    stages: Literal["joint", "width,width_depth"] = option(
        "'joint' trains every width and depth together; 'width,width_depth' first the widths, then all (DynaBERT)",
        "joint",
    )
    width_stage_share: float = option(
        "share of the steps that the width stage of `stages` gets", 0.5, above=0, most=1, example=MULTIPLIER
    )
    sandwich: int = option(
        "train the largest, the smallest and N sub-models drawn anew each step; -1 trains all of them in every step", -1
    )
    supernet_dropout: float | None = option(
        "dropout while the supernet trains; default: the model's own", None, least=0, below=1
    )
    held_out_share: float = option(
        "share of the training data held out to measure importance on, never trained on, at most 1024 examples",
        0.05,
        above=0,
        below=1,
    )
    augmentation: Augmentation = Augmentation()
    keep_best_sub_models: bool = option("also keep the best weights of every single sub-model in best_<name>/", False)

    def problems(self) -> list[str]:
        found = unused_share(self, self.augmentation)
        if self.layer_choice != "trial":
            found += unused(self, ("trial_steps",), "is about `layer_choice` trial; give that too")
        if not self.lambda_logit and not self.lambda_rep:
            found.append("`lambda_logit` 0 with `lambda_rep` 0 leaves no loss; give one of them")
        if self.stages == "joint":
            found += unused(self, ("width_stage_share",), "is about `stages` width,width_depth; give that too")
        if self.stages != "joint" and max(self.depth_mult_list, default=1) == min(self.depth_mult_list, default=1):
            found.append(f"`stages` {self.stages}: needs depths below 1 in `depth_mult_list`; else give joint")
        return found

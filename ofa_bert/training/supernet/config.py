"""Flags of run_glue_ofa.py."""

from __future__ import annotations

from dataclasses import dataclass

from ofa_bert.options import multipliers, not_negative, number, option, unused, whole
from ofa_bert.training.config import TrainConfig

WIDTHS = (1.0, 5 / 6, 2 / 3, 0.5)


@dataclass(frozen=True)
class OfaConfig(TrainConfig):
    """run_glue_ofa.py. Defaults as PaddleNLP's script."""

    batch_size: int = option("examples per step and process", 8, whole)
    warmup_proportion: float = option("share of all steps spent on linear warm-up", 0.0, number)
    logging_steps: int = option("log the loss every N steps", 500, whole)
    width_mult_list: tuple = option("widths: share of heads and FFN neurons kept", WIDTHS, number, many=True)
    depth_mult_list: tuple = option("depths: share of layers kept", (1.0,), number, many=True)
    lambda_logit: float = option("weight of the logit loss against the teacher", 1.0, number)
    lambda_rep: float = option("weight of the hidden-state loss against the teacher", 0.1, number)
    layer_choice: str = option(
        "which layers a depth below 1 keeps: evenly spaced, or those whose loss on the held-out part hurts most",
        "even",
        choices=("even", "importance"),
    )
    stages: str = option(
        "'joint' trains every width and depth together; 'width,width_depth' first the widths, then all (DynaBERT)",
        "joint",
        choices=("joint", "width,width_depth"),
    )
    width_stage_share: float = option("share of the steps that the width stage of --stages gets", 0.5, number)
    sandwich: int = option(
        "train the largest, the smallest and N sub-models drawn anew each step; -1 trains all of them in every step",
        -1,
        whole,
    )
    supernet_dropout: float | None = option("dropout while the supernet trains; default: the model's own", None, number)
    held_out_share: float = option(
        "share of the training data held out to measure importance on, never trained on, at most 1024 examples",
        0.05,
        number,
    )
    keep_best_sub_models: bool = option(
        "also keep the best weights of every single sub-model in best_<name>/", False, bool
    )

    def problems(self) -> list[str]:
        found = super().problems()
        found += multipliers(self, "width_mult_list", "depth_mult_list", "width_stage_share")
        found += not_negative(self, "lambda_logit", "lambda_rep")
        if not 0 < self.held_out_share < 1:
            found.append(f"--held_out_share {self.held_out_share}: must be above 0 and below 1")
        if not self.lambda_logit and not self.lambda_rep:
            found.append("--lambda_logit 0 with --lambda_rep 0 leaves no loss; give one of them")
        if self.supernet_dropout is not None and not 0 <= self.supernet_dropout < 1:
            found.append(f"--supernet_dropout {self.supernet_dropout}: must be at least 0 and below 1")
        if self.stages == "joint":
            found += unused(self, ("width_stage_share",), "is about --stages width,width_depth; give that too")
        if self.stages != "joint" and max(self.depth_mult_list, default=1) == min(self.depth_mult_list, default=1):
            found.append(f"--stages {self.stages}: needs depths below 1 in --depth_mult_list")
        return found

"""Flags of `run_glue_ofa.py --exits` and of `python -m ofa_bert exits`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from ofa_bert.data.config import DataConfig
from ofa_bert.exits.criteria import registry
from ofa_bert.models.families.registry import MODEL_TYPES
from ofa_bert.options import multipliers, not_negative, number, option, positive, unused, whole
from ofa_bert.training.config import DEVICES, TrainConfig

TRAININGS = ("deebert", "geep", "joint", "alternate")
HEAD_NAMES = ("ramp", "attention")
_GEEP = f"--criterion {registry.default('geep').name}"
_SUPERNET = "trains a supernet; do that first without --exits: exits trained on its directory serve its sub-models"
_SUPERNET_FLAGS = (
    "width_mult_list", "depth_mult_list", "lambda_logit", "lambda_rep", "layer_choice", "stages", "width_stage_share",
    "supernet_dropout", "keep_best_sub_models",
)  # fmt: skip


@dataclass(frozen=True)
class ExitTrainConfig(TrainConfig):
    """run_glue_ofa.py --exits."""

    ELSEWHERE: ClassVar = {f"--{name}": _SUPERNET for name in _SUPERNET_FLAGS}

    exits: str = option(
        "how exits are trained: deebert freezes the model and trains the heads alone; geep trains model and heads in"
        " one stage by the shared exit loss; joint all exits by one weighted loss (PABEE); alternate the same in every"
        " other step, the last exit alone in the others (BERxiT)",
        choices=TRAININGS,
    )
    exit_layers: tuple | None = option(
        "layers with an exit, from 0 as in sub-models; default: all but the last, where the model itself answers",
        None,
        whole,
        many=True,
    )
    geep_exit_num: int | None = option(
        "exits after the first N layers, instead of --exit_layers; default of geep: two thirds of the layers",
        None,
        whole,
    )
    exit_head: str | None = option(
        "ramp: pooler and classifier on the first token, as the model's own; attention: a small self-attention over all"
        " tokens; default: attention for geep, ramp for the others",
        None,
        choices=HEAD_NAMES,
    )
    exit_lambda: float | None = option(
        "share of a head's loss that is its distance from the last exit's answer, the rest is its loss against the"
        " labels; default: 1 for geep, 0 for the others",
        None,
        number,
    )
    exit_weights: str = option(
        "weights of the exits under joint and alternate: all alike, or growing with depth",
        "linear",
        choices=("uniform", "linear"),
    )
    learning_rate: float | None = option(
        "peak learning rate; default: 1e-3 for deebert, 3e-5 for the others", None, number
    )
    exit_learning_rate: float | None = option(
        "peak learning rate of the heads, which start at random weights where the model does not; default: 1e-3, for"
        " deebert --learning_rate",
        None,
        number,
    )
    sandwich: int = option(
        "on a supernet: train the largest, the smallest and N sub-models drawn anew each step; -1 trains all of them",
        -1,
        whole,
    )
    held_out_share: float = option(
        "share of the training data held out, at most 1024 examples, to choose best/ and later the threshold on; on a"
        " supernet with its own seed and share these are the same examples",
        0.05,
        number,
    )
    exit_cache_mib: float = option(
        "deebert with ramps: the model runs once over all data when what the heads read of it fits in so much memory"
        " (MiB), else in every step",
        2048.0,
        number,
    )

    def problems(self) -> list[str]:
        found = super().problems() + not_negative(self, "exit_cache_mib")
        if self.exit_layers is not None and self.geep_exit_num is not None:
            found.append("--exit_layers and --geep_exit_num exclude each other")
        found += positive(self, "geep_exit_num", "exit_learning_rate")
        if self.exits == "deebert" and self.exit_learning_rate is not None:
            found.append("--exit_learning_rate: with --exits deebert nothing but heads trains; give --learning_rate")
        if self.exits not in ("joint", "alternate"):
            found += unused(self, ("exit_weights",), "is about --exits joint and alternate")
        if self.exits != "deebert":
            found += unused(self, ("exit_cache_mib",), "is about --exits deebert")
        if self.exit_lambda is not None and not 0 <= self.exit_lambda <= 1:
            found.append(f"--exit_lambda {self.exit_lambda}: must be from 0 to 1")
        if not 0 < self.held_out_share < 1:
            found.append(f"--held_out_share {self.held_out_share}: must be above 0 and below 1")
        return found

    def resolved(self) -> ExitTrainConfig:
        """With the defaults that depend on --exits filled in."""
        geep = self.exits == "geep"
        filled = {
            "learning_rate": 1e-3 if self.exits == "deebert" else 3e-5,
            "exit_learning_rate": 1e-3,
            "exit_head": "attention" if geep else "ramp",
            "exit_lambda": 1.0 if geep else 0.0,
        }
        return dataclasses.replace(self, **{k: v for k, v in filled.items() if getattr(self, k) is None})


@dataclass(frozen=True)
class ExitChoiceConfig(DataConfig):
    """python -m ofa_bert exits."""

    model_name_or_path: str = option("a directory with exits: output of run_glue_ofa.py --exits, or its best/ or last/")
    output_dir: str = option("where exit_policy.json, exit_table.safetensors, exits.json and exits.png go")
    model_type: str = option("model family, one with a paddle.nn.TransformerEncoder", "bert", choices=MODEL_TYPES)
    width_mult: float = option("of a supernet: share of heads and FFN neurons of the sub-model", 1.0, number)
    depth_mult: float = option("of a supernet: share of layers of the sub-model", 1.0, number)
    criterion: str | None = option(
        f"what decides that a sample leaves; default: {registry.defaults_described()}",
        None,
        choices=registry.CRITERIA,
    )
    tolerance: float = option(
        "where confirmed numbers count: a number is confirmed by one that differs by less", 0.1, number
    )
    exit_threshold: float | None = option(
        f"use this threshold ({registry.thresholds_described()}; at 0 nobody leaves early); default: chosen by the"
        " targets",
        None,
        number,
    )
    geep_threshold: float | None = option(f"short for {_GEEP} --exit_threshold X", None, number)
    target_drop: float | None = option(
        "choose the fastest threshold that loses at most so much of the score on the held-out part, 0.01 is one point;"
        " default without other targets: 0.01",
        None,
        number,
    )
    target_speedup: float | None = option(
        "choose the best threshold that is so many times faster than no exits, measured at the last of --batch_sizes",
        None,
        number,
    )
    mode: str = option(
        "threshold: each exit decides; predicted: the exit layer is predicted from the tokens, so that each batch runs"
        " so many layers and one head",
        "threshold",
        choices=("threshold", "predicted"),
    )
    thresholds: int = option("points of the sweep, evenly spread over the layers saved", 12, whole)
    batch_sizes: tuple = option("batch sizes to measure time at", (1, 32), whole, many=True)
    pool: int = option("batches that advance together; who stays is packed into full ones; 1: batches shrink", 8, whole)
    timing_samples: int = option("at most so many samples are timed", 256, whole)
    repeats: int = option("timed runs of each point, made in turn after one more; the fastest counts", 3, whole)
    table_samples: int = option("training samples that the token table is learned from; 0: no table", 4096, whole)
    device: str = option("where to run", "cpu", choices=DEVICES)

    def problems(self) -> list[str]:
        found = super().problems() + multipliers(self, "width_mult", "depth_mult")
        found += positive(self, "tolerance", "target_speedup", "thresholds", "pool", "timing_samples", "repeats")
        found += not_negative(self, "table_samples")
        found += [f"--target_drop {self.target_drop}: must not be negative"] if (self.target_drop or 0) < 0 else []
        found += [f"--batch_sizes {size}: must be above 0" for size in self.batch_sizes if size < 1]
        if self.geep_threshold is not None and (self.exit_threshold is not None or self.criterion is not None):
            found.append(f"--geep_threshold is {_GEEP} --exit_threshold; give one or the other")
        targets = self.target_drop is not None or self.target_speedup is not None
        if self.wanted_threshold is not None and targets:
            found.append("a threshold and --target_drop or --target_speedup exclude each other")
        if self.mode == "predicted" and not self.table_samples:
            found.append("--mode predicted needs the token table: --table_samples above 0")
        return found

    @property
    def wanted_threshold(self) -> float | None:
        return self.exit_threshold if self.geep_threshold is None else self.geep_threshold

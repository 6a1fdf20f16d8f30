"""What run_glue_ofa.py `exits` and python -m ofa_bert exits do, as values."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from ofa_bert.data.source import DataSource
from ofa_bert.exits.criteria import registry
from ofa_bert.exits.layout import HEADS
from ofa_bert.exits.promise import CONFIDENCE
from ofa_bert.models.families.registry import model_type_option
from ofa_bert.options import option, unused
from ofa_bert.submodels.grid import multipliers
from ofa_bert.submodels.values import MULTIPLIER
from ofa_bert.system.accelerator import WHERE, Device, means
from ofa_bert.training.settings import Augmentation, LoopSettings, ModelSource, OptimizerSettings, unused_share

TRAININGS = ("deebert", "geep", "joint", "alternate")
_GEEP = f"`criterion` {registry.default('geep').name}"
SUPERNET = "trains a supernet; do that first without `exits`: exits trained on its directory serve its sub-models"
SUPERNET_OPTIONS = (
    "width_mult_list", "depth_mult_list", "lambda_logit", "lambda_rep", "layer_choice", "trial_steps", "stages",
    "width_stage_share", "supernet_dropout", "recipe", "keep_best_sub_models",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ExitOptimizerSettings(OptimizerSettings):
    """AdamW, whose peak rate depends on what is trained unless it is given."""

    learning_rate: float | None = option(  # type: ignore[assignment]  # `ExitTrainingJob.optimizer` fills it in
        "peak learning rate; default: 1e-3 for deebert, 3e-5 for the others", None, above=0
    )


@dataclass(frozen=True, kw_only=True)
class ExitTrainingJob:
    """What `train_exits` and run_glue_ofa.py `exits` do.

    >>> from ofa_bert import ExitTrainingJob, make_job
    >>> job = make_job(ExitTrainingJob, exits="geep", task_name="demo", model_name_or_path="teacher",
    ...                output_dir="exits")
    >>> job.head, job.resolved().rates.learning_rate
    ('attention', 3e-05)
    """

    data: DataSource = DataSource()
    model: ModelSource
    output_dir: str = option("where best/, last/ and checkpoints go")
    loop: LoopSettings = LoopSettings()
    rates: ExitOptimizerSettings = ExitOptimizerSettings()
    exits: str = option(
        "how exits are trained: deebert freezes the model and trains the heads alone; geep trains model and heads in"
        " one stage by the shared exit loss; joint all exits by one weighted loss (PABEE); alternate the same in every"
        " other step, the last exit alone in the others (BERxiT)",
        choices=TRAININGS,
    )
    exit_layers: tuple[int, ...] | None = option(
        "layers with an exit, from 0 as in sub-models; default: all but the last, where the model itself answers", None
    )
    geep_exit_num: int | None = option(
        "exits after the first N layers, instead of `exit_layers`; default of geep: two thirds of the layers",
        None,
        above=0,
    )
    exit_head: str | None = option(
        "ramp: pooler and classifier on the first token, as the model's own; attention: a small self-attention over all"
        " tokens; default: attention for geep, ramp for the others",
        None,
        choices=HEADS,
    )
    exit_lambda: float | None = option(
        "share of a head's loss that is its distance from the last exit's answer, the rest is its loss against the"
        " labels; default: 1 for geep, 0 for the others",
        None,
        least=0,
        most=1,
    )
    exit_weights: Literal["uniform", "linear"] = option(
        "weights of the exits under joint and alternate: all alike, or growing with depth", "linear"
    )
    exit_learning_rate: float | None = option(
        "peak learning rate of the heads, which start at random weights where the model does not; default: 1e-3, for"
        " deebert `learning_rate`",
        None,
        above=0,
    )
    augmentation: Augmentation = Augmentation()
    sandwich: int = option(
        "on a supernet: train the largest, the smallest and N sub-models drawn anew each step; -1 trains all of them",
        -1,
    )
    held_out_share: float = option(
        "share of the training data held out, at most 1024 examples, to choose best/ and later the threshold on; on a"
        " supernet with its own seed and share these are the same examples",
        0.05,
        above=0,
        below=1,
    )
    exit_cache_mib: float = option(
        "deebert with ramps: the model runs once over all data when what the heads read of it fits in so much memory"
        " (MiB), else in every step",
        2048.0,
        least=0,
    )

    def problems(self) -> list[str]:
        found = unused_share(self, self.augmentation) + self.augmentation.unlabelled(f"`exits` {self.exits}")
        if self.augmentation.augment and not self.share:
            found.append(
                f"`augment` {self.augmentation.augment:g}: changed sentences have no labels, and with `exit_lambda` 0"
                " heads learn from nothing else; give `exit_lambda` above 0, for example 0.5"
            )
        if self.exit_layers is not None and self.geep_exit_num is not None:
            found.append("`exit_layers` and `geep_exit_num` exclude each other")
        if self.exits == "deebert" and self.exit_learning_rate is not None:
            found.append("`exit_learning_rate`: with `exits` deebert nothing but heads trains; give `learning_rate`")
        if self.exits not in ("joint", "alternate"):
            found += unused(self, ("exit_weights",), "is about `exits` joint and alternate")
        if self.exits != "deebert":
            found += unused(self, ("exit_cache_mib",), "is about `exits` deebert")
        return found

    @property
    def heads_alone(self) -> bool:
        """Whether the model stays as it is."""
        return self.exits == "deebert"

    @property
    def head(self) -> str:
        """The kind of head."""
        return self.exit_head or ("attention" if self.exits == "geep" else "ramp")

    @property
    def share(self) -> float:
        """Of a head's loss that is its distance from the last exit's answer."""
        if self.exit_lambda is not None:
            return self.exit_lambda
        return 1.0 if self.exits == "geep" else 0.0

    @property
    def head_rate(self) -> float:
        """The peak learning rate of the heads."""
        return 1e-3 if self.exit_learning_rate is None else self.exit_learning_rate

    @property
    def optimizer(self) -> OptimizerSettings:
        values = {field.name: getattr(self.rates, field.name) for field in dataclasses.fields(OptimizerSettings)}
        return OptimizerSettings(**values)

    def resolved(self) -> ExitTrainingJob:
        """With the defaults that depend on `exits` filled in."""
        rates = self.rates
        if rates.learning_rate is None:
            rates = dataclasses.replace(rates, learning_rate=1e-3 if self.heads_alone else 3e-5)
        return dataclasses.replace(
            self, rates=rates, exit_learning_rate=self.head_rate, exit_head=self.head, exit_lambda=self.share
        )


@dataclass(frozen=True, kw_only=True)
class TimingSettings:
    """How what early exits save is measured."""

    batch_sizes: tuple[int, ...] = option("batch sizes to measure time at", (1, 32), above=0)
    pool: int = option(
        "batches that advance together; who stays is packed into full ones; 1: batches shrink", 8, above=0
    )
    timing_samples: int = option("at most so many samples are timed", 256, above=0)
    repeats: int = option("timed runs of each point, made in turn after one more; the fastest counts", 3, above=0)


@dataclass(frozen=True, kw_only=True)
class ExitChoiceJob:
    """What `choose_exits` and python -m ofa_bert exits do.

    >>> from ofa_bert import ExitChoiceJob, make_job
    >>> job = make_job(ExitChoiceJob, task_name="demo", model_name_or_path="exits", output_dir="policy",
    ...                target_drop=0.005)
    >>> job.mode, job.timing.batch_sizes
    ('threshold', (1, 32))
    """

    data: DataSource = DataSource()
    model_name_or_path: str = option("a directory with exits: output of run_glue_ofa.py `exits`, or its best/ or last/")
    output_dir: str = option("where exit_policy.json, exit_table.safetensors, exits.json and exits.png go")
    model_type: str = model_type_option()
    width_mult: float = option(
        "of a supernet: share of heads and FFN neurons of the sub-model, 2/3 or 0.67; or its name, w0.6667_d1",
        1.0, above=0, most=1, example=MULTIPLIER, spells=multipliers,
    )  # fmt: skip
    depth_mult: float = option(
        "of a supernet: share of layers of the sub-model", 1.0, above=0, most=1, example=MULTIPLIER
    )
    criterion: str | None = option(
        f"what decides that a sample leaves; default: {registry.defaults_described()}",
        None,
        choices=registry.CRITERIA,
    )
    tolerance: float = option(
        "where confirmed numbers count: a number is confirmed by one that differs by less", 0.1, above=0
    )
    exit_threshold: float | None = option(
        f"use this threshold ({registry.thresholds_described()}; at 0 nobody leaves early); default: chosen by the"
        " targets",
        None,
    )
    geep_threshold: float | None = option(f"short for {_GEEP} `exit_threshold` X", None)
    target_drop: float | None = option(
        "choose the fastest threshold that loses at most so much of the score on the held-out part, 0.01 is one point;"
        " default without other targets: 0.01",
        None,
        least=0,
    )
    confidence: float | None = option(
        "how sure it must be that no more is lost than `target_drop` on new texts; 0: as measured on the held-out part;"
        " default: 0.95 with `target_drop`, 0 without",
        None,
        least=0,
        below=1,
    )
    target_speedup: float | None = option(
        "choose the best threshold that is so many times faster than no exits, measured at the last of `batch_sizes`",
        None,
        above=0,
    )
    mode: Literal["threshold", "predicted"] = option(
        "threshold: each exit decides; predicted: the exit layer is predicted from the tokens, so that each batch runs"
        " so many layers and one head",
        "threshold",
    )
    thresholds: int = option("points of the sweep, evenly spread over the layers saved", 12, above=0)
    timing: TimingSettings = TimingSettings()
    table_samples: int = option("training samples that the token table is learned from; 0: no table", 4096, least=0)
    device: Device = option(WHERE, "cpu", means=means)

    def problems(self) -> list[str]:
        found = []
        if self.geep_threshold is not None and (self.exit_threshold is not None or self.criterion is not None):
            found.append(f"`geep_threshold` is {_GEEP} `exit_threshold`; give one or the other")
        targets = self.target_drop is not None or self.target_speedup is not None
        if self.wanted_threshold is not None and targets:
            found.append("a threshold and `target_drop` or `target_speedup` exclude each other")
        if self.confidence is not None and self.target_drop is None:
            found.append("`confidence` is about `target_drop`; give that too")
        if self.mode == "predicted" and not self.table_samples:
            found.append("`mode` predicted needs the token table: `table_samples` above 0")
        return found

    @property
    def wanted_threshold(self) -> float | None:
        return self.exit_threshold if self.geep_threshold is None else self.geep_threshold

    @property
    def sure(self) -> float:
        """With which confidence a drop is kept; 0: it is the measured one. Whoever names a drop means it."""
        if self.confidence is not None:
            return self.confidence
        return 0.0 if self.target_drop is None else CONFIDENCE

    @property
    def allowed_drop(self) -> float | None:
        """How much of the score may be lost; None where only a speed-up was asked for."""
        return 0.01 if self.target_drop is None and self.target_speedup is None else self.target_drop

"""Flags of search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ofa_bert.data.config import LABEL_FLAGS, DataConfig
from ofa_bert.exits.criteria.registry import CRITERIA
from ofa_bert.models.families.registry import MODEL_TYPES
from ofa_bert.options import multipliers, not_negative, number, option, positive, unused, whole
from ofa_bert.search.costs import registry
from ofa_bert.search.costs.registry import COSTS, Budgets
from ofa_bert.training.config import DEVICES

# Flags that only one kind of search reads; the others refuse them.
_FPTAS = (
    "epsilon", "depths", "heads", "hidden", "ffn", "from_scratch", "max_steps", "learning_rates", "measure_time",
    "seeds",
)  # fmt: skip
_NSGA2 = (
    "trials", "minutes", "population", "loss_weight", "processes", "worker", "finetune_steps", "teacher",
    "learning_rate", "cost",
)  # fmt: skip
_OF_SUPERNET = ("min_width", "min_depth", "min_score", "latency_table", "max_file_mib", "file_precision")
_FROM_SCRATCH = ("hidden", "max_steps", "learning_rates", "measure_time", "seeds", "batch_size")

_OF_DATA = ("data_dir", "text_columns", *LABEL_FLAGS)


@dataclass(frozen=True)
class FptasFlags(DataConfig):
    """What only --algorithm fptas reads."""

    epsilon: int = option("fptas: evaluate every N-th candidate, by size; 1 evaluates all", 1, whole)
    depths: tuple | None = option(
        "fptas: numbers of layers D; default: every trained one and those between", None, whole, many=True
    )
    heads: tuple | None = option(
        "fptas: attention heads A; default: from the narrowest trained width on", None, whole, many=True
    )
    hidden: tuple | None = option("fptas: hidden sizes H, with --from_scratch; default: Bort's", None, whole, many=True)
    ffn: tuple | None = option(
        "fptas: FFN neurons I; default: from the narrowest trained width on", None, whole, many=True
    )
    from_scratch: bool = option(
        "fptas: train every candidate from random weights, as in the paper, instead of cutting it out of the supernet;"
        " ranges default to Bort's 300 shapes, the supernet is the maximum point",
        False,
        bool,
    )
    max_steps: int = option("fptas: training steps n of a candidate, at most", 100, whole)
    learning_rates: tuple = option("fptas: the hyper-parameter set, one learning rate each", (1e-3,), number, many=True)
    measure_time: bool = option(
        "fptas: measure the latency of every shape instead of counting its operations", False, bool
    )
    seeds: int = option("fptas: repeat with so many seeds and report how stable the ranks are", 1, whole)

    def fptas_problems(self) -> list[str]:
        found = positive(self, "epsilon", "max_steps", "seeds")
        for name in ("depths", "heads", "hidden", "ffn", "learning_rates"):
            if any(not value > 0 for value in getattr(self, name) or ()):
                found.append(f"--{name} {' '.join(map(str, getattr(self, name)))}: every value must be above 0")
        return found


@dataclass(frozen=True)
class SearchConfig(FptasFlags, Budgets):
    """python -m ofa_bert search."""

    model: str = option("the supernet: output directory of run_glue_ofa.py, or its best/ or last/")
    output_dir: str = option("where the front, the winner and the search itself go; the same command resumes it")
    model_type: str = option("model family, one with a paddle.nn.TransformerEncoder", "bert", choices=MODEL_TYPES)
    min_score: float | None = option(
        "the lowest held-out score that will do; the cheapest such is wanted", None, number
    )
    latency_table: tuple | None = option(
        "table of the device, from python -m ofa_bert latency; several, one for each --precision, search that too",
        None,
        many=True,
    )
    exits: bool = option(
        "search the threshold of early exits too; for a supernet with exits, and latency tables made of it", False, bool
    )
    exit_criterion: str | None = option(
        "what the thresholds of --exits are compared with; default: what the exits were trained for",
        None,
        choices=CRITERIA,
    )
    cost: str | None = option(
        "what to minimise beside the score; default: what the budget limits, else latency with a table, else flops",
        None,
        choices=COSTS,
    )
    algorithm: str = option(
        "nsga2 searches uneven sub-models; fptas (Bort) ranks uniform ones by the W-coefficient, or whole shapes with"
        " --from_scratch",
        "nsga2",
        choices=("nsga2", "fptas"),
    )
    trials: int = option("sub-models to evaluate", 300, whole)
    minutes: float | None = option("stop evaluating after so many minutes even before --trials", None, number)
    population: int = option("sub-models of a generation", 24, whole)
    examples: int = option("held-out examples that each trial is evaluated on; the front is on all of them", 256, whole)
    loss_weight: float = option(
        "searched is the score less so much of the distance to the supernet's outputs", 0.5, number
    )
    min_width: float | None = option("narrowest layer; default: the narrowest trained width", None, number)
    min_depth: float | None = option("fewest layers, as a share; default: the smallest trained depth", None, number)
    processes: int = option("processes that evaluate side by side, on a CPU", 1, whole)
    worker: bool = option("only add trials to a search that another process leads in --output_dir", False, bool)
    finetune_steps: int = option("distillation steps for the winner alone, before it is scored on dev", 0, whole)
    teacher: str | None = option(
        "teacher of --finetune_steps; default: the one the supernet was trained from, or the supernet itself", None
    )
    learning_rate: float = option("peak learning rate of --finetune_steps", 5e-5, number)
    batch_size: int = option("examples per step of --finetune_steps", 32, whole)
    seed: int = option("seed of everything random", 42, whole)
    device: str = option("where to run", "gpu", choices=DEVICES)

    def data_given(self) -> bool:
        return bool(self.task_name or self.train_file or self.dev_file)

    def problems(self) -> list[str]:
        found = super().problems() if self.data_given() else unused(self, _OF_DATA, "needs --task_name or --train_file")
        found += positive(
            self, *(cost.limit for cost in registry.every()), "trials", "minutes", "examples", "processes",
            "learning_rate", "batch_size",
        )  # fmt: skip
        found += not_negative(self, "loss_weight", "finetune_steps", "seed") + multipliers(
            self, "min_width", "min_depth"
        )
        if self.population < 4:
            found.append(f"--population {self.population}: must be at least 4, two of them are parents of a child")
        found += self._cost_problems() + self.fptas_problems() + self._joint_problems() + self._unused()
        if self.algorithm == "nsga2" and not self.limits() and self.min_score is None:
            budgets = ", ".join(f"--{cost.limit}" for cost in registry.every())
            found.append(f"say what is wanted: a budget ({budgets}) or a --min_score to keep")
        if self.processes > 1 and self.device != "cpu":
            found.append(f"--processes {self.processes}: needs --device cpu; on a GPU one process is enough")
        return found

    def _unused(self) -> list[str]:
        """Every flag that this kind of search would not read."""
        if self.algorithm == "nsga2":
            found = unused(self, _FPTAS, "is about --algorithm fptas; leave it out, or ask for that")
            if not self.finetune_steps:
                found += unused(
                    self, ("teacher", "learning_rate", "batch_size"), "is about --finetune_steps; give those"
                )
            return found
        found = unused(self, _NSGA2, "is about --algorithm nsga2; leave it out")
        if self.from_scratch:
            return found + unused(
                self, _OF_SUPERNET, "is about sub-models of a supernet; leave it out of --from_scratch"
            )
        why = "is about --from_scratch; leave it out: sub-models share the supernet's hidden size and are not trained"
        return found + unused(self, _FROM_SCRATCH, why)

    def _cost_problems(self) -> list[str]:
        if self.algorithm == "fptas" and self.from_scratch:
            if self.max_latency_ms and not self.measure_time:
                return ["--max_latency_ms with --from_scratch needs --measure_time: a table is of one hidden size"]
            return []
        found = []
        for cost in registry.every():
            asked = getattr(self, cost.limit) is not None or self.cost == cost.name
            if asked and cost.needs_table and not self.latency_table:
                found.append(f"a search by {cost.words} needs --latency_table; python -m ofa_bert latency makes one")
        if self.file_precision and self.latency_table:
            found.append(f"--file_precision {self.file_precision}: --latency_table says the precision; leave it out")
        return found

    def _joint_problems(self) -> list[str]:
        costs = registry.every()
        joint = (
            ("--exits", self.exits, [cost for cost in costs if cost.by_exits]),
            (
                "several --latency_table",
                len(self.latency_table or ()) > 1,
                [cost for cost in costs if cost.by_precision],
            ),
        )
        found = []
        for flag, given, able in joint:
            if given and self.algorithm == "fptas":
                found.append(f"{flag}: --algorithm fptas knows shapes alone; use nsga2")
            if given and self.searched_cost() not in [cost.name for cost in able]:
                words, names = (" or ".join(getattr(cost, what) for cost in able) for what in ("words", "name"))
                limits = " or ".join(f"--{cost.limit}" for cost in able)
                found.append(f"{flag}: is searched by {words}; give {limits}, or --cost {names}")
        if self.exit_criterion and not self.exits:
            found.append(f"--exit_criterion {self.exit_criterion}: is for --exits; give both or neither")
        if self.exits and not self.latency_table:
            found.append("--exits needs --latency_table: how much an early exit saves is a latency")
        return found

    def searched_cost(self) -> str:
        if self.cost:
            return self.cost
        return next(iter(self.limits()), registry.default(bool(self.latency_table)))

    def asked_precision(self) -> str | None:
        """Of the exported file, where no latency table says one; None when no cost depends on it."""
        asked = {self.searched_cost(), *self.limits()}
        if self.file_precision or not any(registry.cost(name).by_precision for name in asked):
            return self.file_precision
        return "fp32"

    def recorded_data(self, recorded: Any) -> DataConfig:
        """These data flags, or those that the supernet was trained with when none is given here."""
        if self.data_given():
            return self
        names = DataConfig.__dataclass_fields__
        columns = {name: tuple(v) if isinstance(v, list) else v for name, v in recorded.items() if name in names}
        return DataConfig(**columns)

"""What python -m ofa_bert search does, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ofa_bert.data.source import LABEL_OPTIONS, DataSource
from ofa_bert.exits.criteria.registry import CRITERIA
from ofa_bert.models.families.registry import model_type_option
from ofa_bert.options import option, unused, values_of
from ofa_bert.search.costs import registry
from ofa_bert.search.costs.latency import COST as LATENCY
from ofa_bert.search.costs.registry import COSTS, Budgets
from ofa_bert.search.front import Budget
from ofa_bert.search.speedups.settings import FamilySettings
from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.submodels.uneven import UnevenSpace, uneven_space
from ofa_bert.submodels.values import MULTIPLIER
from ofa_bert.system.accelerator import WHERE, Device, means

# Options that only one kind of search reads; the others refuse them.
_FPTAS = (
    "epsilon", "depths", "heads", "hidden", "ffn", "from_scratch", "max_steps", "learning_rates", "measure_time",
    "seeds",
)  # fmt: skip
_NSGA2 = (
    "trials", "minutes", "population", "loss_weight", "processes", "worker", "storage", "finetune_steps",
    "teacher", "learning_rate", "cost", "speedups",
)  # fmt: skip
_OF_SUPERNET = ("min_width", "min_depth", "min_score", "latency_table", "max_file_mib", "file_precision")
_FROM_SCRATCH = ("hidden", "max_steps", "learning_rates", "measure_time", "seeds", "batch_size")
_OF_DATA = ("data_dir", "text_columns", *LABEL_OPTIONS)


@dataclass(frozen=True, kw_only=True)
class SupernetSource:
    """The supernet that is searched, and its data where they are not those that it was trained on."""

    data: DataSource = DataSource()
    model: str = option("the supernet: output directory of run_glue_ofa.py, or its best/ or last/")
    model_type: str = model_type_option()


@dataclass(frozen=True, kw_only=True)
class Wanted(Budgets):
    """What the winner must keep, and what is minimised; or the speeds of a family."""

    family: FamilySettings = FamilySettings()
    min_score: float | None = option("the lowest held-out score that will do; the cheapest such is wanted", None)
    cost: str | None = option(
        "what to minimise beside the score; default: what the budget limits, else latency with a table, else flops",
        None,
        choices=COSTS,
    )

    def budget(self) -> Budget:
        return Budget(self.limits(), self.min_score)

    def searched(self, has_table: bool) -> str:
        """The name of the cost that is minimised."""
        first = LATENCY.name if self.family.speedups else registry.default(has_table)
        return self.cost or (first if self.family.speedups else next(iter(self.limits()), first))


@dataclass(frozen=True, kw_only=True)
class RunModeChoice:
    """The ways to run a sub-model that are searched beside it."""

    latency_table: tuple[str, ...] | None = option(
        "table of the device, from python -m ofa_bert latency; several, one for each `precision`, search that too", None
    )
    exits: bool = option(
        "search the threshold of early exits too; for a supernet with exits, and latency tables made of it", False
    )
    exit_criterion: str | None = option(
        "what the thresholds of `exits` are compared with; default: what the exits were trained for",
        None,
        choices=CRITERIA,
    )


@dataclass(frozen=True, kw_only=True)
class SpaceLimits:
    """The smallest sub-model."""

    min_width: float | None = option(
        "narrowest layer; default: the narrowest trained width", None, above=0, most=1, example=MULTIPLIER
    )
    min_depth: float | None = option(
        "fewest layers, as a share; default: the smallest trained depth", None, above=0, most=1, example=MULTIPLIER
    )

    def of(self, space: SearchSpace) -> UnevenSpace:
        """What is searched of a supernet that was trained on `space`."""
        return uneven_space(
            space.shape, self.min_width or min(space.width_mults), self.min_depth or min(space.depth_mults)
        )


@dataclass(frozen=True, kw_only=True)
class NsgaSettings:
    """How NSGA-II searches."""

    trials: int = option("sub-models to evaluate", 300, above=0)
    minutes: float | None = option("stop evaluating after so many minutes even before `trials`", None, above=0)
    population: int = option("sub-models of a generation", 24, least=4, example=", two of them are parents of a child")
    loss_weight: float = option(
        "searched is the score less so much of the distance to the supernet's outputs", 0.5, least=0
    )
    processes: int = option("processes that evaluate side by side, on a CPU", 1, above=0)
    worker: bool = option(
        "only add trials to a search that another process leads, in `output_dir` or in `storage`", False
    )
    storage: str | None = option(
        "address of a database for the trials, as postgresql://user@host/name: processes of any machines that search"
        " with the same settings share them; default: a file in `output_dir`",
        None,
    )


@dataclass(frozen=True, kw_only=True)
class WinnerFinetuning:
    """Distillation of the winner alone."""

    finetune_steps: int = option("distillation steps for the winner alone, before it is scored on dev", 0, least=0)
    teacher: str | None = option(
        "teacher of `finetune_steps`; default: the one the supernet was trained from, or the supernet itself", None
    )
    learning_rate: float = option("peak learning rate of `finetune_steps`", 5e-5, above=0)


@dataclass(frozen=True, kw_only=True)
class ScratchSettings:
    """How fptas trains whole shapes from random weights."""

    hidden: tuple[int, ...] | None = option(
        "fptas: hidden sizes H, with `from_scratch`; default: Bort's", None, above=0
    )
    from_scratch: bool = option(
        "fptas: train every candidate from random weights, as in the paper, instead of cutting it out of the supernet;"
        " ranges default to Bort's 300 shapes, the supernet is the maximum point",
        False,
    )
    max_steps: int = option("fptas: training steps n of a candidate, at most", 100, above=0)
    learning_rates: tuple[float, ...] = option(
        "fptas: the hyper-parameter set, one learning rate each", (1e-3,), above=0
    )
    measure_time: bool = option("fptas: measure the latency of every shape instead of counting its operations", False)


@dataclass(frozen=True, kw_only=True)
class FptasSettings:
    """Bort's walk."""

    epsilon: int = option("fptas: evaluate every N-th candidate, by size; 1 evaluates all", 1, above=0)
    depths: tuple[int, ...] | None = option(
        "fptas: numbers of layers D; default: every trained one and those between", None, above=0
    )
    heads: tuple[int, ...] | None = option(
        "fptas: attention heads A; default: from the narrowest trained width on", None, above=0
    )
    ffn: tuple[int, ...] | None = option(
        "fptas: FFN neurons I; default: from the narrowest trained width on", None, above=0
    )
    scratch: ScratchSettings = ScratchSettings()
    seeds: int = option("fptas: repeat with so many seeds and report how stable the ranks are", 1, above=0)


@dataclass(frozen=True, kw_only=True)
class SearchJob:
    """What `search_sub_models`, `search_fptas` and python -m ofa_bert search do.

    >>> from ofa_bert import SearchJob, make_job
    >>> job = make_job(SearchJob, model="supernet", output_dir="search", max_latency_ms=8, latency_table="cpu.json")
    >>> job.cost, job.nsga.trials
    ('latency_ms', 300)
    """

    source: SupernetSource
    output_dir: str = option("where the front, the winner and the search itself go; the same command resumes it")
    wanted: Wanted = Wanted()
    modes: RunModeChoice = RunModeChoice()
    algorithm: Literal["nsga2", "fptas"] = option(
        "nsga2 searches uneven sub-models; fptas (Bort) ranks uniform ones by the W-coefficient, or whole shapes with"
        " `from_scratch`",
        "nsga2",
    )
    nsga: NsgaSettings = NsgaSettings()
    examples: int = option(
        "held-out examples that each trial is evaluated on; the front is on all of them", 256, above=0
    )
    space: SpaceLimits = SpaceLimits()
    finetuning: WinnerFinetuning = WinnerFinetuning()
    batch_size: int = option("examples per step of `finetune_steps`, or of `from_scratch`", 32, above=0)
    fptas: FptasSettings = FptasSettings()
    seed: int = option("seed of everything random", 42, least=0)
    device: Device = option(WHERE, "auto", means=means)

    @property
    def worker(self) -> bool:
        return self.nsga.worker

    @property
    def cost(self) -> str:
        """The name of what is minimised."""
        return self.wanted.searched(bool(self.modes.latency_table))

    @property
    def precision(self) -> str | None:
        """Of the exported file, where no latency table says one; None when no cost depends on it."""
        asked = {self.cost, *self.wanted.limits()}
        if self.wanted.file_precision or not any(registry.cost(name).by_precision for name in asked):
            return self.wanted.file_precision
        return "fp32"

    def deciding(self) -> dict[str, object]:
        """The settings that the value of a sub-model depends on."""
        found: dict[str, object] = {"exits": self.modes.exits} if self.modes.latency_table else {}
        chosen = {"exit_criterion": self.modes.exit_criterion, "file_precision": self.wanted.file_precision}
        found.update({name: value for name, value in chosen.items() if value is not None})
        return {
            **found,
            "cost": self.cost,
            **self.wanted.limits(),
            "examples": self.examples,
            "loss_weight": self.nsga.loss_weight,
            "min_width": self.space.min_width,
            "min_depth": self.space.min_depth,
            "seed": self.seed,
            "population": self.nsga.population,
            "min_score": self.wanted.min_score,
        }

    def problems(self) -> list[str]:
        data = self.source.data
        found = []
        if not data.task_name and not data.train_file and not data.dev_file:
            found += unused(self, _OF_DATA, "needs `task_name` or `train_file`")
        found += self._cost_problems() + self._joint_problems() + self._unused()
        family = self.wanted.family
        found += family.clashes(values_of(self), self.wanted.cost, bool(self.modes.latency_table))
        wanted = self.wanted.limits() or family.speedups
        if self.algorithm == "nsga2" and not wanted and self.wanted.min_score is None:
            budgets = ", ".join(f"`{cost.limit}`" for cost in registry.every())
            found.append(f"say what is wanted: a budget ({budgets}), a `min_score` to keep, or `speedups` of a family")
        storage = self.nsga.storage
        if storage is not None and "://" not in storage:
            found.append(f"`storage` {storage}: is no address of a database; one is like postgresql://user@host/name")
        if self.nsga.processes > 1 and self.device != "cpu":
            found.append(f"`processes` {self.nsga.processes}: needs `device` cpu; on a GPU one process is enough")
        return found

    def _unused(self) -> list[str]:
        """Every option that this kind of search would not read."""
        if self.algorithm == "nsga2":
            found = unused(self, _FPTAS, "is about `algorithm` fptas; leave it out, or ask for that")
            if not self.finetuning.finetune_steps:
                own = ("teacher", "learning_rate", "batch_size")
                found += unused(self, own, "is about `finetune_steps`; give those")
            return found
        found = unused(self, _NSGA2, "is about `algorithm` nsga2; leave it out")
        if self.fptas.scratch.from_scratch:
            why = "is about sub-models of a supernet; leave it out of `from_scratch`"
            return found + unused(self, _OF_SUPERNET, why)
        why = "is about `from_scratch`; leave it out: sub-models share the supernet's hidden size and are not trained"
        return found + unused(self, _FROM_SCRATCH, why)

    def _cost_problems(self) -> list[str]:
        tables, precision = self.modes.latency_table, self.wanted.file_precision
        if self.algorithm == "fptas" and self.fptas.scratch.from_scratch:
            if self.wanted.max_latency_ms and not self.fptas.scratch.measure_time:
                return ["`max_latency_ms` with `from_scratch` needs `measure_time`: a table is of one hidden size"]
            return []
        found = []
        for cost in registry.every():
            asked = cost.name in self.wanted.limits() or self.wanted.cost == cost.name
            if asked and cost.needs_table and not tables:
                found.append(f"a search by {cost.words} needs `latency_table`; python -m ofa_bert latency makes one")
        if precision and tables:
            found.append(f"`file_precision` {precision}: `latency_table` says the precision; leave it out")
        return found

    def _joint_problems(self) -> list[str]:
        costs, modes = registry.every(), self.modes
        joint = (
            ("`exits`", modes.exits, [cost for cost in costs if cost.by_exits]),
            (
                "several `latency_table`",
                len(modes.latency_table or ()) > 1,
                [cost for cost in costs if cost.by_precision],
            ),
        )
        found = []
        for what, given, able in joint:
            if given and self.algorithm == "fptas":
                found.append(f"{what}: `algorithm` fptas knows shapes alone; use nsga2")
            if given and self.cost not in [cost.name for cost in able]:
                words, names = (" or ".join(getattr(cost, part) for cost in able) for part in ("words", "name"))
                limits = " or ".join(f"`{cost.limit}`" for cost in able)
                found.append(f"{what}: is searched by {words}; give {limits}, or `cost` {names}")
        if modes.exit_criterion and not modes.exits:
            found.append(f"`exit_criterion` {modes.exit_criterion}: is for `exits`; give both or neither")
        if modes.exits and not modes.latency_table:
            found.append("`exits` needs `latency_table`: how much an early exit saves is a latency")
        return found

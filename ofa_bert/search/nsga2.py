"""NSGA-II over a space of sub-models, through Optuna: a study in an SQLite file that resumes and can be shared."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ofa_bert.errors import UserError
from ofa_bert.files.studies import plain_errors, require_optuna, sqlite_storage
from ofa_bert.options import changes
from ofa_bert.search.front import Budget, Point
from ofa_bert.submodels.uneven import UnevenSpace, vary
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.system.owner import Owner

STUDY = "sub-models"
_OWNER = "owner"  # of a trial: the process that is at it
_TRIES = 100  # children drawn before a sub-model that was evaluated already is accepted


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation found: the value to maximise, the score that a budget asks for, and all costs by name."""

    value: float
    score: float
    costs: Mapping[str, float]
    more: Mapping[str, Any] = field(default_factory=dict)

    def point(self, sub_model: SubModelConfig, cost: str) -> Point:
        return Point(sub_model, self.value, self.costs[cost], self.score, self.costs, self.more)


@dataclass(frozen=True)
class Nsga:
    """One search. `evaluate` is never called twice for a sub-model, neither here nor in a process that shares the file.

    The same seed gives the same trials, whenever the search was killed and continued, as long as one process works on
    it: what a trial draws depends on the finished ones and, where several processes of this machine share the file, on
    what the living others have taken. `first` is evaluated before anything else; `settings` are what an existing file
    must agree with.
    """

    space: UnevenSpace
    evaluate: Callable[[SubModelConfig], Evaluated]
    cost: str
    budget: Budget
    first: Sequence[SubModelConfig] = ()
    population: int = 24
    seed: int = 42
    storage: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def run(
        self, trials: int, stop: Callable[[], bool] = lambda: False, done: Callable[[int], None] = lambda _: None
    ) -> list[Point]:
        """Go on until the study holds `trials` evaluations or `stop()`; the points of all of them, in order.

        UserError for a file that is no study of this search, RunError when it cannot be written.
        """
        optuna = require_optuna()
        with plain_errors(self.storage):
            study = self._study(optuna)
            self._release(study, optuna)
            while not stop():
                finished = _finished(study, optuna)
                done(len(finished))
                if len(finished) >= trials:
                    break
                self._one(study, optuna)
            return [self._point(trial) for trial in _finished(study, optuna)]

    def _point(self, trial: Any) -> Point:
        return self._evaluated(trial).point(self.space.decode(trial.params), self.cost)

    def _evaluated(self, trial: Any) -> Evaluated:
        try:
            return Evaluated(**trial.user_attrs["evaluated"])
        except (KeyError, TypeError) as error:
            raise UserError(
                f"{self.storage}: trial {trial.number} holds no evaluation ({error!r}); move the file away or name"
                " another directory"
            ) from error

    def _study(self, optuna: Any) -> Any:
        storage = None if self.storage is None else sqlite_storage(optuna, self.storage)
        directions = ["maximize", "minimize"]
        study = optuna.create_study(
            storage=storage, study_name=STUDY, directions=directions, load_if_exists=True, sampler=self._sampler(optuna)
        )
        wanted = dict(self.settings)
        found = study.user_attrs.get("settings")
        if found is None:
            study.set_user_attr("settings", wanted)
        elif found != wanted:
            text = changes(found, wanted)
            raise UserError(
                f"{self.storage}: holds another search: {text}. Give the same values or another `output_dir`"
            )
        return study

    def _sampler(self, optuna: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a later major version will take the constraints another way
            return _sampler_class(optuna)(
                integers=self._integers(optuna),
                next_genes=lambda study, number, parents: self._next(study, optuna, number, parents),
                population_size=self.population,
                seed=self.seed,
                constraints_func=lambda trial: trial.user_attrs["violations"],
            )

    def _integers(self, optuna: Any) -> dict[str, Any]:
        return {name: optuna.distributions.IntDistribution(*both) for name, both in self.space.ranges().items()}

    def _next(self, study: Any, optuna: Any, number: int, parents: Sequence[Any]) -> dict[str, int]:
        """The genes of trial `number`: the first guesses, then random ones, then children of the parents."""
        finished, others = _finished(study, optuna), _of_others(study, optuna)
        # Another process may be in the middle of writing its genes.
        whole = [trial for trial in (*finished, *others) if len(trial.params) == len(self.space.ranges())]
        taken = {self.space.decode(trial.params) for trial in whole}
        for guess in map(self.space.encode, self.first):
            if self.space.decode(guess) not in taken:
                return guess
        # A trial's number only tells apart processes that draw at the same moment: it counts trials of killed ones too.
        place = f" {number}" if others else ""
        rng = random.Random(f"{self.seed} {len(finished)} {1 + len(others)}{place}")
        # Sorted: Optuna hands the same parents over in another order after a restart.
        genes = [trial.params for trial in sorted(parents, key=lambda trial: trial.number)]
        for _ in range(_TRIES):
            made = vary(self.space, genes, rng) if genes else self.space.draw(rng)
            if self.space.decode(made) not in (None, *taken):
                return made
        return genes[0] if genes else made

    def _one(self, study: Any, optuna: Any) -> None:
        trial = study.ask(self._integers(optuna))
        sub_model = self.space.decode(trial.params)
        known = {self.space.decode(other.params): other for other in _finished(study, optuna)}
        found = self._evaluated(known[sub_model]) if sub_model in known else self.evaluate(sub_model)
        trial.set_user_attr("evaluated", asdict(found))
        trial.set_user_attr("violations", list(self.budget.violations(found.costs, found.score)))
        study.tell(trial, [found.value, found.costs[self.cost]])

    def _release(self, study: Any, optuna: Any) -> None:
        """Give up the trials of processes of this machine that ended without finishing them."""
        for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
            owner = _owner(trial)
            if owner is not None and (owner.is_me() or owner.alive() is False):
                study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


def _sampler_class(optuna: Any) -> Any:
    class Sampler(optuna.samplers.NSGAIISampler):
        """Optuna's generations, selection and constraints, with our own genes.

        Everything that one trial hands to the next is in the study, so a killed search goes on as if it had not been.
        """

        def __init__(
            self, integers: dict[str, Any], next_genes: Callable[..., dict[str, int]], **settings: Any
        ) -> None:
            super().__init__(**settings)
            self._integers = integers
            self._next_genes = next_genes

        def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
            # First of all, so that a trial without an owner is one whose process was killed.
            study._storage.set_trial_user_attr(trial._trial_id, _OWNER, Owner.mine().to_json())
            return self._integers

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, int]:
            generation = self.get_trial_generation(study, trial)
            return self._next_genes(study, trial.number, self.get_parent_population(study, generation))

    return Sampler


def _finished(study: Any, optuna: Any) -> list[Any]:
    return study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))


def _of_others(study: Any, optuna: Any) -> list[Any]:
    """The trials that other living processes of this machine are at; a search is not shared between machines."""
    running = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
    owners = [(trial, _owner(trial)) for trial in running]
    return [trial for trial, owner in owners if owner is not None and owner.alive() and not owner.is_me()]


def _owner(trial: Any) -> Owner | None:
    return Owner.from_json(trial.user_attrs.get(_OWNER))

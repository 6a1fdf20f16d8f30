"""NSGA-II over a space of sub-models, through Optuna: a study in an SQLite file or a database, resumed and shared."""

from __future__ import annotations

import hashlib
import json
import logging
import random
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING

from ofa_bert.errors import UserError
from ofa_bert.files.fields import Fields
from ofa_bert.files.studies import Database, Place, plain_errors, reading, require_optuna, storage_at
from ofa_bert.options import changes
from ofa_bert.reporting import one_line, shown
from ofa_bert.search.front import Budget, EvaluatedJson, More, Point, read_evaluated
from ofa_bert.submodels.uneven import UnevenSpace, vary
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.system.owner import Owner

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

# (study, number of the trial, parents) -> its genes.
NextGenes = Callable[["Study", int, "Sequence[FrozenTrial]"], dict[str, int]]

logger = logging.getLogger(__name__)

STUDY = "sub-models"
_OWNER = "owner"  # of a trial: the process that is at it
_CURE = "move the file away or name another directory"
_LOST = 3600.0  # seconds after which a trial of another machine counts as given up
_WAIT = 1.0  # seconds until it is asked again whether the others are done
_TRIES = 100  # children drawn before a sub-model that was evaluated already is accepted


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation found: the value to maximise, the score that a budget asks for, and all costs by name."""

    value: float
    score: float
    costs: Mapping[str, float]
    more: More = field(default_factory=More)

    def point(self, sub_model: SubModelConfig, cost: str) -> Point:
        return Point(sub_model, self.value, self.costs[cost], self.score, self.costs, self.more)

    def to_json(self) -> EvaluatedJson:
        return {"value": self.value, "score": self.score, "costs": dict(self.costs), "more": self.more}


@dataclass(frozen=True)
class Nsga:
    """One search. `evaluate` is never called twice for a sub-model, neither here nor in a process that shares the file.

    The same seed gives the same trials, whenever the search was killed and continued, as long as one process works on
    it: what a trial draws depends on the finished ones and, where several processes share the file, on what the living
    others have taken. `first` is evaluated before anything else; `settings` are what an existing file must agree with.
    In a `Database` each search has a study of its own, found by its settings; the processes that share it, on whatever
    machines, end with the same trials.
    """

    space: UnevenSpace
    evaluate: Callable[[SubModelConfig], Evaluated]
    cost: str
    budget: Budget
    first: Sequence[SubModelConfig] = ()
    population: int = 24
    seed: int = 42
    storage: Place | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    _seen: dict[int, float] = field(default_factory=dict, init=False, compare=False)  # others' trial -> first when

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
            for trial in self._read(study, optuna):
                self._check(trial)
            while not stop():
                finished = _finished(study, optuna)
                done(len(finished))
                if len(finished) >= trials:
                    break
                if self._shared and len(finished) + len(self._of_others(study, optuna)) >= trials:
                    time.sleep(_WAIT)  # the others are at the last ones
                else:
                    self._one(study, optuna, trials)
            return [self._point(trial) for trial in _finished(study, optuna)]

    def _point(self, trial: FrozenTrial) -> Point:
        return self._evaluated(trial).point(self._sub_model(trial), self.cost)

    def _sub_model(self, trial: FrozenTrial) -> SubModelConfig:
        ranges = self.space.ranges()
        genes = {name: trial.params.get(name) for name in ranges}
        whole = all(type(gene) is int and ranges[name][0] <= gene <= ranges[name][1] for name, gene in genes.items())
        found = self.space.decode(trial.params) if whole else None
        if found is None:
            raise UserError(f"{self._where(trial)}: is of no sub-model; {_CURE}")
        return found

    def _evaluated(self, trial: FrozenTrial) -> Evaluated:
        found = Evaluated(**read_evaluated(Fields(trial.user_attrs, self._where(trial), _CURE).inner("evaluated")))
        if self.cost not in found.costs:
            raise UserError(f"{self._where(trial)}: does not say its {self.cost}; {_CURE}")
        return found

    def _where(self, trial: FrozenTrial) -> str:
        return f"{self.storage}: trial {trial.number}"

    def _read(self, study: Study, optuna: ModuleType) -> list[FrozenTrial]:
        with reading(self.storage):
            return _finished(study, optuna)

    def _check(self, trial: FrozenTrial) -> None:
        """UserError for a finished trial that this search did not write: a file may hold anything."""
        point = self._point(trial)
        fields = Fields(trial.user_attrs, self._where(trial), _CURE)
        if len(fields.numbers("violations")) != len(self.budget.violations(point.costs, point.score)):
            fields.wrong("violations", "a number for each limit")
        if trial.values != [point.value, point.cost]:
            raise UserError(f"{self._where(trial)}: its values are not those of its evaluation; {_CURE}")

    @property
    def _shared(self) -> bool:
        return isinstance(self.storage, Database)

    def _name(self) -> str:
        """Of the study: in a database many searches lie beside each other."""
        if not self._shared:
            return STUDY
        settings = json.dumps(self.settings, sort_keys=True)
        return f"{STUDY} {hashlib.sha256(settings.encode()).hexdigest()[:16]}"

    def _study(self, optuna: ModuleType) -> Study:
        storage = None if self.storage is None else storage_at(optuna, self.storage)
        directions = ["maximize", "minimize"]
        sampler = self._sampler(optuna)
        with reading(self.storage):
            study: Study = optuna.create_study(
                storage=storage, study_name=self._name(), directions=directions, load_if_exists=True, sampler=sampler
            )
            if self._shared:
                logger.info("%s: study %r, %d trials so far", self.storage, self._name(), len(_finished(study, optuna)))
            found, asked = study.user_attrs.get("settings"), [each.name.lower() for each in study.directions]
        if asked != directions:
            raise UserError(f"{self.storage}: is no study of a search: it is to {' and '.join(asked)}; {_CURE}")
        wanted = dict(self.settings)
        if found is None:
            study.set_user_attr("settings", wanted)
        elif found != wanted:
            text = changes(found, wanted) if isinstance(found, dict) else shown(found)
            raise UserError(
                f"{self.storage}: holds another search: {one_line(text)}. Give the same values or another `output_dir`"
            )
        return study

    def _sampler(self, optuna: ModuleType) -> BaseSampler:
        def next_genes(study: Study, number: int, parents: Sequence[FrozenTrial]) -> dict[str, int]:
            return self._next(study, optuna, number, parents)

        return _made_sampler(self._integers(optuna), next_genes, self.population, self.seed, self.storage)

    def _integers(self, optuna: ModuleType) -> dict[str, BaseDistribution]:
        return {name: optuna.distributions.IntDistribution(*both) for name, both in self.space.ranges().items()}

    def _next(self, study: Study, optuna: ModuleType, number: int, parents: Sequence[FrozenTrial]) -> dict[str, int]:
        """The genes of trial `number`: the first guesses, then random ones, then children of the parents."""
        finished, others = _finished(study, optuna), self._of_others(study, optuna)
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

    def _one(self, study: Study, optuna: ModuleType, trials: int) -> None:
        trial = study.ask(self._integers(optuna))
        if self._shared:
            taken = [*_finished(study, optuna), *self._of_others(study, optuna)]
            if sum(each.number < trial.number for each in taken) >= trials:  # another was quicker with the last one
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                return
        sub_model = self.space.decode(trial.params)
        if sub_model is None:
            raise ValueError(f"the genes {trial.params} are of no sub-model")
        known = {self.space.decode(other.params): other for other in _finished(study, optuna)}
        found = self._evaluated(known[sub_model]) if sub_model in known else self.evaluate(sub_model)
        trial.set_user_attr("evaluated", found.to_json())
        trial.set_user_attr("violations", list(self.budget.violations(found.costs, found.score)))
        told = study.tell(trial, [found.value, found.costs[self.cost]])
        if told.state != optuna.trial.TrialState.COMPLETE:  # else the search would ask for ever
            raise UserError(f"{self.storage}: is no study of a search: it does not take a result; {_CURE}")

    def _release(self, study: Study, optuna: ModuleType) -> None:
        """Give up the trials of processes of this machine that ended without finishing them."""
        with reading(self.storage):
            running = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
        for trial in running:
            owner = _owner(trial)
            if owner is not None and (owner.is_me() or self._alive(owner) is False):
                study.tell(trial.number, state=optuna.trial.TrialState.FAIL)

    def _alive(self, owner: Owner) -> bool | None:
        """As of `Owner.alive`; machines that share a database may have one name."""
        return None if self._shared and owner.boot != Owner.mine().boot else owner.alive()

    def _of_others(self, study: Study, optuna: ModuleType) -> list[FrozenTrial]:
        """The trials that other living processes are at; of another machine those that are not seen for long."""
        running = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
        owners = [(trial, _owner(trial)) for trial in running]
        return [trial for trial, owner in owners if self._is_at_it(trial, owner)]

    def _is_at_it(self, trial: FrozenTrial, owner: Owner | None) -> bool:
        if owner is not None and owner.is_me():
            return False
        alive = self._alive(owner) if owner else None  # a trial has one a moment after it began
        if alive is None and self._shared:  # by this process's clock: others' may be of another time zone
            return time.monotonic() - self._seen.setdefault(trial.number, time.monotonic()) < _LOST
        return bool(alive)


def _made_sampler(
    integers: dict[str, BaseDistribution], next_genes: NextGenes, population: int, seed: int, storage: Place | None
) -> BaseSampler:
    from optuna.samplers import NSGAIISampler  # optional, and a second to import

    class Sampler(NSGAIISampler):
        """Optuna's generations, selection and constraints, with our own genes.

        Everything that one trial hands to the next is in the study, so a killed search goes on as if it had not been.
        """

        def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
            # First of all, so that a trial without an owner is one whose process was killed.
            study._storage.set_trial_user_attr(trial._trial_id, _OWNER, Owner.mine().to_json())
            return integers

        def sample_relative(
            self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
        ) -> dict[str, int]:
            with reading(storage):
                parents = self.get_parent_population(study, self.get_trial_generation(study, trial))
            return next_genes(study, trial.number, parents)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a later major version will take the constraints another way
        made: BaseSampler = Sampler(
            population_size=population, seed=seed, constraints_func=lambda trial: trial.user_attrs["violations"]
        )
    return made


def _finished(study: Study, optuna: ModuleType) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))


def _owner(trial: FrozenTrial) -> Owner | None:
    return Owner.from_json(trial.user_attrs.get(_OWNER))

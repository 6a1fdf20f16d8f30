"""Hyper-parameter search around run_glue.py's job with early stopping, through Optuna; in the spirit of Bort's Agora.

Bort's shapes do not finetune with the usual settings; its authors tried grids of learning rates, warm-ups, weight
decays, batch sizes and seeds. Here runs are compared on a part of train that none of them trains on, and a run that is
below the median of the earlier ones at the same step is stopped. Dev is used once, for the best run.
"""

from __future__ import annotations

import logging
import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypedDict

from ofa_bert.data.encoding.encoded import rows_of
from ofa_bert.data.encoding.token_ids import DIRECTORY, encode_once
from ofa_bert.data.held_out import split_holdout
from ofa_bert.errors import RunError, UserError
from ofa_bert.files import lock
from ofa_bert.files.atomic import remove, write_json_atomic
from ofa_bert.files.fields import Fields
from ofa_bert.files.studies import plain_errors, reading, require_optuna, sqlite_storage
from ofa_bert.models.directories import load_model, save_model
from ofa_bert.models.model_type import with_model_type
from ofa_bert.models.record import check_task
from ofa_bert.options import changes, to_json
from ofa_bert.reporting import one_line, shown
from ofa_bert.system.provenance import versions
from ofa_bert.tasks.task import Datasets
from ofa_bert.training.evaluation import score, stock_forward
from ofa_bert.training.finetune import finetune
from ofa_bert.training.output_directory import RESULTS
from ofa_bert.training.settings import FinetuneJob
from ofa_bert.training.tuning.job import TuneJob

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

logger = logging.getLogger(__name__)

HELD_OUT = "held out"
SEEDS = 5
STUDY = "study.db"
_STARTUP = 4  # runs that are never stopped: there is nothing to compare them with
_LEFT_OUT = ("output_dir", "trials", "minutes", "logging_steps", "log_to", "device")  # may differ when it goes on


class Chosen(TypedDict):
    """The settings of one run."""

    learning_rate: float
    batch_size: int
    weight_decay: float
    warmup_proportion: float
    seed: int


class BestTrial(Chosen):
    trial: int
    score: float


class TrialRow(Chosen):
    """steps: until its last evaluation. score: None for a run that was stopped."""

    trial: int
    state: str
    steps: int
    score: float | None


class TuneResults(TypedDict):
    task: str
    best: BestTrial
    dev: Mapping[str, float]
    trials: list[TrialRow]
    tuned_on: int
    config: Mapping[str, object]
    versions: Mapping[str, str]


@lock.writer("output_dir")
def tune(job: TuneJob, datasets: Datasets) -> TuneResults:
    """Run the trials, keep the best one's weights in best/, score it on dev. Returns what results.json says."""
    optuna = require_optuna()
    model = with_model_type(job.finetuning.model, job.finetuning.model.model_name_or_path)
    job = replace(job, finetuning=replace(job.finetuning, model=model))
    output, started = Path(job.output_dir), time.monotonic()
    output.mkdir(parents=True, exist_ok=True)
    rows = rows_of(datasets.train)
    rest, held = split_holdout(len(rows), max(1, int(len(rows) * job.tune_share)), job.finetuning.loop.seed)
    parts = [tuple(datasets.train[i] for example in part for i in rows.each[example]) for part in (rest, held)]
    own = Datasets(datasets.task, parts[0], {HELD_OUT: parts[1]}, scored_on=HELD_OUT)
    study = _study(optuna, job, output)
    with plain_errors(output / STUDY):
        with reading(output / STUDY):
            running = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
            ended = _ended(study, optuna)
        for trial in ended:
            _check_trial(output / STUDY, trial)
        for trial in running:
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # of a run of this command that was killed
        while len(_ended(study, optuna)) < job.trials and not _late(job, started):
            _one(optuna, study, job, own, output)
    try:
        best, reached = study.best_trial, study.best_value
    except ValueError as error:
        raise RunError(
            f"none of {len(study.trials)} runs came to its end; lower `learning_rates`, or give more `minutes`"
        ) from error
    _keep_best(study, output)  # a kill may have come between a run's end and this
    results: TuneResults = {
        "task": datasets.task.name,
        "best": {"trial": _number(best), "score": reached, **_chosen(best)},
        "dev": _dev_once(job, datasets, _directory(output, _number(best)) / "best", output),
        "trials": [_row(trial) for trial in _ended(study, optuna)],
        "tuned_on": len(held),
        "config": to_json(job),
        "versions": versions(),
    }
    write_json_atomic(output / RESULTS, results)
    return results


def _late(job: TuneJob, started: float) -> bool:
    return job.minutes is not None and time.monotonic() - started > 60 * job.minutes


def _study(optuna: ModuleType, job: TuneJob, output: Path) -> Study:
    with plain_errors(output / STUDY):
        return _opened(optuna, job, output)


def _opened(optuna: ModuleType, job: TuneJob, output: Path) -> Study:
    storage = sqlite_storage(optuna, output / STUDY)
    settings = {name: value for name, value in to_json(job).items() if name not in _LEFT_OUT}
    with reading(output / STUDY):
        study: Study = optuna.create_study(
            storage=storage,
            study_name="tune",
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_STARTUP),
        )
        before = study.user_attrs.get("settings", settings)
    text = one_line(changes(before, settings, "`")) if isinstance(before, dict) else shown(before)
    if text:
        raise UserError(f"{output}: holds another search: {text}. Give the same values or another `output_dir`")
    study.set_user_attr("settings", settings)
    return study


def _ended(study: Study, optuna: ModuleType) -> list[FrozenTrial]:
    states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    return study.get_trials(deepcopy=False, states=states)


def _check_trial(path: Path, trial: FrozenTrial) -> None:
    """UserError for a run that ended as none of this command does: a file may hold anything."""
    fields = Fields(trial.params, f"{path}: trial {trial.number}", "move the file away or name another directory")
    for name in ("learning_rate", "weight_decay", "warmup_proportion"):
        fields.number(name, 0)
    fields.whole("batch_size", least=1)
    fields.whole("seed", least=0)
    about = Fields(trial.user_attrs, fields.where, fields.cure)
    about.whole("run", least=0, default=trial.number)
    if trial.state.name == "COMPLETE" and (len(trial.values) != 1 or not math.isfinite(trial.values[0])):
        raise UserError(f"{fields.where}: its score is {shown(trial.values)}; {fields.cure}")


def _number(trial: FrozenTrial) -> int:
    """Of a run among those that ended: Optuna's own number counts runs that were killed too."""
    return int(trial.user_attrs.get("run", trial.number))


def _directory(output: Path, number: int) -> Path:
    return output / f"trial-{number}"


def _one(optuna: ModuleType, study: Study, job: TuneJob, datasets: Datasets, output: Path) -> None:
    """One run with settings that Optuna chooses. Only the best run's directory is kept."""
    # Seeded by what is finished, so that a search that was killed goes on as if it had not been.
    ended = _ended(study, optuna)
    number = 1 + max(map(_number, ended), default=-1)
    study.sampler = optuna.samplers.TPESampler(seed=job.finetuning.loop.seed + len(ended))
    trial = study.ask()
    trial.set_user_attr("run", number)
    chosen: Chosen = {
        "learning_rate": trial.suggest_float("learning_rate", *job.learning_rates, log=True),
        "batch_size": trial.suggest_categorical("batch_size", list(job.batch_sizes)),
        "weight_decay": trial.suggest_categorical("weight_decay", list(job.weight_decays)),
        "warmup_proportion": trial.suggest_categorical("warmup_proportion", list(job.warmups)),
        "seed": trial.suggest_int("seed", 0, SEEDS - 1),
    }
    directory = _directory(output, number)
    remove(directory)  # of a run that was killed, or of a study that was deleted
    settings = _finetuning(job, directory, chosen)
    logger.info("run %d: %s", number, "  ".join(f"{name} {value:.4g}" for name, value in trial.params.items()))

    def observe(step: int, value: float) -> None:
        trial.report(value, step)
        if trial.should_prune():
            raise optuna.TrialPruned()

    try:
        found = finetune(settings, datasets, observe, token_cache=output / DIRECTORY)
    except optuna.TrialPruned:
        logger.info("run %d is stopped: below the median", number)
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        remove(directory)
        return
    except RunError as error:  # diverged: a result too
        logger.info("run %d failed: %s", number, error)
        trial.report(float("-inf"), 0)
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        remove(directory)
        return
    study.tell(trial, found["best"]["score"])
    _keep_best(study, output)


def _keep_best(study: Study, output: Path) -> None:
    for other in output.glob("trial-*"):
        if other != _directory(output, _number(study.best_trial)):
            shutil.rmtree(other)


def _finetuning(job: TuneJob, directory: Path, chosen: Chosen) -> FinetuneJob:
    """One run: the settings that all share, and those that were chosen for it."""
    base = job.finetuning
    loop = replace(
        base.loop,
        batch_size=chosen["batch_size"],
        warmup_proportion=chosen["warmup_proportion"],
        seed=chosen["seed"],
    )
    rates = replace(base.optimizer, learning_rate=chosen["learning_rate"], weight_decay=chosen["weight_decay"])
    return replace(base, output_dir=str(directory), loop=loop, optimizer=rates)


def _dev_once(job: TuneJob, datasets: Datasets, best: Path, output: Path) -> dict[str, float]:
    """Score the best run on dev, and write it to best/ with that score."""
    model, tokenizer, record = load_model(best, job.finetuning.model.model_type)
    model.eval()
    dev = {
        name: encode_once(
            part, tokenizer, job.finetuning.loop.length, output / DIRECTORY, stride=datasets.task.doc_stride
        )
        for name, part in datasets.dev.items()
    }
    scores = score(
        check_task(str(best), record, datasets.task),
        stock_forward(model),
        dev,
        tokenizer.pad_token_id,
        label="best run on dev",
    )
    save_model(output / "best", model, tokenizer, replace(record, scores=scores, score=scores["score"]))
    return scores


def _chosen(trial: FrozenTrial) -> Chosen:
    params = trial.params
    return {
        "learning_rate": params["learning_rate"],
        "batch_size": params["batch_size"],
        "weight_decay": params["weight_decay"],
        "warmup_proportion": params["warmup_proportion"],
        "seed": params["seed"],
    }


def _row(trial: FrozenTrial) -> TrialRow:
    steps = max(trial.intermediate_values, default=0)
    state = trial.state.name.lower()
    return {"trial": _number(trial), "state": state, "steps": steps, "score": trial.value, **_chosen(trial)}


def printable(results: TuneResults, most: int = 8) -> list[dict[str, str]]:
    """The best runs that came to their end, for `reporting.table`."""
    scored = [(r["score"], r) for r in results["trials"] if r["state"] == "complete" and r["score"] is not None]
    whole = sorted(scored, key=lambda pair: -pair[0])
    return [
        {
            "run": str(row["trial"]),
            f"score on {results['tuned_on']} held out": f"{value:.4f}",
            "learning rate": f"{row['learning_rate']:.2e}",
            "batch": str(row["batch_size"]),
            "weight decay": str(row["weight_decay"]),
            "warm-up": str(row["warmup_proportion"]),
            "seed": str(row["seed"]),
        }
        for value, row in whole[:most]
    ]

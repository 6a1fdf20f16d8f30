"""What a training run leaves behind: best/, last/, the newest checkpoint, results.json; and how it comes back."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict, TypeGuard, TypeVar

import paddle
from paddle import nn

from ofa_bert.data.tokenization.text_tokenizer import Cutter
from ofa_bert.errors import UserError
from ofa_bert.files import lock
from ofa_bert.files.atomic import recover, write_json_atomic
from ofa_bert.files.fields import Fields
from ofa_bert.files.reading import read_json
from ofa_bert.models.directories import save_model
from ofa_bert.models.record import ModelRecord, is_number, numbers
from ofa_bert.options import changes
from ofa_bert.reporting import one_line, shown
from ofa_bert.system.machine import host_peak_mib
from ofa_bert.system.provenance import versions
from ofa_bert.tasks.task import Task
from ofa_bert.training import distributed
from ofa_bert.training.checkpoints import (
    latest_checkpoint,
    restore_checkpoint,
    save_checkpoint,
)
from ofa_bert.training.output_directory import RESULTS, RUN, check_free, step_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What is found at a checkpoint. `score` chooses best/, `scores` go into the history.

    lines: what the log says. recorded: the scores for ofa_config.json; default: `scores`. more: what else goes there.
    also: name of a further directory -> the score that decides whether it is written. task: as the model decides it
    now, where that is chosen anew at every evaluation.
    """

    score: float
    scores: Mapping[str, object]
    lines: Sequence[str] = ()
    recorded: Mapping[str, object] | None = None
    more: Mapping[str, object] = field(default_factory=dict)
    also: Mapping[str, float] = field(default_factory=dict)
    task: Task | None = None


class Best(TypedDict):
    """What chose a directory."""

    step: int
    score: float
    scores: Mapping[str, object]


class Entry(TypedDict):
    """One evaluation of the history."""

    step: int
    seconds: float
    scores: Mapping[str, object]


class Scored(TypedDict):
    """The same where every score is a number."""

    step: int
    score: float
    scores: Mapping[str, float]


class ScoredEntry(TypedDict):
    step: int
    seconds: float
    scores: Mapping[str, float]


class RunState(TypedDict, total=False):
    """Where a run stood at a checkpoint; empty for a new run."""

    step: int
    seconds: float
    best: dict[str, Best]
    history: list[Entry]


class RunResults(TypedDict, total=False):
    """What results.json says of every run; each job adds its own."""

    history: list[Entry]
    seconds: float
    processes: int
    peak_memory_mib: int
    data: Mapping[str, object]
    config: Mapping[str, object]
    versions: Mapping[str, str]


R = TypeVar("R", bound=RunResults)
_AGES = 1e10  # seconds: three centuries


class RunDirectory:
    """Keeps the best and the last weights of one run. Only the main process writes.

    `state` is what `restore` returned: empty for a new run. Layers in `beside` are saved beside the model.
    `trained` is what resuming must restore. `data` is what results.json says of the data.
    """

    def __init__(
        self,
        output: Path,
        model: nn.Layer,
        tokenizer: Cutter,
        record: ModelRecord,
        state: RunState,
        beside: Mapping[str, nn.Layer],
        trained: nn.Layer,
        data: Mapping[str, object] | None = None,
    ) -> None:
        self._started = time.monotonic() - state.get("seconds", 0.0)
        self.output = output
        self.model = model
        self.tokenizer = tokenizer
        self.record = record
        self.beside = dict(beside)
        self.trained = trained
        self.data = dict(data or {})
        self.best: dict[str, Best] = dict(state.get("best", {}))
        self.history: list[Entry] = list(state.get("history", []))

    def consider(self, name: str, step: int, score: float, found: Evaluation) -> bool:
        """Write the directory `name` when `score` is the highest yet; the first of equals stays."""
        if name in self.best and score <= self.best[name]["score"]:
            return False
        self.best[name] = {"step": step, "score": score, "scores": dict(found.scores)}
        self._save(name, step, found)
        return True

    def checkpoint(self, step: int, optimizer: paddle.optimizer.Optimizer, found: Evaluation, last: bool) -> None:
        """Write what resuming needs; at the end of the run also last/."""
        seconds = self._seconds()
        self.history.append({"step": step, "seconds": round(seconds, 1), "scores": dict(found.scores)})
        if last:
            self._save("last", step, found)
        if distributed.is_main():
            state: RunState = {"step": step, "seconds": seconds, "best": self.best, "history": self.history}
            save_checkpoint(self.output, step, self.trained, optimizer, state)
        distributed.barrier()

    def _save(self, name: str, step: int, found: Evaluation) -> None:
        if distributed.is_main():
            scores = found.scores if found.recorded is None else found.recorded
            more = {**self.record.more, **found.more}
            task = found.task or self.record.task
            record = dataclasses.replace(self.record, task=task, scores=dict(scores), step=step, more=more)
            save_model(self.output / name, self.model, self.tokenizer, record, self.beside)

    def scored_best(self) -> Scored:
        """What chose best/, for a job whose scores are numbers."""
        best = self.best["best"]
        return {"step": best["step"], "score": best["score"], "scores": numbers(best["scores"])}

    def scored_last(self) -> ScoredEntry:
        """The last evaluation, likewise."""
        last = self.history[-1]
        return {"step": last["step"], "seconds": last["seconds"], "scores": numbers(last["scores"])}

    def _seconds(self) -> float:
        """Of this run and of those that it continues."""
        return time.monotonic() - self._started

    def write_results(self, config: Mapping[str, object], own: R) -> R:
        """results.json: `own`, to which is added what every run says, and the settings `config`. Returns it."""
        own["history"] = self.history
        own["seconds"] = round(self._seconds(), 1)
        own["processes"] = distributed.world_size()
        own["peak_memory_mib"] = peak_memory_mib()
        if self.data:
            own["data"] = self.data
        own["config"] = dict(config)
        own["versions"] = versions()
        if distributed.is_main():
            write_json_atomic(self.output / RESULTS, own)
            lock.release(self.output)
        return own


def restore(output: Path, model: nn.Layer, optimizer: paddle.optimizer.Optimizer) -> RunState:
    """Load the newest whole checkpoint into model and optimizer; its state, or {} when there is none yet."""
    path = latest_checkpoint(output)
    if path is None:
        logger.info("`resume`: no checkpoint in %s yet; starting from the beginning", output)
        return {}
    state = _checked_state(path, restore_checkpoint(path, model, optimizer), optimizer._learning_rate.last_epoch)
    logger.info("resuming %s after step %d", path, state["step"])
    return state


def _checked_state(path: Path, state: Mapping[str, object], scheduled: int) -> RunState:
    """The state of a run; UserError for one that no run of this program leaves, although its digest is right."""
    step, seconds = state.get("step"), state.get("seconds")
    best, history = state.get("best"), state.get("history")
    found: RunState = {}
    problems = []
    if type(step) is int and step == step_of(path) and step == scheduled:
        found["step"] = step
    else:
        problems.append(f"step {shown(step)} of a schedule that stands at {scheduled}")
    if is_number(seconds) and 0 <= seconds < _AGES:
        found["seconds"] = seconds
    else:
        problems.append(f"{shown(seconds)} seconds")
    most = step_of(path)
    if _are_best(best, most):
        found["best"] = best
    else:
        problems.append(f"best scores {shown(best)}")
    if _is_history(history, most):
        found["history"] = history
    else:
        problems.append(f"a history of {shown(history)}")
    if problems:
        raise UserError(f"`resume` {path}: its state is impossible: {'; '.join(problems)}; remove it and resume")
    return found


def _has_scores(value: object, number: str, most: int) -> bool:
    """Whether it is an object with scores, a step of at most `most`, and a number of that name."""
    if not isinstance(value, dict) or not isinstance(value.get("scores"), dict):
        return False
    found, step = value.get(number), value.get("step")
    # Of a run that diverged it may be NaN. No score is infinite: nothing would ever beat it.
    return is_number(found) and not math.isinf(found) and type(step) is int and 0 <= step <= most


def _are_best(value: object, most: int) -> TypeGuard[dict[str, Best]]:
    return isinstance(value, dict) and all(_has_scores(each, "score", most) for each in value.values())


def _is_history(value: object, most: int) -> TypeGuard[list[Entry]]:
    return isinstance(value, list) and all(_has_scores(each, "seconds", most) for each in value)


def peak_memory_mib() -> int:
    """The most memory that this process has held so far: on the host, and on the GPU when it computes there."""
    import paddle

    host = int(host_peak_mib() or 0)
    if paddle.get_device().startswith("gpu"):
        return host + paddle.device.cuda.max_memory_allocated() // 2**20
    return host


# Settings that a resumed run may change: they decide nothing about the weights it ends with.
FREE = {"output_dir", "resume", "logging_steps", "log_to", "save_steps", "device"}


def check_output_dir(path: str | Path, settings: Mapping[str, object], resume: bool, what: str) -> None:
    """Refuse a directory that holds another run; otherwise the main process records this one in ofa_run.json.

    A directory with best/, last/ or a checkpoint holds a run. Without `resume` that is a UserError. With it,
    the recorded kind of run (`what`) and settings must be the same, but for those in FREE. Other files do
    not matter: training writes none of their names. The main process holds the directory from here to its results,
    or to the end of the process: no other may write it.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        check_free(path, resume)
    if distributed.is_main():
        lock.hold(path)
        for name in ("best", "last"):
            recover(path / name)
    settings = json.loads(json.dumps(dict(settings)))
    if check_free(path, resume):
        _check_same_run(path, what, settings)
    elif distributed.is_main():
        write_json_atomic(path / RUN, {"what": what, "settings": settings})


def _check_same_run(path: Path, what: str, settings: Mapping[str, object]) -> None:
    stored = Fields(read_json(path / RUN), str(path / RUN), "name another `output_dir`")
    held, before = stored.text("what"), stored.mapping("settings")
    if held != what:
        held = one_line(held, 80)
        raise UserError(f"`output_dir` {path}: holds a {held} run, not a {what} run; name another directory")
    both = set(before) & set(settings) - FREE
    text = changes({key: before[key] for key in both}, {key: settings[key] for key in both}, "`")
    if text:
        raise UserError(f"`resume` in {path}: {one_line(text)}. Give the same values, or name another `output_dir`")

"""`pretrain --elastic` by the twin: an encoder's depths trained, and written as the product writes them."""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ofa_bert.cli.process import show
from ofa_bert.errors import RunError
from ofa_bert.files import lock
from ofa_bert.files.atomic import write_json_atomic
from ofa_bert.models.record import ModelRecord
from ofa_bert.options import to_json
from ofa_bert.progress import Progress
from ofa_bert.system.provenance import versions
from ofa_bert.training.output_directory import check_free
from ofa_bert.training.pretraining.elastic_job import ElasticJob
from ofa_bert.training.pretraining.elastic_plan import line_of
from twin.device import card, device_of
from twin.elastic.command_line import ElasticTold, told_to_pretrain
from twin.elastic.pace import BySteps, ByTime, Pace
from twin.elastic.setup import Setup
from twin.elastic.step import ElasticObjective, ElasticSteps, distances, learning
from twin.graphs import Losses
from twin.net import Net
from twin.optimizer import AdamW
from twin.record import RESULTS
from twin.schedule import make_schedule, stream

logger = logging.getLogger("ofa_bert.torch_twin")

_AHEAD = 8  # steps that the host may be ahead of the GPU, so that the clock means what is trained
Distances = Mapping[str, Mapping[str, float]]


def pretrain(argv: Sequence[str]) -> None:
    """best/, last/ and results.json, as the product's."""
    told = told_to_pretrain(argv)
    job, device = told.job(), device_of(told.own.device)
    output = Path(job.output_dir)
    check_free(output, False)
    where = dataclasses.replace(job.loop, device="gpu" if device == "cuda" else "cpu", amp=told.own.autocast)
    job = dataclasses.replace(job, loop=where)
    output.mkdir(parents=True, exist_ok=True)
    with lock.holding(output):
        torch.manual_seed(job.loop.seed)
        setup = Setup.of(job, told.own.also)
        kept = _Kept(output, setup, _record(told, job, setup, device))
        start = _trained(told, job, setup, kept, device)
        kept.write_results(job, start, argv)
    best = kept.best
    show(f"nearest to the encoder on held-out texts after step {best['step']}:")
    for name, values in best["scores"].items():
        show(line_of(name, values))
    show(f"written to {output}; finetune it with run_glue.py")


def _record(told: ElasticTold, job: ElasticJob, setup: Setup, device: str) -> ModelRecord:
    """The product's, and by what it was made."""
    own = told.own
    layers = {name: list(each.layers) for name, each in setup.sub_models.items()}
    twin = {"torch": torch.__version__, "device": card(device), "autocast": own.autocast, "kept_layers": layers}
    more = {"twin": {**twin, **({"seconds": own.seconds} if own.seconds else {})}}
    return dataclasses.replace(setup.record(job), more=more)


def _trained(told: ElasticTold, job: ElasticJob, setup: Setup, kept: _Kept, device: str) -> Distances:
    """All steps; the distances as the encoder came."""
    teacher, held_out = Net.of(setup.directory, device), setup.corpus.held_out()
    net = teacher.copy().trainable(job.supernet_dropout, job.supernet_dropout)
    objective = ElasticObjective.of(job, net)

    def evaluate() -> Distances:
        found = distances(net, teacher, objective, setup.sub_models, held_out)
        for name, values in found.items():
            logger.info("%s", line_of(name, values))
        return found

    start = evaluate()
    optimizer = AdamW(learning(net, objective), job.optimizer)
    train = ElasticSteps(net, teacher, objective, optimizer, told.own.autocast == "bf16")
    pace, sub_models = _pace(told, job, setup), tuple(setup.sub_models.values())
    window: list[Losses] = []
    with Progress(
        total=pace.schedule.steps if isinstance(pace, BySteps) else None, desc="pretrain", unit="step"
    ) as bar:
        for step, batch in enumerate(stream(setup.corpus)):
            factor = pace.factor(step)
            if factor is None:
                break
            window.append(train(batch, step, job.optimizer.learning_rate * factor, sub_models))
            bar.update()
            if device == "cuda" and step % _AHEAD == 0:
                torch.cuda.synchronize()
            done = step + 1
            if done % job.loop.logging_steps == 0:
                _log(done, window)
            if done % job.loop.save_steps == 0:
                kept.evaluated(done, evaluate(), net)
    if window:
        _log(step, window)
    if not kept.history or kept.history[-1]["step"] != step:
        kept.evaluated(step, evaluate(), net)
    kept.save("last", step, kept.history[-1]["scores"], net)
    return start


def _pace(told: ElasticTold, job: ElasticJob, setup: Setup) -> Pace:
    if told.own.seconds:
        return ByTime(told.own.seconds, job.loop.warmup_proportion)
    return BySteps(make_schedule(job.loop, setup.corpus.steps_per_epoch))


def _log(done: int, window: list[Losses]) -> None:
    """The means since the last time; RunError where they are no numbers."""
    names = window[0][0]
    means = {name: float(torch.stack([each[name] for step in window for each in step]).mean()) for name in names}
    window.clear()
    if not all(map(math.isfinite, means.values())):
        raise RunError(f"the loss became NaN or infinite by step {done}: try a lower `learning_rate`")
    logger.info("step %d  %s", done, "  ".join(f"{name} {value:.4f}" for name, value in means.items()))


@dataclass
class _Kept:
    """What the run leaves: best/ is the nearest to the encoder on held-out texts."""

    output: Path
    setup: Setup
    record: ModelRecord
    best: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def evaluated(self, step: int, found: Distances, net: Net) -> None:
        self.history.append({"step": step, "seconds": self._seconds(), "scores": found})
        score = -float(np.mean([values["loss"] for values in found.values()]))
        if not self.best or score > self.best["score"]:
            self.best = {"step": step, "score": score, "scores": found}
            self.save("best", step, found, net)

    def save(self, name: str, step: int, found: Distances, net: Net) -> None:
        directory = dataclasses.replace(self.setup.directory, weights=net.arrays())
        directory.write(self.output / name, dataclasses.replace(self.record, step=step, scores=found))

    def write_results(self, job: ElasticJob, start: Distances, argv: Sequence[str]) -> None:
        layers = {name: list(each.layers) for name, each in self.setup.sub_models.items()}
        found = {"kept_layers": layers, "start": start, "best": self.best, "last": self.history[-1]}
        found |= {"history": self.history, "seconds": self._seconds(), "steps": self.history[-1]["step"]}
        found |= {"config": to_json(job), "versions": {**versions(), "torch": torch.__version__}, "command": list(argv)}
        write_json_atomic(self.output / RESULTS, {**found, **self.record.more})

    def _seconds(self) -> float:
        return round(time.monotonic() - self.started, 1)

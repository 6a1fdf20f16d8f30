"""When a step trains what, and how fast: the supernet's plan and sandwich once more, without Paddle."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from ofa_bert.data.corpus import Corpus
from ofa_bert.data.encoding.batches import Batch, TrainBatches
from ofa_bert.data.encoding.changed_batches import ChangedBatches
from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.training.settings import LoopSettings
from ofa_bert.training.supernet.job import SupernetJob


@dataclass(frozen=True)
class Schedule:
    """ends: the step after each stage, ascending; the last is the number of all steps."""

    ends: tuple[int, ...]
    warmup: int
    planted: bool = False  # a wrong one, to see that a comparison finds it: the rate never falls

    @property
    def steps(self) -> int:
        return self.ends[-1]

    def factor(self, step: int) -> float:
        """Of the peak learning rate: up from near 0 and down to 0, in every stage anew."""
        begin, end = next(pair for pair in itertools.pairwise((0, *self.ends)) if step < pair[1])
        if self.planted:
            return 1.0
        length, done = end - begin, step - begin
        rising = min(self.warmup, length - 1)
        return (done + 1) / (rising + 1) if done < rising else (length - done) / (length - rising)


def make_schedule(settings: LoopSettings, steps_per_epoch: int, first_stage: float = 0.0) -> Schedule:
    """first_stage: its share of all steps; 0 where there is one stage."""
    total = settings.max_steps
    if total <= 0:
        total = max(1, math.ceil(settings.num_train_epochs * steps_per_epoch))
    ends = (max(1, round(total * first_stage)), total) if first_stage else (total,)
    shortest = min(end - begin for begin, end in itertools.pairwise((0, *ends)))
    return Schedule(ends, settings.warmup_steps or int(settings.warmup_proportion * shortest))


def supernet_schedule(job: SupernetJob, steps_per_epoch: int) -> Schedule:
    return make_schedule(job.loop, steps_per_epoch, 0.0 if job.stages == "joint" else job.width_stage_share)


def trained(job: SupernetJob, space: SearchSpace, schedule: Schedule, step: int) -> tuple[SubModelConfig, ...]:
    """The sub-models of a step: in the first stage of two, those of the largest depth alone."""
    if len(schedule.ends) > 1 and step < schedule.ends[0]:
        space = SearchSpace(space.shape, space.width_mults, space.depth_mults[:1], space.kept_layers[:1])
    if job.sandwich < 0:
        return tuple(space.sub_models().values())
    return space.sandwich(job.sandwich, random.Random(step_seed(job.loop.seed, step)))


def step_seed(seed: int, step: int) -> int:
    """The product's number for a step of a single process."""
    word = 0xFFFFFFFF
    mixed = (seed * 0x9E3779B1 + step * 0x85EBCA77) & word
    mixed = ((mixed ^ (mixed >> 16)) * 0x7FEB352D) & word
    return ((mixed ^ (mixed >> 15)) * 0x846CA68B & word) >> 1


def stream(batches: TrainBatches | ChangedBatches | Corpus) -> Iterator[Batch]:
    """Epoch after epoch, without end."""
    for epoch in itertools.count():
        yield from batches.epoch(epoch)

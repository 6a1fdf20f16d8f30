"""A model with exits on the data it is tried on: what its exits say, what a route answers, how long that takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from paddle import nn

from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.exits.loop import Answers
from ofa_bert.exits.outputs import Outputs
from ofa_bert.exits.policy import Policy
from ofa_bert.exits.sweep import taken
from ofa_bert.exits.token_table import TokenTable
from ofa_bert.models.exits.heads import Exits
from ofa_bert.models.supernet import whole
from ofa_bert.system.timing import in_turn
from ofa_bert.tasks.task import Task
from ofa_bert.training.exits.answering import answer, answer_at
from ofa_bert.training.exits.jobs import TimingSettings
from ofa_bert.training.exits.states import Frozen, collect

_FEWEST_TIMED = 32


class ExitRoute(NamedTuple):
    """How samples are answered: by a policy at the exits `ask`, or with a table at the exits that it predicts."""

    policy: Policy
    ask: tuple[int, ...]
    table: TokenTable | None = None

    def places(self, outputs: Outputs, encoded: Encoded) -> np.ndarray:
        """The place [N] of each sample's exit."""
        if self.table is not None:
            return self.table.predict(encoded.input_ids)
        return taken(self.policy, outputs, self.ask)


@dataclass(frozen=True)
class Subject:
    """A model with exits, the data it is tried on, and how it is run."""

    timing: TimingSettings
    task: Task
    model: nn.Layer
    exits: Exits
    pad_id: int
    train: Encoded
    held_out: Encoded
    dev: Mapping[str, Encoded]

    def outputs(self, encoded: Encoded, label: str) -> Outputs:
        sub_model = whole(self.model)
        return collect(Frozen(self.model, encoded, {label: sub_model}, self.pad_id), self.exits, sub_model, label)

    def run(self, encoded: Encoded, way: ExitRoute, batch_size: int) -> Answers:
        if way.table is not None:
            places = way.table.predict(encoded.input_ids)
            return answer_at(self.model, self.exits, places, encoded, batch_size, self.pad_id)
        pool = self.timing.pool
        return answer(self.model, self.exits, way.policy, encoded, batch_size, self.pad_id, pool, way.ask)

    def milliseconds(self, encoded: Encoded, ways: Mapping[str, ExitRoute]) -> dict[str, dict[str, float]]:
        """Name -> batch size -> ms per sample: the fastest of several runs over the same samples, made in turn."""
        found: dict[str, dict[str, float]] = {name: {} for name in ways}
        for size in self.timing.batch_sizes:
            count = min(len(encoded), self.timing.timing_samples, max(_FEWEST_TIMED, size * self.timing.pool))
            samples = encoded.select(np.linspace(0, len(encoded) - 1, count).astype(int))
            runs = {name: partial(self.run, samples, way, size) for name, way in ways.items()}
            for name, times in in_turn(runs, self.timing.repeats, warmup=1).items():
                found[name][str(size)] = float(times.min()) / count
        return found

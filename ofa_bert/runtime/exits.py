"""A bundle's model with exits, run: only the layers that a sample needs and the heads that are asked. No Paddle.

`run` takes many padded texts at once, a pool, and makes batches of them itself, so that these stay full when samples
leave: by threshold they are packed anew after each exit, by prediction texts of one exit come together beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ofa_bert.bundle.exits import ExitPlan, plan_of
from ofa_bert.bundle.manifest import Bundle, open_bundle
from ofa_bert.data.encoding.batches import plan_batches
from ofa_bert.errors import RunError, first_line
from ofa_bert.exits.loop import Answer, Answers, Kind, Stage, Work, advance
from ofa_bert.exits.token_table import TokenTable
from ofa_bert.numerics import Floats
from ofa_bert.runtime.backends.base import Ids
from ofa_bert.runtime.exit_tensors import Array, Part
from ofa_bert.runtime.opening import ExitParts, open_exit_parts

Numbers = NDArray[np.int64]  # [N], of the samples


class Limits(NamedTuple):
    """Of a batch: samples, and tokens with padding, but that a single sample may have more."""

    rows: int
    tokens: int

    def room(self, length: int) -> int:
        return max(1, min(self.rows, self.tokens // max(1, length)))


class ExitModel:
    """The parts of a model with exits, and the plan that they are run by."""

    def __init__(self, parts: ExitParts, plan: ExitPlan, num_labels: int, pad_token_id: int, limits: Limits):
        self.parts, self.plan, self.limits = parts, plan, limits
        self._num_labels, self._pad = num_labels, pad_token_id
        # What travels: hidden states [B, T, H], and the ids [B, T] that say what is padding.
        self._kind = Kind(parts.library, ((1, 0.0), (1, pad_token_id)))
        last = len(plan.layers) - 1
        ends = range(last + 1) if plan.table is not None else (*plan.ask, last)
        self.stages = [self._stage(begin, end) for begin, end in zip([0, *(end + 1 for end in ends)], ends)]

    def run(self, input_ids: Ids, token_type_ids: Ids) -> Answers:
        """Logits [N, C] and layers [N] of int64 ids [N, T], padded at their ends; all of them are one pool."""
        answers = Answers.empty(len(input_ids), self._num_labels)
        lengths = np.maximum(1, _lengths(input_ids, self._pad))
        if self.plan.table is not None:
            self._predicted(self.plan.table, input_ids, token_type_ids, lengths, answers)
            return answers
        batches = plan_batches(lengths, *self.limits)
        work = [self._begin(input_ids, token_type_ids, rows, lengths) for rows in batches]
        advance(work, self.stages, self.plan.policy, self.limits.room, answers)
        return answers

    def _predicted(self, table: TokenTable, ids: Ids, types: Ids, lengths: Numbers, answers: Answers) -> None:
        places = table.predict([row[:length] for row, length in zip(ids, lengths)])
        for place in np.unique(places):
            group = np.flatnonzero(places == place)
            for rows in plan_batches(lengths[group], *self.limits):
                work = self._begin(ids, types, group[rows], lengths)
                answers.logits[work.index] = self._complete(place, *work.tensors)
                answers.layers[work.index] = self.plan.layers[place]

    def _complete(self, place: int, token_type_ids: Ids, input_ids: Ids) -> Array:
        if place in self.parts.complete:
            return self._run(self.parts.complete[place], input_ids, token_type_ids)[0]
        return self._ask(place, self._layers(0, place, token_type_ids, input_ids), input_ids)[0]

    def _begin(self, ids: Ids, types: Ids, rows: Numbers, lengths: Numbers) -> Work:
        """A batch of rows cut to their longest. Until its first layers ran, its token types travel as hidden states."""
        longest = int(lengths[rows].max())
        return Work.begin(self._kind, (types[rows, :longest], ids[rows, :longest]), rows)

    def _stage(self, begin: int, end: int) -> Stage:
        certain = self.plan.policy.rule.needs_certainty

        def run(hidden: Array, input_ids: Ids) -> Answer:
            hidden = self._layers(begin, end, hidden, input_ids)
            logits, *certainty = self._ask(end, hidden, input_ids)
            return Answer((hidden, input_ids), logits, certainty[0] if certain and certainty else None)

        return Stage(run, self.plan.layers[end])

    def _layers(self, begin: int, end: int, hidden: Array, input_ids: Ids) -> Array:
        """Hidden states after segment `end`, from those before segment `begin`; before the first, from token types."""
        for place in range(begin, end + 1):
            inputs = (input_ids, hidden) if place == 0 else (hidden, input_ids)
            (hidden,) = self._run(self.parts.segments[place], *inputs)  # [B, T, H]
        return hidden

    def _ask(self, place: int, hidden: Array, input_ids: Ids) -> list[Floats]:
        """Logits [B, C], and certainty [B] if the head has one; what heads answer is on the host."""
        return cast("list[Floats]", self._run(self.parts.heads[place], hidden, input_ids))

    def _run(self, part: Part, *arrays: Array) -> list[Array]:
        try:
            return part(*arrays)
        except (RunError, MemoryError):
            raise
        except Exception as error:  # each library has its own types; what they say matters, not which it is
            shape = "batch {}, length {}".format(*arrays[-1].shape)
            reason = first_line(error)
            raise RunError(f"the model failed on {shape}: {reason}") from error


def open_exits(
    bundle: str | Path | Bundle,
    threshold: float | str | None,
    mode: str | None = None,
    criterion: str | None = None,
    limits: Sequence[int] = (64, 512),
    backend: str = "auto",
    precision: str = "fp32",
    device: str = "cpu",
    threads: int | None = None,
    provider: str | None = None,
    drop: float | None = None,
) -> ExitModel:
    """The bundle's exits, ready to run; threshold to criterion, and drop, as of `plan_of`, the others as in
    opening.open_model. In a worker process too."""
    bundle = open_bundle(bundle)
    plan = plan_of(bundle, threshold, mode, criterion, drop)
    parts = open_exit_parts(bundle, plan, backend, precision, device, threads, provider)
    return ExitModel(parts, plan, bundle.manifest.num_labels, bundle.manifest.pad_token_id, Limits(*limits))


def _lengths(input_ids: Ids, pad: int) -> Numbers:
    """Tokens [N] of each row until the last that is no padding."""
    lengths: Numbers = input_ids.shape[1] - np.argmax(input_ids[:, ::-1] != pad, axis=1)
    return lengths

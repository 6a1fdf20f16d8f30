"""The exits of a bundle as a run needs them: which policy it follows, and from which files. No Paddle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from ofa_bert.bundle.exit_entry import ChosenPolicy, ExitsEntry
from ofa_bert.bundle.manifest import Bundle
from ofa_bert.errors import UserError
from ofa_bert.exits.criteria.registry import CRITERIA
from ofa_bert.exits.policy import MODES, Policy, check_threshold
from ofa_bert.exits.token_table import TokenTable, read_table
from ofa_bert.tasks.task import Task

FOLDER = "exits"  # inside the bundle; also the key in its manifest
HIDDEN = "hidden"  # hidden states [B, T, H] that enter a graph
CERTAINTY = "certainty"  # [B], of every head but the last
FROM_POLICY = "policy"  # in place of a threshold: what the bundle's exit_policy.json says


class Parts(NamedTuple):
    """Of one precision: the files of the layers up to each exit, and of each exit's head.

    moves: of ONNX, what takes rows of hidden states and what joins two of them, for states that stay on a GPU.
    """

    segments: list[list[Path]]
    heads: list[list[Path]]
    moves: list[list[Path]]
    precision: str


@dataclass(frozen=True)
class ExitPlan:
    """How a run answers: `layers` [E + 1] run until each exit, the last one included.

    ask: the places of the exits before the last that may answer. table: predicts the exit instead; else the policy
    decides at every exit that is asked.
    """

    layers: tuple[int, ...]
    policy: Policy
    ask: tuple[int, ...]
    table: TokenTable | None = None


def exits_of(bundle: Bundle) -> ExitsEntry:
    """What the manifest says of exits; UserError when there are none."""
    if bundle.manifest.exits is None:
        raise UserError(
            f"{bundle.path}: has no early exits; train them with run_glue_ofa.py `exits` and export that directory with"
            " export_model.py, or leave the exit threshold out"
        )
    return bundle.manifest.exits


def plan_of(
    bundle: Bundle, threshold: float | str | None, mode: str | None = None, criterion: str | None = None,
    drop: float | None = None,
) -> ExitPlan:  # fmt: skip
    """The way that a run answers. UserError for a threshold that cannot be meant and for what the bundle lacks.

    threshold: a number, compared at every exit by `criterion` (that of the bundle's policy, or what its exits were
    trained for); or "policy": threshold, criterion and the exits to ask as chosen at `python -m ofa_bert exits`.
    mode: "threshold" or "predicted"; unless given, the policy's, and "threshold" for a number.
    drop: instead of a threshold: the fastest of the policy's curve that promises to lose at most so much of the score.
    """
    entry = exits_of(bundle)
    count = len(entry.layers) - 1
    if mode is not None and mode not in MODES:
        raise UserError(f"exit_mode {mode}: must be one of {', '.join(MODES)}")
    if drop is not None:
        policy, ask = _within(bundle, entry, drop)
    elif threshold == FROM_POLICY:
        chosen = _chosen(bundle, entry, criterion)
        policy, ask, mode = chosen.policy, chosen.ask, mode or chosen.mode
    else:
        task = bundle.manifest.decided_task
        policy, ask = _given(entry, task, threshold, criterion), tuple(range(count))
    plan = ExitPlan(entry.layers, policy, () if policy.never(count) else ask)
    return replace(plan, table=_table(bundle.path, entry, threshold)) if mode == "predicted" else plan


def _chosen(bundle: Bundle, entry: ExitsEntry, criterion: str | None) -> ChosenPolicy:
    if entry.chosen is None:
        raise UserError(
            f"{bundle.path}: holds no exit policy; give a number as the exit threshold, or choose one with"
            " python -m ofa_bert exits and export again with `exit_policy`"
        )
    held = entry.chosen.policy.criterion
    if criterion not in (None, held):
        raise UserError(f"exit_criterion {criterion}: the bundle's policy has {held}; leave it out")
    return entry.chosen


def _within(bundle: Bundle, entry: ExitsEntry, drop: float) -> tuple[Policy, tuple[int, ...]]:
    """The policy with another threshold, and the exits to ask."""
    chosen = _chosen(bundle, entry, None)
    if chosen.curve is None:
        raise UserError(
            f"{bundle.path}: its exit policy keeps no curve to choose `exit_drop` {drop:g} from; choose it anew with"
            " python -m ofa_bert exits and export again, or give an exit threshold"
        )
    point = chosen.curve.within(drop)
    return replace(chosen.policy, threshold=point.threshold), point.ask


def _given(entry: ExitsEntry, task: Task, threshold: float | str | None, criterion: str | None) -> Policy:
    exits = len(entry.layers) - 1
    own = entry.chosen.policy if entry.chosen else Policy.never_leaves(exits, entry.criterion)
    criterion = criterion or own.criterion
    if criterion not in CRITERIA:
        raise UserError(f"exit_criterion {criterion}: must be one of {', '.join(CRITERIA)}")
    try:
        number = float(threshold)  # type: ignore[arg-type]  # what is no number is told below
    except (TypeError, ValueError):
        raise UserError(f"exit threshold {threshold!r}: must be a number or {FROM_POLICY}") from None
    if math.isnan(number):
        raise UserError(f"exit threshold {threshold}: must be a number or {FROM_POLICY}")
    check_threshold(criterion, number, task.choices, exits)
    return Policy(criterion, number, own.tolerance, task.kind_name)


def _table(bundle: Path, entry: ExitsEntry, threshold: float | str | None) -> TokenTable:
    if threshold != FROM_POLICY:
        raise UserError(
            f"exit threshold {threshold}: exits are predicted for the bundle's own policy alone; give"
            f" {FROM_POLICY} as the threshold, or mode threshold"
        )
    if entry.table_file is None:
        raise UserError(
            f"{bundle}: holds no table to predict exits with; make one with python -m ofa_bert exits (`table_samples`"
            " above 0) and export again with `exit_policy`"
        )
    return read_table(bundle / entry.table_file, list(entry.layers))


def pick_parts(bundle: Bundle, kind: str, precisions: Sequence[str], fused: Sequence[bool]) -> Parts:
    """The files of the first precision, of those that serve the wanted one, that the bundle has exits in."""
    entry = exits_of(bundle)
    for precision in precisions:
        for form in fused:
            for model in entry.models:
                if (model.format, model.precision, model.fused) == (kind, precision, form):
                    segments, heads, moves = (
                        [bundle.paths(part) for part in parts] for parts in (model.segments, model.heads, model.moves)
                    )
                    return Parts(segments, heads, moves, precision)
    held = ", ".join(model.name for model in entry.models) or "none"
    flags = f"`precision` {precisions[0]}" + (" `onnx`" if kind == "onnx" else "")
    raise UserError(
        f"{bundle.path}: holds no {kind} exits in {' or '.join(precisions)}, only {held}; export it with"
        f" export_model.py {flags}"
    )

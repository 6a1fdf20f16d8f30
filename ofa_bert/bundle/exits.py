"""The exits of a bundle: how its manifest describes them, and which policy a run follows. No Paddle.

A model with exits lies in the bundle as the layers between its exits and one small head per exit, each a graph of its
own. So a run has exactly the layers and the heads that it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from ofa_bert.errors import UserError
from ofa_bert.exits.criteria.registry import CRITERIA
from ofa_bert.exits.policy import MODES, Policy, check_threshold
from ofa_bert.exits.token_table import TokenTable, read_table
from ofa_bert.tasks.task import Task, task_of

FOLDER = "exits"  # inside the bundle; also the key in its manifest
HIDDEN = "hidden"  # hidden states [B, T, H] that enter a graph
CERTAINTY = "certainty"  # [B], of every head but the last
FROM_POLICY = "policy"  # in place of a threshold: what the bundle's exit_policy.json says
_FILES = ("segments", "heads", "moves")
_AGAIN = "export the bundle again with export_model.py"


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


def exits_of(bundle: str | Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What the manifest says of exits; UserError when there are none or the entry is damaged."""
    entry = manifest.get(FOLDER)
    if entry is None:
        raise UserError(
            f"{bundle}: has no early exits; train them with run_glue_ofa.py --exits and export that directory with"
            " export_model.py, or leave the exit threshold out"
        )
    problem = _problem(entry, manifest["files"])
    if problem:
        raise UserError(f"{bundle}: the manifest's {FOLDER} are damaged: {problem}; {_AGAIN}")
    return entry


def _problem(entry: Any, files: Mapping[str, Any]) -> str | None:
    if not isinstance(entry, dict):
        return "no table of entries"
    layers, models = entry.get("layers"), entry.get("models")
    if not isinstance(layers, list) or not all(isinstance(count, int) for count in layers) or len(layers) < 2:
        return f"layers {layers!r}"
    if layers != sorted(set(layers)) or layers[0] < 1:
        return f"layers {layers!r}"
    if entry.get("criterion") not in CRITERIA:
        return f"criterion {entry.get('criterion')!r}"
    if not isinstance(models, list):
        return "models is missing"
    for model in models:
        if not isinstance(model, dict) or not {"name", "format", "precision", *_FILES} <= set(model):
            return "an entry of models"
        unknown = sorted({name for kind in _FILES for part in model[kind] for name in part} - set(files))
        if unknown:
            return f"{unknown[0]} is not among the files"
        for kind in ("segments", "heads"):
            if len(model[kind]) != len(layers):
                return f"{model['name']} has {len(model[kind])} {kind} for {len(layers)} exits"
    if entry.get("table") is not None and entry["table"] not in files:
        return f"{entry['table']} is not among the files"
    return _policy_problem(entry.get("chosen"), len(layers) - 1)


def _policy_problem(chosen: Any, exits: int) -> str | None:
    if chosen is None:
        return None
    try:
        Policy.from_json(chosen["policy"])
        if chosen["mode"] in MODES and set(chosen["ask"]) <= set(range(exits)):
            return None
    except (KeyError, TypeError, ValueError):
        pass
    return "the chosen policy"


def plan_of(
    bundle: str | Path,
    manifest: Mapping[str, Any],
    threshold: float | str,
    mode: str | None = None,
    criterion: str | None = None,
) -> ExitPlan:
    """The way that a run answers. UserError for a threshold that cannot be meant and for what the bundle lacks.

    threshold: a number, compared at every exit by `criterion` (that of the bundle's policy, or what its exits were
    trained for); or "policy": threshold, criterion and the exits to ask as chosen at `python -m ofa_bert exits`.
    mode: "threshold" or "predicted"; unless given, the policy's, and "threshold" for a number.
    """
    entry = exits_of(bundle, manifest)
    chosen, count = entry.get("chosen"), len(entry["layers"]) - 1
    if mode is not None and mode not in MODES:
        raise UserError(f"exit_mode {mode}: must be one of {', '.join(MODES)}")
    if threshold == FROM_POLICY:
        if chosen is None:
            raise UserError(
                f"{bundle}: holds no exit policy; give a number as the exit threshold, or choose one with"
                " python -m ofa_bert exits and export again with --exit_policy"
            )
        if criterion is not None and criterion != chosen["policy"]["criterion"]:
            held = chosen["policy"]["criterion"]
            raise UserError(f"exit_criterion {criterion}: the bundle's policy has {held}; leave it out")
        policy, ask, mode = Policy.from_json(chosen["policy"]), tuple(chosen["ask"]), mode or chosen["mode"]
    else:
        task = task_of(manifest, manifest["num_labels"])
        policy, ask = _given(entry, chosen, task, threshold, criterion), tuple(range(count))
    plan = ExitPlan(tuple(entry["layers"]), policy, () if policy.never(count) else ask)
    return replace(plan, table=_table(Path(bundle), entry, threshold)) if mode == "predicted" else plan


def _given(entry: Mapping[str, Any], chosen: Any, task: Task, threshold: float | str, criterion: str | None) -> Policy:
    exits = len(entry["layers"]) - 1
    own = Policy.from_json(chosen["policy"]) if chosen else Policy.never_leaves(exits, entry["criterion"])
    criterion = criterion or own.criterion
    if criterion not in CRITERIA:
        raise UserError(f"exit_criterion {criterion}: must be one of {', '.join(CRITERIA)}")
    try:
        number = float(threshold)
    except (TypeError, ValueError):
        raise UserError(f"exit threshold {threshold!r}: must be a number or {FROM_POLICY}") from None
    if not number == number:
        raise UserError(f"exit threshold {threshold}: must be a number or {FROM_POLICY}")
    check_threshold(criterion, number, task.choices, exits)
    return Policy(criterion, number, own.tolerance, task.kind_name)


def _table(bundle: Path, entry: Mapping[str, Any], threshold: float | str) -> TokenTable:
    if threshold != FROM_POLICY:
        raise UserError(
            f"exit threshold {threshold}: exits are predicted for the bundle's own policy alone; give"
            f" {FROM_POLICY} as the threshold, or mode threshold"
        )
    if entry.get("table") is None:
        raise UserError(
            f"{bundle}: holds no table to predict exits with; make one with python -m ofa_bert exits (--table_samples"
            " above 0) and export again with --exit_policy"
        )
    return read_table(bundle / entry["table"], entry["layers"])


def pick_parts(
    bundle: Path, entry: Mapping[str, Any], kind: str, precisions: tuple[str, ...], fused: tuple[bool, ...]
) -> Parts:
    """The files of the first precision, of those that serve the wanted one, that the bundle has exits in."""
    for precision in precisions:
        for form in fused:
            for model in entry["models"]:
                if (model["format"], model["precision"], bool(model.get("fused"))) == (kind, precision, form):
                    files = ([[bundle / name for name in part] for part in model[key]] for key in _FILES)
                    return Parts(*files, precision)
    held = ", ".join(model["name"] for model in entry["models"]) or "none"
    flags = f"--precision {precisions[0]}" + (" --onnx" if kind == "onnx" else "")
    raise UserError(
        f"{bundle}: holds no {kind} exits in {' or '.join(precisions)}, only {held}; export it with export_model.py"
        f" {flags}"
    )

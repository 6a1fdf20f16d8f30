"""The exits of a bundle: layers and heads as graphs of their own, each exit compared with the dynamic model's."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from ofa_bert.bundle.entries import HALF_STATIC, NNCF
from ofa_bert.bundle.exit_entry import ExitCheck
from ofa_bert.bundle.exits import FOLDER, ExitPlan, Parts
from ofa_bert.bundle.manifest import KINDS, OUTPUT, Kind
from ofa_bert.errors import RunError
from ofa_bert.exits.layout import default_criterion
from ofa_bert.exits.policy import Policy
from ofa_bert.exits.policy_file import Chosen
from ofa_bert.exits.token_table import TABLE
from ofa_bert.export.checks import ExportCheck
from ofa_bert.export.exit_parts import answers, write_onnx_parts, write_paddle_parts
from ofa_bert.export.onnx import writer
from ofa_bert.export.variants import Exporter
from ofa_bert.files.atomic import EXIT_POLICY, write_json_atomic
from ofa_bert.files.weights import write_weights
from ofa_bert.models.exits.graphs import UpTo, depths
from ofa_bert.models.exits.heads import Exits
from ofa_bert.models.record import ModelRecord
from ofa_bert.runtime.backends.registry import first_for
from ofa_bert.runtime.opening import Backend, ExitParts, open_part_files

logger = logging.getLogger(__name__)

# (token ids [B, T], certainty [B]): RunError when it is off.
CheckCertainty = Callable[[np.ndarray, np.ndarray], None]


def add_exits(
    exporter: Exporter, exits: Exits, names: Sequence[str], record: ModelRecord, chosen: Chosen | None
) -> dict[str, object]:
    """Write exits/ into the bundle, in each of `names` that parts can be written in; returns the manifest's entry."""
    model, bundle = exporter.model, exporter.bundle
    folder = bundle / FOLDER
    folder.mkdir()
    entry: dict[str, object] = {
        "head": exits.layout.head,
        "layers": list(depths(model, exits)),
        "criterion": default_criterion(record.exits.training if record.exits else "", exporter.judge.task.choices),
        "chosen": chosen and chosen.about,
        "policy": None,
        "table": None,
    }
    if chosen is not None:
        entry["policy"] = f"{FOLDER}/{EXIT_POLICY}"
        write_json_atomic(folder / EXIT_POLICY, chosen.about)
        if chosen.table is not None:
            entry["table"] = f"{FOLDER}/{TABLE}"
            write_weights(folder / TABLE, chosen.table.arrays())
    reference = _Reference(exporter.judge, exits)
    entry["models"] = [_add(exporter, exits, name, reference) for name in names if _possible(model, name)]
    return entry


def _possible(model: nn.Layer, name: str) -> bool:
    kind = KINDS[name]
    if kind.format == "paddle":
        return kind.precision == "fp32"
    if kind.precision in (HALF_STATIC, NNCF):  # for TensorRT, which does not run parts; of whole models
        return False
    reason = writer.obstacle(model)
    if reason:
        logger.warning("%s has no exits: %s", name, reason)
    return not reason and kind.precision != "bf16"  # which is computed from the parts in fp32


def _add(exporter: Exporter, exits: Exits, name: str, reference: _Reference) -> dict[str, object]:
    kind, target = KINDS[name], exporter.bundle / FOLDER / name
    target.mkdir()
    if kind.format == "paddle":
        parts = write_paddle_parts(exporter.model, exits, target)
    else:
        parts = write_onnx_parts(exporter.model, exits, exporter.forms.form(name), target, kind.precision)

    def names(part: list[Path]) -> list[str]:
        return [path.relative_to(exporter.bundle).as_posix() for path in part]

    report = reference.verdict(name, kind, parts)
    logger.info("exits of %s: max |d logit| %.1e", name, max(report.max_abs_difference))
    return {
        "name": name,
        "format": kind.format,
        "precision": kind.precision,
        "fused": kind.fused,
        "segments": [names(part) for part in parts.segments],
        "heads": [names(part) for part in parts.heads],
        "moves": [names(part) for part in parts.moves],
        "bytes": sum(path.stat().st_size for path in target.iterdir()),
        **report.to_json(),
    }


class _Reference:
    """What every exit of the dynamic model says of the probes."""

    def __init__(self, judge: ExportCheck, exits: Exits):
        self.judge = judge
        self.ends = depths(judge.model, exits)
        self._each = [
            ExportCheck(UpTo(judge.model, exits, end), judge.probes, judge.tolerance, judge.task) for end in self.ends
        ]
        self._certainty = [_certainties(judge, exits, end) for end in self.ends[:-1]]

    def verdict(self, name: str, kind: Kind, files: Parts) -> ExitCheck:
        """How far each exit's logits are off; RunError when too far, as for the whole model."""
        backend = first_for(kind.format, kind.precision, kind.fused, parts=True)
        early = len(self.ends) - 1
        every = ExitPlan(self.ends, Policy.never_leaves(early), tuple(range(early)))
        parts = open_part_files(files, backend, every)
        reports = []
        for place, (end, judge) in enumerate(zip(self.ends, self._each)):
            label = f"{name}, exit after {end} layers"
            whole = _whole(parts, place, self._check_certainty(label, place, kind.precision))
            reports.append(judge.verdict(label, kind.precision, partial(_given, whole)))
        same = [report.argmax_agreement for report in reports]
        return ExitCheck(
            tuple(report.max_abs_difference for report in reports),
            tuple(report.relative_difference for report in reports),
            None if None in same else tuple(share for share in same if share is not None),
            reports[0].tolerance,
            reports[0].relative_tolerance,
            reports[0].checked_with,
            reports[0].device,
        )

    def _check_certainty(self, label: str, place: int, precision: str) -> CheckCertainty:
        if place == len(self.ends) - 1 or precision != "fp32":
            return _unchecked
        wanted = dict(zip((ids.tobytes() for ids, _ in self.judge.probes), self._certainty[place]))

        def check(input_ids: np.ndarray, found: np.ndarray) -> None:
            off = float(np.abs(found - wanted[input_ids.tobytes()]).max())
            if not off <= self.judge.tolerance:
                allowed = f"allowed are {self.judge.tolerance:g}"
                raise RunError(f"{label}: the certainty is off by {off:.3g}, {allowed}. Nothing was written")

        return check


def _unchecked(input_ids: np.ndarray, found: np.ndarray) -> None:
    """Of the last exit, and in half precision, nothing is asked."""


def _given(backend: Backend) -> Backend:
    return backend


def _certainties(judge: ExportCheck, exits: Exits, end: int) -> list[np.ndarray]:
    graph = UpTo(judge.model, exits, end)
    with paddle.no_grad():
        return [graph.step(*map(paddle.to_tensor, probe)).certainty.numpy() for probe in judge.probes]


def _whole(parts: ExitParts, place: int, check: CheckCertainty) -> Backend:
    """All layers until an exit and its head, as one model."""

    def run(input_ids: np.ndarray, token_type_ids: np.ndarray) -> np.ndarray:
        (hidden,) = parts.segments[0](input_ids, token_type_ids)
        for segment in parts.segments[1 : place + 1]:
            (hidden,) = segment(hidden, input_ids)
        logits, *certainty = answers(parts.heads[place](hidden, input_ids))
        for found in certainty:
            check(input_ids, found)
        return logits

    return Backend(run, OUTPUT, parts.device, parts.name, parts.precision, "cpu", lambda *ids: lambda: run(*ids))

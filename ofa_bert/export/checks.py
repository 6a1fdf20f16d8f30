"""How an exported model is judged: its logits beside the dynamic model's, its score on dev beside the one before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import paddle
from paddle import nn

from ofa_bert.bundle.entries import Check
from ofa_bert.bundle.tolerances import RELATIVE, counting, relative
from ofa_bert.data.encoding.batches import Batch, eval_batches
from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.errors import RunError, first_line
from ofa_bert.export.agreement import Compared
from ofa_bert.models.encoder import backbone
from ofa_bert.runtime.opening import Backend
from ofa_bert.tasks.task import Task
from ofa_bert.training.evaluation import Forward, score

Probe = tuple[np.ndarray, np.ndarray]

BATCH = 16  # of calibration sentences


@dataclass(frozen=True)
class Data:
    """A task's sentences: `calibration` comes from the training split, what scores are measured on from dev.

    before: the score to compare with, where that is not the exported fp32 model's.
    """

    task: Task
    calibration: Encoded
    dev: Mapping[str, Encoded]
    texts: tuple = ()  # (text, text_pair or None), to compare tokenizers on
    before: float | None = None


@dataclass
class ExportCheck:
    """Compares models with `model`, whose logits on all probes are computed once.

    task: what an answer is. reference: the score that others are held against; None while the model is judged whose
    score that will be.
    """

    model: nn.Layer
    probes: list[Probe]
    tolerance: float
    task: Task
    data: Data | None = None
    max_drop: float = 1.0
    reference: float | None = None
    _expected: list[np.ndarray] = field(default_factory=list)
    _compared: Compared | None = None

    def __post_init__(self) -> None:
        if self._expected:  # those of the check that this one was made from
            return
        with paddle.no_grad():
            self._expected = [
                self._counting(self.model(*map(paddle.to_tensor, probe)).numpy(), probe) for probe in self.probes
            ]
        if self.task.kind.grouped and self.data is not None:
            self._compared = Compared.of(self.model, self.task, next(iter(self.data.dev.values())))

    def _counting(self, logits: np.ndarray, probe: Probe) -> np.ndarray:
        if logits.ndim == 2:  # of whole texts, as of the parts of a model with exits
            return logits
        return counting(logits, probe[0], backbone(self.model).pad_token_id)

    def against(self, score: float | None) -> ExportCheck:
        """The same check with another reference."""
        return replace(self, reference=score)

    def batches(self) -> list[Batch]:
        """What activations are observed on: the calibration sentences, without data the probes."""
        if self.data is not None:
            return list(eval_batches(self.data.calibration, BATCH, backbone(self.model).pad_token_id))
        return [Batch(ids, types, np.zeros(len(ids), "int64"), np.arange(len(ids))) for ids, types in self.probes]

    def verdict(self, name: str, precision: str, load: Callable[[], Backend]) -> Check:
        """What the manifest says about a model; RunError, naming `name`, when it is not good enough."""
        try:
            backend = load()
            found = [self._counting(backend.run(*probe), probe) for probe in self.probes]  # each [B, C]
        except RunError:
            raise
        except Exception as error:  # each library has its own types; what they say matters, not which it is
            raise RunError(f"{name} failed on the model that was just exported: {first_line(error)}") from error
        tolerance, limit = self.tolerance if precision == "fp32" else None, RELATIVE.get(precision)
        check = Check(
            max_abs_difference=self._largest(name, found, tolerance),
            relative_difference=relative(found, self._expected),
            argmax_agreement=self._agreement(found, backend),
            tolerance=tolerance,
            relative_tolerance=limit,
            checked_with=backend.name,
            device=backend.device,
            output=backend.output,
        )
        if limit is not None and not check.relative_difference <= limit:
            raise RunError(
                f"{name}: the logits differ from the dynamic model's by {check.relative_difference:.0%} of their"
                f" spread, allowed are {limit:.0%}. {_cure(precision)}. Nothing was written"
            )
        before, after = self._scores(name, precision, backend)
        return replace(check, score_before=before, score_after=after)

    def _largest(self, name: str, found: list[np.ndarray], tolerance: float | None) -> float:
        worst = 0.0
        for want, have, (input_ids, _) in zip(self._expected, found, self.probes):
            shape = "batch {}, length {}".format(*input_ids.shape)
            if have.shape != want.shape:
                raise RunError(f"{name}, {shape}: logits of shape {have.shape} instead of {want.shape}")
            difference = float(np.abs(have - want).max())
            # Written so that NaN fails too.
            if not difference <= (float("inf") if tolerance is None else tolerance):
                allowed = "any number" if tolerance is None else f"{tolerance:g}"
                raise RunError(
                    f"{name}, {shape}: the logits differ by {difference:.3g} from the dynamic model's;"
                    f" allowed are {allowed}. Nothing was written"
                )
            worst = max(worst, difference)
        return worst

    def _agreement(self, found: list[np.ndarray], backend: Backend) -> float | None:
        """The share of the same answers; None where answers are numbers, or about several rows of data not given."""
        task = self.task
        if task.kind.grouped:  # the rows of the probes belong to no example
            return self._compared.agreement(_forward(backend)) if self._compared else None
        if not task.kind.countable:
            return None
        same = [task.kind.same(have, want, task.thresholds) for have, want in zip(found, self._expected)]
        return float(np.concatenate(same).mean())

    def _scores(self, name: str, precision: str, backend: Backend) -> tuple[float | None, float | None]:
        """(before, after) on dev; RunError when too much was lost."""
        if self.data is None:
            return None, None
        data, pad = self.data, backbone(self.model).pad_token_id
        after = score(data.task, _forward(backend), data.dev, pad, label=name)["score"]
        before = after if self.reference is None else self.reference
        drop = 100 * (before - after)
        if drop > self.max_drop:
            raise RunError(
                f"{name}: {data.task.metrics[0]} on dev falls by {drop:.1f} points, from {before:.4f} to"
                f" {after:.4f}; `max_drop` allows {self.max_drop:g}. {_cure(precision)}. Nothing was written"
            )
        return before, after


def _forward(backend: Backend) -> Forward:
    def forward(batch: Batch) -> paddle.Tensor:
        return paddle.to_tensor(backend.run(np.asarray(batch.input_ids), np.asarray(batch.token_type_ids)))

    return forward


def _cure(precision: str) -> str:
    return {
        "int8-static": "Try `precision` int8, whose activations are quantized as they come, more"
        " `calibration_sentences`, a wider sub-model, or leave int8-static out",
        "int8-static-fp16": "Try `precision` fp16, more `calibration_sentences`, a wider sub-model, or leave"
        " int8-static-fp16 out",
        "int8-nncf": "Try `precision` int8-static, more `calibration_sentences`, a wider sub-model, or leave"
        " int8-nncf out",
        "int8": "Try `precision` fp16 or bf16, a wider sub-model, or leave int8 out",
        "fp16": "Try `precision` bf16 or leave fp16 out",
        "bf16": "Leave bf16 out",
        "fp32": "Report this with the command: fp32 should lose nothing",
    }[precision]

"""The models of a bundle beside the static one in fp32: each is written, loaded again and judged."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from paddle import nn

from ofa_bert.bundle.entries import HALF_STATIC, IR, NNCF, Check, ModelEntry
from ofa_bert.bundle.manifest import KINDS, PARAMETERS, Kind, program_path
from ofa_bert.data.encoding.batches import Batch
from ofa_bert.errors import RunError, UserError
from ofa_bert.export import nncf_int8, paddle_int8
from ofa_bert.export.calibration import ActivationSample, choose_scales, observe
from ofa_bert.export.checks import ExportCheck
from ofa_bert.export.onnx import converter, writer
from ofa_bert.export.onnx.form import Form
from ofa_bert.runtime.backends.registry import first_for
from ofa_bert.runtime.opening import Backend, open_files

logger = logging.getLogger(__name__)

HALF_LIMIT = 65504 / 4  # a quarter of what half precision ends at: other sentences go further than those observed
# The same for the square of what enters a LayerNorm: how a runtime computes variances is its own choice. ONNX Runtime's
# kernels, which alone run fused graphs, do it in float32.
NORM_LIMIT = HALF_LIMIT**0.5


def plan(precisions: Sequence[str], onnx: bool, fused: bool) -> list[str]:
    """The names, from manifest.KINDS, of the models to write. The static model in fp32 is always the first."""
    names = ["paddle-fp32"]
    if onnx or fused or "bf16" in precisions:
        names.append("onnx-fp32")
    if fused:
        names.append("onnx-fp32-fused")
    if "fp16" in precisions:
        names += ["onnx-fp16", "onnx-fp16-fused"] if fused else ["onnx-fp16"]
    if "bf16" in precisions:
        names.append("onnx-bf16")
    if "int8" in precisions:
        names.append("onnx-int8")
    if "int8-static" in precisions:
        reason = paddle_int8.obstacle()
        if reason:
            logger.warning("paddle-int8-static is left out: %s; onnx-int8-static is written", reason)
        names += ["onnx-int8-static"] if reason else ["paddle-int8-static", "onnx-int8-static"]
    if HALF_STATIC in precisions:
        names.append("onnx-int8-static-fp16")
    if NNCF in precisions:
        names.append("ir-int8-nncf")
    return names


def check_plan(model: nn.Layer, names: Sequence[str], has_data: bool) -> None:
    """Refuse, before anything is written, what cannot be written. UserError."""
    if len(names) == 1:
        return
    converter.require(("onnx", "onnxruntime"))
    if "ir-int8-nncf" in names:
        nncf_int8.require()
    static = [
        kind for kind in (KINDS[name].precision for name in names) if kind.startswith("int8-static") or kind == NNCF
    ]
    if static and not has_data:
        raise UserError(
            f"`precision` {static[0]}: is calibrated on training sentences; say where they are with `task_name` and"
            " `data_dir`, or `train_file` with `dev_file` or `dev_share` (int8 needs none)"
        )
    reason = writer.obstacle(model)
    if reason is None:
        return
    others = [name for name in names if name not in ("paddle-fp32", "onnx-fp32")]
    if others:
        raise UserError(f"{', '.join(others)}: cannot be written for this model: {reason}; export it in fp32")
    converter.require_converter()


class Forms:
    """How the ONNX graphs of one model are written. INT8's scales and FP16's exceptions follow from `batches`."""

    def __init__(self, model: nn.Layer, batches: Callable[[], Sequence[Batch]], folder: Path | None = None):
        self.model, self.batches, self.folder = model, batches, folder
        self._traffic: ActivationSample | None = None
        self._scales: dict[str, float] | None = None

    def form(self, name: str) -> Form:
        """How the ONNX graph of that name is written."""
        kind = KINDS[name]
        if kind.precision == "int8":
            return Form(weights="dynamic")
        if kind.precision == "int8-static":
            return Form(weights="static", scales=self.scales())
        if kind.precision == HALF_STATIC:
            return Form(weights="static", scales=self.scales(), half=True, wide_norms=self._wide_norms(name))
        if kind.precision == "fp16":
            return Form(half=True, fused=kind.fused, wide_norms=self._wide_norms(name))
        return Form(fused=kind.fused)

    def _wide_norms(self, name: str) -> frozenset[str]:
        """The residual sums that half precision may not hold, or not the square of."""
        peaks = self.traffic().peaks
        sums = set(writer.residual_sums(self.model))
        of_sums = HALF_LIMIT if KINDS[name].fused else NORM_LIMIT
        beyond = {tensor for tensor, peak in peaks.items() if not peak <= (of_sums if tensor in sums else HALF_LIMIT)}
        if beyond - sums:
            tensor = sorted(beyond - sums)[0]
            raise RunError(
                f"{name}: {tensor} reaches {peaks[tensor]:.0f}, too near to 65504 where half precision ends;"
                " try `precision` bf16. Nothing was written"
            )
        return frozenset(beyond)

    def traffic(self) -> ActivationSample:
        """What the calibration sentences, or else the probes, send through the model in fp32."""
        if self._traffic is None:
            with tempfile.TemporaryDirectory(dir=self.folder) as name:
                graph = Path(name, "model.onnx")
                writer.write(self.model, graph)
                self._traffic = observe(self.model, graph, self.batches())
        return self._traffic

    def scales(self) -> dict[str, float]:
        if self._scales is None:
            self._scales = choose_scales(self.model, self.traffic())
        return self._scales


class Exported(NamedTuple):
    """A model that was written and judged."""

    entry: ModelEntry  # in the manifest
    bytes: int
    check: Check


class Exporter:
    """Writes the models of one bundle, the static one in fp32 being there already."""

    def __init__(self, model: nn.Layer, bundle: Path, judge: ExportCheck):
        self.model, self.bundle, self.judge = model, bundle, judge
        self.forms = Forms(model, judge.batches, bundle.parent)

    def add(self, name: str) -> Exported:
        """Write and judge one model."""
        kind, started = KINDS[name], time.perf_counter()
        self._write(name, kind)
        place = self.bundle / kind.place
        files = self._files(kind, place)
        # What computes in INT8 by stored scales reads either file of that kind: its types are in it.
        computed = "int8-static" if kind.precision == HALF_STATIC else kind.precision
        backend = first_for(kind.format, computed, kind.fused)
        check = self.judge.verdict(name, kind.precision, self._loader(files, backend, kind, computed))
        size = sum(path.stat().st_size for path in files)
        entry = ModelEntry(
            name,
            kind.format,
            kind.precision,
            tuple(path.relative_to(self.bundle).as_posix() for path in files),
            kind.fused,
            size,
            check,
            round(time.perf_counter() - started, 2),
        )
        return Exported(entry, size, check)

    def _files(self, kind: Kind, place: Path) -> list[Path]:
        if kind.format == IR:
            return [place, place.with_suffix(".bin")]
        return [place] if kind.format == "onnx" else [program_path(place), place / PARAMETERS]

    def _loader(self, files: list[Path], backend: str, kind: Kind, computed: str) -> Callable[[], Backend]:
        import paddle

        on_gpu = kind.format == "paddle" and kind.precision == "fp32" and paddle.get_device() != "cpu"
        return lambda: open_files(files, backend, computed, device="gpu" if on_gpu else "cpu")

    def _write(self, name: str, kind: Kind) -> None:
        target = self.bundle / kind.place
        if name == "paddle-int8-static":
            target.mkdir()
            paddle_int8.write(self.model, target, self.forms.scales(), self.forms.traffic(), self.judge.batches()[0])
        elif kind.precision == NNCF:
            nncf_int8.write(self.model, target, self.judge.batches())
        elif name == "onnx-fp32" and writer.obstacle(self.model):
            names = {parameter.name: name for name, parameter in self.model.named_parameters()}
            dims = writer.output_dims(self.model)
            converter.write_onnx(program_path(self.bundle), self.bundle / PARAMETERS, target, names, dims)
        elif kind.format == "onnx" and kind.precision != "bf16":
            writer.write(self.model, target, self.forms.form(name))

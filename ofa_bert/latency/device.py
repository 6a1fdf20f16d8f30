"""Measure exported models of any sizes on this device, in turn: what a latency table and Bort's i are made from."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from paddle import nn

from ofa_bert.errors import UserError
from ofa_bert.export.onnx import converter, writer
from ofa_bert.export.onnx.form import Form
from ofa_bert.export.onnx.writer import linear_inputs
from ofa_bert.export.static import save_static
from ofa_bert.files.fields import Fields
from ofa_bert.models.encoder import resize
from ofa_bert.models.families.paddlenlp import PaddleConfig, changed
from ofa_bert.models.families.registry import model_class
from ofa_bert.progress import Progress
from ofa_bert.runtime.backends.registry import best_form, format_of, wants_fused
from ofa_bert.runtime.opening import Backend, open_files
from ofa_bert.submodels.counting import count_parameters
from ofa_bert.submodels.values import ModelShape, SubModelConfig, uniform
from ofa_bert.system import environment
from ofa_bert.system.machine import processor
from ofa_bert.system.provenance import versions
from ofa_bert.system.timing import in_turn

VOCABULARY = 4096  # tokens of a measured model: looking one up takes no longer in a larger table
# Untimed runs before each timed one. An INT8 model among others was measured 22 % slower than alone after a single one,
# 10 % after four.
_WARM = 8
GROUP_BYTES = 2**31  # models that are held in memory side by side

_SETTING = ("device", "backend", "precision", "threads", "batch", "length", "repeats")
Build = Callable[[], nn.Layer]
Name = TypeVar("Name", bound=Hashable)


def typical(times: np.ndarray) -> float:
    """The median of the faster half of the runs: what other work on the machine delays is left out."""
    return float(np.median(np.sort(times)[: max(1, (len(times) + 1) // 2)]))


class Measurer:
    """How to measure: back end, precision, threads, batch size and length. `setting()` is what a result must say."""

    def __init__(
        self, device: str, backend: str, precision: str, threads: int | None, batch: int, length: int, repeats: int
    ) -> None:
        self.device, self.backend, self.precision = device, backend, precision
        self.threads = threads or environment.cores()
        self.batch, self.length, self.repeats = batch, length, repeats

    @classmethod
    def of(cls, setting: Mapping[str, object], where: str = "the latency table") -> Measurer:
        """The device that a latency table's setting describes; UserError for one that describes none."""
        fields = Fields(setting, f"{where}: setting", "measure it again")
        return cls(
            fields.text("device"),
            fields.text("backend"),
            fields.text("precision"),
            fields.whole("threads", least=1),
            fields.whole("batch", least=1),
            fields.whole("length", least=1),
            fields.whole("repeats", least=1),
        )

    def setting(self) -> dict[str, object]:
        return {**{name: getattr(self, name) for name in _SETTING}, "processor": processor(), "versions": versions()}

    @property
    def file_precision(self) -> str:
        """Of int8 the form that the back end runs fast."""
        return best_form(self.backend, self.precision)

    def open(self, files: Sequence[Path]) -> Backend:
        return open_files(files, self.backend, self.file_precision, self.device, self.threads)

    def inputs(self, vocabulary: int) -> tuple[np.ndarray, np.ndarray]:
        """Token ids and types int64 [B, T]; ids from the upper half, for among the first are padding and marks."""
        ids = np.random.default_rng(0).integers(vocabulary // 2, vocabulary, (self.batch, self.length))
        return ids, np.zeros_like(ids)

    def form(self, model: nn.Layer) -> Form:
        """How the ONNX graph is written. Scales of int8 change what a model answers, not how fast."""
        if self.precision == "int8":
            static = self.file_precision == "int8-static"
            return Form("static", scales=dict.fromkeys(linear_inputs(model), 0.05)) if static else Form("dynamic")
        return Form(half=self.precision == "fp16", fused=wants_fused(self.backend, self.device))

    def measure(
        self, builds: Mapping[str, Build], sizes: Mapping[str, int], reference: str, vocabulary: int | None = None
    ) -> dict[str, float]:
        """`typical` milliseconds of each model, by name. `sizes` are bytes of weights.

        Models run in turn, in groups that fit in memory. `reference` runs in every group, and each group is scaled to
        its median over all groups: a machine that slows down while it measures slows all models alike.
        """
        measured: list[dict[str, float]] = []
        with tempfile.TemporaryDirectory(prefix="ofa-latency-") as folder:
            bar = Progress(total=len(builds), desc="measure", unit="model")
            files: dict[str, list[Path]] = {}
            for group in groups(sizes, reference):
                for name in group:
                    if name not in files:
                        directory = Path(folder, str(len(files)))
                        directory.mkdir()
                        files[name] = write_model(builds[name](), directory, self)
                        bar.update()
                measured.append(self._group({name: files[name] for name in group}, vocabulary or VOCABULARY))
            bar.close()
        usual = float(np.median([group[reference] for group in measured]))
        scaled = [{name: ms * usual / group[reference] for name, ms in group.items()} for group in measured]
        return {name: ms for group in scaled for name, ms in group.items()}

    def _group(self, files: Mapping[str, Sequence[Path]], vocabulary: int) -> dict[str, float]:
        ids, types = self.inputs(vocabulary)
        return self.timed({name: self.open(paths).bind(ids, types) for name, paths in files.items()})

    def timed(self, runs: Mapping[Name, Callable[[], object]]) -> dict[Name, float]:
        """`typical` milliseconds of each, in turn.

        Each runs untimed before, until it finds the caches as its own users will, not as another model left them.
        """

        def warm(before: Name, following: Name) -> None:
            for _ in range(_WARM):
                runs[following]()

        times = in_turn(runs, self.repeats, settle=warm)
        return {name: typical(times[name]) for name in runs}


def write_model(model: nn.Layer, directory: Path, how: Measurer, form: Form | None = None) -> list[Path]:
    """The files that an export of the model has for this back end and precision, without the checks of a bundle."""
    if format_of(how.backend) == "paddle":
        return save_static(model, directory)
    target, reason = directory / "model.onnx", writer.obstacle(model)
    if reason is None:
        writer.write(model, target, form or how.form(model))
    elif how.precision in ("fp32", "bf16"):
        program, parameters = save_static(model, directory)
        names = {parameter.name: name for name, parameter in model.named_parameters()}
        converter.write_onnx(program, parameters, target, names, model.config.num_labels)
    else:
        raise UserError(f"`precision` {how.precision}: cannot be written for this model: {reason}; measure it in fp32")
    return [target]


def groups(sizes: Mapping[Name, int], reference: Name) -> list[list[Name]]:
    """The names in groups that fit in memory side by side; the reference is the first of each."""
    found: list[list[Name]] = []
    room = 0
    for name in sizes:
        if name == reference:
            continue
        if not found or sizes[name] > room:
            found.append([reference])
            room = GROUP_BYTES - sizes[reference]
        found[-1].append(name)
        room -= sizes[name]
    return found or [[reference]]


def measure_sub_models(
    device: Measurer, model_type: str, config: PaddleConfig, shape: ModelShape, models: Sequence[SubModelConfig]
) -> list[float]:
    """Milliseconds of sub-models of a full model with this PaddleNLP configuration; the weights are fresh ones."""
    small = ModelShape(**{**shape.to_json(), "vocab_size": VOCABULARY})

    def build(sub_model: SubModelConfig) -> Build:
        return lambda: _fresh(model_type, config, sub_model, bool(shape.per_token))

    names = {f"{i}": model for i, model in enumerate(models)}
    half = uniform(shape, 1.0, range(max(1, shape.num_layers // 2)))
    found = device.measure(
        {**{name: build(model) for name, model in names.items()}, "reference": build(half)},
        {name: 4 * count_parameters(small, model) for name, model in {**names, "reference": half}.items()},
        "reference",
    )
    return [found[name] for name in names]


def _fresh(model_type: str, config: PaddleConfig, sub_model: SubModelConfig, per_token: bool) -> nn.Layer:
    model = model_class(model_type, per_token)(
        changed(config, vocab_size=VOCABULARY, num_hidden_layers=sub_model.depth)
    )
    resize(model, sub_model.heads, sub_model.ffn)
    model.eval()
    return model

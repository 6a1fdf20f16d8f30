"""Measure exported models of any sizes on this device, in turn: what a latency table and Bort's i are made from."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

import numpy as np
import paddle
from paddle import nn
from tqdm import tqdm

from ofa_bert import environment, onnx_graph
from ofa_bert.backends import Backend, format_of, open_files
from ofa_bert.bundle import INPUTS
from ofa_bert.encoder import model_class, resize
from ofa_bert.errors import RunError
from ofa_bert.latency import in_turn
from ofa_bert.machine import processor
from ofa_bert.meta import versions
from ofa_bert.onnx_graph import first_line
from ofa_bert.submodel import ModelShape, SubModelConfig, count_parameters, uniform

logger = logging.getLogger(__name__)

VOCABULARY = 4096  # tokens of a measured model: looking one up takes no longer in a larger table
GROUP_BYTES = 2**31  # models that are held in memory side by side

Build = Callable[[], nn.Layer]


def typical(times: np.ndarray) -> float:
    """The median of the faster half of the runs: what other work on the machine delays is left out."""
    return float(np.median(np.sort(times)[: max(1, (len(times) + 1) // 2)]))


def write_model(model: nn.Layer, directory: Path, kind: str) -> list[Path]:
    """The files of a static ("paddle") or ONNX ("onnx") model, without the checks of a bundle."""
    spec = [paddle.static.InputSpec([None, None], "int64", name) for name in INPUTS]
    try:
        paddle.jit.save(model, str(directory / "inference"), input_spec=spec)
    except Exception as error:  # Paddle's own types, and for a full disk whatever C++ threw
        raise RunError(f"a model to measure could not be saved: {first_line(error)}") from error
    program = next(path for suffix in (".json", ".pdmodel") if (path := directory / f"inference{suffix}").exists())
    parameters = directory / "inference.pdiparams"
    if kind == "paddle":
        return [program, parameters]
    names = {parameter.name: name for name, parameter in model.named_parameters()}
    onnx_graph.write_onnx(program, parameters, directory / "model.onnx", names, model.config.num_labels)
    program.unlink()
    parameters.unlink()
    return [directory / "model.onnx"]


class Device:
    """How to measure: back end, precision, threads, batch size and length. `setting()` is what a result must say."""

    def __init__(
        self, device: str, backend: str, precision: str, threads: int | None, batch: int, length: int, repeats: int
    ) -> None:
        self.device, self.backend, self.precision = device, backend, precision
        self.threads = threads or environment.cores()
        self.batch, self.length, self.repeats = batch, length, repeats

    def setting(self) -> dict[str, Any]:
        names = ("device", "backend", "precision", "threads", "batch", "length", "repeats")
        return {**{name: getattr(self, name) for name in names}, "processor": processor(), "versions": versions()}

    def open(self, files: Sequence[Path]) -> Backend:
        return open_files(files, self.backend, self.precision, self.device, self.threads)

    def measure(self, builds: Mapping[str, Build], sizes: Mapping[str, int], reference: str) -> dict[str, float]:
        """`typical` milliseconds of each model, by name. `sizes` are bytes of weights.

        Models run in turn, in groups that fit in memory. `reference` runs in every group, and each group is scaled to
        its median over all groups: a machine that slows down while it measures slows all models alike.
        """
        groups: list[dict[str, float]] = []
        with tempfile.TemporaryDirectory(prefix="ofa-latency-") as folder:
            bar = tqdm(total=len(builds), desc="measure", unit="model")
            files: dict[str, list[Path]] = {}
            for group in _groups(sizes, reference):
                for name in group:
                    if name not in files:
                        directory = Path(folder, str(len(files)))
                        directory.mkdir()
                        files[name] = write_model(builds[name](), directory, format_of(self.backend))
                        bar.update()
                groups.append(self._group({name: files[name] for name in group}))
            bar.close()
        usual = float(np.median([group[reference] for group in groups]))
        scaled = [{name: ms * usual / group[reference] for name, ms in group.items()} for group in groups]
        return {name: ms for group in scaled for name, ms in group.items()}

    def _group(self, files: Mapping[str, Sequence[Path]]) -> dict[str, float]:
        ids = np.random.default_rng(0).integers(1000, VOCABULARY, (self.batch, self.length))
        types = np.zeros_like(ids)
        runs: dict[str, Callable[[], object]] = {}
        for name, paths in files.items():
            # Twice each: the first run finds the caches as another model left them, the second as its own users will.
            runs[f"{name} cold"] = runs[name] = self.open(paths).bind(ids, types)
        times = in_turn(runs, self.repeats)
        return {name: typical(times[name]) for name in files}


def _groups(sizes: Mapping[str, int], reference: str) -> list[list[str]]:
    groups, room = [], 0
    for name in sizes:
        if name == reference:
            continue
        if not groups or sizes[name] > room:
            groups.append([reference])
            room = GROUP_BYTES - sizes[reference]
        groups[-1].append(name)
        room -= sizes[name]
    return groups or [[reference]]


def measure_sub_models(
    device: Device, model_type: str, config: Any, shape: ModelShape, models: Sequence[SubModelConfig]
) -> list[float]:
    """Milliseconds of sub-models of a full model with this PaddleNLP configuration; the weights are fresh ones."""
    small = ModelShape(**{**shape.to_json(), "vocab_size": VOCABULARY})

    def build(sub_model: SubModelConfig) -> Build:
        return lambda: _fresh(model_type, config, sub_model)

    names = {f"{i}": model for i, model in enumerate(models)}
    half = uniform(shape, 1.0, range(max(1, shape.num_layers // 2)))
    found = device.measure(
        {**{name: build(model) for name, model in names.items()}, "reference": build(half)},
        {name: 4 * count_parameters(small, model) for name, model in {**names, "reference": half}.items()},
        "reference",
    )
    return [found[name] for name in names]


def _fresh(model_type: str, config: Any, sub_model: SubModelConfig) -> nn.Layer:
    changes = {"vocab_size": VOCABULARY, "num_hidden_layers": sub_model.depth}
    model = model_class(model_type)(type(config).from_dict({**config.to_dict(), **changes}))
    resize(model, sub_model.heads, sub_model.ffn)
    model.eval()
    return model

"""A bundle: static model, ONNX on request, tokenizer and manifest; it gets its name after it was compared.

Both models take input_ids and token_type_ids, int64 [B, T], B and T free, and give logits, float32 [B, C].
The padding mask is not an input: PaddleNLP derives it from the padding token inside the graph.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, NamedTuple

import numpy as np
import paddle
from paddle import nn

from ofa_bert import environment, onnx_graph
from ofa_bert.atomic import atomic_directory, write_json_atomic
from ofa_bert.encoder import backbone, longest_input, model_type_of
from ofa_bert.errors import RunError, UserError
from ofa_bert.meta import versions
from ofa_bert.onnx_graph import OUTPUT, first_line
from ofa_bert.tasks import Task

logger = logging.getLogger(__name__)

BUNDLE_FORMAT = 1
MANIFEST = "manifest.json"
STATIC_PREFIX = "inference"
PARAMETERS = "inference.pdiparams"
ONNX_MODEL = "model.onnx"
INPUTS = ("input_ids", "token_type_ids")

Probe = tuple[np.ndarray, np.ndarray]


class Backend(NamedTuple):
    """A loaded model. `run` maps input_ids and token_type_ids, int64 [B, T], to logits, float32 [B, C]."""

    run: Callable[[np.ndarray, np.ndarray], np.ndarray]
    output: str  # what the model itself calls the logits; Paddle generates this name
    device: str


def export_bundle(
    model: nn.Layer,
    tokenizer: Any,
    meta: Mapping[str, Any],
    directory: str | Path,
    max_seq_length: int,
    onnx: bool = False,
    tolerance: float = 1e-4,
) -> dict[str, Any]:
    """Write the bundle of `model` (a full model or an extracted sub-model) and return its manifest.

    `meta` is the model's ofa_config.json; its sub_model, task, score and scores go into the manifest.
    Every written model is loaded again and its logits are compared with those of `model` on several batch
    sizes and lengths. A difference above `tolerance` is a RunError; `directory` then stays as it was. `model`
    is compared in evaluation mode and gets its mode back. UserError for an impossible length, labels that do
    not fit the classifier, a missing converter and a directory that holds something else.
    """
    _check(model, meta, max_seq_length)
    if onnx:
        onnx_graph.require_converter()
    with atomic_directory(directory) as bundle, _evaluating(model), _full_float32():
        probes = _probes(model, max_seq_length)
        _write_static(model, bundle)
        # Compared before it is converted: paddle2onnx ends the process when the program file is cut short.
        backends = {"paddle_inference": _compare("paddle_inference", model, bundle, probes, tolerance)}
        if onnx:
            _write_onnx(model, bundle)
            backends["onnx_runtime"] = _compare("onnx_runtime", model, bundle, probes, tolerance)
        tokenizer.save_pretrained(str(bundle))
        manifest = {
            "format": BUNDLE_FORMAT,
            "kind": "bundle",
            **_description(model, meta),
            "max_seq_length": max_seq_length,
            "inputs": list(INPUTS),
            "tolerance": tolerance,
            "compared_shapes": [list(ids.shape) for ids, _ in probes],
            "backends": backends,
            "files": {path.name: path.stat().st_size for path in sorted(bundle.iterdir())},
            "versions": versions(),
        }
        write_json_atomic(bundle / MANIFEST, manifest)
    logger.info("bundle written to %s", directory)
    return manifest


def _check(model: nn.Layer, meta: Mapping[str, Any], max_seq_length: int) -> None:
    config, limit = model.config, longest_input(model)
    if not 1 <= max_seq_length <= limit:
        raise UserError(f"--max_seq_length {max_seq_length}: the model has positions for 1 to {limit} tokens")
    task = meta.get("task")
    outputs = Task.from_json(task).num_labels if task else config.num_labels
    if outputs != config.num_labels:
        raise UserError(
            f"task {task['name']} needs {outputs} outputs, the classifier has {config.num_labels};"
            " export with the task that the model was trained for"
        )


def _description(model: nn.Layer, meta: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the manifest that says what the model is."""
    task = meta.get("task")
    return {
        "model_type": model_type_of(model),
        "sub_model": meta.get("sub_model"),
        "task": task,
        "labels": task["labels"] if task else [],
        "num_labels": model.config.num_labels,
        "precision": "fp32",
        "parameters": sum(int(np.prod(parameter.shape)) for parameter in model.parameters()),
        "pad_token_id": backbone(model).pad_token_id,
        **{key: meta[key] for key in ("score", "scores") if key in meta},
    }


@contextmanager
def _evaluating(model: nn.Layer) -> Iterator[None]:
    """Evaluation mode inside; afterwards each layer is in the mode it had (some may have been frozen)."""
    modes = [(layer, layer.training) for layer in model.sublayers(include_self=True)]
    model.eval()
    try:
        yield
    finally:
        for layer, training in modes:
            layer.training = training


@contextmanager
def _full_float32() -> Iterator[None]:
    """No TF32 inside: Paddle's default on recent GPUs, too coarse (10-bit mantissa) for the comparison."""
    if not paddle.device.is_compiled_with_cuda():
        yield
        return
    core = paddle.base.core
    before = core.get_cublas_switch()
    core.set_cublas_switch(False)
    try:
        yield
    finally:
        core.set_cublas_switch(before)


def _write_static(model: nn.Layer, bundle: Path) -> None:
    spec = [paddle.static.InputSpec([None, None], "int64", name) for name in INPUTS]
    try:
        paddle.jit.save(model, str(bundle / STATIC_PREFIX), input_spec=spec)
    except Exception as error:  # Paddle's own types, and for a full disk whatever C++ threw
        raise RunError(f"the static model could not be saved: {first_line(error)}") from error
    # A pickle that only describes training; inference and paddle.jit.load work without it.
    (bundle / f"{PARAMETERS}.info").unlink(missing_ok=True)


def _write_onnx(model: nn.Layer, bundle: Path) -> None:
    names = {parameter.name: name for name, parameter in model.named_parameters()}
    program, parameters, target = static_model_path(bundle), bundle / PARAMETERS, bundle / ONNX_MODEL
    onnx_graph.write_onnx(program, parameters, target, names, model.config.num_labels)


def static_model_path(bundle: Path) -> Path:
    """The program file: .pdmodel from Paddle 2, .json from Paddle 3."""
    candidates = [bundle / f"{STATIC_PREFIX}{suffix}" for suffix in (".json", ".pdmodel")]
    for path in candidates:
        if path.exists():
            return path
    raise UserError(f"{bundle}: no bundle; it needs {' or '.join(path.name for path in candidates)}")


def load_paddle_inference(bundle: Path) -> Backend:
    """The bundle's static model in Paddle Inference, on Paddle's current device (GPU or else CPU)."""
    from paddle import inference

    config = inference.Config(str(static_model_path(bundle)), str(bundle / PARAMETERS))
    device = paddle.get_device() if paddle.get_device().startswith("gpu") else "cpu"
    if device != "cpu":
        config.enable_use_gpu(256, int(device.partition(":")[2] or 0))  # MiB at the start; the pool grows
    else:
        config.disable_gpu()
        # oneDNN is on by default, and its fusion in Paddle 3.3.1 loses one of two activations in a row
        # (TinyBERT's tanh and ReLU): other logits, no message.
        config.disable_mkldnn()
        config.set_cpu_math_library_num_threads(environment.cores())  # its default is a single thread
    config.disable_glog_info()
    predictor = inference.create_predictor(config)
    (output,) = predictor.get_output_names()

    def run(input_ids: np.ndarray, token_type_ids: np.ndarray) -> np.ndarray:
        for name, value in zip(INPUTS, (input_ids, token_type_ids)):
            predictor.get_input_handle(name).copy_from_cpu(value)
        predictor.run()
        return predictor.get_output_handle(output).copy_to_cpu()

    return Backend(run, output, device)


def load_onnx_runtime(bundle: Path) -> Backend:
    """The bundle's ONNX model in ONNX Runtime, on CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(bundle / ONNX_MODEL), providers=["CPUExecutionProvider"])

    def run(input_ids: np.ndarray, token_type_ids: np.ndarray) -> np.ndarray:
        return session.run([OUTPUT], dict(zip(INPUTS, (input_ids, token_type_ids))))[0]

    return Backend(run, OUTPUT, "cpu")


BACKENDS: dict[str, Callable[[Path], Backend]] = {
    "paddle_inference": load_paddle_inference,
    "onnx_runtime": load_onnx_runtime,
}


def _probes(model: nn.Layer, max_seq_length: int) -> list[Probe]:
    """Batches of (input_ids, token_type_ids), each [B, T] int64: random tokens, two segments, padded rows.

    The first row of a batch is full, every other one has its own length. The same model always gets the same.
    """
    rng = np.random.default_rng(0)
    pad = backbone(model).pad_token_id
    tokens = np.setdiff1d(np.arange(model.config.vocab_size), [pad])
    segments = min(2, model.config.type_vocab_size)
    shapes = {(batch, min(length, max_seq_length)) for batch, length in ((1, 1), (1, 3), (2, 17), (5, 10**9))}
    probes = []
    for batch, length in sorted(shapes):
        lengths = np.append(length, rng.integers(1, length + 1, size=batch - 1))
        inside = np.arange(length) < lengths[:, None]  # [B, T]
        input_ids = np.where(inside, rng.choice(tokens, (batch, length)), pad)
        second = np.arange(length) >= (lengths[:, None] + 1) // 2  # [B, T]: the second text of a pair
        probes.append((input_ids.astype("int64"), (inside & second).astype("int64") * (segments - 1)))
    return probes


def _compare(
    name: str,
    model: nn.Layer,
    bundle: Path,
    probes: list[Probe],
    tolerance: float,
) -> dict[str, Any]:
    """Load the written model and compare its logits with those of `model`; RunError if they differ."""
    try:
        backend = BACKENDS[name](bundle)
        found = [backend.run(*probe) for probe in probes]  # each [B, C]
    except Exception as error:  # each library has its own types; what they say matters, not which it is
        raise RunError(f"{name} failed on the model that was just exported: {first_line(error)}") from error
    with paddle.no_grad():
        expected = [model(*map(paddle.to_tensor, probe)).numpy() for probe in probes]  # each [B, C]
    worst = 0.0
    for want, have, (input_ids, _) in zip(expected, found, probes):
        shape = "batch {}, length {}".format(*input_ids.shape)
        if have.shape != want.shape:
            raise RunError(f"{name}, {shape}: logits of shape {have.shape} instead of {want.shape}")
        difference = float(np.abs(have - want).max())
        if not difference <= tolerance:  # so that NaN fails too
            raise RunError(
                f"{name}, {shape}: the logits differ by {difference:.3g} from the dynamic model's;"
                f" allowed are {tolerance:g}. Nothing was written"
            )
        worst = max(worst, difference)
    same = np.concatenate([h.argmax(-1) == w.argmax(-1) for h, w in zip(found, expected)])
    return {
        "device": backend.device,
        "output": backend.output,
        "max_abs_difference": worst,
        "argmax_agreement": float(same.mean()),
    }

"""What a bundle holds and how its manifest is read: for the exporter and for runtimes that have no Paddle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ofa_bert.errors import UserError
from ofa_bert.files.atomic import finish_replacement
from ofa_bert.files.reading import read_json

FORMAT = 2
MANIFEST = "manifest.json"
TOKENIZER = "tokenizer.json"  # for the `tokenizers` library; absent when the model's tokenizer has no such form
INPUTS = ("input_ids", "token_type_ids")  # int64 [B, T]; the padding mask is derived inside
OUTPUT = "logits"  # float32 [B, C]; Paddle's static models have a name of their own for it
PRECISIONS = ("fp32", "fp16", "bf16", "int8", "int8-static")
STATIC_PREFIX = "inference"
PARAMETERS = "inference.pdiparams"
PROGRAMS = ("inference.json", "inference.pdmodel")  # from Paddle 3, from Paddle 2


class Kind(NamedTuple):
    """A model that a bundle can hold. `place` is a file for ONNX, a directory for Paddle."""

    format: str
    precision: str
    place: str
    fused: bool = False  # of ONNX Runtime's own operators, which are fast on its CUDA provider


# By the name that the manifest and messages use. bf16 has no file of its own: OpenVINO computes onnx-fp32 in it. Nor
# has Paddle in fp16: Paddle Inference makes it from the static model when it loads that on a GPU.
KINDS = {
    "paddle-fp32": Kind("paddle", "fp32", "."),
    "paddle-int8-static": Kind("paddle", "int8-static", "paddle-int8-static"),
    "onnx-fp32": Kind("onnx", "fp32", "model.onnx"),
    "onnx-fp32-fused": Kind("onnx", "fp32", "model.fused.onnx", fused=True),
    "onnx-fp16": Kind("onnx", "fp16", "model.fp16.onnx"),
    "onnx-fp16-fused": Kind("onnx", "fp16", "model.fp16.fused.onnx", fused=True),
    "onnx-bf16": Kind("onnx", "bf16", "model.onnx"),
    "onnx-int8": Kind("onnx", "int8", "model.int8.onnx"),
    "onnx-int8-static": Kind("onnx", "int8-static", "model.int8-static.onnx"),
}


def read_manifest(bundle: str | Path) -> dict[str, Any]:
    """The manifest of a bundle whose every file is there with its size; UserError names what is wrong."""
    bundle = Path(bundle)
    finish_replacement(bundle)
    if not (bundle / MANIFEST).is_file():
        raise UserError(f"{bundle}: no bundle, it has no {MANIFEST}; export_model.py --static_sub_model makes one")
    manifest = read_json(bundle / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("kind") != "bundle":
        raise UserError(f"{bundle / MANIFEST}: does not describe a bundle; export it again with export_model.py")
    if manifest.get("format") != FORMAT:
        raise UserError(
            f"{bundle / MANIFEST}: format {manifest.get('format')!r}, this version reads {FORMAT};"
            " export the bundle again with export_model.py"
        )
    problem = _shape_problem(manifest)
    if problem:
        raise UserError(f"{bundle / MANIFEST}: {problem}; export the bundle again with export_model.py")
    for name, size in manifest["files"].items():
        _check_file(bundle, name, size)
    return manifest


def _shape_problem(manifest: Mapping[str, Any]) -> str | None:
    wanted = {"files": dict, "models": list, "labels": list, "num_labels": int, "pad_token_id": int}
    wanted["max_seq_length"] = int
    for key, kind in wanted.items():
        if not isinstance(manifest.get(key), kind):
            return f"{key} is missing or no {kind.__name__}"
    for name, size in manifest["files"].items():
        if not isinstance(size, int) or Path(name).is_absolute() or ".." in Path(name).parts:
            return f"files: {name!r}: {size!r} is not a path inside the bundle with its size"
    for model in manifest["models"]:
        if not isinstance(model, dict) or not isinstance(model.get("files"), list):
            return "an entry of models is damaged"
        if not {"name", "format", "precision"} <= set(model) or not set(model["files"]) <= set(manifest["files"]):
            return f"models: the entry {model.get('name')!r} is damaged"
    return None


def _check_file(bundle: Path, name: str, size: int) -> None:
    path = bundle / name
    if not path.is_file():
        raise UserError(f"{path}: missing, though {MANIFEST} lists it; copy the whole bundle again")
    found = path.stat().st_size
    if found != size:
        raise UserError(f"{path}: has {found} bytes, {MANIFEST} says {size}; copy the whole bundle again")


def models(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One dictionary per model in the bundle: name, format, precision, files, bytes and how it was checked."""
    return list(manifest["models"])


def model_files(bundle: str | Path, format: str, precision: str, fused: bool = False) -> list[Path]:
    """The files of one model of the bundle, [model.onnx] or [program, parameters]. UserError when it has none."""
    bundle = Path(bundle)
    held = models(read_manifest(bundle))
    for model in held:
        if (model["format"], model["precision"], model.get("fused", False)) == (format, precision, fused):
            return [bundle / name for name in model["files"]]
    names = ", ".join(model["name"] for model in held)
    raise UserError(
        f"{bundle}: holds no {format} model in {precision}, only {names};"
        f" export it with export_model.py --precision {precision}{' --onnx' if format == 'onnx' else ''}"
        f"{' --fused' if fused else ''}"
    )


def program_path(directory: str | Path) -> Path:
    """The program file of a static Paddle model; UserError when the directory holds none."""
    for name in PROGRAMS:
        path = Path(directory) / name
        if path.is_file():
            return path
    raise UserError(f"{directory}: no static model; it needs {' or '.join(PROGRAMS)}")

"""python -m ofa_bert export_serving: bundles as the input of engines that serve many users or machines.

triton/            a model repository of Triton Inference Server, ONNX Runtime backend
paddle_serving/    <model>/<version>/serving_server and serving_client, for Paddle Serving
fastdeploy/        a model repository for FastDeploy's server, Paddle Inference engine
README.md          how to start each server and how to call it; serving.json: the same facts for programs
"""

from __future__ import annotations

import hashlib
import logging
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofa_bert.bundle.manifest import INPUTS, OUTPUT, TOKENIZER, model_files, models, read_manifest
from ofa_bert.errors import RunError, UserError
from ofa_bert.files import lock
from ofa_bert.files.atomic import SERVING_META, atomic_directory, write_json_atomic, write_text_atomic
from ofa_bert.runtime.backends.registry import first_for
from ofa_bert.runtime.opening import open_files
from ofa_bert.serving import config_text as configs
from ofa_bert.serving.config import ServingConfig
from ofa_bert.serving.readme import readme
from ofa_bert.tasks.task import task_of

logger = logging.getLogger(__name__)

PADDLE_PROGRAM = ".pdmodel"
STANDARD_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True)
class Version:
    """A bundle as one version of a model on a server."""

    number: int
    bundle: Path
    manifest: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        kept = ("sub_model", "parameters", "score", "scores", "max_seq_length")
        about = {key: self.manifest[key] for key in kept if key in self.manifest}
        return {"version": self.number, "bundle": self.bundle.resolve().name, **about}


@dataclass(frozen=True)
class Served:
    """A model on a server: versions that take the same tokens and give the same labels."""

    name: str
    versions: tuple[Version, ...]

    @property
    def first(self) -> Mapping[str, Any]:
        return self.versions[0].manifest

    @property
    def labels(self) -> list[str]:
        return list(self.first["labels"])

    @property
    def max_seq_length(self) -> int:
        return min(version.manifest["max_seq_length"] for version in self.versions)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "task": self.first.get("task"),
            "labels": self.labels,
            "pad_token_id": self.first["pad_token_id"],
            "max_seq_length": self.max_seq_length,
            "versions": [version.to_json() for version in self.versions],
        }


@lock.writer("output_dir", beside=True)
def export_serving(config: ServingConfig) -> str:
    """Write everything at once, and return what to print."""
    served = grouped(config)
    for model in served:
        _check(model, config)
    how = configs.Serving(
        config.device, config.accelerator, config.instances, config.threads, config.max_batch_size,
        config.max_queue_delay_us,
    )  # fmt: skip
    with atomic_directory(config.output_dir) as new:
        for model in served:
            if "triton" in config.engines:
                write_triton(new / "triton" / model.name, model, config.precision, how)
            for engine, write in (("paddle_serving", write_paddle_serving), ("fastdeploy", write_fastdeploy)):
                if engine in config.engines:
                    write(new / engine, model, how)
        described = [model.to_json() for model in served]
        write_text_atomic(new / "README.md", readme(described, config.engines, config.precision, how))
        write_json_atomic(new / SERVING_META, {"engines": list(config.engines), "models": described})
    lines = [f"{model.name}: version {v.number} is {v.bundle}" for model in served for v in model.versions]
    return "\n".join([*lines, f"{Path(config.output_dir) / 'README.md'} says how to start a server and call it"])


def grouped(config: ServingConfig) -> list[Served]:
    """Bundles with the same labels, padding and tokenizer as the versions of one model."""
    groups: dict[tuple, list[tuple[Path, dict[str, Any]]]] = {}
    resolved = [Path(path).resolve() for path in config.bundles]
    for path in config.bundles:
        if resolved.count(Path(path).resolve()) > 1:
            raise UserError(f"--bundles {path}: given twice")
        manifest = read_manifest(path)
        groups.setdefault(_interface(Path(path), manifest), []).append((Path(path), manifest))
    if config.name and len(groups) > 1:
        apart = [members[0][0] for members in groups.values()]
        raise UserError(
            f"--name {config.name}: {apart[0]} and {apart[1]} differ in labels or tokenizer, so they become models of"
            " their own; leave --name out, or export them apart"
        )
    served: list[Served] = []
    for members in groups.values():
        task = members[0][1].get("task")
        wanted = config.name or re.sub(r"[^A-Za-z0-9_.-]+", "-", task["name"] if task else "model")
        name, number = wanted, 1
        while name in [model.name for model in served]:
            name, number = f"{wanted}-{number + 1}", number + 1
        versions = (Version(place, *member) for place, member in enumerate(members, 1))
        served.append(Served(name, tuple(versions)))
    return served


def _interface(bundle: Path, manifest: Mapping[str, Any]) -> tuple:
    """What a client must know of a model: two bundles with the same can stand in for each other."""
    digest = hashlib.sha256()
    for path in tokenizer_files(bundle, manifest):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    task = manifest.get("task")
    name = task["name"] if task else None
    thresholds = task_of(manifest, manifest["num_labels"]).thresholds
    return (
        name,
        tuple(manifest["labels"]),
        thresholds,
        manifest["num_labels"],
        manifest["pad_token_id"],
        digest.hexdigest(),
    )


def tokenizer_files(bundle: Path, manifest: Mapping[str, Any]) -> list[Path]:
    """The bundle's files that belong to none of its models."""
    of_models = {name for model in models(manifest) for name in model["files"]}
    return [bundle / name for name in sorted(manifest["files"]) if name not in of_models]


def _check(model: Served, config: ServingConfig) -> None:
    """UserError, before anything is written, for a bundle that lacks what an engine needs."""
    problems = []
    for version in model.versions:
        if "triton" in config.engines:
            problems += onnx_problems(version.bundle, config.precision, config.accelerator)
        if {"paddle_serving", "fastdeploy"} & set(config.engines):
            problems += _paddle_problems(version.bundle)
    if problems:
        raise UserError("; ".join(problems))


def _paddle_problems(bundle: Path) -> list[str]:
    try:
        program, _ = model_files(bundle, "paddle", "fp32")
    except UserError as error:
        return [f"{error}; or --engines triton"]
    if program.suffix == PADDLE_PROGRAM:
        return []
    return [
        f"{program}: is Paddle 3's format, Paddle Serving and FastDeploy read Paddle 2's {PADDLE_PROGRAM}: export the"
        " bundle with Paddle 2.6, or give --engines triton"
    ]


def onnx_problems(bundle: Path, precision: str, accelerator: str) -> list[str]:
    """What keeps a bundle's ONNX model from being served: another interface, operators that only one engine has."""
    try:
        files = model_files(bundle, "onnx", precision)
    except UserError as error:
        return [str(error)]
    inputs, outputs, domains = interface(files[0])
    labels = read_manifest(bundle)["num_labels"]
    expected = ({name: ("int64", [None, None]) for name in INPUTS}, {OUTPUT: ("float32", [None, labels])})
    if (inputs, outputs) != expected:
        return [f"{files[0]}: has inputs {inputs} and outputs {outputs}, expected are {expected[0]} and {expected[1]}"]
    foreign = sorted(set(domains) - set(STANDARD_DOMAINS))
    if accelerator != "none" and foreign:
        return [
            f"{files[0]}: has operators of {', '.join(foreign)}, which {accelerator} does not know;"
            " serve --precision fp32, or leave --accelerator out"
        ]
    return []


Tensors = dict[str, tuple[str, list[Any]]]


def interface(path: Path) -> tuple[Tensors, Tensors, list[str]]:
    """(inputs, outputs, operator domains) of an ONNX file; tensors as name -> (type, sizes, None where free)."""
    import onnx  # only here: serving by Paddle needs none

    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's own type
        raise UserError(f"{path}: is no ONNX file ({error}); copy the whole bundle again") from error

    def tensors(values: Any) -> Tensors:
        found = {}
        for value in values:
            kind = value.type.tensor_type
            sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]
            found[value.name] = (str(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)), sizes)
        return found

    domains = sorted({node.domain for node in model.graph.node})
    return tensors(model.graph.input), tensors(model.graph.output), domains


def write_triton(directory: Path, model: Served, precision: str, how: configs.Serving) -> None:
    """<model>/config.pbtxt, labels.txt, tokenizer/, versions.json and <version>/model.onnx."""
    directory.mkdir(parents=True)
    for version in model.versions:
        files = model_files(version.bundle, "onnx", precision)
        place = directory / str(version.number)
        place.mkdir()
        shutil.copyfile(files[0], place / "model.onnx")
        for other in files[1:]:  # weights beside the graph keep the name that the graph knows them by
            shutil.copyfile(other, place / other.name)
    inputs, outputs, _ = interface(directory / str(model.versions[0].number) / "model.onnx")
    num_labels = outputs[OUTPUT][1][1]
    dims = {name: len(sizes) - 1 for name, (_, sizes) in inputs.items()}
    text = configs.triton(model.name, dims, num_labels, bool(model.labels), model.max_seq_length, how)
    write_text_atomic(directory / "config.pbtxt", text)
    _write_labels(directory, model)
    _copy_tokenizer(directory, model)
    write_json_atomic(directory / "versions.json", [version.to_json() for version in model.versions])


def _write_labels(directory: Path, model: Served) -> None:
    if model.labels:
        lines = [re.sub(r"\s+", " ", label) for label in model.labels]  # a line break would be another label
        write_text_atomic(directory / "labels.txt", "\n".join(lines) + "\n")


def _copy_tokenizer(directory: Path, model: Served) -> None:
    """tokenizer/ beside the versions: Triton passes over directories whose name is no number."""
    first = model.versions[0]
    (directory / "tokenizer").mkdir()
    for path in tokenizer_files(first.bundle, first.manifest):
        shutil.copyfile(path, directory / "tokenizer" / path.name)
    if not (directory / "tokenizer" / TOKENIZER).exists():
        logger.warning("%s: has no %s; clients need PaddleNLP to tokenize", first.bundle, TOKENIZER)


def _paddle_output(files: Sequence[Path]) -> str:
    """What the static model calls its logits: Paddle generates that name, and the engines ask for it."""
    try:
        return open_files(files, first_for("paddle"), threads=1).output
    except UserError as error:
        raise RunError(f"the name of the static model's output cannot be read: {error}") from error


def write_paddle_serving(directory: Path, model: Served, how: configs.Serving) -> None:
    """<model>/<version>/serving_server (model and description) and serving_client (description)."""
    for version in model.versions:
        program, parameters = model_files(version.bundle, "paddle", "fp32")
        text, stream = configs.paddle_serving(_paddle_output([program, parameters]))
        place = directory / model.name / str(version.number)
        for side in ("server", "client"):
            folder = place / f"serving_{side}"
            folder.mkdir(parents=True)
            write_text_atomic(folder / f"serving_{side}_conf.prototxt", text)
            (folder / f"serving_{side}_conf.stream.prototxt").write_bytes(stream)
        for path in (program, parameters):
            shutil.copyfile(path, place / "serving_server" / path.name)
    _write_labels(directory / model.name, model)
    _copy_tokenizer(directory / model.name, model)


def write_fastdeploy(directory: Path, model: Served, how: configs.Serving) -> None:
    """<model>_v<version>/config.pbtxt and 1/model.pdmodel, 1/model.pdiparams.

    A model for each version: their outputs have different names, and a configuration names one.
    """
    for version in model.versions:
        program, parameters = model_files(version.bundle, "paddle", "fp32")
        place = directory / f"{model.name}_v{version.number}"
        (place / "1").mkdir(parents=True)
        text = configs.fastdeploy(_paddle_output([program, parameters]), version.manifest["num_labels"], how)
        write_text_atomic(place / "config.pbtxt", text)
        shutil.copyfile(program, place / "1" / "model.pdmodel")
        shutil.copyfile(parameters, place / "1" / "model.pdiparams")
        _write_labels(place, model)
        _copy_tokenizer(place, model)

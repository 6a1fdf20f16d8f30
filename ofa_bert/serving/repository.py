"""python -m ofa_bert export_serving: bundles as the input of engines that serve many users or machines.

triton/            a model repository of Triton Inference Server, ONNX Runtime backend
paddle_serving/    <model>/<version>/serving_server and serving_client, for Paddle Serving
fastdeploy/        a model repository for FastDeploy's server, Paddle Inference engine
README.md          how to start each server and how to call it; serving.json: the same facts for programs
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ofa_bert.bundle.digests import check_copy, described
from ofa_bert.bundle.manifest import INPUTS, MANIFEST, OUTPUT, TOKENIZER, Bundle
from ofa_bert.errors import UserError
from ofa_bert.files import lock
from ofa_bert.files.atomic import SERVING_META, atomic_directory, write_json_atomic, write_text_atomic
from ofa_bert.runtime.backends.registry import first_for
from ofa_bert.runtime.opening import open_files
from ofa_bert.serving import config_text as configs
from ofa_bert.serving.job import ServingJob
from ofa_bert.serving.readme import readme
from ofa_bert.serving.served import Served, grouped, tokenizer_files

if TYPE_CHECKING:
    from onnx import ValueInfoProto

logger = logging.getLogger(__name__)

PADDLE_PROGRAM = ".pdmodel"
STANDARD_DOMAINS = ("", "ai.onnx")


@lock.writer("output_dir", beside=True)
def export_serving(job: ServingJob) -> str:
    """Write everything at once, and return what to print."""
    served = grouped(job)
    for model in served:
        _check(model, job)
    how = configs.Serving(
        job.device, job.accelerator, job.instances, job.threads, job.max_batch_size,
        job.max_queue_delay_us,
    )  # fmt: skip
    with atomic_directory(job.output_dir) as new:
        for model in served:
            if "triton" in job.engines:
                write_triton(new / "triton" / model.name, model, job.precision, how)
            for engine, write in (("paddle_serving", write_paddle_serving), ("fastdeploy", write_fastdeploy)):
                if engine in job.engines:
                    write(new / engine, model, how)
        write_text_atomic(new / "README.md", readme(served, job.engines, job.precision, how))
        about = {"engines": list(job.engines), "models": [model.to_json() for model in served]}
        files = {name: entry.to_json() for name, entry in described(new).items()}
        write_json_atomic(new / SERVING_META, {**about, "files": files})
    lines = [f"{model.name}: version {v.number} is {v.bundle.path}" for model in served for v in model.versions]
    return "\n".join([*lines, f"{Path(job.output_dir) / 'README.md'} says how to start a server and call it"])


def _check(model: Served, job: ServingJob) -> None:
    """UserError, before anything is written, for a bundle that lacks what an engine needs."""
    with_paddle = bool({"paddle_serving", "fastdeploy"} & set(job.engines))
    problems = [] if job.without_exits else _exit_problems(model)
    if problems:
        raise UserError("; ".join(problems))
    for version in model.versions:
        if "triton" in job.engines:
            problems += onnx_problems(version.bundle, job.precision, job.accelerator)
        if with_paddle:
            problems += _paddle_problems(version.bundle)
    if problems:
        raise UserError("; ".join(problems))


def _exit_problems(model: Served) -> list[str]:
    return [
        f"{version.bundle.path}: has early exits, which these servers do not run; answer with them by"
        " python -m ofa_bert predict `exit_threshold` or ofa_bert's Predictor, or serve the whole model alone:"
        " `without_exits`"
        for version in model.versions
        if version.manifest.exits is not None
    ]


def _paddle_problems(bundle: Bundle) -> list[str]:
    try:
        program, _ = bundle.model_files("paddle", "fp32")
    except UserError as error:
        return [f"{error}; or `engines` triton"]
    if program.suffix == PADDLE_PROGRAM:
        return []
    return [
        f"{program}: is Paddle 3's format, Paddle Serving and FastDeploy read Paddle 2's {PADDLE_PROGRAM}: export the"
        " bundle with Paddle 2.6, or give `engines` triton"
    ]


def onnx_problems(bundle: Bundle, precision: str, accelerator: str) -> list[str]:
    """What keeps a bundle's ONNX model from being served: another interface, operators that only one engine has."""
    try:
        files = bundle.model_files("onnx", precision)
    except UserError as error:
        return [str(error)]
    inputs, outputs, domains = interface(files[0])
    sizes = [None, *(None if size < 0 else size for size in bundle.manifest.output_dims)]
    expected = ({name: ("int64", [None, None]) for name in INPUTS}, {OUTPUT: ("float32", sizes)})
    if (inputs, outputs) != expected:
        return [f"{files[0]}: has inputs {inputs} and outputs {outputs}, expected are {expected[0]} and {expected[1]}"]
    foreign = sorted(set(domains) - set(STANDARD_DOMAINS))
    if accelerator != "none" and foreign:
        return [
            f"{files[0]}: has operators of {', '.join(foreign)}, which {accelerator} does not know;"
            " serve `precision` fp32, or leave `accelerator` out"
        ]
    return []


Tensors = dict[str, tuple[str, list[int | None]]]


def interface(path: Path) -> tuple[Tensors, Tensors, list[str]]:
    """(inputs, outputs, operator domains) of an ONNX file; tensors as name -> (type, sizes, None where free)."""
    import onnx  # only here: serving by Paddle needs none

    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's own type
        raise UserError(f"{path}: is no ONNX file ({error}); copy the whole bundle again") from error

    def tensors(values: Iterable[ValueInfoProto]) -> Tensors:
        found: Tensors = {}
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
        files = version.bundle.model_files("onnx", precision)
        place = directory / str(version.number)
        place.mkdir()
        _copy(version.bundle, files[0], place / "model.onnx")
        for other in files[1:]:  # weights beside the graph keep the name that the graph knows them by
            _copy(version.bundle, other, place / other.name)
    inputs, _, _ = interface(directory / str(model.versions[0].number) / "model.onnx")
    about = model.first  # as `onnx_problems` has seen
    dims = {name: len(sizes) - 1 for name, (_, sizes) in inputs.items()}
    named = bool(model.labels) and not about.per_token  # a server names answers to whole texts alone
    text = configs.triton(model.name, dims, about.output_dims, named, model.max_seq_length, how)
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
    bundle = model.versions[0].bundle
    (directory / "tokenizer").mkdir()
    for name in tokenizer_files(bundle.manifest):
        _copy(bundle, bundle.path / name, directory / "tokenizer" / name)
    if not (directory / "tokenizer" / TOKENIZER).exists():
        logger.warning("%s: has no %s; clients need PaddleNLP to tokenize", bundle.path, TOKENIZER)


def _copy(bundle: Bundle, source: Path, target: Path) -> None:
    """Copy a file of the bundle; UserError when what arrives is not what was exported."""
    shutil.copyfile(source, target)
    check_copy(target, bundle.manifest.files[source.relative_to(bundle.path).as_posix()], MANIFEST)


def _paddle_output(files: Sequence[Path]) -> str:
    """What the static model calls its logits: Paddle generates that name, and the engines ask for it."""
    try:
        return open_files(files, first_for("paddle"), threads=1).output
    except UserError as error:
        raise type(error)(f"the name of the static model's output cannot be read: {error}") from error


def write_paddle_serving(directory: Path, model: Served, how: configs.Serving) -> None:
    """<model>/<version>/serving_server (model and description) and serving_client (description)."""
    for version in model.versions:
        program, parameters = version.bundle.model_files("paddle", "fp32")
        text, stream = configs.paddle_serving(_paddle_output([program, parameters]))
        place = directory / model.name / str(version.number)
        for side in ("server", "client"):
            folder = place / f"serving_{side}"
            folder.mkdir(parents=True)
            write_text_atomic(folder / f"serving_{side}_conf.prototxt", text)
            (folder / f"serving_{side}_conf.stream.prototxt").write_bytes(stream)
        for path in (program, parameters):
            _copy(version.bundle, path, place / "serving_server" / path.name)
    _write_labels(directory / model.name, model)
    _copy_tokenizer(directory / model.name, model)


def write_fastdeploy(directory: Path, model: Served, how: configs.Serving) -> None:
    """<model>_v<version>/config.pbtxt and 1/model.pdmodel, 1/model.pdiparams.

    A model for each version: their outputs have different names, and a configuration names one.
    """
    for version in model.versions:
        program, parameters = version.bundle.model_files("paddle", "fp32")
        place = directory / f"{model.name}_v{version.number}"
        (place / "1").mkdir(parents=True)
        text = configs.fastdeploy(_paddle_output([program, parameters]), version.manifest.output_dims, how)
        write_text_atomic(place / "config.pbtxt", text)
        _copy(version.bundle, program, place / "1" / "model.pdmodel")
        _copy(version.bundle, parameters, place / "1" / "model.pdiparams")
        _write_labels(place, model)
        _copy_tokenizer(place, model)

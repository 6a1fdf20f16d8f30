"""What a bundle holds and how its manifest is read: for the exporter and for runtimes that have no Paddle.

`Manifest` is the whole of a manifest.json. It is parsed in one place, field by field; whoever has one reads attributes.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ofa_bert.bundle.digests import check_files
from ofa_bert.bundle.engine_entry import EngineEntry
from ofa_bert.bundle.entries import HALF_STATIC, NNCF, FileEntry, ModelEntry, TokenizerEntry, read_files
from ofa_bert.bundle.exit_entry import ExitsEntry
from ofa_bert.bundle.shape_fields import MOST, shape_of
from ofa_bert.errors import UserError
from ofa_bert.exits.policy import check_policy
from ofa_bert.files.atomic import finish_replacement
from ofa_bert.files.fields import Fields
from ofa_bert.files.reading import read_json
from ofa_bert.reporting import shown
from ofa_bert.submodels.values import ModelShape, SubModelConfig
from ofa_bert.tasks.task import Task, task_for

logger = logging.getLogger(__name__)

FORMAT = 3
WITHOUT_DIGESTS = 2  # the format before: a file's size alone
MANIFEST = "manifest.json"
TOKENIZER = "tokenizer.json"  # for the `tokenizers` library; absent when the model's tokenizer has no such form
INPUTS = ("input_ids", "token_type_ids")  # int64 [B, T]; the padding mask is derived inside
OUTPUT = "logits"  # float32 [B, C], [B, T, C] of every token; Paddle's static models have a name of their own for it
SHORTEST_INPUT = 3  # tokens: room for one word and two marks
STATIC_PREFIX = "inference"
PARAMETERS = "inference.pdiparams"
PROGRAMS = ("inference.json", "inference.pdmodel")  # from Paddle 3, from Paddle 2
_CURE = "export the bundle again with export_model.py"


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
    "onnx-int8-static-fp16": Kind("onnx", HALF_STATIC, "model.int8-static-fp16.onnx"),
    "ir-int8-nncf": Kind("ir", NNCF, "model.int8-nncf.xml"),  # its weights lie beside it, in .bin
}


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a bundle is: its models and files, and the model, task and sizes that it was made from.

    models have files of their own; computed: precisions that are computed from another model's files.
    score and scores are of dev, as training measured them; compared_shapes: [B, T] of what the export compared.
    """

    labels: tuple[str, ...]  # class i is labels[i]; empty for a regression, or where classes have no names
    num_labels: int
    pad_token_id: int
    max_seq_length: int
    models: tuple[ModelEntry, ...]
    files: Mapping[str, FileEntry]  # by path inside the bundle, the manifest itself apart
    model_type: str | None = None
    shape: ModelShape | None = None
    sub_model: SubModelConfig | None = None
    task: Task | None = None
    parameters: int | None = None
    score: float | None = None
    scores: Mapping[str, object] | None = None
    compared_shapes: tuple[tuple[int, int], ...] = ()
    max_drop: float | None = None  # points of score that a precision was allowed to lose
    computed: tuple[ModelEntry, ...] = ()
    exits: ExitsEntry | None = None
    engines: tuple[EngineEntry, ...] = ()
    tokenizer: TokenizerEntry | None = None
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_digests(self) -> bool:
        return all(entry.sha256 is not None for entry in self.files.values())

    def bytes_of(self, model: ModelEntry) -> int:
        """The size of its files; bundles of before do not say it of the model."""
        return sum(self.files[name].bytes for name in model.files)

    @property
    def decided_task(self) -> Task:
        """The task; where the manifest says none, what a classifier of this width can be."""
        return self.task or task_for(self.labels, self.num_labels)

    @property
    def per_token(self) -> bool:
        """Whether its logits are [B, T, C], of every token."""
        return self.task is not None and self.task.kind.per_token

    @property
    def output_dims(self) -> tuple[int, ...]:
        """The logits' dimensions behind the batch's, -1 for tokens."""
        return (-1, self.num_labels) if self.per_token else (self.num_labels,)

    def to_json(self) -> dict[str, object]:
        """The content of manifest.json; with digests it has one of its own, which `from_json` checks."""
        found = {"score": self.score, "scores": self.scores and dict(self.scores)}
        exits = {} if self.exits is None else {"exits": self.exits.to_json()}
        about: dict[str, object] = {
            "format": FORMAT if self.has_digests else WITHOUT_DIGESTS,
            "kind": "bundle",
            "model_type": self.model_type,
            "shape": self.shape and self.shape.to_json(),
            "sub_model": self.sub_model and self.sub_model.to_json(),
            "task": self.task and self.task.to_json(),
            "labels": list(self.labels),
            "num_labels": self.num_labels,
            "parameters": self.parameters,
            "pad_token_id": self.pad_token_id,
            **{name: value for name, value in found.items() if value is not None},
            "max_seq_length": self.max_seq_length,
            "inputs": list(INPUTS),
            "compared_shapes": [list(shape) for shape in self.compared_shapes],
            "max_drop": self.max_drop,
            "models": [model.to_json() for model in self.models],
            "computed": [model.to_json() for model in self.computed],
            **exits,
            **({"engines": [engine.to_json() for engine in self.engines]} if self.engines else {}),
            "tokenizer": self.tokenizer and self.tokenizer.to_json(),
            "versions": dict(self.versions),
            "files": {name: entry.to_json() for name, entry in self.files.items()},
        }
        return sealed(about) if self.has_digests else about

    @classmethod
    def from_json(cls, value: object, where: str) -> Manifest:
        """The manifest of what a manifest.json holds; UserError, one line that begins with `where`, for any fault."""
        fields = Fields(value, where, _CURE)
        digests = _check_kind(fields) == FORMAT
        files = read_files(fields, digests)
        made = cls(
            labels=fields.texts("labels"),
            num_labels=fields.whole("num_labels", 1, MOST),
            pad_token_id=fields.whole("pad_token_id", 0, MOST),
            max_seq_length=fields.whole("max_seq_length", SHORTEST_INPUT, MOST),
            models=tuple(ModelEntry.from_json(each, files) for each in fields.each("models")),
            files=files,
            model_type=fields.text("model_type", default=None),
            shape=shape_of(fields.inner("shape")) if "shape" in fields else None,
            sub_model=fields.made("sub_model", SubModelConfig.from_json) if "sub_model" in fields else None,
            task=fields.made("task", Task.from_json) if "task" in fields else None,
            parameters=fields.whole("parameters", 0, default=None),
            score=fields.number("score", default=None),
            scores=fields.mapping("scores", default=None),
            compared_shapes=fields.made("compared_shapes", _pairs) if "compared_shapes" in fields else (),
            max_drop=fields.number("max_drop", 0, default=None),
            computed=tuple(ModelEntry.from_json(each, files) for each in fields.each("computed", default=[])),
            exits=ExitsEntry.from_json(fields.inner("exits"), files) if "exits" in fields else None,
            engines=tuple(EngineEntry.from_json(each, files) for each in fields.each("engines", default=[])),
            tokenizer=TokenizerEntry.from_json(fields.inner("tokenizer")) if "tokenizer" in fields else None,
            versions=fields.made("versions", _texts) if "versions" in fields else {},
        )
        _check_together(made, fields)
        return made


def _check_kind(fields: Fields) -> int:
    """The format's number, once the manifest is one of a bundle and as it was written."""
    if fields.value.get("kind") != "bundle":
        raise UserError(f"{fields.where}: does not describe a bundle; {_CURE}")
    found = fields.whole("format")
    if found not in (WITHOUT_DIGESTS, FORMAT):
        known = f"this version reads {WITHOUT_DIGESTS} and {FORMAT}"
        raise UserError(f"{fields.where}: format {shown(found)}, {known}; {_CURE}")
    if found == FORMAT and fields.text("sha256") != sealed(fields.value)["sha256"]:
        raise UserError(f"{fields.where}: was changed after it was written; copy the whole bundle again, or {_CURE}")
    return found


def _check_together(made: Manifest, fields: Fields) -> None:
    """UserError for what fits only each by itself."""
    if made.labels and len(made.labels) != made.num_labels:
        fields.wrong("labels", f"a name for each of {made.num_labels} outputs, or none")
    if made.task is not None and (made.task.labels != made.labels or made.task.num_labels != made.num_labels):
        fields.wrong("task", "a task with these labels and as many outputs")
    if not made.models:
        fields.wrong("models", "a list of one model or more")
    if fields.texts("inputs", default=INPUTS) != INPUTS:
        fields.wrong("inputs", f"{', '.join(INPUTS)}")
    for model in (*made.models, *made.computed):
        total = made.bytes_of(model)
        if model.bytes not in (None, total):
            raise UserError(f"{fields.where}: {model.name} has {model.bytes} bytes, its files have {total}; {_CURE}")
    if made.tokenizer is not None and made.tokenizer.file not in (None, *made.files):
        fields.wrong("tokenizer", "about one of the files")
    if made.exits is not None and made.exits.chosen is not None:
        task, exits = made.decided_task, len(made.exits.layers) - 1
        about = fields.inner("exits").inner("chosen").inner("policy")
        check_policy(about, made.exits.chosen.policy, task.kind_name, made.num_labels, exits)
    _check_sizes(made, fields)


def _check_sizes(made: Manifest, fields: Fields) -> None:
    """UserError for numbers that are not of the model that the manifest describes."""
    if made.shape is not None:
        if made.max_seq_length > made.shape.max_positions:
            fields.wrong(
                "max_seq_length", f"at most the {made.shape.max_positions} tokens that the model has places for"
            )
        if made.pad_token_id >= made.shape.vocab_size:
            fields.wrong("pad_token_id", f"below {made.shape.vocab_size}, the size of the vocabulary")
        if made.num_labels != made.shape.num_labels:
            fields.wrong("num_labels", f"{made.shape.num_labels}, which the shape says")
    if made.sub_model is None:
        return
    if made.shape is not None:
        try:
            made.sub_model.check_fits(made.shape)
        except UserError as error:
            raise UserError(f"{fields.where}: {error}; {_CURE}") from error
    if made.exits is not None and made.exits.layers[-1] != made.sub_model.depth:
        fields.wrong("exits", f"exits of a model with {made.sub_model.depth} layers, the last one behind them all")


def _pairs(value: object) -> tuple[tuple[int, int], ...]:
    if not isinstance(value, list):
        raise ValueError("no list")
    pairs = [tuple(pair) for pair in value if isinstance(pair, list) and [*map(type, pair)] == [int, int]]
    if len(pairs) < len(value):
        raise ValueError("not [rows, tokens] everywhere")
    return tuple(pairs)


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError("not texts by name")
    return dict(value)


def sealed(about: Mapping[str, object]) -> dict[str, object]:
    """A manifest with the digest of all else that it says, however that is laid out."""
    rest = {name: value for name, value in about.items() if name != "sha256"}
    plain = json.loads(json.dumps(rest))  # as it will be read: keys are texts, which decides their order
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return {**rest, "sha256": hashlib.sha256(text.encode("ascii")).hexdigest()}


@dataclass(frozen=True)
class Bundle:
    """A bundle that was opened: its directory, and its manifest, whose every file was there as it was written."""

    path: Path
    manifest: Manifest

    def model_files(self, format: str, precision: str, fused: bool = False) -> list[Path]:
        """The files of one of its models, [model.onnx] or [program, parameters]. UserError when it has none."""
        for model in self.manifest.models:
            if (model.format, model.precision, model.fused) == (format, precision, fused):
                return self.paths(model.files)
        raise UserError(
            f"{self.path}: holds no {format} model in {precision}, only {self.held()};"
            f" export it with export_model.py `precision` {precision}{' `onnx`' if format == 'onnx' else ''}"
            f"{' `fused`' if fused else ''}"
        )

    def paths(self, names: tuple[str, ...]) -> list[Path]:
        return [self.path / name for name in names]

    def held(self) -> str:
        """The names of its models, for a message."""
        return ", ".join(model.name for model in self.manifest.models)


def open_bundle(bundle: str | Path | Bundle) -> Bundle:
    """A bundle whose every file is there as it was written; UserError names what is wrong. An open one as it is."""
    if isinstance(bundle, Bundle):
        return bundle
    path = Path(bundle)
    manifest = checked_manifest(path)
    if not manifest.has_digests:
        logger.warning(
            "%s: has no digests, so a changed file is not found out; python -m ofa_bert add_digests `bundle` %s adds"
            " them",
            path, path,
        )  # fmt: skip
    return Bundle(path, manifest)


def checked_manifest(path: Path) -> Manifest:
    """The manifest of a directory that holds what it says; without digests, files of the sizes that it says."""
    finish_replacement(path)
    if not (path / MANIFEST).is_file():
        raise UserError(f"{path}: no bundle, it has no {MANIFEST}; export_model.py `static_sub_model` makes one")
    manifest = Manifest.from_json(read_json(path / MANIFEST, finite=True), str(path / MANIFEST))
    check_files(path, manifest.files, MANIFEST)
    return manifest


def read_manifest(bundle: str | Path | Bundle) -> Manifest:
    """The manifest of a bundle that `open_bundle` finds whole."""
    return open_bundle(bundle).manifest


def program_path(directory: str | Path) -> Path:
    """The program file of a static Paddle model; UserError when the directory holds none."""
    for name in PROGRAMS:
        path = Path(directory) / name
        if path.is_file():
            return path
    raise UserError(f"{directory}: no static model; it needs {' or '.join(PROGRAMS)}")

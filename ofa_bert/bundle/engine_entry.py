"""What a manifest says of an engine: a model that was compiled for one kind of GPU by one version of a library."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass

from ofa_bert.bundle.entries import word
from ofa_bert.files.fields import Fields

RUNTIMES = ("rtx", "tensorrt")  # NVIDIA's TensorRT for RTX, and TensorRT itself
PRECISIONS = ("fp32", "fp16", "int8-static")  # in which an ONNX file has a form that both read
BUILT, RUN = "built, not run", "run"  # where no GPU could open it; where one did, and its logits were compared
STATES = (BUILT, RUN)
CAPABILITY = re.compile(r"\d{1,2}\.\d")
TYPES = ("fp32", "fp16", "bf16", "int8")


@dataclass(frozen=True)
class EngineCheck:
    """How an engine's logits were compared with those of its ONNX file, on the GPU that it is for.

    types: how many of its layers write their results in each type, as NVIDIA's inspector tells; empty where it does
    not.
    """

    max_abs_difference: float
    relative_difference: float
    tolerance: float | None  # of the largest difference
    relative_tolerance: float | None
    checked_with: str  # the back end that computed the file
    types: Mapping[str, int]

    @classmethod
    def from_json(cls, fields: Fields) -> EngineCheck:
        types = fields.inner("types")
        return cls(
            fields.number("max_abs_difference", 0),
            fields.number("relative_difference", 0),
            fields.number("tolerance", 0, default=None),
            fields.number("relative_tolerance", 0, default=None),
            word(fields, "checked_with"),
            {name: types.whole(name, 1) for name in TYPES if name in types},
        )


@dataclass(frozen=True)
class EngineEntry:
    """An engine of the bundle. It runs on GPUs of its compute capability, with that version of the library."""

    file: str
    source: str  # the ONNX file that it was compiled from
    runtime: str
    version: str
    compute_capability: str  # as NVIDIA writes it, "8.6"
    precision: str
    batch: tuple[int, ...]  # least, best and most rows
    length: tuple[int, ...]  # least, best and most tokens of a row
    layers: int  # of the network, as the library read it
    seconds: float  # that compiling took
    check: EngineCheck | None = None  # None: it was built and not run

    @property
    def state(self) -> str:
        return BUILT if self.check is None else RUN

    @property
    def key(self) -> tuple[object, ...]:
        """Of two engines with the same key the newer one takes the older one's place."""
        return self.runtime, self.version, self.compute_capability, self.precision, self.batch, self.length

    @classmethod
    def from_json(cls, fields: Fields, files: Collection[str]) -> EngineEntry:
        """files: all names that the manifest lists."""
        made = cls(
            fields.text("file"),
            fields.text("source"),
            fields.text("runtime", RUNTIMES),
            word(fields, "version"),
            fields.text("compute_capability"),
            fields.text("precision", PRECISIONS),
            fields.wholes("batch", 1),
            fields.wholes("length", 1),
            fields.whole("layers", 1),
            fields.number("seconds", 0),
            EngineCheck.from_json(fields.inner("check")) if fields.text("state", STATES) == RUN else None,
        )
        for name, path in (("file", made.file), ("source", made.source)):
            if path not in files:
                fields.wrong(name, "one of the files")
        if not CAPABILITY.fullmatch(made.compute_capability):
            fields.wrong("compute_capability", "two numbers with a dot, such as 8.6")
        for name, values in (("batch", made.batch), ("length", made.length)):
            if len(values) != 3 or list(values) != sorted(values):
                fields.wrong(name, "least, best and most, in this order")
        return made

    def to_json(self) -> dict[str, object]:
        about = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        check = about.pop("check")
        return {**about, "state": self.state, **({} if check is None else {"check": check})}

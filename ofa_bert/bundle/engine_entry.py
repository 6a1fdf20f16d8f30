"""What a manifest says of an engine: a model that was compiled for one kind of GPU by one version of a library."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import asdict, dataclass

from ofa_bert.bundle.entries import word
from ofa_bert.files.fields import Fields

RUNTIMES = ("rtx", "tensorrt")  # NVIDIA's TensorRT for RTX, and TensorRT itself
PRECISIONS = ("fp32", "fp16", "int8-static")  # in which an ONNX file has a form that both read
STATES = ("built, not run",)
CAPABILITY = re.compile(r"\d{1,2}\.\d")


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
    state: str = STATES[0]

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
            fields.text("state", STATES),
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
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

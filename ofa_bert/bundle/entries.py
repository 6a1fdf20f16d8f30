"""What a manifest says of one file, one model and the tokenizer: each is checked where it is read."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath

from ofa_bert.errors import UserError
from ofa_bert.files.fields import Fields
from ofa_bert.reporting import shown

PRECISIONS = ("fp32", "fp16", "bf16", "int8", "int8-static")
HALF_STATIC = "int8-static-fp16"  # int8-static whose other tensors are fp16: a file for TensorRT alone
NNCF = "int8-nncf"  # int8 by OpenVINO's own quantizer: a file for OpenVINO alone
FILE_PRECISIONS = (*PRECISIONS, HALF_STATIC, NNCF)
ONNX, PADDLE, IR = "onnx", "paddle", "ir"  # a model's format
_SHA256 = re.compile("[0-9a-f]{64}")
_LONGEST_WORD = 200


@dataclass(frozen=True)
class FileEntry:
    """A file of the bundle; `sha256` is 64 hexadecimal digits, None in bundles from before there were digests."""

    bytes: int
    sha256: str | None = None

    def to_json(self) -> object:
        return self.bytes if self.sha256 is None else asdict(self)


@dataclass(frozen=True)
class Check:
    """How a model was judged beside the dynamic one when it was exported; scores are of dev, None without data.

    argmax_agreement: the share of the same answers; None where it says nothing, as of numbers.
    """

    max_abs_difference: float
    relative_difference: float
    argmax_agreement: float | None
    tolerance: float | None
    relative_tolerance: float | None
    checked_with: str  # the back end
    device: str
    output: str  # what the model itself calls its logits
    score_before: float | None = None
    score_after: float | None = None

    @classmethod
    def from_json(cls, fields: Fields) -> Check | None:
        """None where nothing is said of a check."""
        if "checked_with" not in fields:
            return None
        return cls(
            fields.number("max_abs_difference", 0),
            fields.number("relative_difference", 0),
            fields.number("argmax_agreement", 0, 1, default=None),
            fields.number("tolerance", 0, default=None),
            fields.number("relative_tolerance", 0, default=None),
            word(fields, "checked_with"),
            word(fields, "device"),
            word(fields, "output"),
            fields.number("score_before", default=None),
            fields.number("score_after", default=None),
        )

    def to_json(self) -> dict[str, object]:
        return asdict(self)

    @property
    def agreement(self) -> str:
        """What a line about the model says of it."""
        return "" if self.argmax_agreement is None else f", same answers {self.argmax_agreement:.1%}"


@dataclass(frozen=True)
class ModelEntry:
    """One model of the bundle. `files`: [graph, weights beside it ...] of ONNX, [program, parameters] of Paddle,
    [graph, weights] of OpenVINO's IR."""

    name: str
    format: str
    precision: str
    files: tuple[str, ...]
    fused: bool = False  # of ONNX Runtime's own operators
    bytes: int | None = None
    check: Check | None = None
    seconds: float | None = None  # that writing and judging it took

    @classmethod
    def from_json(cls, fields: Fields, files: Collection[str]) -> ModelEntry:
        """files: all names that the manifest lists."""
        made = cls(
            word(fields, "name"),
            fields.text("format", (ONNX, PADDLE, IR)),
            fields.text("precision", FILE_PRECISIONS),
            fields.texts("files"),
            fields.switch("fused", default=False),
            fields.whole("bytes", 0, default=None),
            Check.from_json(fields),
            fields.number("seconds", 0, default=None),
        )
        check_part(fields, "files", made.format, made.files, files)
        return made

    def to_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "format": self.format,
            "precision": self.precision,
            "fused": self.fused,
            "files": list(self.files),
            **({} if self.bytes is None else {"bytes": self.bytes}),
            **({} if self.check is None else self.check.to_json()),
            **({} if self.seconds is None else {"seconds": self.seconds}),
        }


@dataclass(frozen=True)
class TokenizerEntry:
    """The tokenizer.json of the bundle and how it was compared with PaddleNLP's; without a file, the reason."""

    file: str | None
    checked_texts: int = 0
    other_in_paddlenlp: int = 0  # texts that PaddleNLP cuts otherwise
    reason: str | None = None

    @classmethod
    def from_json(cls, fields: Fields) -> TokenizerEntry:
        file = fields.text("file", default=None)
        if file is None:
            return cls(None, reason=fields.text("reason"))
        return cls(file, fields.whole("checked_texts", 0), fields.whole("other_in_paddlenlp", 0))

    def to_json(self) -> dict[str, object]:
        if self.file is None:
            return {"file": None, "reason": self.reason}
        return {
            "file": self.file,
            "checked_texts": self.checked_texts,
            "other_in_paddlenlp": self.other_in_paddlenlp,
        }


def read_files(fields: Fields, digests: bool) -> dict[str, FileEntry]:
    """Name -> file of the field `files`. `digests`: each has one; else none has, and a size stands alone."""
    found: dict[str, FileEntry] = {}
    for name, value in fields.mapping("files").items():
        place = f"{fields.where}, files, {shown(name)}"
        if not _is_inside(name):
            raise UserError(f"{place}: must be the path of a file inside the bundle; {fields.cure}")
        if not digests:
            if type(value) is not int or value < 0:
                raise UserError(f"{place}: is {shown(value)}, must be its size in bytes; {fields.cure}")
            found[name] = FileEntry(value)
            continue
        entry = Fields(value, place, fields.cure)
        found[name] = FileEntry(entry.whole("bytes", 0), entry.text("sha256"))
        if not _SHA256.fullmatch(found[name].sha256 or ""):
            entry.wrong("sha256", "64 hexadecimal digits")
    return found


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    plain = name.isprintable() and "\\" not in name and str(path) == name != "."
    return plain and not path.is_absolute() and ".." not in path.parts


def word(fields: Fields, name: str) -> str:
    """A text that messages may show as it is."""
    value = fields.text(name)
    if not 0 < len(value) <= _LONGEST_WORD or not value.isprintable():
        fields.wrong(name, f"a text of 1 to {_LONGEST_WORD} printable characters")
    return value


def check_part(fields: Fields, name: str, format: str, part: Collection[str], files: Collection[str]) -> None:
    """UserError unless a model of that format can be opened from these files, which the manifest lists."""
    unknown = [item for item in part if item not in files]
    if unknown:
        raise UserError(f"{fields.where}: {name} has {shown(unknown[0])}, which is not among the files; {fields.cure}")
    if not part or (format in (PADDLE, IR) and len(part) != 2):
        fields.wrong(name, "a graph" if format == ONNX else "a program and its parameters")

"""What a manifest says of early exits: after which layers they stand, in which files, and the policy chosen for them.

A model with exits lies in the bundle as the layers between its exits and one small head per exit, each a graph of its
own. So a run has exactly the layers and the heads that it needs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath

from ofa_bert.bundle.entries import ONNX, PADDLE, PRECISIONS, check_part, word
from ofa_bert.errors import UserError
from ofa_bert.exits.criteria.registry import CRITERIA
from ofa_bert.exits.kept_curve import KeptCurve
from ofa_bert.exits.layout import HEADS
from ofa_bert.exits.policy import MODES, Policy, read_ask
from ofa_bert.files.fields import Fields
from ofa_bert.reporting import shown

FileLists = tuple[tuple[str, ...], ...]  # files of each part

# What the files of the parts of each exit are called; those of a part have its place in their names.
SEGMENT, HEAD = "segment", "head"
MOVES = ("select", "join")  # graphs that keep hidden states on a GPU: one takes rows of them, one joins two of them


@dataclass(frozen=True)
class ExitCheck:
    """How the exits were judged when they were exported: a number for each exit, the last one included.

    argmax_agreement: as of `Check`, None for all exits.
    """

    max_abs_difference: tuple[float, ...]
    relative_difference: tuple[float, ...]
    argmax_agreement: tuple[float, ...] | None
    tolerance: float | None
    relative_tolerance: float | None
    checked_with: str
    device: str

    @classmethod
    def from_json(cls, fields: Fields, exits: int) -> ExitCheck | None:
        """None where nothing is said of a check. exits: how many there are."""
        if "checked_with" not in fields:
            return None
        apart, off = (fields.numbers(name) for name in ("max_abs_difference", "relative_difference"))
        same = fields.numbers("argmax_agreement", default=None)
        for name, numbers in (
            ("max_abs_difference", apart), ("relative_difference", off), ("argmax_agreement", same),
        ):  # fmt: skip
            if numbers is not None and len(numbers) != exits:
                fields.wrong(name, f"a number for each of {exits} exits")
        return cls(
            apart,
            off,
            same,
            fields.number("tolerance", 0, default=None),
            fields.number("relative_tolerance", 0, default=None),
            word(fields, "checked_with"),
            word(fields, "device"),
        )

    def to_json(self) -> dict[str, object]:
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class ExitModel:
    """The exits in one precision. `segments` and `heads` by exit; `moves` of ONNX alone."""

    name: str
    format: str
    precision: str
    segments: FileLists
    heads: FileLists
    moves: FileLists = ()
    fused: bool = False
    bytes: int | None = None
    check: ExitCheck | None = None

    @classmethod
    def from_json(cls, fields: Fields, exits: int, files: Collection[str]) -> ExitModel:
        """exits: how many there are, the last one included; files: all names that the manifest lists."""
        kind = fields.text("format", (ONNX, PADDLE))
        names = {part: [f"{part}{place}" for place in range(exits)] for part in (SEGMENT, HEAD)}
        wanted = {"segments": names[SEGMENT], "heads": names[HEAD], "moves": MOVES if kind == ONNX else ()}
        lists = [_file_lists(fields, name, kind, called, files) for name, called in wanted.items()]
        return cls(
            word(fields, "name"),
            kind,
            fields.text("precision", PRECISIONS),
            lists[0],
            lists[1],
            lists[2],
            fields.switch("fused", default=False),
            fields.whole("bytes", 0, default=None),
            ExitCheck.from_json(fields, exits),
        )

    def to_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "format": self.format,
            "precision": self.precision,
            "fused": self.fused,
            "segments": [list(part) for part in self.segments],
            "heads": [list(part) for part in self.heads],
            "moves": [list(part) for part in self.moves],
            **({} if self.bytes is None else {"bytes": self.bytes}),
            **({} if self.check is None else self.check.to_json()),
        }


@dataclass(frozen=True)
class ChosenPolicy:
    """The policy that python -m ofa_bert exits chose; `ask`: the places of the exits that may answer, ascending.

    about: all of its exit_policy.json, which also says what it was chosen for. curve: of all thresholds that were
    tried; policies of before, and those of a search, keep none.
    """

    policy: Policy
    mode: str
    ask: tuple[int, ...]
    about: Mapping[str, object]
    curve: KeptCurve | None = None

    @classmethod
    def from_json(cls, fields: Fields, layers: Sequence[int]) -> ChosenPolicy:
        """layers: that run until each exit, the last one included."""
        ask = read_ask(fields, len(layers) - 1)
        if "layers" in fields and fields.wholes("layers") != tuple(layers):
            fields.wrong("layers", f"those of the exits, {shown(list(layers))}")
        curve = KeptCurve.read(fields.inner("curve"), len(layers) - 1) if "curve" in fields else None
        return cls(Policy.read(fields.inner("policy")), fields.text("mode", MODES), ask, dict(fields.value), curve)


@dataclass(frozen=True)
class ExitsEntry:
    """A bundle's exits: `layers` [E + 1] run until each exit, the last one included.

    criterion: what a threshold is compared by unless one says otherwise; policy_file, table_file: inside the bundle.
    """

    head: str
    layers: tuple[int, ...]
    criterion: str
    models: tuple[ExitModel, ...]
    chosen: ChosenPolicy | None = None
    policy_file: str | None = None
    table_file: str | None = None

    @classmethod
    def from_json(cls, fields: Fields, files: Collection[str]) -> ExitsEntry:
        """files: all names that the manifest lists."""
        layers = fields.wholes("layers", 1)
        if len(layers) < 2 or list(layers) != sorted(set(layers)):
            fields.wrong("layers", "two or more numbers of layers, ascending")
        names = [fields.text(name, default=None) for name in ("policy", "table")]
        for name, value in zip(("policy", "table"), names):
            if value is not None and value not in files:
                raise UserError(f"{fields.where}: {name} {shown(value)} is not among the files; {fields.cure}")
        models = [ExitModel.from_json(each, len(layers), files) for each in fields.each("models")]
        return cls(
            fields.text("head", HEADS),
            layers,
            fields.text("criterion", CRITERIA),
            tuple(models),
            ChosenPolicy.from_json(fields.inner("chosen"), layers) if "chosen" in fields else None,
            names[0],
            names[1],
        )

    def to_json(self) -> dict[str, object]:
        return {
            "head": self.head,
            "layers": list(self.layers),
            "criterion": self.criterion,
            "chosen": None if self.chosen is None else dict(self.chosen.about),
            "policy": self.policy_file,
            "table": self.table_file,
            "models": [model.to_json() for model in self.models],
        }


def _file_lists(fields: Fields, name: str, kind: str, called: Sequence[str], files: Collection[str]) -> FileLists:
    """called: what the files of each part are. Parts that changed places would answer, and answer wrong."""
    value = fields.value.get(name)
    if not isinstance(value, list) or not all(isinstance(part, list) for part in value) or len(value) != len(called):
        fields.wrong(name, f"lists of files, {len(called)} of them")
    for part, own in zip(value, called):
        if not all(isinstance(item, str) for item in part) or (kind == ONNX and len(part) != 1):
            fields.wrong(name, "lists of files, one graph in each" if kind == ONNX else "lists of files")
        check_part(fields, name, kind, part, files)
        if any(PurePosixPath(item).name.split(".")[0] != own for item in part):
            fields.wrong(name, f"the files of each exit in its place, named {', '.join(called)}")
    return tuple(map(tuple, value))

"""What a peer of the benchmark declares. A new one is a file of its own here and a line in registry.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ofa_bert.errors import UserError
from ofa_bert.models.families.registry import FAMILIES
from ofa_bert.runtime.opening import Backend
from ofa_bert.submodels.values import ModelShape, SubModelConfig, uniform


@dataclass(frozen=True)
class Job:
    """A model that a peer is to write, as <prefix>.<precision>.onnx."""

    peer: str
    shape: ModelShape
    sub_model: SubModelConfig
    prefix: str
    precisions: tuple[str, ...]
    gpu: bool = False


class Written(NamedTuple):
    files: dict[str, str]  # precision -> path
    fused: dict[str, int]  # operators that the export fused, and how many of each


class Opening(NamedTuple):
    """What a peer's model is opened from and how."""

    manifest: Mapping[str, Any]  # of the bundle whose shape it has
    file: Path | None  # what `write` made
    precision: str
    device: str
    threads: int


@dataclass(frozen=True)
class Peer:
    """A model of a bundle's shape, random weights, as other software would run it."""

    name: str
    about: str  # for the flag's help
    precisions: tuple[str, ...]
    open: Callable[[Opening], Backend]
    write: Callable[[Sequence[Job]], list[Written]] | None = None  # peers of one function are written in one call
    first_only: bool = False  # measured for the first bundle alone
    spins: bool = False  # its threads stay awake for a while after a run


def described(manifest: Mapping[str, Any], name: str) -> tuple[ModelShape, SubModelConfig]:
    """The full model's shape and what the bundle keeps of it; UserError for a family that has no peer."""
    with_peers = [family.model_type for family in FAMILIES.values() if family.has_peers]
    if manifest.get("model_type") not in with_peers:
        raise UserError(
            f"{name}: is of the family {manifest.get('model_type')}; there are peers for {', '.join(with_peers)} only"
        )
    if not manifest.get("shape"):
        raise UserError(f"{name}: its manifest does not say the model's shape; export it again with export_model.py")
    shape = ModelShape.from_json(manifest["shape"])
    kept = manifest.get("sub_model")
    return shape, SubModelConfig.from_json(kept) if kept else uniform(shape, 1.0)

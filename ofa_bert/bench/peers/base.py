"""What a peer of the benchmark declares. A new one is a file of its own here and a line in registry.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ofa_bert.bundle.manifest import Manifest
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

    manifest: Manifest  # of the bundle whose shape it has
    file: Path | None  # what `write` made
    precision: str
    device: str
    threads: int


@dataclass(frozen=True)
class Peer:
    """A model of a bundle's shape, random weights, as other software would run it."""

    name: str
    about: str  # for the flag's help
    precisions: tuple[str, ...]  # the first is measured where none of them was asked for
    open: Callable[[Opening], Backend]
    write: Callable[[Sequence[Job]], list[Written]] | None = None  # peers of one function are written in one call
    first_only: bool = False  # measured for the first bundle alone
    spins: bool = False  # its threads stay awake for a while after a run


def described(manifest: Manifest, name: str) -> tuple[ModelShape, SubModelConfig]:
    """The full model's shape and what the bundle keeps of it; UserError for a family that has no peer."""
    with_peers = [family.model_type for family in FAMILIES.values() if family.has_peers]
    if manifest.model_type not in with_peers:
        raise UserError(
            f"{name}: is of the family {manifest.model_type}; there are peers for {', '.join(with_peers)} only"
        )
    if manifest.shape is None:
        raise UserError(f"{name}: its manifest does not say the model's shape; export it again with export_model.py")
    return manifest.shape, manifest.sub_model or uniform(manifest.shape, 1.0)

"""Bundles as a server sees them: models of a name, and versions of each that take the same tokens."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ofa_bert.bundle.manifest import Bundle, Manifest, open_bundle
from ofa_bert.errors import UserError
from ofa_bert.serving.job import ServingJob

_TOLD_OF_A_VERSION = ("sub_model", "parameters", "score", "scores", "max_seq_length")


@dataclass(frozen=True)
class Version:
    """A bundle as one version of a model on a server."""

    number: int
    bundle: Bundle

    @property
    def manifest(self) -> Manifest:
        return self.bundle.manifest

    @property
    def name(self) -> str:
        return self.bundle.path.resolve().name

    def to_json(self) -> dict[str, object]:
        about = {name: value for name, value in self.manifest.to_json().items() if name in _TOLD_OF_A_VERSION}
        return {"version": self.number, "bundle": self.name, **about}


class Interface(NamedTuple):
    """What a client must know of a model."""

    task: str | None
    labels: tuple[str, ...]
    num_labels: int
    pad_token_id: int
    tokenizer: str  # a digest of its files


@dataclass(frozen=True)
class Served:
    """A model on a server: versions that take the same tokens and give the same labels."""

    name: str
    versions: tuple[Version, ...]

    @property
    def first(self) -> Manifest:
        return self.versions[0].manifest

    @property
    def labels(self) -> list[str]:
        return list(self.first.labels)

    @property
    def max_seq_length(self) -> int:
        return min(version.manifest.max_seq_length for version in self.versions)

    def to_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "task": self.first.task and self.first.task.to_json(),
            "labels": self.labels,
            "pad_token_id": self.first.pad_token_id,
            "max_seq_length": self.max_seq_length,
            "versions": [version.to_json() for version in self.versions],
        }


def grouped(job: ServingJob) -> list[Served]:
    """Bundles with the same labels, padding and tokenizer as the versions of one model."""
    groups: dict[Interface, list[Bundle]] = {}
    resolved = [Path(path).resolve() for path in job.bundles]
    for path in job.bundles:
        if resolved.count(Path(path).resolve()) > 1:
            raise UserError(f"`bundles` {path}: given twice")
        bundle = open_bundle(path)
        groups.setdefault(_interface(bundle), []).append(bundle)
    if job.name and len(groups) > 1:
        apart = [members[0].path for members in groups.values()]
        raise UserError(
            f"`name` {job.name}: {apart[0]} and {apart[1]} differ in labels or tokenizer, so they become models of"
            " their own; leave `name` out, or export them apart"
        )
    served: list[Served] = []
    for members in groups.values():
        task = members[0].manifest.task
        wanted = job.name or re.sub(r"[^A-Za-z0-9_.-]+", "-", task.name if task else "model")
        name, number = wanted, 1
        while name in [model.name for model in served]:
            name, number = f"{wanted}-{number + 1}", number + 1
        versions = (Version(place, member) for place, member in enumerate(members, 1))
        served.append(Served(name, tuple(versions)))
    return served


def _interface(bundle: Bundle) -> Interface:
    """Two bundles with the same can stand in for each other."""
    digest = hashlib.sha256()
    for name in tokenizer_files(bundle.manifest):
        path = bundle.path / name
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    about = bundle.manifest
    task = about.task.name if about.task else None
    return Interface(task, about.labels, about.num_labels, about.pad_token_id, digest.hexdigest())


def tokenizer_files(manifest: Manifest) -> list[str]:
    """The bundle's files that belong to none of its models, and lie in none of its folders."""
    of_models = {name for model in manifest.models for name in model.files}
    return [name for name in sorted(manifest.files) if name not in of_models and "/" not in name]

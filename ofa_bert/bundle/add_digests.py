"""python -m ofa_bert add_digests: digests for a bundle that was exported before there were any."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ofa_bert.bundle.digests import sha256_of_each
from ofa_bert.bundle.manifest import FORMAT, MANIFEST, Manifest, checked_manifest
from ofa_bert.files import lock
from ofa_bert.files.atomic import write_json_atomic
from ofa_bert.options import option


@dataclass(frozen=True, kw_only=True)
class AddDigestsJob:
    """Which bundle gets digests."""

    bundle: str = option("directory that an earlier export_model.py `static_sub_model` wrote")


def add_digests(bundle: str | Path) -> str:
    """Write the SHA-256 of every file into the manifest, and say what was done. What has digests is only checked.

    The files are taken to be what was exported: of a bundle of before, only their sizes can be checked.
    """
    path = Path(bundle)
    before = checked_manifest(path)
    if before.has_digests:
        return f"{path}: has digests; {len(before.files)} files are as they were exported"
    with lock.holding(path, beside=True):
        before = checked_manifest(path)  # another process may have written it in between
        write_json_atomic(path / MANIFEST, with_digests(path, before).to_json())
    return f"{path}: {len(before.files)} digests added, the manifest has format {FORMAT} now"


def with_digests(directory: Path, manifest: Manifest) -> Manifest:
    names = list(manifest.files)
    digests = sha256_of_each([directory / name for name in names])
    files = {name: replace(manifest.files[name], sha256=digest) for name, digest in zip(names, digests)}
    return replace(manifest, files=files)

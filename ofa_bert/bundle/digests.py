"""The files of a bundle beside what its manifest says of them: every one is there, with its size and its SHA-256."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ofa_bert.bundle.digest_cache import DigestCache
from ofa_bert.bundle.entries import FileEntry
from ofa_bert.errors import UserError
from ofa_bert.files.atomic import file_sha256
from ofa_bert.files.reading import refuse_pointer
from ofa_bert.system import environment

_AGAIN = "copy the whole bundle again"
_SHOWN = 12  # digits of a digest, enough to tell two apart


def check_files(directory: Path, files: Mapping[str, FileEntry], source: str) -> None:
    """UserError for the first file that is missing, of another size or of another content. source: says what is right.

    A file whose digest was computed before, and that has not changed since, is not read.
    """
    cache = DigestCache.of_user()
    unknown: list[tuple[Path, str, FileEntry, os.stat_result]] = []
    for name, entry in files.items():
        path = directory / name
        status = _checked_size(path, entry, source)
        real = os.path.realpath(path)
        if entry.sha256 is not None and cache.known(real, status) != entry.sha256:
            unknown.append((path, real, entry, status))
    for (path, real, entry, status), digest in zip(unknown, sha256_of_each([path for path, *_ in unknown])):
        if digest != entry.sha256:
            raise _another(path, digest, entry, source)
        cache.remember(real, status, digest)
    cache.save()


def check_copy(path: Path, entry: FileEntry, source: str) -> None:
    """UserError unless the file is the one that the entry describes."""
    _checked_size(path, entry, source)
    if entry.sha256 is not None and (digest := _sha256(path)) != entry.sha256:
        raise _another(path, digest, entry, source)


def described(directory: Path) -> dict[str, FileEntry]:
    """Every file in the directory, by its path inside."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    digests = sha256_of_each(paths)
    names = [path.relative_to(directory).as_posix() for path in paths]
    return {name: FileEntry(path.stat().st_size, digest) for name, path, digest in zip(names, paths, digests)}


def sha256_of_each(paths: Sequence[Path]) -> list[str]:
    """The digests, several files at a time: computing one leaves Python to the others."""
    workers = min(len(paths), environment.cores())
    if workers < 2:
        return [_sha256(path) for path in paths]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(_sha256, paths))


def _sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error


def _checked_size(path: Path, entry: FileEntry, source: str) -> os.stat_result:
    try:
        status = os.stat(path)
    except OSError as error:
        raise UserError(f"{path}: missing, though {source} lists it; {_AGAIN}") from error
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{path}: is no file, though {source} lists it as one; {_AGAIN}")
    if status.st_size != entry.bytes:
        refuse_pointer(path)
        raise UserError(f"{path}: has {status.st_size} bytes, {source} says {entry.bytes}; {_AGAIN}")
    return status


def _another(path: Path, digest: str, entry: FileEntry, source: str) -> UserError:
    wanted = (entry.sha256 or "")[:_SHOWN]
    return UserError(
        f"{path}: is not the file that was exported (SHA-256 {digest[:_SHOWN]}…, {source} says {wanted}…); {_AGAIN}"
    )

"""Digests of files that were computed before, kept in one small file of the user's. It saves time and nothing else.

A digest is believed while the file has the inode, size and times of change that it had. Git's rule for what is too new:
a file that changed moments ago may change again without its times telling, so it is not remembered yet.
The cache is read only when it and its folder are the user's own, and nobody else may write it.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from ofa_bert.files.reading import parse_json

NAME = "digests.json"
SETTLED_NS = 2_000_000_000  # the coarsest clock of a file system in use
_FORMAT = 1
_MOST_FILES = 1000
_MOST_BYTES = 1 << 20

Stamp = tuple[int, int, int, int, int]
Entries = dict[str, list[object]]  # path -> [*stamp, digest], the newest last


def stamp_of(status: os.stat_result) -> Stamp:
    """What changes when the file does."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


class DigestCache:
    """What is remembered of files, by their real paths; `folder` None: nothing is, and nothing is written."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._entries = self._read()
        self._new: Entries = {}

    @classmethod
    def of_user(cls) -> DigestCache:
        return cls(_user_folder())

    def known(self, path: str, status: os.stat_result) -> str | None:
        """The digest of a file that is as it was."""
        entry = self._entries.get(path)
        if not isinstance(entry, list) or entry[:-1] != list(stamp_of(status)):
            return None
        return entry[-1] if isinstance(entry[-1], str) else None

    def remember(self, path: str, status: os.stat_result, digest: str) -> None:
        """status: of before the digest was computed; what has changed since, or changed just now, is left out."""
        if max(status.st_mtime_ns, status.st_ctime_ns) > time.time_ns() - SETTLED_NS:
            return
        with suppress(OSError):
            if stamp_of(os.stat(path)) == stamp_of(status):
                self._new[path] = [*stamp_of(status), digest]

    def save(self) -> None:
        """Write what is new; a disk that refuses, and another process that writes at the same time, only cost time."""
        if not self._new or self._folder is None:
            return
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.stat(self._folder).st_uid != os.geteuid():
                return
            kept = {name: entry for name, entry in self._read().items() if name not in self._new}
            newest = list({**kept, **self._new}.items())[-_MOST_FILES:]
            _replace(self._folder / NAME, json.dumps({"format": _FORMAT, "files": dict(newest)}).encode("ascii"))

    def _read(self) -> Entries:
        """Empty when there is no cache, it is damaged, or another user could have written it."""
        if self._folder is None:
            return {}
        try:
            if os.stat(self._folder).st_uid != os.geteuid():
                return {}
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            with os.fdopen(os.open(self._folder / NAME, flags), "rb") as file:
                status = os.fstat(file.fileno())
                if not _is_trusted(status):
                    return {}
                data = file.read(_MOST_BYTES + 1)
            value = parse_json(data.decode("ascii")) if len(data) <= _MOST_BYTES else None
        except (OSError, ValueError):
            return {}
        if not isinstance(value, dict) or value.get("format") != _FORMAT:
            return {}
        files = value.get("files")
        entries = files.items() if isinstance(files, dict) else ()
        return {name: [*entry] for name, entry in entries if isinstance(entry, list) and entry}


def _user_folder() -> Path | None:
    if not hasattr(os, "geteuid"):  # no owners to go by
        return None
    home = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(home):  # as the XDG specification has it, a relative one does not count
        try:
            home = str(Path.home() / ".cache")
        except RuntimeError:  # no home at all
            return None
    return Path(home, "ofa_bert")


def _is_trusted(status: os.stat_result) -> bool:
    alone = not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and alone


def _replace(path: Path, data: bytes) -> None:
    """For the owner alone; a link under this name is replaced, not followed."""
    if len(data) > _MOST_BYTES:
        return
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise

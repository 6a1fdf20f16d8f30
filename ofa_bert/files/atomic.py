"""JSON files and whole directories that appear at once: a kill leaves the old one or the new one."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ofa_bert.errors import RunError, UserError
from ofa_bert.files.reading import open_regular
from ofa_bert.system.owner import exists

logger = logging.getLogger(__name__)

# One of these shows that this package made a directory, so that replacing it destroys nothing of the user's.
MODEL_META = "ofa_config.json"
CHECKPOINT_MANIFEST = "checkpoint.json"
SERVING_META = "serving.json"
EXIT_POLICY = "exit_policy.json"
HUGGING_FACE_META = "ofa_export.json"  # beside a model that is for transformers, not for us
OUR_FILES = (MODEL_META, CHECKPOINT_MANIFEST, SERVING_META, EXIT_POLICY, HUGGING_FACE_META, "inference.pdiparams")

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
# What making a file takes besides, of what this system has.
_FLAGS = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"))
_HALF = re.compile("[\ud800-\udfff]")


def file_sha256(path: str | Path) -> str:
    """The digest of a file's content, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def keep(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file that only saves time, the old one or the new one: when the disk refuses, that is a warning."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")  # several processes may keep the same
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _forget_killed(path)
        with create(temporary) as file:
            write(file)
        os.replace(temporary, path)
    except OSError as error:
        logger.warning("%s: not kept (%s)", path, error)
        _discard(temporary)


def _forget_killed(path: Path) -> None:
    """Remove what processes that were killed left of this file."""
    for left in path.parent.iterdir():
        name, _, number = left.name.rpartition(".")
        if name == f".{path.name}" and number.isdecimal() and not exists(int(number)):
            _discard(left)


def create(path: str | Path) -> BinaryIO:
    """A new file of that name, open for writing. OSError when that fails.

    A file, link or pipe that waits there is removed: never written through, never waited for.
    """
    with suppress(FileNotFoundError):
        os.unlink(path)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o666), "wb")


def write_json_atomic(path: str | Path, value: object) -> None:
    """Write JSON beside `path`, sync it, rename it. RunError when the disk refuses; the old file stays.

    Half of a surrogate pair, which UTF-8 has no bytes for, stays the escape that it was read as.
    """
    # Before the file is opened: a value that is no JSON is a programming error and must leave no file.
    text = json.dumps(value, ensure_ascii=False, indent=2) + "\n"
    write_text_atomic(path, _HALF.sub(lambda half: f"\\u{ord(half[0]):04x}", text))


def write_text_atomic(path: str | Path, text: str) -> None:
    """The same for any text; it becomes UTF-8, and its line ends stay as they are."""
    write_bytes_atomic(path, text.encode("utf-8"))


def write_bytes_atomic(path: str | Path, data: bytes) -> None:
    """The same for what is no text."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.ofa-new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with create(temporary) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        _discard(temporary)
        raise cannot_write(path, error) from error


def _discard(temporary: Path) -> None:
    with suppress(OSError):  # a directory that has the name is not ours
        os.unlink(temporary)


def cannot_write(path: str | Path, error: OSError) -> RunError:
    cure = "; free some space and run again" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return RunError(f"{path}: cannot be written: {error.strerror or error}{cure}")


@contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """Yield an empty directory to fill; on leaving, it takes the place of `path` with everything synced.

    An error inside leaves `path` as it was and removes the temporary directory; OSError becomes RunError.
    A non-empty directory that this package did not make (see OUR_FILES) is never replaced: UserError.
    One writer per path: of several processes, only one may call this.
    """
    target = _real(path)
    new = _new(target)
    try:
        _refuse_foreign(target)
        recover(target)
        new.mkdir(parents=True)
        yield new
        _sync_tree(new)
        _put_in_place(new, target)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        # After success this is the old directory, after an error the unfinished one.
        remove(new)


def recover(path: str | Path) -> None:
    """Tidy up after a kill during a replacement of `path`. Only for the process that writes `path`."""
    finish_replacement(path)
    target = _real(path)
    remove(_new(target))
    remove(_old(target))


def finish_replacement(path: str | Path) -> None:
    """Give `path` its directory when a kill struck between the two renames; readers may call this too."""
    target = _real(path)
    new, old = _new(target), _old(target)
    if target.exists() or not _is_directory(old):
        return
    try:
        # `new` was complete and synced before `old` got its name.
        os.rename(new if _is_directory(new) else old, target)
        logger.warning("%s: finished a replacement that was interrupted", target)
    except OSError as error:
        raise cannot_write(target, error) from error


def _real(path: str | Path) -> Path:
    # A link keeps pointing at its directory; that directory is the one that is replaced.
    return Path(os.path.realpath(path))


def _new(target: Path) -> Path:
    return target.with_name(f".{target.name}.ofa-new")


def _old(target: Path) -> Path:
    return target.with_name(f".{target.name}.ofa-old")


def _is_directory(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()  # a link under one of these names is not ours


def _refuse_foreign(target: Path) -> None:
    if not os.path.lexists(target):
        return
    if not target.is_dir():
        raise UserError(f"{target}: is a file; name a directory")
    if any(target.iterdir()) and not any((target / name).exists() for name in OUR_FILES):
        raise UserError(f"{target}: holds files that ofa_bert did not write; name another directory")


def _put_in_place(new: Path, target: Path) -> None:
    if not target.exists():
        os.rename(new, target)
    elif not _exchange(new, target):
        os.rename(target, _old(target))
        try:
            os.rename(new, target)
        except OSError:
            os.rename(_old(target), target)
            raise
    _sync(target.parent)
    remove(_old(target))


def _exchange(first: Path, second: Path) -> bool:
    """Swap two directories in one step; False where the system or file system cannot (only Linux can)."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    return bool(rename(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0)


def _sync_tree(directory: Path) -> None:
    for folder, _, names in os.walk(directory):
        for name in names:
            _sync(Path(folder, name))
        _sync(Path(folder))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file or directory that nothing depends on; what cannot be removed is only logged."""
    try:
        if _is_directory(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            path.unlink()
    except OSError as error:
        logger.warning("%s: left behind: %s", path, error)

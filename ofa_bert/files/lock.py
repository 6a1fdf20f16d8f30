"""One writer for an output directory: a second one is told who the first is.

By flock: taking it has no race, and the kernel lets go of it however its holder ends, SIGKILL included. A file that is
made with O_EXCL would stay behind, and removing a stale one is a race between those who see that it is stale. What the
file holds names its holder, and decides where flock does not reach: on a network file system that keeps locks to each
machine (NFS mounted with nolock or local_lock), where of two machines that start in the same moment both may go on.
"""

from __future__ import annotations

import atexit
import errno
import functools
import itertools
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

from ofa_bert.errors import RunError, UserError
from ofa_bert.files.atomic import cannot_write
from ofa_bert.reporting import shown_path
from ofa_bert.system.owner import Owner

try:
    import fcntl
except ImportError:  # not on Windows: there the record alone decides
    fcntl = None  # type: ignore[assignment]  # as mypy is told nowhere that a module may be missing

P = ParamSpec("P")
R = TypeVar("R")

LOCK = ".ofa-lock"
_LONGEST_RECORD = 65536
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
_NETWORK = (
    "nfs",
    "cifs",
    "smb",
    "fuse",
    "lustre",
    "ceph",
    "gpfs",
    "beegfs",
    "9p",
    "afs",
    "gluster",
    "pvfs",
    "orangefs",
)

_held: dict[Path, int] = {}  # lock file -> descriptor
_made: dict[Path, list[Path]] = {}  # lock file -> the directories that were made for it, the innermost first


@contextmanager
def holding(directory: str | Path, beside: bool = False) -> Iterator[None]:
    """Be the only writer of `directory` inside the block; what already holds it in this process goes on holding it."""
    before = _file_of(directory, beside) in _held
    hold(directory, beside)
    try:
        yield
    finally:
        if not before:
            release(directory, beside)


def writer(*names: str, beside: bool = False, unless: str | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A job that is the only writer of the directories in these fields of its first argument, as long as it runs.

    A field that is None names none; with the field `unless` set, the job only helps another that holds them.
    """

    def decorate(job: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(job)
        def alone(*arguments: P.args, **named: P.kwargs) -> R:
            config = arguments[0]
            directories = [getattr(config, name) for name in names if getattr(config, name) is not None]
            with ExitStack() as stack:
                if not (unless and getattr(config, unless)):
                    for directory in directories:
                        stack.enter_context(holding(directory, beside))
                return job(*arguments, **named)

        return alone

    return decorate


def hold(directory: str | Path, beside: bool = False) -> None:
    """Become the only writer of `directory`, which is made if need be, until `release` or the end of the process.

    beside: for a directory that is replaced as a whole; its lock lies next to it. A second call does nothing.
    UserError when another process holds it, or when nothing can be written there.
    """
    file = _file_of(directory, beside)
    if file in _held:
        return
    try:
        made = list(itertools.takewhile(lambda path: not path.exists(), file.parents))
        if beside and os.path.lexists(directory) and not os.path.isdir(directory):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        descriptor = _locked(directory, file)
    except OSError as error:
        raise _unusable(directory, error) from error
    _held[file] = descriptor
    _made[file] = made


def release(directory: str | Path, beside: bool = False) -> None:
    """Let others write `directory`, which goes again if it was made by `hold` and is empty.

    Nothing happens when this process does not hold it.
    """
    _release(_file_of(directory, beside))


def release_all() -> None:
    """Let go of everything that this process holds."""
    for file in list(_held):
        _release(file)


def _file_of(directory: str | Path, beside: bool) -> Path:
    real = Path(os.path.realpath(directory))
    return real.with_name(f".{real.name}{LOCK}") if beside else real / LOCK


def _locked(directory: str | Path, file: Path) -> int:
    """The descriptor of the lock file, locked and with this process's record in it."""
    while True:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(file, flags, 0o666)
        except FileNotFoundError:  # whoever made the directory let go of it and removed it just now
            continue
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UserError(f"{file}: is no plain file; remove it")
            _take(directory, file, descriptor)
            # Whoever held it before may have removed the file after it was opened here.
            if _same_file(file, descriptor):
                _record(descriptor)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _take(directory: str | Path, file: Path, descriptor: int) -> None:
    """Lock the file. UserError when another process has it, or when its record says that another may have it."""
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise _busy(directory, _recorded(descriptor)) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    owner = _recorded(descriptor)
    if owner is None or owner.is_me() or owner.alive() is False:
        return
    if owner.alive():
        raise _busy(directory, owner)
    if _on_network(descriptor):
        # On a disk of this machine the lock itself shows that nobody is left.
        raise UserError(f"{directory}: is written by {owner.described()}; if that has ended, remove {file}")


def _busy(directory: str | Path, owner: Owner | None) -> UserError:
    who = "another process" if owner is None else owner.described()
    return UserError(f"{directory}: is being written by {who}; wait until it ends, or name another directory")


def _recorded(descriptor: int) -> Owner | None:
    try:
        return Owner.from_json(json.loads(os.pread(descriptor, _LONGEST_RECORD, 0)))
    except (ValueError, RecursionError):
        return None  # empty, or cut short by a kill


def _record(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(Owner.mine().to_json()).encode(), 0)


def _same_file(file: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(file, follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _release(file: Path) -> None:
    descriptor = _held.pop(file, None)
    if descriptor is None:
        return
    with suppress(OSError):  # what is left says of itself that it is stale
        if _same_file(file, descriptor):
            file.unlink()
        for directory in _made.pop(file, ()):
            directory.rmdir()  # a command that was refused leaves nothing
    os.close(descriptor)


def _on_network(descriptor: int) -> bool:
    """Whether other machines may write to this file system. By Linux's list of mounts; elsewhere no."""
    device = os.fstat(descriptor).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return False
    kinds = [line.partition(" - ")[2].split()[0] for line in lines if line.split()[2] == wanted and " - " in line]
    return any(kind.startswith(_NETWORK) for kind in kinds)


def _unusable(directory: str | Path, error: OSError) -> RunError | UserError:
    """A disk that is full is nobody's mistake; every other refusal is about the name that was given."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        return cannot_write(directory, error)
    name = shown_path(directory)
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return UserError(f"{name}: is a file, or lies below one; name a directory")
    return UserError(f"{name}: cannot be written: {error.strerror or error}; name another directory")


def _forget() -> None:
    """In a forked child: the lock stays the parent's alone, and ends with it."""
    for descriptor in _held.values():
        os.close(descriptor)
    _held.clear()


atexit.register(release_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)

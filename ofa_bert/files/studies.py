"""Optuna's studies, on the disk or in a database that several machines reach."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias

from ofa_bert.errors import RunError, UserError, first_line
from ofa_bert.files.atomic import cannot_write
from ofa_bert.reporting import one_line
from ofa_bert.system import packages

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

# What SQLite says, and whose it is to mend.
_NO_STUDY = (
    "not a database",
    "malformed",
    "no such table",
    "no such column",
    "has no column",
    "file is encrypted",
    "Could not decode",
)
_NOT_WRITABLE = ("readonly database", "unable to open database file", "attempt to write")
_WAITED = 60  # seconds for another process that is writing
_TRIES, _PAUSE = 5, 1.0  # to open a database that another process fills with its tables, and seconds between


@dataclass(frozen=True)
class Database:
    """One that is reached by an address, as postgresql://user@host/name. As a text it has no password."""

    address: str

    def __str__(self) -> str:
        scheme, mark, rest = self.address.partition("://")
        who, at, where = rest.rpartition("@")
        return f"{scheme}{mark}{who.partition(':')[0]}{at}{where}"


Place: TypeAlias = Path | Database


def require_optuna() -> ModuleType:
    try:
        # Optional, and it costs a second to import.
        import optuna
    except ImportError as error:
        raise UserError(f"the search needs Optuna, which does not load ({error}): {packages.cure('optuna')}") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def sqlite_storage(optuna: ModuleType, path: Path) -> RDBStorage:
    """Optuna's storage with a write-ahead log: safe against kills, and a tenth of the time per trial.

    Processes of one machine may share it; SQLite's write-ahead log works on no network file system.
    """
    from sqlalchemy import event
    from sqlalchemy.engine import URL

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: is no study, which is a file; name another directory")
    # Not a text put together: a ? or a % in a directory's name would be read as part of an address.
    url = URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)
    with plain_errors(path):
        try:
            storage: RDBStorage = optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": _WAITED}})
        except RuntimeError as error:  # of another version of Optuna
            raise UserError(f"{path}: {first_line(error)}; move it away or name another directory") from error

        @event.listens_for(storage.engine, "connect")
        def settings(connection: sqlite3.Connection, _: object) -> None:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")

        storage.engine.dispose()  # so that the next connection is made with these settings
    return storage


def storage_at(optuna: ModuleType, place: Place) -> RDBStorage:
    return database_storage(optuna, place) if isinstance(place, Database) else sqlite_storage(optuna, place)


def database_storage(optuna: ModuleType, database: Database) -> RDBStorage:
    """Optuna's storage in a database of anybody's. UserError for one that cannot be reached or is none for Optuna."""
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    cure = "give an address such as postgresql://user@host/name"
    try:
        return _opened(optuna, database.address)
    except (ArgumentError, NoSuchModuleError) as error:
        raise UserError(f"`storage` {database}: is no address of a database ({first_line(error)}); {cure}") from error
    except ImportError as error:  # Optuna's own words go on for lines
        driver = getattr(error.__cause__ or error.__context__ or error, "name", None) or first_line(error)
        raise UserError(f"`storage` {database}: needs a package that does not load ({driver}); install it") from error
    except Exception as error:
        cause = _of_sqlite(error)
        if cause is None and not isinstance(error, (RuntimeError, ValueError)):
            raise
        said = one_line(first_line(cause or error).replace(database.address, str(database)), 300)
        raise UserError(f"`storage` {database}: cannot be used ({said}); {cure} of a server that runs") from error


def _opened(optuna: ModuleType, address: str) -> RDBStorage:
    """Several processes that open an empty database at once are in each other's way while they make its tables."""
    from sqlalchemy.exc import IntegrityError, ProgrammingError

    for left in reversed(range(_TRIES)):
        try:
            # Asked before each use: between two trials a connection may have waited for hours.
            storage: RDBStorage = optuna.storages.RDBStorage(address, engine_kwargs={"pool_pre_ping": True})
            return storage
        except (IntegrityError, ProgrammingError):
            if not left:
                raise
            time.sleep(_PAUSE)
    raise AssertionError("the last try ends either way")


@contextmanager
def plain_errors(path: Place | None) -> Iterator[None]:
    """What a database at `path` does wrong becomes one line: UserError for a wrong file, RunError for a full disk."""
    try:
        yield
    except UserError:  # told already
        raise
    except Exception as error:
        cause = _of_sqlite(error)
        if cause is None:
            raise
        raise _told(path, one_line(first_line(cause), 300)) from error


@contextmanager
def reading(path: Place | None) -> Iterator[None]:
    """Around what reads a study as Optuna has it: whatever Optuna raises over its content is one line."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:  # rows that are no JSON, states and distributions that there are not
        if _of_sqlite(error) is not None:
            raise
        said = one_line(f"{type(error).__name__}: {first_line(error)}", 200)
        raise _told(path, f"malformed: {said}") from error


def _of_sqlite(error: BaseException | None) -> BaseException | None:
    """SQLite's own error among those that led to this one; SQLAlchemy's when there is none; None for any other."""
    from sqlalchemy.exc import SQLAlchemyError

    found = None
    while error is not None:
        inner = getattr(error, "orig", None)
        for each in (error, inner):
            if isinstance(each, sqlite3.Error):
                return each
        found = error if isinstance(error, SQLAlchemyError) else found
        error = error.__cause__ or error.__context__
    return found


def _told(path: Place | None, said: str) -> UserError:
    if isinstance(path, Database):
        return RunError(f"{path}: the study fails: {said}")
    if any(words in said for words in _NO_STUDY):
        return UserError(f"{path}: is no study of a search ({said}); move it away or name another directory")
    if any(words in said for words in _NOT_WRITABLE):
        return UserError(f"{path}: cannot be written ({said}); name another directory")
    if "is full" in said or "disk I/O error" in said:
        return RunError(f"{path}: cannot be written ({said}); free some space and run again")
    if "locked" in said:
        return RunError(f"{path}: another process has been writing it for {_WAITED} s; run again when it has ended")
    return RunError(f"{path}: the study fails: {said}")

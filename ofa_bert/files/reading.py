"""Files from elsewhere, read with limits: what is no file, too large, too deep or only a pointer is one clear line.

JSON_BYTES  a JSON file; the largest index or configuration in use has 1 MB
JSON_DEPTH  lists and objects inside each other
JSON_DIGITS a whole number; Hugging Face writes 10^30 for "no limit"
"""

from __future__ import annotations

import errno
import functools
import io
import json
import math
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeAlias

from ofa_bert.errors import UserError

# What a JSON text holds.
Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
Pairs: TypeAlias = Callable[[list[tuple[str, Json]]], dict[str, Json]]

JSON_BYTES = 16 << 20
JSON_DEPTH = 100
JSON_DIGITS = 300

# What opening takes besides, of what this system has: Windows has neither of the first two, and the third alone.
_FLAGS = sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
_LFS = b"version https://git-lfs.github.com/spec/v1"


def open_regular(path: str | Path) -> BinaryIO:
    """Open a file for reading. OSError for a pipe, socket or device too: opening a pipe waits for ever."""
    descriptor = os.open(path, os.O_RDONLY | _FLAGS)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "It is a pipe, a socket or a device, not a file", str(path))


def read_utf8(path: str | Path) -> str:
    """The text of a file in UTF-8, each line end made a \\n. OSError, also for a pipe; UnicodeDecodeError."""
    with io.TextIOWrapper(open_regular(path), "utf-8") as file:
        return file.read()


def refuse_pointer(path: str | Path) -> None:
    """UserError when the file is what Git leaves in place of a large one until Git LFS has fetched it."""
    try:
        with open_regular(path) as file:
            pointer = file.read(len(_LFS)) == _LFS
    except OSError:
        return  # whoever reads the file says what is wrong with it
    if pointer:
        raise UserError(
            f"{path}: is a Git LFS pointer, not the file itself; run `git lfs pull` in the clone it is from"
        )


def read_json(path: str | Path, finite: bool = False, most: int = JSON_BYTES) -> Json:
    """The content of a JSON file, as `parse_json` gives it.

    UserError when it is missing, no file, a Git LFS pointer, larger than `most` bytes, not UTF-8 or not JSON.
    """
    try:
        with open_regular(path) as file:
            data = file.read(most + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(data) > most:
        raise UserError(f"{path}: is larger than {most >> 20} MiB; a file of this kind is not")
    try:
        return parse_json(data.decode("utf-8"), finite)
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError among them
        refuse_pointer(path)
        raise UserError(f"{path}: not a JSON file ({error})") from error


def read_object(path: str | Path, finite: bool = False) -> dict[str, Json]:
    """The same for a file that must hold an object."""
    value = read_json(path, finite)
    if not isinstance(value, dict):
        raise UserError(f"{path}: must hold a JSON object, not {type(value).__name__}")
    return value


def parse_json(text: str, finite: bool = False, pairs: Pairs | None = None) -> Json:
    """The value of a JSON text; ValueError when it is none, or exceeds JSON_DEPTH or JSON_DIGITS.

    NaN and Infinity are passed on: our own records hold the scores of runs that diverged. With `finite` they, and
    numbers too large for a float, are refused too. pairs: makes an object of its pairs; default: a dict.
    """
    try:
        value: Json = _decoder(finite, pairs).decode(text)
    except RecursionError:
        raise ValueError(f"nested more than {JSON_DEPTH} deep") from None
    depth, level = 0, [value]
    while holders := [item for item in level if isinstance(item, (dict, list))]:
        depth += 1
        if depth > JSON_DEPTH:
            raise ValueError(f"nested more than {JSON_DEPTH} deep")
        level = [child for item in holders for child in (item.values() if isinstance(item, dict) else item)]
    return value


def _whole(digits: str) -> int:
    if len(digits) > JSON_DIGITS:
        raise ValueError(f"a number of more than {JSON_DIGITS} digits")
    return int(digits)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is no number that can be used here")
    return value


@functools.cache
def _decoder(finite: bool, pairs: Pairs | None) -> json.JSONDecoder:
    if finite:
        return json.JSONDecoder(parse_int=_whole, parse_float=_finite, parse_constant=_finite, object_pairs_hook=pairs)
    return json.JSONDecoder(parse_int=_whole, object_pairs_hook=pairs)

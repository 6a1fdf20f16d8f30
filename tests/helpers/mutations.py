"""Seeded damage: byte by byte, and by what is known of a format. A mutation is (random, content) -> content."""

from __future__ import annotations

import copy
import io
import json
import random
import sqlite3
import struct
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

Mutation = Callable[[random.Random, bytes], bytes]

# Numbers that sizes, counts and indices are made to be.
_WORDS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
_DEEP, _DIGITS = "@deep@", "@digits@"  # what Python's encoder refuses to write; put in behind it
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, 2, -1, -5, 3.5, 0.5, 1e-300, 1e308, 10**12, 10**40, -(10**40), float("nan"), float("inf"),
    float("-inf"), "", "x", "0", "-1", "1e999",
    "nan", "__doc__", "__class__", "../../x", "/", ".", "a\nb", "\0", "\ud800",
    "e\u0301\U0001fae9", "x" * 100_000, [], {}, [[]], [None], [-1], [0] * 3000, {"a": 1}, {"": {}}, _DEEP, _DIGITS,
)  # fmt: skip


def flip(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def overwrite(rng: random.Random, data: bytes) -> bytes:
    """A number of one to eight bytes, of those that sizes are made to be, somewhere."""
    size = rng.choice((1, 2, 4, 8))
    word = (rng.choice(_WORDS) & ((1 << 8 * size) - 1)).to_bytes(size, rng.choice(("little", "big")))
    place = rng.randrange(len(data) + 1)
    return data[:place] + word + data[place + size :]


def truncate(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def insert(rng: random.Random, data: bytes) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.randbytes(rng.choice((1, 4, 100))) + data[place:]


def repeat(rng: random.Random, data: bytes) -> bytes:
    """A piece of the file once more, in some other place."""
    first = rng.randrange(len(data) + 1)
    piece = data[first : first + rng.choice((1, 8, 64, 1000))]
    place = rng.randrange(len(data) + 1)
    return data[:place] + piece * rng.choice((1, 1, 50)) + data[place:]


def cut_out(rng: random.Random, data: bytes) -> bytes:
    first = rng.randrange(len(data) + 1)
    return data[:first] + data[first + rng.choice((1, 8, 64)) :]


_OF_BYTES = (flip, flip, overwrite, overwrite, truncate, insert, repeat, cut_out)


def of_bytes(rng: random.Random, data: bytes) -> bytes:
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(_OF_BYTES)(rng, data)
    return data


def of_json(rng: random.Random, data: bytes) -> bytes:
    """Mostly one value replaced, removed, renamed or wrapped, wherever in the tree; sometimes bytes."""
    if rng.random() < 0.15:
        return of_bytes(rng, data)
    value = json.loads(data)
    if rng.random() < 0.05:
        value = copy.deepcopy(rng.choice(VALUES))
    for _ in range(rng.choice((1, 1, 1, 2))):
        _change(rng, value)
    text = json.dumps(value, indent=rng.choice((None, 1)))
    text = text.replace(json.dumps(_DEEP), "[" * 10_000 + "]" * 10_000).replace(json.dumps(_DIGITS), "9" * 5000)
    return text.encode("utf-8", "surrogatepass")


def _change(rng: random.Random, value: Any) -> None:
    places = _places(value)
    if not places:
        return
    holder, key = rng.choice(places)
    what = rng.choice(("replace", "replace", "replace", "remove", "rename", "wrap", "more"))
    if what == "remove":
        del holder[key]
    elif what == "rename" and isinstance(holder, dict):
        holder[rng.choice(("", "x", "__class__", str(key) + "_", str(key).upper()))] = holder.pop(key)
    elif what == "wrap":
        holder[key] = rng.choice(([holder[key]], {"a": holder[key]}, str(holder[key])))
    elif what == "more" and isinstance(holder, list):
        holder.append(holder[key])
    else:
        holder[key] = copy.deepcopy(rng.choice(VALUES))


def _places(value: Any) -> list[tuple[Any, Any]]:
    """(container, key or index) of everything inside."""
    found, rest = [], [value]
    while rest:
        holder = rest.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
        found += [(holder, key) for key in keys]
        rest += [holder[key] for key in keys]
    return found


def of_lines(rng: random.Random, data: bytes) -> bytes:
    """A table of lines, such as a vocabulary: lines lost, doubled, swapped, emptied; sometimes bytes."""
    if rng.random() < 0.4:
        return of_bytes(rng, data)
    lines = data.split(b"\n")
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[first] = rng.choice((lines[second], b"", b"\xff\xfe", b"x" * 100_000, "\u2028\r".encode(), lines[first] * 2))
    if rng.random() < 0.3:
        lines = lines[second:] + lines[: rng.choice((0, second))]
    return b"\n".join(lines)


def of_safetensors(rng: random.Random, data: bytes) -> bytes:
    """The header as JSON, with a length that fits again; or bytes."""
    if rng.random() < 0.4:
        return of_bytes(rng, data)
    (length,) = struct.unpack("<Q", data[:8])
    header = of_json(rng, data[8 : 8 + length])
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def of_zip(member: str) -> Mutation:
    """Bytes of one member, in an archive whose check sums are right again; or bytes of the archive."""

    def mutate(rng: random.Random, data: bytes) -> bytes:
        if rng.random() < 0.3:
            return of_bytes(rng, data)
        buffer = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
            for name in old.namelist():
                content = old.read(name)
                new.writestr(name, of_bytes(rng, content) if name == member else content)
        return buffer.getvalue()

    return mutate


def of_json_lines(rng: random.Random, data: bytes) -> bytes:
    """One line of several as JSON; or lines."""
    if rng.random() < 0.3:
        return of_lines(rng, data)
    lines = data.split(b"\n")
    place = rng.randrange(len(lines) - 1)  # the last one is empty
    lines[place] = of_json(rng, lines[place]).replace(b"\n", b" ")
    return b"\n".join(lines)


def of_database(rng: random.Random, data: bytes) -> bytes:
    """A value of some row of an SQLite file, which stays a sound one; or bytes."""
    if rng.random() < 0.1:
        return of_bytes(rng, data)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "study.db")
        path.write_bytes(data)
        with closing(sqlite3.connect(path)) as base:
            tables = [name for (name,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            filled = [(name, rows) for name in sorted(tables) if (rows := _rows_of(base, name))]
            table, rows = rng.choice(filled)
            columns = [column for _, column, *_ in base.execute(f"PRAGMA table_info({table})")]
            row, column = rng.choice(rows), rng.choice(columns)
            with suppress(sqlite3.Error):  # what the table itself refuses
                base.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (_for_database(rng), row))
                base.commit()
        return path.read_bytes()


def _rows_of(base: sqlite3.Connection, table: str) -> list[int]:
    return [row for (row,) in base.execute(f"SELECT rowid FROM {table} ORDER BY rowid")]


def _for_database(rng: random.Random) -> str | float | bytes | None:
    value = rng.choice(VALUES)
    if rng.random() < 0.5 and (
        value is None or isinstance(value, float) or (isinstance(value, int) and value < 1 << 63 and value > -(1 << 63))
    ):
        return value
    return rng.choice((json.dumps(value), "COMPLETE", "FAIL", b"\xff\x00", "1.5", ""))

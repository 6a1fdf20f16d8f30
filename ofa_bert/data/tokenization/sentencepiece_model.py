"""A sentencepiece model's file, read and written without the packages sentencepiece and protobuf.

It is one message of protocol buffers: pieces in field 1, how it was trained in 2, what is done to a text before in 3.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ofa_bert.files.reading import open_regular
from ofa_bert.reporting import shown

NAME = "sentencepiece.bpe.model"  # whatever its kind is
_MOST_BYTES = 256 << 20
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5  # how a field's value is written
_NORMAL, _UNKNOWN, _CONTROL, _USER, _UNUSED, _BYTE = range(1, 7)  # kinds of pieces
_NOT_TAKEN = {_USER: "a piece of the user's", _BYTE: "a piece for a byte"}
_UNIGRAM = 1
# What else must be as it is when nobody says it: field of the message, what it is called, its value.
_TRAINED = ((3, "model_type", _UNIGRAM), (24, "treat_whitespace_as_suffix", 0), (35, "byte_fallback", 0))
_BEFORE = ((3, "add_dummy_prefix", 1), (4, "remove_extra_whitespaces", 1), (5, "escape_whitespaces", 1))


class Field(NamedTuple):
    number: int
    value: int | bytes


class SentencePiece(NamedTuple):
    """Pieces that a text is cut into, with their scores, and the table of characters of before, in base64."""

    pieces: list[tuple[str, float]]
    table: str


def read_model(path: Path) -> SentencePiece:
    """ValueError for what is no model, is damaged, or cuts in a way that is not known here."""
    try:
        with open_regular(path) as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read: {error.strerror or error}") from error
    if len(content) > _MOST_BYTES:
        raise ValueError(f"{path.name} is larger than {_MOST_BYTES >> 20} MiB")
    try:
        return _model(content)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


def _model(content: bytes) -> SentencePiece:
    pieces, table = [], b""
    for number, value in _fields(content):
        message = value if isinstance(value, bytes) else b""
        if number == 1:
            piece, score, kind = _piece(message)
            if kind in _NOT_TAKEN:
                raise ValueError(f"has {_NOT_TAKEN[kind]}, {shown(piece)}, which is not supported")
            if kind == _NORMAL:  # the others are never found in a text
                pieces.append((piece, score))
        elif number == 2:
            _check("trainer", message, _TRAINED)
        elif number == 3:
            _check("normalizer", message, _BEFORE)
            table = next((each for own, each in _fields(message) if own == 2 and isinstance(each, bytes)), b"")
    if not pieces:
        raise ValueError("is no sentencepiece model: it has no pieces")
    return SentencePiece(pieces, base64.b64encode(table).decode())


def _piece(message: bytes) -> tuple[str, float, int]:
    text, score, kind = b"", 0.0, _NORMAL
    for number, value in _fields(message):
        if number == 1 and isinstance(value, bytes):
            text = value
        elif number == 2 and isinstance(value, bytes) and len(value) == 4:
            (score,) = struct.unpack("<f", value)
        elif number == 3 and isinstance(value, int):
            kind = value
    try:
        piece = text.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"has a piece that is no UTF-8 text ({error.reason})") from error
    if not piece or not math.isfinite(score):
        raise ValueError(f"has a piece {shown(piece)} with score {score}")
    return piece, score, kind


def _check(name: str, message: bytes, wanted: Sequence[tuple[int, str, int]]) -> None:
    stated = {number: value for number, value in _fields(message)}
    for number, what, value in wanted:
        if stated.get(number, value) != value:
            raise ValueError(f"its {name} has {what} {shown(stated[number])}, supported is {value}")


def _fields(message: bytes) -> Iterator[Field]:
    """The fields of a message; ValueError where it is cut off."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, kind = divmod(key, 8)
        if kind == _VARINT:
            value, place = _varint(message, place)
            yield Field(number, value)
            continue
        size = {_EIGHT: 8, _FOUR: 4}.get(kind)
        if kind == _BYTES:
            size, place = _varint(message, place)
        if size is None or place + size > len(message):
            raise ValueError("is no sentencepiece model, or is cut off")
        yield Field(number, message[place : place + size])
        place += size


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """(number, place behind it): seven bits a byte, the lowest first."""
    value = 0
    for shift in range(0, 64, 7):
        if place >= len(message):
            break
        byte = message[place]
        value, place = value | (byte & 127) << shift, place + 1
        if byte < 128:
            return value, place
    raise ValueError("is no sentencepiece model, or is cut off")


def model_bytes(model: SentencePiece) -> bytes:
    """The file's content, for other software: `read_model` gives the same again."""
    try:
        table = base64.b64decode(model.table, validate=True)
    except binascii.Error as error:
        raise ValueError("the table of characters is no base64") from error
    first = _text(1, b"<unk>") + _number(3, _UNKNOWN)
    others = (_text(1, piece.encode()) + b"\x15" + struct.pack("<f", score) for piece, score in model.pieces)
    pieces = b"".join(_text(1, message) for message in (first, *others))
    trained = _number(3, _UNIGRAM) + b"".join(_number(field, _NOWHERE) for field in (41, 42, 43))
    before = _text(2, table) + b"".join(_number(number, value) for number, _, value in _BEFORE)
    return pieces + _text(2, trained) + _text(3, before)


_NOWHERE = (1 << 64) - 1  # -1: the model has no number for the begin of a text, its end, and padding


def _number(field: int, value: int) -> bytes:
    return _packed(field * 8 + _VARINT) + _packed(value)


def _text(field: int, content: bytes) -> bytes:
    return _packed(field * 8 + _BYTES) + _packed(len(content)) + content


def _packed(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])

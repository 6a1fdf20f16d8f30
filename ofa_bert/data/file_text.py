"""The characters of a text file, or one line that says why it has none."""

from __future__ import annotations

import re
from pathlib import Path

from ofa_bert.errors import UserError
from ofa_bert.files.reading import open_regular

_HALF = re.compile("[\ud800-\udfff]")
# How files begin that are given in place of a text, what they are, and the cure. UTF-32's mark begins with UTF-16's.
_OTHER_FILES = (
    (b"\xff\xfe\x00\x00", "UTF-32, not UTF-8; convert it: iconv -f UTF-32 -t UTF-8"),
    (b"\x00\x00\xfe\xff", "UTF-32, not UTF-8; convert it: iconv -f UTF-32 -t UTF-8"),
    (b"\xff\xfe", "UTF-16, not UTF-8; convert it: iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "UTF-16, not UTF-8; convert it: iconv -f UTF-16 -t UTF-8"),
    (b"PK\x03\x04", "a ZIP file or a workbook; unpack it, or save the sheet as CSV in UTF-8"),
    (b"\x1f\x8b", "compressed; unpack it with gunzip"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself; fetch it with: git lfs pull"),
)


def whole_characters(text: str) -> str:
    """The text with U+FFFD for every half of a surrogate pair, as every encoder that does not refuse has it."""
    return text if text.isascii() else _HALF.sub("\ufffd", text)


def ends_in_carriage_returns(text: str) -> bool:
    """Whether its lines end as classic Mac programs, and some exports still, write them."""
    return "\r" in text and "\n" not in text


def read_text(path: Path) -> str:
    """The file's text without a byte order mark. UserError for a file that is missing, empty or not UTF-8."""
    try:
        with open_regular(path) as file:  # no pipe, which could keep it waiting for ever
            data = file.read()
    except OSError as error:
        raise UserError(f"{path}: cannot read the file: {error.strerror}") from error
    for start, what in _OTHER_FILES:
        if data.startswith(start):
            raise UserError(f"{path}: is {what}")
    if _every_other_byte_is_zero(data[:400]):  # valid UTF-8, but no text
        raise UserError(f"{path}: is UTF-16, not UTF-8; convert it: iconv -f UTF-16LE -t UTF-8 (or UTF-16BE)")
    try:
        text = data.decode("utf-8-sig")  # MRPC's files start with a byte order mark
    except UnicodeDecodeError as error:
        before = error.object[: error.start]  # without the mark
        line = before.count(b"\n" if b"\n" in data else b"\r") + 1
        raise UserError(
            f"{path}:{line}: byte 0x{error.object[error.start]:02x} is not UTF-8; convert the file to UTF-8"
        ) from error
    if not text.strip():
        raise UserError(f"{path}: the file is empty")
    return text


def _every_other_byte_is_zero(start: bytes) -> bool:
    return len(start) > 3 and any(3 * start[side::2].count(0) > 2 * len(start[side::2]) for side in (0, 1))

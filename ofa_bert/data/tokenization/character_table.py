"""sentencepiece's table of characters, letter after letter as sentencepiece goes through a text.

The package tokenizers reads such a table too, but looks whole characters up with their marks, and then some marks are
lost: of 8,000 random texts with Devanagari in them 8 were other texts.
"""

from __future__ import annotations

import base64
import binascii
import re

import numpy as np
from numpy.typing import NDArray

from ofa_bert.numerics import Ints

_MOST_BYTES = 4 << 20  # sentencepiece's own have a quarter of a million
_MOST_BRANCHES = 1 << 22  # of all nodes together, after one letter
_FULL = 100_000  # parts of texts that are remembered


class CharacterTable:
    """What becomes of letters. ValueError for a table that is none; an empty one changes nothing."""

    def __init__(self, table: str):
        units, self._texts = _opened(table)
        self._units: list[int] = units.tolist()
        alone, first, later = _begins(units)
        # A place where a rule can begin, with all that can belong to it: no rule goes over the end of such a part.
        parts = ([f"{_one_of(first)}{_one_of(later)}+"] if first else []) + ([_one_of(alone)] if alone else [])
        self._changing = re.compile("|".join(parts)) if parts else None
        self._seen: dict[str, list[tuple[str, int]]] = {}

    def changed(self, text: str) -> str:
        if self._changing is None:
            return text
        return self._changing.sub(lambda found: "".join(made for made, _ in self._parts(found.group())), text)

    def aligned(self, text: str) -> tuple[str, list[tuple[int, int]]]:
        """The same, and for each of its letters from where to where it stood in `text`."""
        made: list[str] = []
        spans: list[tuple[int, int]] = []
        done = 0
        for found in self._changing.finditer(text) if self._changing is not None else ():
            place = found.start()
            made.append(text[done:place])
            spans += [(each, each + 1) for each in range(done, place)]
            for target, size in self._parts(found.group()):
                made.append(target)
                spans += [(place, place + size)] * len(target)
                place += size
            done = place
        made.append(text[done:])
        spans += [(each, each + 1) for each in range(done, len(text))]
        return "".join(made), spans

    def _parts(self, letters: str) -> list[tuple[str, int]]:
        """What each begin becomes, always by the longest rule, and how many letters it was."""
        found = self._seen.get(letters)
        if found is None:
            found, place = [], 0
            while place < len(letters):
                found.append(self._longest(letters, place))
                place += found[-1][1]
            if len(self._seen) < _FULL:
                self._seen[letters] = found
        return found

    def _longest(self, letters: str, start: int) -> tuple[str, int]:
        """The text that the longest rule from there on gives, and its letters; a letter itself where there is none."""
        units, node, best = self._units, _children(self._units[0], 0), (letters[start], 1)
        for count, letter in enumerate(letters[start:], 1):
            for byte in letter.encode():
                node ^= byte
                if node >= len(units) or units[node] & _LABEL != byte:
                    return best
                unit = units[node]
                node = _children(unit, node)
            if unit & _HAS_LEAF and node < len(units):
                best = (self._text(units[node] & _VALUE), count)
        return best

    def _text(self, place: int) -> str:
        end = self._texts.find(b"\0", place)
        return self._texts[place : max(place, end)].decode(errors="replace")


# A unit has the byte that leads to it, whether a leaf is its child, and how far away its children are; a leaf a number.
_LABEL, _HAS_LEAF, _VALUE = (1 << 31) | 0xFF, 1 << 8, (1 << 31) - 1


def _children(unit: int, node: int) -> int:
    return node ^ ((unit >> 10) << ((unit & (1 << 9)) >> 6))


def _one_of(letters: set[str]) -> str:
    return f"[{''.join(map(re.escape, sorted(letters)))}]"


def _opened(table: str) -> tuple[Ints, bytes]:
    """A tree in an array (Darts), and the texts that its leaves point to."""
    try:
        content = base64.b64decode(table, validate=True)
    except binascii.Error as error:
        raise ValueError("its table of characters is no base64") from error
    if not content:
        return np.zeros(1, np.int64), b""
    size = int.from_bytes(content[:4], "little")
    if len(content) > _MOST_BYTES or size % 4 or not 4 <= size <= len(content) - 4:
        raise ValueError("its table of characters is cut off, or larger than any")
    return np.frombuffer(content, "<u4", size // 4, 4).astype(np.int64), content[4 + size :]


def _begins(units: Ints) -> tuple[set[str], set[str], set[str]]:
    """Letters that are a rule alone, that begin a longer one, and that go on in one."""
    letters, nodes = _one_letter(units, np.zeros(1, np.int64))
    leaf, more = units[nodes] & _HAS_LEAF != 0, _goes_on(units, nodes)
    found = _decoded(letters[leaf]), _decoded(letters[more])
    later: set[str] = set()
    known, nodes = np.zeros(len(units), bool), np.unique(nodes[more])
    while len(nodes):
        known[nodes] = True
        letters, nodes = _one_letter(units, nodes)
        later |= _decoded(letters)
        nodes = np.unique(nodes)
        nodes = nodes[~known[nodes]]
    return *found, later


def _next(units: Ints, nodes: Ints) -> tuple[Ints, Ints, Ints]:
    """(place of the node in `nodes`, byte, child) of every child; leaves are none."""
    offset = (units[nodes] >> 10) << ((units[nodes] & (1 << 9)) >> 6)
    children = (nodes ^ offset)[:, None] ^ np.arange(1, 256)  # [N, 255]
    inside = children < len(units)
    rows, columns = np.nonzero(inside & (units[np.where(inside, children, 0)] & _LABEL == np.arange(1, 256)))
    if len(rows) > _MOST_BRANCHES:
        raise ValueError("its table of characters is no tree")
    return rows, columns + 1, children[rows, columns]


def _goes_on(units: Ints, nodes: Ints) -> NDArray[np.bool_]:
    found = np.zeros(len(nodes), bool)
    found[_next(units, nodes)[0]] = True
    return found


def _one_letter(units: Ints, nodes: Ints) -> tuple[Ints, Ints]:
    """(the bytes of a letter as a number, the node behind it) for every letter that goes on from one of the nodes."""
    letters, lead = np.zeros(len(nodes), np.int64), np.zeros(len(nodes), np.int64)
    found: list[tuple[Ints, Ints]] = []
    for count in range(1, 5):
        rows, byte, nodes = _next(units, nodes)
        letters, lead = letters[rows] * 256 + byte, byte if count == 1 else lead[rows]
        whole = 1 + (lead >= 0xC0) + (lead >= 0xE0) + (lead >= 0xF0) == count
        found.append((letters[whole], nodes[whole]))
        letters, lead, nodes = letters[~whole], lead[~whole], nodes[~whole]
    return np.concatenate([each for each, _ in found]), np.concatenate([each for _, each in found])


def _decoded(letters: Ints) -> set[str]:
    content = (int(each).to_bytes((int(each).bit_length() + 7) // 8, "big") for each in np.unique(letters))
    try:
        return {each.decode() for each in content}
    except UnicodeDecodeError as error:
        raise ValueError(f"its table of characters is no UTF-8 text ({error.reason})") from error

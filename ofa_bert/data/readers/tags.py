"""Tags of words, in whichever scheme a file has them, to parts of a text.

BIO, IOB1 (B only between two parts of one name), BIOES, BILOU and BMES need not be told apart: the same rules read all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from ofa_bert.reporting import shown

Tag = tuple[str, str]  # (B, I, E, S or O; name)
Cut = Callable[[str], Tag]

_SAME = {"M": "I", "L": "E", "U": "S", "W": "S"}  # BILOU's and BMES' letters
_FIRST, _LAST = re.compile(r"([BIESMLUW])[-_](.+)", re.S), re.compile(r"(.+)[-_]([BIES])", re.S)
OUTSIDE = ("O", "")


class Part(NamedTuple):
    """text[start:end] in characters, and what it is called."""

    start: int
    end: int
    name: str

    def said(self) -> str:
        return f"{self.start}:{self.end}:{self.name}"


def how_written(tags: Iterable[str]) -> Cut:
    """What takes tags of a file apart: their letter comes first (B-PER), or last (PER-B, as in some of PaddleNLP's)."""
    inside = {tag for tag in tags if tag != "O"}
    if inside and all(_LAST.fullmatch(tag) for tag in inside) and not all(_FIRST.fullmatch(tag) for tag in inside):
        return _letter_last
    return _letter_first


def _letter_first(tag: str) -> Tag:
    """ValueError for what is no tag."""
    found = _FIRST.fullmatch(tag)
    if tag == "O" or found is None:
        return _outside(tag)
    return _SAME.get(found[1], found[1]), found[2]


def _letter_last(tag: str) -> Tag:
    found = _LAST.fullmatch(tag)
    return _outside(tag) if tag == "O" or found is None else (found[2], found[1])


def _outside(tag: str) -> Tag:
    if tag != "O":
        raise ValueError(
            f"{shown(tag)} is no tag: tags are O, or a letter and a name as in B-PER and I-PER (BIO, IOB1, BIOES); is"
            " it the column of the tags?"
        )
    return OUTSIDE


def parts_of(tags: Sequence[str], spans: Sequence[tuple[int, int]], cut: Cut) -> list[Part]:
    """The parts of a text whose words stand at these places. ValueError for what is no tag."""
    found: list[Part] = []
    open_name = ""
    for tag, (start, end) in zip(tags, spans):
        letter, name = cut(tag)
        if name and (letter in "BS" or name != open_name):
            found.append(Part(start, end, name))
        elif name:
            found[-1] = found[-1]._replace(end=end)
        open_name = "" if letter in "ES" else name
    return found


def joined(words: Sequence[str], blank: bool = True) -> tuple[str, list[tuple[int, int]]]:
    """A text of words, and where each stands in it. Between two ideographs stands no blank."""
    text, spans = "", []
    for word in words:
        if blank and text and not (_is_ideograph(text[-1]) and _is_ideograph(word[:1])):
            text += " "
        spans.append((len(text), len(text) + len(word)))
        text += word
    return text, spans


def _is_ideograph(character: str) -> bool:
    return "\u2e80" <= character <= "\u9fff" or "\uf900" <= character <= "\ufaff" or character >= "\U00020000"

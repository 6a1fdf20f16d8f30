"""The pages of the repository taken apart: commands, inline code, links, headings."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

_FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.S | re.M)
_SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
LAUNCHER = {"--nproc_per_node", "--gpus"}  # of paddle.distributed.launch, each with a value


class Command(NamedTuple):
    """A command of a page. program: a script's path, or "ofa_bert" with the command's name before its arguments."""

    program: str
    arguments: tuple[str, ...]
    whole: bool  # as it would be typed: nothing is left out of it


def lines_of_blocks(text: str) -> Iterator[str]:
    """The lines of the fenced blocks; one that ends in a backslash goes on in the next."""
    for block in _FENCE.findall(text):
        yield from block.replace("\\\n", " ").splitlines()


def spans(text: str) -> list[str]:
    """Inline code outside of the fenced blocks."""
    return [" ".join(span.split()) for span in _SPAN.findall(_FENCE.sub("", text))]


def links(text: str) -> list[str]:
    return _LINK.findall(_SPAN.sub("", _FENCE.sub("", text)))


def anchors(text: str) -> set[str]:
    """What a link may name after #: the headings, as GitHub spells them."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.M)
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", heading).lower()).replace(" ", "-") for heading in headings
    }


def commands(text: str) -> Iterator[Command]:
    """Every command of the blocks and of inline code that runs one of the repository's programs."""
    for line in lines_of_blocks(text):
        found = _command(shlex.split(line, comments=True)) if " " in line and _mentions(line) else None
        if found:
            yield found
    for span in spans(text):
        found = (
            _command(shlex.split(span)) if _mentions(span) and span.count('"') % 2 == 0 and "'" not in span else None
        )
        if found:
            yield found._replace(whole=False)


def _mentions(line: str) -> bool:
    return "ofa_bert" in line or ".py" in line or "ofa-bert" in line


def _command(words: list[str]) -> Command | None:
    """The command that these words run; None for another program."""
    whole = "..." not in words
    words = [word for word in words if word != "..."]
    if words[:1] == ["python"]:
        words = words[1:]
    if words[:1] == ["-u"]:
        words = words[1:]
    if words[:2] == ["-m", "paddle.distributed.launch"]:
        words = words[2:]
        while words and words[0] in LAUNCHER:
            words = words[2:]
    if words[:1] == ["ofa-bert"]:
        return Command("ofa_bert", tuple(words[1:]), whole)
    if words[:2] == ["-m", "ofa_bert"] or words[:1] == ["ofa_bert/__main__.py"]:
        return Command("ofa_bert", tuple(words[1 + (words[0] == "-m") :]), whole)
    if words and re.fullmatch(r"(\./)?[\w/]+\.py", words[0]):
        return Command(words[0].removeprefix("./"), tuple(words[1:]), whole)
    return None

"""The built-in demo of tagged words: which persons, organisations and places does a sentence name?

Sentences are made from templates and invented names, so no download is needed. A list of names does not solve it: one
name may be a person's, a firm's or a town's, as what stands around it says, and ships, storms and pets have such names
too, which are none of the three. Dev has other names than training, and half of its sentences come from templates that
training never shows.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

from ofa_bert.data.tagging.demo_words import (
    BEFORE_FIRMS,
    BEFORE_PLACES,
    BEHIND_FIRMS,
    BEHIND_PLACES,
    DEV_FIRST_NAMES,
    ENDS,
    FIRST_NAMES,
    JOBS,
    MIDDLES,
    ONSETS,
    OTHERS,
    TEMPLATES,
    WHEN,
)
from ofa_bert.tasks.kinds.base import Span, Spans
from ofa_bert.tasks.kinds.tokens import KIND, tags_of
from ofa_bert.tasks.task import Datasets, Example, Task

NAMES = ("LOC", "ORG", "PER")
TASK = Task("demo-tokens", tags_of(NAMES), KIND.usual_metrics, ("text",), KIND.name)

DEV_SHARE = 4  # every fourth stem and template is dev's alone
UNSEEN = 0.5  # of dev's sentences come from templates of its own
_JOINED = 0.25  # of the sentences are two, joined
_JOINTS = ("; ", ", and ", ", while ", ", but ")
_SLOT = re.compile(r"\{(\w+)\}")
_PIECE = re.compile(r"\w+|[^\w\s]")
Parts = list[tuple[int, int, str]]


def generate(seed: int = 0, train: int = 6000, dev: int = 1000) -> Datasets:
    """The demo data, the same for the same arguments. No sentence occurs twice."""
    rng = random.Random(seed)
    seen: set[str] = set()
    return Datasets(TASK, _split(rng, train, False, seen), {"dev": _split(rng, dev, True, seen)})


def write_conll(directory: str | Path, seed: int = 0, train: int = 6000, dev: int = 1000) -> None:
    """train.conll and dev.conll: a word and its tag a line."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    data = generate(seed, train, dev)
    for name, examples in (("train", data.train), ("dev", data.dev["dev"])):
        text = "\n".join(map(_lines, examples))
        (directory / f"{name}.conll").write_text(text, encoding="utf-8")


def kept_for_dev(number: int) -> bool:
    """Whether only dev has the stem, or the template, of that number."""
    return number % DEV_SHARE == 0


def stems() -> list[str]:
    """Invented names, in a fixed order that looks random: their numbers decide which are dev's."""
    made = [onset + middle + end for onset in ONSETS for middle in MIDDLES for end in ENDS]
    random.Random(0).shuffle(made)
    return made


def _split(rng: random.Random, count: int, for_dev: bool, seen: set[str]) -> tuple[Example, ...]:
    examples: list[Example] = []
    for text, parts in sentences(rng, for_dev):
        if text in seen:
            continue
        seen.add(text)
        spans = Spans(Span(start, end, NAMES.index(name)) for start, end, name in parts)
        examples.append(Example(text, None, spans))
        if len(examples) == count:
            break
    return tuple(examples)


def sentences(rng: random.Random, for_dev: bool) -> Iterator[tuple[str, Parts]]:
    """Endless (sentence, its parts)."""
    own = [stem for number, stem in enumerate(stems()) if kept_for_dev(number) == for_dev]
    old = [line for number, line in enumerate(TEMPLATES) if not kept_for_dev(number)]
    new = [line for number, line in enumerate(TEMPLATES) if kept_for_dev(number)]
    first = DEV_FIRST_NAMES if for_dev else FIRST_NAMES
    while True:
        lines = new if for_dev and rng.random() < UNSEEN else old
        text, parts = _fill(rng, rng.choice(lines), own, first)
        if rng.random() < _JOINED:
            joint, (more, others) = rng.choice(_JOINTS), _fill(rng, rng.choice(lines), own, first)
            offset = len(text) + len(joint)
            text += joint + more
            parts += [(start + offset, end + offset, name) for start, end, name in others]
        yield text[0].upper() + text[1:] + rng.choice("...!"), parts


def _fill(rng: random.Random, template: str, stems: list[str], first: list[str]) -> tuple[str, Parts]:
    text, parts, done = "", [], 0
    for slot in _SLOT.finditer(template):
        text += template[done : slot.start()]
        word = _name(rng, slot[1], stems, first)
        if slot[1][:3] in NAMES:
            parts.append((len(text), len(text) + len(word), slot[1][:3]))
        text, done = text + word, slot.end()
    return text + template[done:], parts


def _name(rng: random.Random, slot: str, stems: list[str], first: list[str]) -> str:
    """PER, ORG, LOC: with more words than the stem, or without; X: something else that has such a name."""
    plain = {"W": WHEN, "J": JOBS, "N": ("two", "three", "forty", "ninety", "300", "12")}
    if slot in plain:
        return rng.choice(plain[slot])
    stem, draw = rng.choice(stems), rng.random()
    if slot == "X":
        return f"{rng.choice(OTHERS)} {stem}"
    if slot == "PER":
        return f"{rng.choice(first)} {stem}" if draw < 0.6 else stem
    if slot == "ORG":
        named = [f"{stem} {rng.choice(BEHIND_FIRMS)}", f"{rng.choice(BEFORE_FIRMS)} {stem}"]
    else:
        named = [f"{stem} {rng.choice(BEHIND_PLACES)}", f"{rng.choice(BEFORE_PLACES)} {stem}"]
    return named[0] if draw < 0.2 else named[1] if draw < 0.35 else stem


def _lines(example: Example) -> str:
    """A sentence in CoNLL's columns."""
    assert isinstance(example.label, Spans)  # as they are made above
    rows = []
    for piece in _PIECE.finditer(example.text):
        tag = "O"
        for span in example.label:
            if span.start <= piece.start() < span.end:
                tag = f"{'B' if piece.start() == span.start else 'I'}-{NAMES[span.name]}"
        rows.append(f"{piece[0]} {tag}\n")
    return "".join(rows)

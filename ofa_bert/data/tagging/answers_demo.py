"""The built-in demo of answers: what does a text of some sentences say about somebody, if it says it at all?

Texts are made from templates and invented names, so no download is needed. Neither the sentence with most words of the
question nor the kind of thing that is asked for solves it: another one has done the same, the one that is asked about
has done something else, both with an answer of the same kind, and of one question in five the text says nothing. Dev
has other names than training, and half of its sentences and questions come from templates that training never shows.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ofa_bert.data.tagging.answers_demo_words import DEV_THINGS, RELATIONS, THINGS, Relation
from ofa_bert.data.tagging.demo import kept_for_dev
from ofa_bert.data.tagging.demo_words import BEHIND_FIRMS, DEV_FIRST_NAMES, ENDS, FIRST_NAMES, ONSETS
from ofa_bert.tasks.kinds.answers import KIND, MAY_LACK
from ofa_bert.tasks.kinds.base import Gold, Golds
from ofa_bert.tasks.task import Datasets, Example, Task

DOC_STRIDE = 32  # tokens; the longest texts are read in two windows
TASK = Task(
    "demo-answers",
    (),
    KIND.usual_metrics,
    ("question", "context"),
    KIND.name,
    objective=MAY_LACK,
    doc_stride=DOC_STRIDE,
)
LACKING = 0.15  # of the questions have no answer
UNSEEN = 0.5  # of dev's examples come from templates of its own, which is the first of each list
_SAME = 0.5  # of the texts say the same of another one
_WHOLE_NAMES = 0.25  # of the persons have two words
_YEARS, _NUMBERS = range(1890, 2020), range(2, 100)
_SLOT = re.compile(r"\{(\w)\}")
Places = dict[str, tuple[int, int]]  # slot -> where its words stand


def generate(seed: int = 0, train: int = 4000, dev: int = 400) -> Datasets:
    """The demo data, the same for the same arguments. No text occurs twice."""
    rng = random.Random(seed)
    return Datasets(TASK, _split(rng, train, False), {"dev": _split(rng, dev, True)})


def write_json_lines(directory: str | Path, seed: int = 0, train: int = 4000, dev: int = 400) -> None:
    """train.jsonl and dev.jsonl: question, context and answers a line."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    data = generate(seed, train, dev)
    for name, examples in (("train", data.train), ("dev", data.dev["dev"])):
        (directory / f"{name}.jsonl").write_text("".join(map(_line, examples)), encoding="utf-8")


def stems() -> list[str]:
    """Invented names of towns, firms and families, in a fixed order: their numbers decide which are dev's."""
    made = [onset + end for onset in ONSETS for end in ENDS]
    random.Random(0).shuffle(made)
    return made


def _split(rng: random.Random, count: int, for_dev: bool) -> tuple[Example, ...]:
    drawn = _Drawn(rng, for_dev)
    found: dict[str, Example] = {}
    for example in drawn.examples():
        found.setdefault(str(example.text_pair), example)
        if len(found) == count:
            break
    return tuple(found.values())


class _Drawn:
    """Questions of one split, from its own names and templates."""

    def __init__(self, rng: random.Random, for_dev: bool) -> None:
        self.rng, self.for_dev, self.new = rng, for_dev, False
        self.stems = [stem for number, stem in enumerate(stems()) if kept_for_dev(number) == for_dev]
        self.first, self.things = (DEV_FIRST_NAMES, DEV_THINGS) if for_dev else (FIRST_NAMES, THINGS)

    def examples(self) -> Iterator[Example]:
        """Endless."""
        while True:
            self.new = self.for_dev and self.rng.random() < UNSEEN
            yield self._example(self.rng.random() < LACKING)

    def _example(self, lacks: bool) -> Example:
        """A sentence each about two persons, with clauses that may answer as well as the right one does."""
        rng, used = self.rng, list[str]()
        asked = rng.choice(RELATIONS)
        slot = rng.choice(sorted(asked.questions))
        alike = [each for each in RELATIONS if each is not asked and slot in each.questions]
        rest = [each for each in RELATIONS if each is not asked and each not in alike]
        rng.shuffle(alike)
        rng.shuffle(rest)
        more = [*alike[:2], *rest]
        many = rng.choice((2, 3))
        own = more[:many] if lacks else [asked, *more[: many - 1]]
        others = [asked if rng.random() < _SAME else more[3], *more[4 : rng.choice((4, 5))]]
        who, other = self._named("Q", used), self._named("Q", used)
        question = self._template(asked.questions[slot]).replace("{S}", who)
        sentences = [self._sentence(who, own, used), self._sentence(other, others, used)]
        right = sentences[0][1].get(asked, {}).get(slot) if not lacks else None
        first = 0 if rng.random() < 0.5 else 1
        context = " ".join(sentences[place][0] for place in (first, 1 - first))
        if right is None:
            return Example(f"{_capital(question)}?", context, Golds())
        start, end = right
        offset = len(sentences[1][0]) + 1 if first else 0
        gold = Gold(sentences[0][0][start:end], start + offset)
        return Example(f"{_capital(question)}?", context, Golds([gold]))

    def _sentence(self, who: str, relations: Sequence[Relation], used: list[str]) -> tuple[str, dict[Relation, Places]]:
        """What is said of one person, in any order, and where the words of each slot stand."""
        order = self.rng.sample(relations, len(relations))
        text, found = who, {}
        for number, relation in enumerate(order):
            text += " " if number == 0 else " and " if number == len(order) - 1 else ", "
            clause, places = self._said(relation, used)
            found[relation] = {slot: (start + len(text), end + len(text)) for slot, (start, end) in places.items()}
            text += clause
        return text + ".", found

    def _template(self, lines: Sequence[str]) -> str:
        """The first is dev's alone."""
        return lines[0] if self.new else self.rng.choice(lines[1:])

    def _said(self, relation: Relation, used: list[str]) -> tuple[str, Places]:
        template = self._template(relation.clauses)
        text, places, done = "", {}, 0
        for slot in _SLOT.finditer(template):
            text += template[done : slot.start()]
            word = self._named(slot[1], used)
            places[slot[1]] = (len(text), len(text) + len(word))
            text, done = text + word, slot.end()
        return text + template[done:], places

    def _named(self, slot: str, used: list[str]) -> str:
        """Words for a slot; no name comes twice in a text."""
        rng = self.rng
        if slot == "Y":
            return str(rng.choice(_YEARS))
        if slot == "N":
            return str(rng.choice(_NUMBERS))
        if slot == "O":
            return rng.choice(self.things)
        first, stem = (self._new(names, used) for names in (self.first, self.stems))
        if slot == "Q":
            return f"{first} {stem}" if rng.random() < _WHOLE_NAMES else first
        return f"{stem} {rng.choice(BEHIND_FIRMS)}" if slot == "F" else stem

    def _new(self, names: Sequence[str], used: list[str]) -> str:
        found = self.rng.choice([name for name in names if name not in used])
        used.append(found)
        return found


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _line(example: Example) -> str:
    assert isinstance(example.label, Golds)  # as they are made above
    found = [{"text": gold.text, "start": gold.start} for gold in example.label]
    return json.dumps(dict(question=example.text, context=example.text_pair, answers=found)) + "\n"

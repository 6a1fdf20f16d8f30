"""The built-in demo task: does the writer approve of the thing that the sentence is about?

Sentences are made from templates and words, so no download is needed. Counting words does not solve the
task: the word that gives an opinion may be negated, even from afar, belong to somebody else or to another
thing, or be outweighed by the main clause. Dev puts words into templates in which training never shows them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

from ofa_bert.tasks.kinds.classification import ACCURACY
from ofa_bert.tasks.task import Datasets, Example, Task

TASK = Task("demo", ("negative", "positive"), ACCURACY, ("sentence",))

DEV_SHARE = 5  # a template keeps every fifth opinion word for dev, each template other ones

# Opinion words, (negative, positive): the index is the label that such a word speaks for.
_ADJECTIVES = (
    """dreadful awful terrible disappointing mediocre sloppy dull horrible shoddy tedious unpleasant lousy
    poor appalling abysmal clumsy frustrating annoying irritating bland careless dismal atrocious
    wretched pathetic miserable inferior flawed unbearable hideous ugly depressing ghastly
    forgettable grim boring messy nasty subpar second-rate laughable tiresome unimpressive
    unacceptable horrendous deplorable lamentable repulsive dreary stale infuriating amateurish
    disgusting woeful lacklustre shabby rotten tacky hopeless insufferable""".split(),
    """excellent superb wonderful delightful charming impressive splendid brilliant lovely fantastic
    pleasant great terrific outstanding marvellous enjoyable satisfying remarkable flawless elegant
    refreshing admirable memorable inviting rewarding stunning gorgeous exquisite magnificent
    likeable perfect amazing beautiful fabulous magical sublime graceful captivating fascinating
    thrilling praiseworthy phenomenal exceptional first-rate top-notch world-class heavenly
    spectacular dazzling faultless glorious appealing commendable tremendous polished inspired
    engaging classy adorable breathtaking""".split(),
)
_NOUNS = (
    """disaster mess letdown failure chore nightmare disgrace flop embarrassment mistake shambles
    catastrophe fiasco insult bore farce blunder torment rip-off dud""".split(),
    """delight triumph joy treat gem pleasure success masterpiece winner bargain revelation marvel
    highlight blessing dream wonder inspiration treasure hit sensation""".split(),
)
_VERBS = (
    """hated disliked despised loathed regretted resented criticised detested deplored scorned slated
    condemned""".split(),
    """loved enjoyed admired adored liked appreciated praised recommended cherished treasured applauded
    relished""".split(),
)
_OPINIONS = {"adj": _ADJECTIVES, "a_adj": _ADJECTIVES, "a_noun": _NOUNS, "verb": _VERBS}

# What is talked about: things of one domain, and what belongs to such a thing.
_DOMAINS = (
    ("film documentary musical comedy thriller", "plot ending cast soundtrack script hero dialogue villain"),
    ("restaurant bistro diner pizzeria cafeteria", "soup service menu dessert waiter buffet terrace kitchen"),
    ("hotel hostel resort guesthouse lodge", "lobby breakfast pool bedroom view reception bathroom garden"),
    (
        "phone laptop tablet camera printer",
        "screen battery keyboard speaker casing microphone manual charger",
    ),
    (
        "novel biography memoir anthology trilogy",
        "prologue style narrator preface cover translation finale tone",
    ),
    (
        "concert festival opera recital ballet",
        "sound stage orchestra singer choreography rehearsal encore tempo",
    ),
    (
        "course seminar workshop lecture tutorial",
        "teacher syllabus workbook pace textbook venue discussion exam",
    ),
    (
        "cruise train ferry flight coach",
        "cabin buffet crew schedule announcement seat timetable luggage-rack",
    ),
    (
        "museum gallery castle zoo aquarium",
        "entrance exhibition audio-guide gift-shop layout tour staircase map",
    ),
    (
        "app website game podcast newsletter",
        "design interface search-bar update logo archive menu registration",
    ),
)
_DETERMINERS = "the this".split()
_PEOPLE = (
    "my brother|my neighbour|our guide|a colleague|my aunt|the woman beside us|his boss|her cousin|a student|"
    "my flatmate|the driver|our daughter|the mayor|a stranger|my dentist|their grandfather|one blogger|"
    "an old friend|the man behind me|my wife|the reviewer|our landlord|a tourist|my former teacher"
).split("|")
_WHEN = (
    "last weekend|yesterday|on Tuesday|over the holidays|in early spring|on our second visit|a year ago|"
    "in October|on a rainy afternoon|this morning|in the summer|at Easter|on my birthday|two weeks ago"
).split("|")
_INTENSITY = [""] * 3 + (
    "very |truly |utterly |remarkably |rather |quite |really |so very |absolutely |somewhat |decidedly |"
    "simply |extremely "
).split("|")
_ASIDES = "weather traffic queue car-park neighbourhood bus-stop street-music smell newspaper coffee".split()

# {T} the thing, {A} {B} what belongs to it, {O} another thing of its kind, {P} a person, {W} a time,
# {i} intensity, {X} something unrelated. An opinion has a sign: + shares the sentence's label, - is its
# opposite, ? is either. The numbers say how often a kind of sentence comes.
_KINDS = {
    "plain": (
        0.34,
        """{T} was {i}{adj+}.
        {W}, I thought that the {A} of {T} was {i}{adj+}.
        {W}, {T} turned out to be {a_noun+}.
        all in all, {T} was {a_noun+} from start to finish.
        everyone in our group {verb+} {T} and its {A}.
        with its {i}{adj+} {A}, {T} was {a_noun+}.
        I {verb+} {T} from the first moment.
        the {A} and the {B} of {T} were both {i}{adj+}.
        {P} and I both {verb+} {T}.
        what {a_adj+} {A} {T} had!
        {W}, {P} showed me {T}, and it was {i}{adj+}.""",
    ),
    "intensity": (
        0.06,
        """{T} could not have been more {adj+}.
        {T} could not have been less {adj-}.
        {W}, the {A} of {T} could hardly have been more {adj+}.
        {W}, the {A} of {T} could hardly have been less {adj-}.
        {T} was so {adj+} that words fail me.
        {T} was barely {adj-}, if at all.""",
    ),
    "negation": (
        0.16,
        """{T} was not {adj-} at all.
        nobody in our group would call {T} {adj-}.
        I cannot say that {T}, with its {A} and its {B}, was {adj-}.
        at no point did {T} feel {adj-} to me.
        {T} was anything but {adj-}.
        there was nothing {adj-} about {T} or its {A}.
        it would be quite wrong to describe {T} as {adj-}.
        {W}, hardly anyone came away from {T} thinking it {adj-}.
        not once, in all that time, did the {A} of {T} strike me as {adj-}.
        the {A} of {T} was far from {adj-}.
        only a fool would call {T} {a_noun-}.
        I expected {T} to be {adj-} and was proved wrong.
        neither the {A} nor the {B} of {T} was {adj-}.
        {P} told me that {T} would be {adj-}, which it was not.
        I have yet to meet a person who {verb-} {T}.
        {W}, {T} never came close to being {a_noun-}.
        {W}, we looked for anything {adj-} in {T} and failed.
        few people left {T} believing that the {A} was {adj-}.
        it is a myth that {T} was {adj-}.
        calling {T} {a_noun-} would be a lie.
        if {T} was {a_noun-}, then I am a penguin.
        the last thing you could call {T} is {adj-}.
        {P} was wrong to say that {T} was {adj-}.""",
    ),
    "false_negation": (
        0.12,
        """nobody can deny that {T} was {adj+}.
        no doubt about it, the {A} of {T} was {adj+}.
        {W}, I could not believe how {adj+} {T} was.
        never before had {T} offered such {a_adj+} {A}.
        not only was the {A} {adj+}, {T} was also {a_noun+}.
        it is not true that {T} was not {adj+}.
        there was no one who did not call {T} {adj+}.
        nothing could hide the fact that {T} was {a_noun+}.
        I cannot remember anything as {adj+} as {T}.
        it did not take {P} long to see that {T} was {adj+}.
        without its {A}, {T} would still have been {adj+}.
        {T} did not stop being {adj+} for a moment.
        why does nobody admit that {T} was {a_noun+}?
        {P} was not wrong to say that {T} was {adj+}.""",
    ),
    "contrast": (
        0.17,
        """although the {A} was {i}{adj-}, {T} as a whole was {i}{adj+}.
        {T} as a whole was {i}{adj+}, although the {A} was {i}{adj-}.
        even though {T} had {a_adj-} {A}, it was {a_noun+}.
        {T} was {a_noun+}, even though it had {a_adj-} {A}.
        the {A} may have been {adj-}, but {T} itself was {adj+}.
        {T} itself was {adj+}, but the {A} may have been {adj-}.
        despite its {adj-} {A}, I {verb+} {T}.
        I {verb+} {T} despite its {adj-} {A}.
        for all its {adj-} {A}, {T} remained {a_noun+}.
        yes, the {A} was {adj-}; still, {T} was {adj+} overall.
        {T} looked {adj-} at first and proved {adj+} in the end.
        {T} proved {adj+} in the end, having looked {adj-} at first.
        {T} used to be {adj-}, yet now it is {adj+}.
        {T} is {adj+} now, however {adj-} it used to be.
        once {adj-}, {T} has become {adj+}.
        {T} has become {adj+} after years of being {adj-}.
        one {adj-} {A} cannot change the fact that {T} was {adj+}.""",
    ),
    "distractor": (
        0.15,
        """{P} called {T} {adj-}, but I found it {adj+}.
        I found {T} {adj+}, but {P} called it {adj-}.
        unlike the {adj-} {O} next door, {T} was {adj+}.
        {T} was {adj+}, unlike the {adj-} {O} that we tried before.
        the {X} was {adj?} {W}, and {T} was {adj+}.
        {T} was {adj+}, and the {X} outside was {adj?}.
        {W}, {P}, who {verb?} the {O}, had to admit that {T} was {adj+}.
        the critics {verb-} {T}; I {verb+} it.
        I {verb+} {T}; the critics {verb-} it.
        people who {verb-} {T} missed how {adj+} its {A} was.
        compared with the {O}, which was {adj-}, {T} was {a_noun+}.
        {P} was having {a_adj?} week, and {T} was {a_noun+}.
        {P} came from {a_adj?} {O} and told us that {T} was {adj+}.
        the {O} was {adj-}, whereas {T} was {adj+}.
        {T} was {adj+}, whereas the {O} was {adj-}.""",
    ),
}
# (kind, template), in a fixed order: a template's number decides which words it keeps for dev.
TEMPLATES = tuple((kind, line.strip()) for kind, (_, lines) in _KINDS.items() for line in lines.split("\n"))


def generate(seed: int = 0, train: int = 6000, dev: int = 1000) -> Datasets:
    """The demo data, the same for the same arguments.

    No sentence occurs twice, and half of each split is positive.
    """
    rng = random.Random(seed)
    seen: set[str] = set()
    return Datasets(TASK, _split(rng, train, False, seen), {"dev": _split(rng, dev, True, seen)})


def write_tsv(directory: str | Path, seed: int = 0, train: int = 6000, dev: int = 1000) -> None:
    """`train.tsv` and `dev.tsv` in SST-2's layout: a header, then sentence<TAB>label, the label as a word."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    data = generate(seed, train, dev)
    for name, examples in (("train", data.train), ("dev", data.dev["dev"])):
        rows = [(example.text, *TASK.kind.said(example.label, TASK.labels)) for example in examples]
        lines = ["\t".join(row) + "\n" for row in rows]
        (directory / f"{name}.tsv").write_text("sentence\tlabel\n" + "".join(lines), encoding="utf-8")


def sentences(rng: random.Random, for_dev: bool) -> Iterator[tuple[str, int, int, tuple[str, ...]]]:
    """Endless (sentence, label, number of its template, its opinion words), labels in turn."""
    kinds = list(_KINDS)
    weights = [weight for weight, _ in _KINDS.values()]
    numbers = {kind: [i for i, (of, _) in enumerate(TEMPLATES) if of == kind] for kind in kinds}
    label = 0
    while True:
        label = 1 - label
        number = rng.choice(numbers[rng.choices(kinds, weights)[0]])
        sentence, words = _fill(rng, number, label, for_dev)
        yield sentence, label, number, words


def kept_for_dev(number: int, position: int) -> bool:
    """Whether template `number` shows the word at this position of its list in dev only."""
    return (number + position) % DEV_SHARE == 0


def _split(rng: random.Random, count: int, for_dev: bool, seen: set[str]) -> tuple[Example, ...]:
    examples: list[Example] = []
    wanted = [count // 2, count - count // 2]  # of label 0 and 1
    for sentence, label, _, _ in sentences(rng, for_dev):
        if not any(wanted):
            return tuple(examples)
        if wanted[label] and sentence not in seen:
            seen.add(sentence)
            wanted[label] -= 1
            examples.append(Example(sentence, None, label))
    raise AssertionError("sentences() is endless")


def _fill(rng: random.Random, number: int, label: int, for_dev: bool) -> tuple[str, tuple[str, ...]]:
    things, parts = rng.choice(_DOMAINS)
    thing, other = rng.sample(things.split(), 2)
    first, second = rng.sample(parts.split(), 2)
    plain = {
        "T": f"{rng.choice(_DETERMINERS)} {thing}",
        "O": other,
        "A": first,
        "B": second,
        "P": rng.choice(_PEOPLE),
        "W": rng.choice(_WHEN),
        "X": rng.choice(_ASIDES),
    }
    words: list[str] = []

    def slot(match: re.Match[str]) -> str:
        name, sign = match[1], match[2]
        if name == "i":
            return rng.choice(_INTENSITY)
        if not sign:
            return plain[name]
        side = {"+": label, "-": 1 - label, "?": rng.randrange(2)}[sign]
        candidates = _OPINIONS[name][side]
        word = rng.choice([w for i, w in enumerate(candidates) if kept_for_dev(number, i) == for_dev])
        words.append(word)
        return f"{'an' if word[0] in 'aeiou' else 'a'} {word}" if name.startswith("a_") else word

    sentence = re.sub(r"\{(\w+)([+?-]?)\}", slot, TEMPLATES[number][1])
    return sentence[0].upper() + sentence[1:], tuple(words)

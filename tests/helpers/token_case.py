"""A small task of tagged words in the tiny vocabulary: things are single words, opinions two or three."""

import random

from helpers.models import VOCABULARY

_THINGS = ("film", "plot", "acting")
_OPINIONS = ("very good", "very bad", "not very good", "very dull", "not very bright")
_LINES = (
    "the {T} was {O} .", "they said the {T} was {O} , but we liked it", "{O} , was a {T}", "we hated it , they said",
    "a {T} is {O} but the {T} was not", "good . dull . bad", "we liked the {T} {T}",
)  # fmt: skip


def tagged_sentences(count, seed=0):
    """(words, tags in BIO) of random sentences."""
    rng, found = random.Random(seed), []
    for _ in range(count):
        words, tags = [], []
        for token in rng.choice(_LINES).split():
            chosen, name = {"{T}": (_THINGS, "THING"), "{O}": (_OPINIONS, "OPINION")}.get(token, ((token,), ""))
            own = rng.choice(chosen).split()
            words += own
            tags += [f"{'I' if place else 'B'}-{name}" if name else "O" for place in range(len(own))]
        found.append((words, tags))
    assert all(word in VOCABULARY for words, _ in found for word in words)
    return found


def conll(sentences):
    """Their text in CoNLL's columns."""
    return "\n".join("".join(f"{word} {tag}\n" for word, tag in zip(*pair)) for pair in sentences)


def write_case(directory, train=240, dev=60):
    """train.conll and dev.conll; the directory."""
    (directory / "train.conll").write_text(conll(tagged_sentences(train)))
    (directory / "dev.conll").write_text(conll(tagged_sentences(dev, seed=1)))
    return directory

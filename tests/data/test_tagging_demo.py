"""The generated task of tagged words: whole, new in dev, and not to be solved by lists of names or of words."""

import re
from collections import Counter, defaultdict

import numpy as np
import pytest

from ofa_bert.data.sources import load_datasets
from ofa_bert.data.tagging.demo import NAMES, TASK, generate, kept_for_dev, stems, write_conll
from ofa_bert.data.tagging.demo_words import DEV_FIRST_NAMES, FIRST_NAMES, TEMPLATES
from ofa_bert.tasks.kinds.base import Span
from ofa_bert.tasks.kinds.tokens import KIND, parts
from ofa_bert.tasks.metrics import compute

TEACHER = 0.9  # F1 of a teacher of one pass, at least; docs/results/tokens.md has what was measured


@pytest.fixture(scope="module")
def data():
    return generate()


def words(example):
    """(word, start, end, tag) of each."""
    found = []
    for word in re.finditer(r"\w+|[^\w\s]", example.text):
        tag = 0
        for span in example.label:
            if span.start <= word.start() < span.end:
                tag = 1 + 2 * span.name + (word.start() > span.start)
        found.append((word[0].lower(), word.start(), word.end(), tag))
    return found


def f1(examples, tagger):
    """Of what a function from words to tags finds."""
    rows = [words(example) for example in examples]
    said = np.concatenate([tagger([word for word, *_ in row]) for row in rows])
    labels = np.asarray([(tag, number) for number, row in enumerate(rows) for *_, tag in row])
    return compute(TASK, np.eye(len(TASK.labels))[said], labels)["f1"]


def test_sizes_and_parts(data):
    assert (len(data.train), len(data.dev["dev"])) == (6000, 1000)
    assert data.task == TASK
    for examples in (data.train, data.dev["dev"]):
        counts = Counter(NAMES[span.name] for example in examples for span in example.label)
        assert min(counts.values()) > 0.6 * max(counts.values())
        for example in examples:
            assert example.text == " ".join(example.text.split())
            assert not set("{}|") & set(example.text)
            ends = [0, *(span.end for span in example.label)]
            assert all(span.start >= end for span, end in zip(example.label, ends))
            assert all(example.text[span.start : span.end].strip() for span in example.label)
    assert len({example.text for example in (*data.train, *data.dev["dev"])}) == 7000
    assert generate() == data
    assert generate(seed=1).train != data.train


def test_dev_has_names_and_templates_of_its_own(data):
    known = {word for example in data.train for word, *_ in words(example)}
    own = {stem for number, stem in enumerate(stems()) if kept_for_dev(number)}
    assert not known & {stem.lower() for stem in own}
    assert len(set(stems())) == len(stems()) > 1000
    assert not set(FIRST_NAMES) & set(DEV_FIRST_NAMES)
    names = [example.text[span.start : span.end].lower() for example in data.dev["dev"] for span in example.label]
    assert not any(name in known for name in names)
    for number, template in enumerate(TEMPLATES):
        beginning = re.split(r"\{\w+\}", template)
        longest = max(beginning, key=len).strip()
        in_train = any(longest in example.text for example in data.train)
        assert in_train or kept_for_dev(number) or len(longest) < 12


def test_one_name_is_a_person_a_firm_a_place_and_something_else(data):
    kinds = defaultdict(set)
    for example in data.train:
        for word, _, _, tag in words(example):
            kinds[word].add((tag + 1) // 2)
    own = [stem.lower() for number, stem in enumerate(stems()) if not kept_for_dev(number)]
    several = [len(kinds[stem]) for stem in own if stem in kinds]
    assert np.mean(several) > 1.8
    assert any({0, 1, 2, 3} <= kinds[stem] for stem in own)


def test_a_list_of_names_does_not_solve_it(data):
    """The longest names that training shows, each as what it is most often; of new names it finds none."""
    seen = defaultdict(Counter)
    for example in data.train:
        for span in example.label:
            seen[tuple(example.text[span.start : span.end].lower().split())][span.name] += 1
    names = {name: counts.most_common(1)[0][0] for name, counts in seen.items()}

    def tagger(row):
        tags, place = [0] * len(row), 0
        while place < len(row):
            length = next((n for n in range(4, 0, -1) if tuple(row[place : place + n]) in names), 0)
            for step in range(length):
                tags[place + step] = 1 + 2 * names[tuple(row[place : place + length])] + (step > 0)
            place += max(1, length)
        return tags

    assert f1(data.train, tagger) < 0.9  # not even what it was made from: the same names are other things
    assert f1(data.dev["dev"], tagger) <= 0.7 * TEACHER


def test_words_and_their_looks_do_not_solve_it(data):
    """Each known word as it is tagged most often; an unknown one as the unknown ones mostly are, or by its ending."""
    tags, endings = defaultdict(Counter), defaultdict(Counter)
    for example in data.train:
        for word, _, _, tag in words(example):
            tags[word][tag] += 1
            if tag:
                endings[word[-3:]][tag] += 1
    of_word = {word: counts.most_common(1)[0][0] for word, counts in tags.items()}
    of_ending = {ending: counts.most_common(1)[0][0] for ending, counts in endings.items()}

    def tagger(row):
        return [of_word.get(word, of_ending.get(word[-3:], 0)) for word in row]

    assert f1(data.dev["dev"], tagger) <= 0.7 * TEACHER


def test_files_read_back_as_the_same_words_and_tags(tmp_path):
    write_conll(tmp_path, train=60, dev=20)
    small, read = generate(train=60, dev=20), load_datasets(
        train_file=tmp_path / "train.conll", dev_file=tmp_path / "dev.conll", known=TASK
    )  # fmt: skip
    for made, found in zip(small.train, read.train):
        assert [(word, tag) for word, _, _, tag in words(made)] == [(word, tag) for word, _, _, tag in words(found)]
        assert parts([tag for *_, tag in words(made)]) == parts([tag for *_, tag in words(found)])


def test_the_task_is_found_by_its_name():
    found = load_datasets("Demo-Tokens", known=TASK)
    assert found.task == TASK
    span = found.train[0].label[0]
    assert isinstance(span, Span)
    assert KIND.classes(found.train[0].label)

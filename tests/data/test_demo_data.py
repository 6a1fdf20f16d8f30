import random
from itertools import islice

import pytest

from ofa_bert.data import demo_task
from ofa_bert.data.demo_task import TASK, TEMPLATES, generate, kept_for_dev, sentences, write_tsv
from ofa_bert.data.sources import load_datasets


@pytest.fixture(scope="module")
def data():
    return generate()


def test_sizes_and_balance(data):
    assert data.task == TASK
    assert list(data.dev) == ["dev"]
    for examples, count in ((data.train, 6000), (data.dev["dev"], 1000)):
        assert len(examples) == count
        assert sum(example.label for example in examples) == count // 2
    assert len(generate(train=7, dev=3).train) == 7


def test_no_sentence_occurs_twice(data):
    texts = [example.text for example in (*data.train, *data.dev["dev"])]
    assert len(set(texts)) == len(texts)


def test_sentences_are_whole(data):
    for example in (*data.train, *data.dev["dev"]):
        text = example.text
        assert text[0].isupper()
        assert text[-1] in ".!?"
        assert 4 <= len(text.split()) <= 22
        assert text == " ".join(text.split())
        assert not set("{}|+") & set(text)


def test_deterministic_in_the_seed(data):
    assert generate() == data
    assert generate(seed=1).train != data.train


def test_every_template_and_dev_word_is_known_from_training_but_never_together():
    train, dev = (list(islice(sentences(random.Random(0), for_dev), 6000)) for for_dev in (False, True))

    def together(found):
        return {(number, word) for _, _, number, words in found for word in words}

    assert {number for _, _, number, _ in train} == set(range(len(TEMPLATES)))
    assert together(dev)
    assert not together(train) & together(dev)
    assert {word for _, word in together(dev)} <= {word for _, word in together(train)}


def test_every_template_keeps_a_word_of_every_list_and_shows_another():
    for number in range(len(TEMPLATES)):
        for lists in demo_task._OPINIONS.values():
            for words in lists:
                assert {kept_for_dev(number, i) for i in range(len(words))} == {True, False}


def test_opinion_words_stand_on_one_side():
    for negative, positive in demo_task._OPINIONS.values():
        words = [*negative, *positive]
        assert len(set(words)) == len(words)


def test_labels_follow_the_sentence():
    known = {
        "I expected {T} to be {adj-} and was proved wrong.": -1,
        "{T} was {i}{adj+}.": 1,
        "{T} could not have been more {adj+}.": 1,
        "{T} could not have been less {adj-}.": -1,
    }
    checked = set()
    for _, label, number, (word, *_) in islice(sentences(random.Random(3), False), 4000):
        template = TEMPLATES[number][1]
        if template in known:
            word_is_positive = word in demo_task._ADJECTIVES[1]
            assert word_is_positive == (label == 1 if known[template] == 1 else label == 0)
            checked.add(template)
    assert checked == set(known)


def test_words_alone_do_not_solve_it(data):
    text = pytest.importorskip("sklearn.feature_extraction.text")
    linear = pytest.importorskip("sklearn.linear_model")
    words = text.CountVectorizer(ngram_range=(1, 2), binary=True)
    x = words.fit_transform([example.text for example in data.train])
    model = linear.LogisticRegression(max_iter=1000).fit(x, [example.label for example in data.train])
    dev = data.dev["dev"]
    score = model.score(words.transform([example.text for example in dev]), [example.label for example in dev])
    assert 0.55 < score < 0.8


def test_files_read_back_as_the_same_data(tmp_path, data):
    write_tsv(tmp_path / "demo", train=50, dev=20)
    small = generate(train=50, dev=20)
    assert (tmp_path / "demo" / "train.tsv").read_text().startswith("sentence\tlabel\n")
    assert load_datasets("demo", tmp_path / "demo") == small

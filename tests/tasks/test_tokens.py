"""Tags of words: what parts they make, what a model is scored by, what it answers."""

import numpy as np
import pytest

from ofa_bert.errors import UserError
from ofa_bert.exits.layout import check_one_answer
from ofa_bert.tasks.intervals import difference
from ofa_bert.tasks.kinds.base import LabelColumns, Span, Spans, Words
from ofa_bert.tasks.kinds.registry import DEFAULT, kind_for
from ofa_bert.tasks.kinds.tokens import KIND, names_of, parts, scores_of_names, tags_of
from ofa_bert.tasks.metrics import compute
from ofa_bert.tasks.task import Task

LABELS = tags_of(("LOC", "PER"))
TASK = Task("t", LABELS, KIND.usual_metrics, ("text",), KIND.name)


def one_hot(tags, sure=9.0):
    return np.eye(len(LABELS), dtype="float32")[tags] * sure


def test_labels_are_a_begin_and_a_rest_of_every_name():
    assert LABELS == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    assert names_of(LABELS) == ("LOC", "PER")
    assert KIND.fits(LABELS)
    assert not any(map(KIND.fits, [(), ("O",), ("a", "b"), ("O", "B-LOC", "I-PER"), ("B-LOC", "I-LOC", "O")]))


@pytest.mark.parametrize(
    ("tags", "wanted"),
    [
        ([], []),
        ([0, 0], []),
        ([1, 2, 2], [(0, 3, 0)]),
        ([1, 1], [(0, 1, 0), (1, 2, 0)]),  # two of one name side by side
        ([1, 4], [(0, 1, 0), (1, 2, 1)]),  # goes on with another name: begins one
        ([2, 2, 0, 4], [(0, 2, 0), (3, 4, 1)]),  # goes on with nothing
        ([3, 4, 1, 0, 3], [(0, 2, 1), (2, 3, 0), (4, 5, 1)]),
    ],
)
def test_parts_of_tags(tags, wanted):
    assert parts(tags) == wanted


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_counting_parts_text_by_text(seed):
    rng = np.random.default_rng(seed)
    texts = [rng.integers(0, 5, rng.integers(1, 9)) for _ in range(40)]
    said = [np.where(rng.random(len(text)) < 0.3, rng.integers(0, 5, len(text)), text) for text in texts]
    labels = np.concatenate([np.stack([text, np.full(len(text), row)], 1) for row, text in enumerate(texts)])
    found = compute(TASK, one_hot(np.concatenate(said)), labels)
    true = {(row, *part) for row, text in enumerate(texts) for part in parts(text)}
    predicted = {(row, *part) for row, text in enumerate(said) for part in parts(text)}
    right = len(true & predicted)
    assert found["precision"] == pytest.approx(right / len(predicted))
    assert found["recall"] == pytest.approx(right / len(true))
    assert found["f1"] == pytest.approx(2 * right / (len(true) + len(predicted)))
    assert found["token_accuracy"] == pytest.approx(np.mean(np.concatenate(said) == np.concatenate(texts)))
    for number, (name, count, precision, recall, _) in enumerate(scores_of_names(np.concatenate(said), labels, LABELS)):
        own, other = ({part for part in side if part[-1] == number} for side in (true, predicted))
        assert (name, count) == (("LOC", "PER")[number], len(own))
        assert precision == pytest.approx(len(own & other) / len(other))
        assert recall == pytest.approx(len(own & other) / len(own))


def test_a_part_does_not_reach_into_the_next_text():
    labels = np.asarray([[1, 0], [2, 1]])  # B-LOC ends one text, I-LOC begins the next
    assert compute(TASK, one_hot([1, 2]), labels)["f1"] == 1.0
    assert compute(TASK, one_hot([1, 0]), labels)["recall"] == 0.5


def test_nothing_to_find_and_nothing_found_is_no_warning(recwarn):
    labels = np.asarray([[0, 0], [0, 0]])
    assert compute(TASK, one_hot([0, 0]), labels) == {"f1": 0, "precision": 0, "recall": 0, "token_accuracy": 1}
    assert scores_of_names(np.zeros(2, int), labels, LABELS) == [("LOC", 0, 0, 0, 0), ("PER", 0, 0, 0, 0)]
    assert not recwarn.list


def test_an_interval_draws_whole_texts():
    labels = np.asarray([[1, row] for row in range(30) for _ in range(2)])
    tags = labels[:, 0].copy()
    tags[:20] = 0
    gap = difference(TASK, one_hot(labels[:, 0]), one_hot(tags), labels)
    assert gap.low < gap.score < gap.high
    assert gap.score == pytest.approx(1 - 2 * 40 / (40 + 60))


def test_entities_have_the_places_of_their_words():
    text = " Ada Lovelace, Paris"
    words = Words(np.asarray([1, 2, 4, 5]), np.asarray([[1, 4], [5, 13], [13, 14], [15, 20]]))
    logits = one_hot([3, 4, 0, 1], sure=2.0)
    (ada, paris) = KIND.of_words(logits, words, text, LABELS).entities
    sure = np.exp(2) / (np.exp(2) + 4)
    assert (ada.label, ada.text, ada.start, ada.end) == ("PER", "Ada Lovelace", 1, 13)
    assert (paris.label, paris.text) == ("LOC", "Paris")
    assert ada.score == pytest.approx(sure)
    assert ada.to_json()["end"] == 13
    assert KIND.of_words(logits[:0], Words(words.pieces[:0], words.spans[:0]), "", LABELS).entities == ()


def test_what_is_refused():
    columns = LabelColumns("x.csv", ("label",))
    with pytest.raises(ValueError, match="read from CoNLL files"):
        kind_for(KIND.word, columns, []).cell(("PER",), columns)
    with pytest.raises(ValueError, match="unknown label 'ORG'; task t has LOC, PER"):
        KIND.reader(LABELS, "t")(("0:3:ORG",))
    with pytest.raises(UserError, match="no part of any text has a label"):
        KIND.find_labels(columns, [(1, ())], False)
    with pytest.raises(UserError, match="task t has tokens, where a text has no answer of its own"):
        check_one_answer(Task("t", LABELS, KIND.usual_metrics, ("text",), KIND.name))
    check_one_answer(Task("t", ("a", "b"), DEFAULT.usual_metrics, ("text",), DEFAULT.name))
    assert KIND.classes(Spans([Span(0, 1, 1), Span(2, 3, 1)])) == (3,)

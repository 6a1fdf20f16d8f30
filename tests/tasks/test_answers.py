"""Exact match and F1 as SQuAD's program counts them, the best span, and when there is none."""

import numpy as np
import pytest

from ofa_bert.tasks.answer_metrics import exact_match, f1
from ofa_bert.tasks.kinds.answers import KIND
from ofa_bert.tasks.passages import Passage, best, passages_of, placed

CONTEXT = "In 1843, the Countess of Lovelace wrote notes."


def scores(said, *right):
    start = CONTEXT.find(said) if said else -1
    spans, passages = np.asarray([[start, start + len(said)]]), passages_of([Passage(CONTEXT, right)])
    return exact_match(spans, passages), f1(spans, passages)


@pytest.mark.parametrize(
    ("said", "right", "wanted"),
    [
        ("In 1843,", ("in 1843",), (1, 1)),
        ("the Countess", ("Countess", "x"), (1, 1)),
        ("Countess of Lovelace", ("Lovelace",), (0, 0.5)),
        ("notes", ("Lovelace", "wrote notes"), (0, 2 / 3)),
        ("", (), (1, 1)),
        ("notes", (), (0, 0)),
        ("", ("notes",), (0, 0)),
    ],
)
def test_scores(said, right, wanted):
    assert scores(said, *right) == pytest.approx(wanted)


def of(windows):
    """[1, W, 5] of windows of (start logit, end logit) pairs, the first of which stands for no answer."""
    spans = [np.asarray([[0, 0], *([10 * w + i, 10 * w + i + 1] for i in range(len(rows) - 1))]) for w, rows in
             enumerate(windows)]  # fmt: skip
    return placed(np.asarray([row for rows in windows for row in rows], np.float32), spans, np.zeros(len(windows), int))


def test_the_best_span_stays_in_its_window_and_ends_after_its_start():
    values = of([[(0, 0), (1, 5), (4, 0)], [(0, 0), (0, 9), (3, 1)]])
    found = best(values)  # not (4, 9), which are two windows, nor (3, 9) backwards
    assert found.spans.tolist() == [[10, 11]]
    assert found.none[0] < 0.01
    assert KIND.predictions(values, (found.none[0] / 2,)).tolist() == [[-1, -1]]
    brute = max(
        (rows[i][0] + rows[j][1], w, i, j)
        for w, rows in enumerate([[(1, 5), (4, 0)], [(0, 9), (3, 1)]])
        for i in range(2) for j in range(i, 2)
    )  # fmt: skip
    assert brute[1:] == (1, 0, 0)


def test_a_context_without_tokens_has_no_answer():
    values = of([[(0, 0)]])
    assert KIND.predictions(values, ()).tolist() == [[-1, -1]]
    assert KIND.answers(values, (), ())[0].extract.text == ""


def test_the_threshold_with_the_highest_f1_is_found():
    sure = np.concatenate([of([[(none, 0), (3, 3)]]) for none in (0, 2, 7, 9)])
    labels = passages_of([Passage("a b", ("a",)), Passage("a b", ("a",)), Passage("a b", ()), Passage("a b", ())])
    threshold = KIND.tune(sure, labels)
    assert f1(KIND.predictions(sure, threshold), labels) == 1
    assert KIND.distance(sure, sure) == pytest.approx(0)
    assert KIND.distance(sure, -sure * np.asarray([1, 1, -1, -1, -1])) > 0

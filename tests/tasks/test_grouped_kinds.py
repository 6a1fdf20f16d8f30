"""Choices and ranking: rows regrouped to examples, what a prediction is, and metrics against others and by hand."""

import numpy as np
import pytest

from ofa_bert.errors import UserError
from ofa_bert.tasks import ranking_metrics
from ofa_bert.tasks.groups import PAD, numbered, places, regrouped
from ofa_bert.tasks.kinds.registry import kind_named
from ofa_bert.tasks.metrics import chance, compute
from ofa_bert.tasks.task import Task

CHOICES, RANKING = kind_named("choices"), kind_named("ranking")
QUESTIONS = Task("q", (), ("accuracy",), ("text", "choices"), "choices")


def test_rows_are_regrouped_wherever_they_stand():
    group = np.asarray([7, 3, 7, 7, 3])
    found = regrouped(np.asarray([[1.0], [2.0], [3.0], [4.0], [5.0]], "float32"), group)
    np.testing.assert_array_equal(found, np.asarray([[2, 5, PAD], [1, 3, 4]], "float32"))
    assert places(group).real.sum() == 5
    assert numbered(["b", "a", "b"]) == [0, 1, 0]


def test_a_question_is_right_by_its_own_choices():
    group = np.asarray([0, 0, 1, 1, 1])
    logits = regrouped(np.asarray([-5.0, -9.0, 1.0, 2.0, 3.0]), group)
    labels = regrouped(np.asarray([1.0, 0.0, 0.0, 1.0, 0.0]), group)
    assert compute(QUESTIONS, logits, labels) == {"accuracy": 0.5}  # -5 beats -9; 3 beats the right 2
    first, second = CHOICES.answers(logits, (), ())
    assert (first.choice, second.choice) == (0, 2)
    assert len(first.probabilities) == 2
    assert sum(first.probabilities) == pytest.approx(1)
    assert first.probability == pytest.approx(1 / (1 + np.exp(-4.0)))
    assert chance(QUESTIONS) == 0  # of one output nobody guesses


def test_padding_adds_nothing_to_distances():
    group, rng = np.asarray([0, 0, 1, 1, 1]), np.random.default_rng(0)
    full, other = rng.normal(size=5), rng.normal(size=5)
    alone = [CHOICES.distance(full[rows][None], other[rows][None]) for rows in (slice(0, 2), slice(2, 5))]
    assert CHOICES.distance(regrouped(full, group), regrouped(other, group)) == pytest.approx(np.mean(alone))
    wanted = [CHOICES.cross_entropy(full[rows][None], other[rows][None]) for rows in (slice(0, 2), slice(2, 5))]
    assert CHOICES.cross_entropy(regrouped(full, group), regrouped(other, group)) == pytest.approx(np.mean(wanted))
    apart = RANKING.distance(regrouped(full, group), regrouped(other, group))
    assert apart == pytest.approx(np.mean((full - other) ** 2), rel=1e-5)


def test_ndcg_is_that_of_scikit_learn():
    from sklearn.metrics import ndcg_score

    rng = np.random.default_rng(1)
    scores = np.full([20, 15], PAD)
    labels = np.full([20, 15], PAD)
    wanted = []
    for query in range(20):
        count = rng.integers(2, 16)
        scores[query, :count], labels[query, :count] = rng.normal(size=count), rng.integers(0, 4, count)
        if np.ptp(labels[query, :count]):
            wanted.append(ndcg_score(labels[query : query + 1, :count], scores[query : query + 1, :count], k=10))
    assert ranking_metrics.ndcg_at_10(scores, labels) == pytest.approx(np.mean(wanted))


def test_mrr_counts_the_first_relevant_passage_among_ten():
    scores = np.asarray([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    labels = np.asarray([[0.0, 1.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    assert ranking_metrics.mrr_at_10(scores, labels) == pytest.approx(
        (1 / 2 + 1) / 2
    )  # nothing can be found in the last
    twelve = np.arange(12, 0, -1.0)[None]
    assert ranking_metrics.mrr_at_10(twelve, (twelve == 2).astype(float)) == 0  # it stands eleventh
    assert ranking_metrics.mrr_at_10(twelve, (twelve == 3).astype(float)) == pytest.approx(1 / 10)
    graded = np.asarray([[-2.0, 0.5, 0.25]])
    assert ranking_metrics.mrr_at_10(np.asarray([[1.0, 2.0, 3.0]]), graded) == pytest.approx(1 / 2)


def test_a_model_that_says_the_same_of_everything_finds_nothing():
    labels = np.asarray([[1.0, 0.0, 0.0, 0.0]])
    assert ranking_metrics.mrr_at_10(np.zeros([1, 4]), labels) == 1 / 4
    assert ranking_metrics.ndcg_at_10(np.zeros([1, 4]), labels) == pytest.approx(1 / np.log2(5))


def test_pairs_have_scores_of_their_own():
    scores = regrouped(np.asarray([1.0, -1.0, 2.0]), np.asarray([0, 1, 2]))
    labels = regrouped(np.asarray([1.0, 1.0, 1.0]), np.asarray([0, 1, 2]))
    assert ranking_metrics.accuracy(scores, labels) == pytest.approx(2 / 3)
    assert ranking_metrics.mean_absolute_error(scores, labels) == pytest.approx((0 + 2 + 1) / 3)


def test_multirc_counts_answers_and_whole_questions():
    group = np.asarray([0, 0, 0, 1, 1])
    scores = regrouped(np.asarray([1.0, -1.0, 1.0, -1.0, 1.0]), group)
    labels = regrouped(np.asarray([1.0, 0.0, 0.0, 0.0, 1.0]), group)
    assert ranking_metrics.exact_match(scores, labels) == 0.5
    assert ranking_metrics.f1_of_answers(scores, labels) == pytest.approx(2 * 2 / (3 + 2))


def test_a_task_keeps_its_objective():
    task = Task("r", (), ("mrr@10",), ("query", "passage"), "ranking", objective="lists")
    assert Task.from_json(task.to_json()) == task
    with pytest.raises(UserError, match="objective 'wishes'; it must be one of binary, numbers, lists"):
        Task.from_json({**task.to_json(), "objective": "wishes"})
    assert Task("r", (), ("mrr@10",), ("query", "passage"), "ranking").objective == "binary"
    with pytest.raises(UserError, match="objective 'lists'; it must be one of none"):
        Task.from_json({**QUESTIONS.to_json(), "objective": "lists"})


def test_passages_in_the_same_order_are_the_same_answer():
    ranking, choices = kind_named("ranking"), kind_named("choices")
    first = np.array([[3, 2, 1], [3, 2, PAD], [3, PAD, PAD]], dtype=np.float32)
    second = np.array([[0.3, 0.2, 0.1], [1, 2, PAD], [9, PAD, PAD]], dtype=np.float32)
    assert ranking.same(first, second, ()).tolist() == [True, False, True]
    assert ranking.undecided(first).tolist() == [True, True, False]
    assert choices.same(first[:2], second[:2], ()).tolist() == [True, False]
    assert choices.undecided(first[:2]).all()
    assert (ranking.countable, kind_named("regression").countable) == (True, False)

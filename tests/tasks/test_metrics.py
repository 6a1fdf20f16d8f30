import numpy as np
import pytest

from ofa_bert.errors import RunError
from ofa_bert.tasks.glue import glue_task
from ofa_bert.tasks.metrics import compute, main_score
from ofa_bert.tasks.task import Task


def one_hot(classes, width):
    return np.eye(width, dtype=np.float32)[classes]


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_scikit_learn(seed):
    reference = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    for classes in (2, 3):
        task = Task("t", tuple("abc"[:classes]), ("accuracy", "matthews"), ("text",))
        labels = rng.integers(0, classes, 101)
        guess = np.where(rng.random(101) < 0.6, labels, rng.integers(0, classes, 101))
        scores = compute(task, one_hot(guess, classes) + rng.random((101, 1)), labels)
        assert list(scores) == ["accuracy", "matthews"]
        assert scores["accuracy"] == pytest.approx(reference.accuracy_score(labels, guess))
        assert scores["matthews"] == pytest.approx(reference.matthews_corrcoef(labels, guess))
    labels, guess = rng.integers(0, 2, 101), rng.integers(0, 2, 101)
    scores = compute(glue_task("mrpc"), one_hot(guess, 2), labels)
    assert scores["f1"] == pytest.approx(reference.f1_score(labels, guess))


@pytest.mark.parametrize("shape", [(99,), (99, 1)])
def test_correlations_equal_scipy_with_ties(shape):
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 6, 99).astype(np.float32)
    guess = np.round(labels + rng.normal(0, 2, 99)).astype(np.float32)  # rounded: many ties
    scores = compute(glue_task("sts-b"), guess.reshape(shape), labels)
    assert list(scores) == ["pearson", "spearman"]
    assert scores["pearson"] == pytest.approx(stats.pearsonr(guess, labels)[0], abs=1e-6)
    assert scores["spearman"] == pytest.approx(stats.spearmanr(guess, labels)[0], abs=1e-9)


def test_constant_predictions_score_zero_not_nan():
    labels = np.array([0, 1, 1, 0])
    assert compute(glue_task("cola"), one_hot([1, 1, 1, 1], 2), labels) == {"matthews": 0.0}
    assert compute(glue_task("mrpc"), one_hot([0, 0, 0, 0], 2), labels) == {"accuracy": 0.5, "f1": 0.0}
    # 0.1 has no exact mean in float32: the deviations are rounding errors, not zeros
    constant = np.full(1000, 0.1, dtype=np.float32)
    assert compute(glue_task("sts-b"), constant, np.arange(1000.0)) == {"pearson": 0.0, "spearman": 0.0}


def test_diverged_model_has_no_score():
    logits = one_hot([0, 1, 1], 2)
    logits[1, 0] = np.nan
    with pytest.raises(RunError, match="1 of 3 .*diverged"):
        compute(glue_task("cola"), logits, np.array([0, 1, 1]))


def test_one_prediction_per_label():
    with pytest.raises(ValueError, match="labels"):
        compute(glue_task("cola"), np.zeros((3, 2)), np.zeros(4))


def test_main_score_is_the_first_metric():
    assert main_score(glue_task("mrpc"), {"f1": 0.9, "accuracy": 0.8}) == 0.8

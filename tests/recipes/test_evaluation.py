"""Every number of an evaluation against scikit-learn's on random inputs, its tables and pictures."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from ofa_bert.data.table_files import read_table
from ofa_bert.recipes.evaluation import pictures
from ofa_bert.recipes.evaluation.calibration import calibration, certainty
from ofa_bert.recipes.evaluation.comparison import beside, mcnemar
from ofa_bert.recipes.evaluation.rows import parted, rows_text, wrong
from ofa_bert.recipes.evaluation.scores import split_scores
from ofa_bert.tasks.kinds import registry
from ofa_bert.tasks.task import Example, Task

CLASSES = Task("t", ("a", "b", "c", "d"), ("accuracy",), ("text",))
SETS = Task("t", ("a", "b", "c"), ("micro_f1",), ("text",), "multilabel")
NUMBERS = Task("t", (), ("pearson",), ("text",))


@settings(deadline=None, max_examples=60)
@given(some.integers(0, 2**32 - 1), some.integers(1, 40), some.integers(2, 4))
def test_classes_score_as_scikit_learn_counts(seed, count, width):
    from sklearn import metrics

    rng = np.random.default_rng(seed)
    task = Task("t", CLASSES.labels[:width], ("accuracy",), ("text",))
    labels, logits = rng.integers(0, width, count), rng.normal(0, 2, [count, width])
    guess = logits.argmax(-1)
    found = split_scores(task, "dev", count, logits, labels)
    wanted = {
        "accuracy": metrics.accuracy_score(labels, guess),
        "balanced_accuracy": metrics.recall_score(
            labels, guess, labels=np.unique(labels), average="macro", zero_division=0
        ),
        "macro_f1": metrics.f1_score(labels, guess, average="macro", zero_division=0),
        "weighted_f1": metrics.f1_score(labels, guess, average="weighted", zero_division=0),
        "matthews": metrics.matthews_corrcoef(labels, guess),
    }
    assert found.scores == pytest.approx(wanted)
    np.testing.assert_array_equal(found.confusion, metrics.confusion_matrix(labels, guess, labels=range(width)))
    report = metrics.classification_report(
        labels, guess, labels=range(width), target_names=task.labels, output_dict=True, zero_division=0
    )
    for each in found.labels:
        one = report[each.label]
        assert (each.precision, each.recall, each.f1, each.examples) == pytest.approx(
            (one["precision"], one["recall"], one["f1-score"], one["support"])
        )


@settings(deadline=None, max_examples=40)
@given(some.integers(0, 2**32 - 1), some.integers(3, 40))
def test_numbers_score_as_scikit_learn_counts(seed, count):
    from sklearn import metrics

    rng = np.random.default_rng(seed)
    labels, guess = rng.normal(size=count), rng.normal(size=count)
    found = split_scores(NUMBERS, "dev", count, guess[:, None], labels).scores
    assert list(found) == ["pearson", "spearman", "mae", "rmse"]
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(labels, guess))
    assert found["rmse"] == pytest.approx(np.sqrt(metrics.mean_squared_error(labels, guess)))


def test_calibration_is_the_distance_between_certainty_and_truth():
    probabilities = np.array([0.05, 0.61, 0.63, 0.95, 0.95, 0.95, 1.0])
    right = np.array([False, True, False, True, True, False, True])
    found = calibration(probabilities, right)
    assert [each.examples for each in found.bins] == [1, 2, 4]
    wanted = (1 * 0.05 + 2 * abs(0.62 - 0.5) + 4 * abs((3 * 0.95 + 1) / 4 - 0.75)) / 7
    assert found.error == pytest.approx(wanted)
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.3, 1, 40_000)
    assert calibration(sure, rng.random(40_000) < sure).error < 0.01
    assert calibration(sure, rng.random(40_000) < sure - 0.2).error == pytest.approx(0.2, abs=0.02)
    assert certainty(np.array([[0.0, np.log(3.0)]])) == pytest.approx([0.75])


def test_mcnemar_is_the_sign_test_on_what_parts_two_models():
    from scipy.stats import binomtest

    first = np.array([True] * 30 + [True] * 9 + [False] * 2 + [False] * 9)
    second = np.array([True] * 30 + [False] * 9 + [True] * 2 + [False] * 9)
    found = mcnemar(first, second)
    assert (found.both, found.first, found.second, found.neither) == (30, 9, 2, 9)
    assert found.p == pytest.approx(binomtest(9, 11).pvalue)
    assert mcnemar(first, first).p == 1.0


def test_beside_says_the_difference_and_its_interval():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 4, 300)
    better, worse = (np.eye(4)[labels] + rng.normal(0, noise, [300, 4]) for noise in (0.3, 1.0))
    found = beside(CLASSES, "dev", "small", better, worse, labels, ())
    assert found.difference.low > 0
    assert found.mcnemar.p < 0.01
    assert found.scores["accuracy"] == pytest.approx((worse.argmax(-1) == labels).mean())
    numbers = beside(NUMBERS, "dev", "small", labels[:, None] + 0.0, rng.normal(size=[300, 1]), labels * 1.0, ())
    assert numbers.mcnemar is None


def test_each_of_two_models_answers_by_its_own_thresholds():
    labels = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
    sharp = np.where(labels == 1, 3.0, -3.0)
    strict, lenient = replace(SETS, thresholds=(0.9, 0.9, 0.9)), replace(SETS, thresholds=(0.1, 0.1, 0.1))
    shifted = sharp - 2.0  # right at a tenth: 0.73 and 0.007; nothing is found at nine tenths
    found = beside(strict, "dev", "small", sharp, shifted, labels, lenient.thresholds)
    assert found.scores["micro_f1"] == 1.0
    assert found.difference.score == 0.0
    assert (found.mcnemar.both, found.mcnemar.first) == (4, 0)
    assert list(parted(strict, sharp, shifted, labels, lenient.thresholds)[0]) == []
    assert beside(strict, "dev", "small", sharp, shifted, labels, strict.thresholds).difference.score > 0


@pytest.mark.parametrize("suffix", ["tsv", "csv", "jsonl"])
def test_wrong_rows_keep_every_column_of_their_file(suffix, tmp_path):
    rows = [("1", "x, y", "a"), ("2", 'z "q"', "b"), ("3", "w", "c"), ("4", "v", "a")]
    path = tmp_path / f"own.{suffix}"
    names = ["number", "text", "label"]
    if suffix == "jsonl":
        lines = [json.dumps(dict(zip(names, row))) for row in rows]
    elif suffix == "tsv":
        lines = ["\t".join(row) for row in (names, *rows)]
    else:
        lines = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in (names, *rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    labels = np.array([0, 1, 2, 0])
    logits = np.array([[0, 2.0, 0, 0], [0, 5, 0, 0], [9, 0, 0, 0], [1, 0, 0, 0]])
    examples = [Example(text, None, label) for (_, text, _), label in zip(rows, labels)]
    order, cells = wrong(CLASSES, logits, labels)
    assert list(order) == [2, 0]  # the surest mistake first
    kind, text = rows_text(CLASSES, examples, read_table(path), order, cells)
    assert kind == f".{suffix}"
    written = tmp_path / f"wrong.{suffix}"
    written.write_text(text, encoding="utf-8")
    again = read_table(written)
    assert list(again.header or again.keys)[:6] == [*names, "line", "predicted_label", "probability"]
    place = {name: again.column(name) for name in ("number", "text", "label", "predicted_label")}
    found = [tuple(str(values[place[name]]) for name in place) for _, values in again.rows]
    assert found == [("3", "w", "c", "a"), ("1", "x, y", "a", "b")]


def test_rows_without_a_file_of_their_own_are_jsonl_of_texts_and_labels():
    examples = [Example("one", None, (1.0, 0.0, 1.0)), Example("two", None, (0.0, 0.0, 0.0))]
    labels = np.array([[1, 0, 1], [0, 0, 0]], np.float32)
    logits = np.array([[3, -3, -3], [-3, -3, -3.0]])
    order, cells = wrong(SETS, logits, labels)
    kind, text = rows_text(SETS, examples, None, order, cells)
    assert kind == ".jsonl"
    assert [json.loads(line) for line in text.splitlines()] == [
        {"text": "one", "label": ["a", "c"], "predicted_labels": ["a"]}
    ]
    order, cells = wrong(NUMBERS, np.array([[1.0], [5.0]]), np.array([1.5, 1.0]))
    assert [(place, cell["error"]) for place, cell in zip(order, cells)] == [(1, "4"), (0, "-0.5")]


def test_what_only_one_model_knows_is_told_with_both_answers():
    labels = np.array([0, 1, 2])
    first = np.eye(4)[[0, 1, 0]] * 4
    second = np.eye(4)[[0, 3, 2]] * 4
    order, cells = parted(CLASSES, first, second, labels, ())
    assert list(order) == [1, 2]
    assert [(cell["right"], cell["predicted_label"], cell["second_predicted_label"]) for cell in cells] == [
        ("first", "b", "d"), ("second", "a", "c"),
    ]  # fmt: skip


@pytest.mark.parametrize("count", [2, 30, 70])
def test_pictures_are_drawn_for_few_and_many_labels(count, tmp_path):
    rng = np.random.default_rng(0)
    labels = [f"a label with a long name, {number}" for number in range(count)]
    pictures.confusion_picture(rng.integers(0, 9, [count, count]), labels, "t, dev", tmp_path / "c.png")
    sure = rng.uniform(0.4, 1, 50)
    pictures.calibration_picture(calibration(sure, rng.random(50) < sure), "t, dev", tmp_path / "s.png")
    pictures.numbers_picture(rng.normal(size=50), rng.normal(size=50), "t, dev", tmp_path / "n.png")
    for name in "csn":
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_what_may_choose_the_best_step_is_better_when_it_is_higher():
    for kind in registry.KINDS:
        assert not {"mae", "rmse"} & set(registry.kind_named(kind).usual_metrics)
    assert not {"mae", "rmse"} & set(NUMBERS.kind.metrics)

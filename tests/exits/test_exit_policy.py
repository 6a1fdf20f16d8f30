"""Exit criteria and exit-layer prediction: NumPy only, and importable without Paddle."""

import itertools
import json
import math
import subprocess
import sys

import numpy as np
import pytest

from helpers.paths import ROOT
from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.errors import UserError
from ofa_bert.exits.criteria.base import State, fresh
from ofa_bert.exits.criteria.entropy import entropy
from ofa_bert.exits.criteria.normalised import normalised_entropy
from ofa_bert.exits.criteria.registry import CRITERIA
from ofa_bert.exits.layout import ExitLayout
from ofa_bert.exits.policy import Policy, check_threshold, first_exits, saving
from ofa_bert.exits.policy_file import policy_json, read_policy
from ofa_bert.exits.token_table import SMOOTHING, calibrate, depth_batches, error_histogram, learn
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.tasks.task import Task

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 2, [6, 200, 3])  # 5 exits and the last
CERTAINTY = RNG.uniform(0, 1, [5, 200])


CHOSEN = policy_json(
    Policy("entropy", 0.5), "threshold", [0, 1], SubModelConfig((0, 1, 2), (2, 2, 2), (8, 8, 8)),
    ExitLayout("ramp", (0, 1)), [1, 2, 3], Task("t", ("a", "b"), ("accuracy",), ("text",)), "here",
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"policy": []}, "policy is .*must be an object"),
        ({"policy": {"criterion": "entropy"}}, "policy: threshold is missing"),
        ({"policy": {**CHOSEN["policy"], "threshold": 1e999}}, "threshold is inf, must be a finite number"),
        ({"mode": "luck"}, "mode is 'luck', must be one of threshold, predicted"),
        ({"ask": [2]}, "ask is .*must be places, ascending, among the 2 exits before the last"),
        ({"ask": [[0]]}, "ask is .*must be a list of whole numbers"),
        ({"task": "t"}, "task is 't', must be an object"),
        ({"layers": [1, 2, 4]}, "chosen for the layers"),
        ({"exits": {"head": "attention", "layers": [0, 1]}}, "chosen for the exits"),
    ],
)
def test_a_damaged_policy_file_is_one_line(tmp_path, change, message):
    path = tmp_path / "exit_policy.json"

    def read():
        return read_policy(
            str(path), SubModelConfig.from_json(CHOSEN["sub_model"]), Task.from_json(CHOSEN["task"]),
            ExitLayout("ramp", (0, 1)), [1, 2, 3], 9,
        )  # fmt: skip

    path.write_text(json.dumps(CHOSEN))
    assert read().about["policy"] == CHOSEN["policy"]
    path.write_text(json.dumps({**CHOSEN, **change}))
    with pytest.raises(UserError, match=f"`exit_policy` .*{message}"):
        read()


def test_runtimes_need_no_paddle():
    code = "import sys; import ofa_bert.exits.policy, ofa_bert.exits.token_table; sys.exit('paddle' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_entropy_is_raw_and_normalised_from_0_to_1():
    assert entropy([[0.0, 0.0]])[0] == pytest.approx(math.log(2))
    assert math.log(3) >= entropy([[1.0, 1.0, 1.0]])[0] == pytest.approx(math.log(3))
    assert entropy([math.log(0.8), math.log(0.2)]) == pytest.approx(-(0.8 * math.log(0.8) + 0.2 * math.log(0.2)))
    np.testing.assert_allclose(normalised_entropy(LOGITS), entropy(LOGITS) / math.log(3))
    assert 1.0 >= normalised_entropy(np.zeros([7])).item() > 1.0 - 1e-12


@pytest.mark.parametrize("logits", [[0.0, -1e6], [3e38, -3e38], [0.0, -np.inf], [-1e4, 1e4]])
def test_entropy_is_finite_where_a_probability_is_0(logits):
    assert entropy(np.asarray(logits, dtype="float32")) == 0.0 == normalised_entropy(logits)
    assert Policy("entropy", 1e-6).leave(np.asarray([logits]), None, fresh(1))[0].all()


def places(criterion, threshold, logits=LOGITS):
    return first_exits(Policy(criterion, threshold), logits, CERTAINTY)


@pytest.mark.parametrize("criterion", ["entropy", "normalised", "certainty", "margin"])
def test_threshold_0_lets_nobody_leave_and_the_highest_everybody(criterion):
    above = math.log(3) + 1e-9 if criterion == "entropy" else 1.0
    sure = np.where(np.arange(3) == 0, 1e6, 0.0) * np.ones([6, 200, 1])  # entropy exactly 0
    assert (places(criterion, 0.0) == 5).all()
    assert (places(criterion, 0.0, sure) == 5).all()
    assert (places(criterion, above) == 0).all()
    assert (first_exits(Policy(criterion, above), np.zeros([6, 9, 3]), np.zeros([5, 9])) == 0).all()
    assert Policy(criterion, 0.0).never(5)
    assert not Policy(criterion, 1e-9).never(5)


@pytest.mark.parametrize("criterion", ["entropy", "normalised", "certainty", "margin"])
def test_no_sample_leaves_later_when_the_threshold_rises(criterion):
    found = [places(criterion, threshold) for threshold in np.linspace(0, 1.1, 45)]
    assert all((later <= earlier).all() for earlier, later in itertools.pairwise(found))
    assert len({tuple(item) for item in found}) > 20


def test_no_sample_leaves_earlier_when_patience_grows():
    found = [places("patience", patience) for patience in range(7)]
    assert all((later >= earlier).all() for earlier, later in itertools.pairwise(found))
    assert (found[0] == 0).all()
    assert (found[5] == 5).all()
    assert not (found[2] == 5).all()
    assert Policy("patience", 5).never(5)
    assert not Policy("patience", 4).never(5)


def test_patience_counts_confirmations_in_a_row():
    classes = [[0, 1, 1, 1, 0, 0], [2, 2, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1], [0, 1, 0, 1, 0, 1]]
    logits = np.eye(3)[np.asarray(classes)].transpose(1, 0, 2)  # [6, 4, 3]
    assert first_exits(Policy("patience", 2), logits, None).tolist() == [3, 4, 2, 5]
    assert first_exits(Policy("patience", 1), logits, None).tolist() == [2, 1, 1, 5]


def test_patience_on_numbers_compares_with_the_tolerance():
    numbers = np.asarray([[1.0, 1.3, 1.35, 1.3, 9.0], [1.0, 1.05, 1.12, 1.2, 1.0]]).T[..., None]
    assert first_exits(Policy("patience", 2, tolerance=0.1), numbers, None).tolist() == [3, 2]
    assert first_exits(Policy("patience", 1, tolerance=0.5), numbers, None).tolist() == [1, 1]


@pytest.mark.parametrize("criterion", CRITERIA)
def test_a_policy_step_by_step_on_who_stayed_is_the_policy_on_all(criterion):
    policy = Policy(criterion, 2 if criterion == "patience" else 0.5)
    index, state, found = np.arange(200), fresh(200), np.full(200, 5)
    for place in range(5):
        leave, state = policy.leave(LOGITS[place, index], CERTAINTY[place, index], state)
        found[index[leave]] = place
        state, index = state.select(~leave), index[~leave]
        half = len(index) // 2  # batches are cut and joined on the way
        state = State.join([state.select(np.arange(half)), state.select(np.arange(half, len(index)))])
    np.testing.assert_array_equal(found, places(criterion, policy.threshold))
    assert len(set(found)) > 3


def test_saving_is_one_minus_mean_over_depth():
    assert saving(np.asarray([1, 2, 12, 12]), 12) == pytest.approx(1 - 27 / 48)
    assert saving(np.asarray([12, 12]), 12) == 0.0


@pytest.mark.parametrize(
    ("criterion", "threshold", "labels", "part"),
    [
        ("entropy", -0.1, 2, "must not be negative"),
        ("entropy", 0.7, 2, "ln 2 = 0.693"),
        ("entropy", 1.0986123, 3, "ln 3 = 1.099"),
        ("normalised", 1.01, 2, "from 0"),
        ("certainty", -1.0, 1, "must not be negative"),
        ("patience", 0.0, 2, "at least 1"),
        ("patience", 1.5, 2, "whole number"),
        ("patience", math.inf, 2, "whole number"),
        ("margin", -0.1, 2, "must not be negative"),
        ("margin", 1.01, 2, "from 0"),
        ("margin", 0.1, 1, "certainty or patience"),
        ("entropy", 0.1, 1, "no probabilities"),
        ("normalised", 0.1, 1, "certainty or patience"),
    ],
)
def test_impossible_thresholds_are_refused(criterion, threshold, labels, part):
    with pytest.raises(UserError, match=part):
        check_threshold(criterion, threshold, labels, 11)


def test_thresholds_that_let_nobody_or_everybody_leave_are_said():
    assert "nobody" in check_threshold("entropy", 0.0, 2, 11)
    assert "nobody" in check_threshold("patience", 11, 2, 11)
    assert "everybody" in check_threshold("normalised", 1.0, 2, 11)
    assert "everybody" in check_threshold("margin", 1.0, 2, 11)
    for criterion, threshold in (("entropy", 0.69), ("normalised", 0.5), ("patience", 10)):
        assert check_threshold(criterion, threshold, 2, 11) is None


def sentences(count, seed):
    """Token 9 asks for the last exit, token 8 for the second, all others for the first; lengths differ."""
    rng = np.random.default_rng(seed)
    ids = [rng.integers(1, 8, rng.integers(2, 15)) for _ in range(count)]
    needed = rng.integers(0, 3, count)
    for row, place in zip(ids, needed):
        if place:
            row[: 1 + len(row) // 2] = 7 + place
    return ids, needed


def test_prediction_learns_which_tokens_need_how_many_layers():
    table = learn(*sentences(400, 1), layers=(2, 4, 6), vocab_size=10)
    assert (table.predict(sentences(5, 3)[0]) == 2).all()  # nobody is sent early before the cuts are set
    table = calibrate(table, *sentences(200, 2))
    ids, needed = sentences(300, 3)
    predicted = table.predict(ids)
    assert (predicted == needed).mean() > 0.9
    expected = table.distribution() @ table.layers
    assert expected[9] > 5 > expected[8] > 3.6 > expected[1:8].max()


def test_prediction_table_counts_tokens_and_keeps_proportions():
    ids, needed = sentences(100, 4)
    table = calibrate(learn(ids, needed, (1, 2, 3), 10), ids, needed)
    assert table.counts.sum() == sum(map(len, ids))
    token_3_early = sum((row == 3).sum() for row, place in zip(ids, needed) if place == 0)
    assert table.counts[3, 0] == token_3_early
    prior = table.counts.sum(0) / table.counts.sum()
    by_hand = (table.counts[3] + SMOOTHING * prior) / (table.counts[3].sum() + SMOOTHING)
    np.testing.assert_allclose(table.distribution()[3], by_hand)
    np.testing.assert_allclose(table.distribution().sum(1), 1.0)
    by_hand = [np.mean([table.distribution()[token] @ table.layers for token in row]) for row in ids]
    np.testing.assert_allclose(table.scores(ids), by_hand)
    np.testing.assert_array_equal(np.bincount(table.predict(ids)), np.bincount(needed))


def test_prediction_with_nobody_or_everybody_at_one_exit():
    ids, _ = sentences(50, 5)
    for place in range(3):
        places = np.full(50, place)
        assert (calibrate(learn(ids, places, (1, 2, 3), 10), ids, places).predict(ids) == place).all()


def test_depth_batches_are_full_and_hold_one_exit():
    ids, needed = sentences(103, 6)
    data = Encoded(ids, [np.zeros_like(row) for row in ids], np.arange(103))
    seen = []
    sizes = {}
    for place, batch in depth_batches(data, needed, 8, pad_id=0):
        assert (needed[batch.index] == place).all()
        np.testing.assert_array_equal(batch.labels, batch.index)
        for row, index in zip(batch.input_ids, batch.index):
            np.testing.assert_array_equal(row[row != 0], ids[index])
        seen += batch.index.tolist()
        sizes.setdefault(place, []).append(len(batch.index))
    assert sorted(seen) == list(range(103))
    assert all(size == 8 for each in sizes.values() for size in each[:-1])
    assert len(sizes) == 3


def test_error_histogram():
    assert error_histogram(np.asarray([1, 3, 5, 5]), np.asarray([1, 5, 3, 5])) == {0: 2, 2: 2}

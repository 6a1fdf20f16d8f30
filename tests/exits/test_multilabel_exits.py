"""Exits of several labels at once: a sample leaves by the label that is the least certain."""

import math

import numpy as np
import pytest

from ofa_bert.errors import UserError
from ofa_bert.exits.criteria import registry
from ofa_bert.exits.layout import default_criterion
from ofa_bert.exits.outputs import Outputs
from ofa_bert.exits.policy import Policy, check_threshold, first_exits
from ofa_bert.exits.sweep import policies
from ofa_bert.search.run_modes import thresholds
from ofa_bert.tasks.task import Task

KIND = "multilabel"
TASK = Task("t", ("a", "b", "c"), ("micro_f1",), ("text",), KIND)


def outputs_of(labels=3, exits=4, count=120):
    rng = np.random.default_rng(labels)
    logits = 3 * rng.standard_normal([exits + 1, count, labels]).astype("float32")
    return Outputs(logits, rng.random([exits, count]).astype("float32"), tuple(range(1, exits + 2)))


def binary(name, x):
    """The uncertainty of one label with logit x, by its definition."""
    p = 1 / (1 + math.exp(-x))
    if name == "margin":
        return 1 - abs(2 * p - 1)
    entropy = -sum(q * math.log(q) for q in (p, 1 - p))
    return entropy / math.log(2) if name == "normalised" else entropy


@pytest.mark.parametrize("name", ["entropy", "normalised", "margin"])
@pytest.mark.parametrize("labels", [1, 3])
def test_the_most_uncertain_label_decides(name, labels):
    outputs, seen = outputs_of(labels), set()
    for threshold in (0.05, 0.2, 0.5):
        wanted = []
        for sample in range(120):
            worst = [max(binary(name, float(x)) for x in row) for row in outputs.logits[:-1, sample]]
            wanted.append(next((place for place, value in enumerate(worst) if value < threshold), 4))
        found = first_exits(Policy(name, threshold, kind=KIND), outputs.logits, None)
        assert found.tolist() == wanted
        seen |= set(wanted)
    assert seen == set(range(5))


def test_certainty_is_the_heads_own():
    outputs = outputs_of()
    found = first_exits(Policy("certainty", 0.3, kind=KIND), outputs.logits, outputs.certainty)
    np.testing.assert_array_equal(found, first_exits(Policy("certainty", 0.3), outputs.logits, outputs.certainty))


def test_patience_counts_exits_that_confirm_the_whole_set():
    sets = np.asarray([[1, 0], [1, 1], [1, 1], [1, 1], [0, 0]])  # by exit
    logits = (2.0 * sets - 1)[:, None]  # [E + 1, 1, C]
    assert first_exits(Policy("patience", 1, kind=KIND), logits, None).tolist() == [2]
    assert first_exits(Policy("patience", 2, kind=KIND), logits, None).tolist() == [3]
    one_label = logits[..., :1]
    assert first_exits(Policy("patience", 1, kind=KIND), one_label, None).tolist() == [1]


@pytest.mark.parametrize("name", registry.CRITERIA)
@pytest.mark.parametrize("labels", [1, 4])
def test_thresholds_that_are_tried_can_be_meant(name, labels):
    outputs = outputs_of(labels)
    choices = TASK.choices
    for tried in (thresholds(name, choices, 4, kind=KIND), policies(name, 0.1, outputs, 6, KIND)[1:]):
        assert len(tried) >= 3
        for policy in tried:
            assert policy.kind == KIND
            check_threshold(name, policy.threshold, choices, 4)
        found = [first_exits(policy, outputs.logits, outputs.certainty) for policy in tried]
        assert (found[-1] < found[0]).any()
    never = Policy.never_leaves(4, name, kind=KIND)
    assert (first_exits(never, outputs.logits, outputs.certainty) == 4).all()


def test_a_threshold_is_of_two_choices_however_many_labels_there_are():
    with pytest.raises(UserError, match="never exceeds ln 2"):
        check_threshold("entropy", 1.0, TASK.choices, 4)
    assert default_criterion("deebert", TASK.choices) == "entropy"
    one = Task("t", ("a",), ("micro_f1",), ("text",), KIND)
    assert default_criterion("deebert", one.choices) == "entropy"


def test_a_policy_keeps_its_kind_in_json():
    policy = Policy("entropy", 0.2, kind=KIND)
    assert Policy.from_json(policy.to_json()) == policy
    old = {"criterion": "entropy", "threshold": 0.2, "tolerance": 0.1}
    assert Policy.from_json(old) == Policy("entropy", 0.2)
    with pytest.raises(UserError, match="an exit policy: kind is 'tagging', must be one of multilabel"):
        Policy.from_json({**old, "kind": "tagging"})

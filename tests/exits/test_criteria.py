"""The registry of exit criteria: what each declares is what it does; the margin against its definition."""

import ast
import itertools
import math
from pathlib import Path

import numpy as np
import pytest

import ofa_bert
from helpers.source import asked
from ofa_bert.errors import UserError
from ofa_bert.exits.criteria import registry
from ofa_bert.exits.criteria.base import CLASSES, NUMBERS
from ofa_bert.exits.criteria.margin import lacking_margin
from ofa_bert.exits.layout import default_criterion
from ofa_bert.exits.outputs import Outputs
from ofa_bert.exits.policy import Policy, check_threshold, first_exits
from ofa_bert.exits.sweep import policies, taken, worth_asking
from ofa_bert.search.run_modes import thresholds

PACKAGE = Path(ofa_bert.__file__).parent


def outputs_of(classes, exits=4, count=120, seed=0):
    rng = np.random.default_rng([seed, classes])
    logits = 2 * rng.standard_normal([exits + 1, count, classes]).astype("float32")
    return Outputs(logits, rng.random([exits, count]).astype("float32"), tuple(range(1, exits + 2)))


def kinds(name):
    """Numbers of labels that a criterion works for."""
    return (1, 2, 5) if name in registry.FOR_NUMBERS else (2, 5)


@pytest.mark.parametrize("name", registry.CRITERIA)
def test_what_lets_nobody_leave_is_the_full_model(name):
    for classes in kinds(name):
        outputs = outputs_of(classes)
        never = Policy.never_leaves(4, name)
        assert never.criterion == name
        assert never.never(4)
        assert (first_exits(never, outputs.logits, outputs.certainty) == 4).all()
        assert worth_asking(never, outputs) == ()
        assert policies(name, 0.1, outputs, 6)[0] == never
    assert (first_exits(Policy.never_leaves(4), outputs.logits, None) == 4).all()


@pytest.mark.parametrize("name", registry.CRITERIA)
def test_every_threshold_that_is_tried_can_be_meant_and_lets_more_or_fewer_leave(name):
    for classes in kinds(name):
        outputs = outputs_of(classes)
        for tried in (thresholds(name, classes, 4), policies(name, 0.1, outputs, 6)[1:]):
            assert len(tried) >= 3
            found = [first_exits(policy, outputs.logits, outputs.certainty) for policy in tried]
            assert all((later <= earlier).all() for earlier, later in itertools.pairwise(found))
            assert (found[-1] < found[0]).any()
            for policy in tried:
                check_threshold(name, policy.threshold, classes, 4)
                # Who is asked at fewer exits leaves at one of them, or at the last.
                assert set(taken(policy, outputs, (1, 2))) <= {1, 2, 4}


@pytest.mark.parametrize("name", sorted(set(registry.CRITERIA) - set(registry.FOR_NUMBERS)))
def test_criteria_that_need_probabilities_refuse_a_number_to_predict(name):
    with pytest.raises(UserError, match="no probabilities; use certainty or patience$"):
        check_threshold(name, 0.5, 1, 4)


@pytest.mark.parametrize("name", registry.CRITERIA)
def test_certainty_is_read_by_those_that_say_so(name):
    outputs = outputs_of(3)
    policy = Policy(name, 1.0 if registry.criterion(name).counts else 0.5)
    with_it = first_exits(policy, outputs.logits, outputs.certainty)
    if registry.criterion(name).needs_certainty:
        assert (with_it != first_exits(policy, outputs.logits, outputs.certainty[::-1])).any()
        with pytest.raises(ValueError, match="no certainty"):
            first_exits(policy, outputs.logits, None)
    else:
        np.testing.assert_array_equal(with_it, first_exits(policy, outputs.logits, None))


def test_defaults_are_declared_once_and_follow_the_training():
    every = [what for name in registry.CRITERIA for what in registry.criterion(name).default_for]
    assert sorted(every) == sorted(set(every))
    assert {NUMBERS, CLASSES} <= set(every)
    for training, wanted in (("geep", "normalised"), ("deebert", "entropy"), ("joint", "entropy"), ("", "entropy")):
        assert default_criterion(training, 2) == wanted
        assert default_criterion(training, 1) == "certainty"


def test_an_unknown_criterion_is_a_value_error_that_lists_the_known():
    for unknown in ("luck", ["entropy"], None):
        with pytest.raises(ValueError, match="entropy, normalised, certainty, patience, margin"):
            Policy(unknown, 0.5)


def test_the_margin_is_the_lead_of_the_likeliest_class():
    assert lacking_margin([[0.0, 0.0], [math.log(3), 0.0], [50.0, -50.0]]) == pytest.approx([1.0, 0.5, 0.0])
    assert lacking_margin([[2.0, 2.0, -90.0], [-np.inf, 0.0, -np.inf]]) == pytest.approx([1.0, 0.0])
    assert (lacking_margin(np.asarray([[3e38, -3e38, 0.0]], "float32")) == 0).all()
    with pytest.raises(ValueError, match="two classes"):
        lacking_margin([[0.3]])


@pytest.mark.parametrize("classes", [2, 3, 17])
def test_samples_leave_by_margin_as_counted_one_by_one(classes):
    outputs = outputs_of(classes)
    for threshold in (0.0, 0.02, 0.2, 0.7, 1.0):
        wanted = []
        for sample in range(120):
            leads = []
            for row in outputs.logits[:-1, sample].astype(float):
                shares = sorted((math.exp(value) / sum(map(math.exp, row)) for value in row), reverse=True)
                leads.append(shares[0] - shares[1])
            sure = [place for place, lead in enumerate(leads) if 1 - lead < threshold]
            wanted.append(0 if threshold == 1 else sure[0] if sure else 4)
        assert first_exits(Policy("margin", threshold), outputs.logits, None).tolist() == wanted
        assert (threshold in (0.0, 1.0)) == (len(set(wanted)) == 1)


ASKING = ("Policy", "criterion", "default_criterion")


def test_no_other_file_asks_for_a_criterion_by_name():
    tree = ast.parse('x = y == "margin" or z in ("a", "patience")\nPolicy("entropy", 0.0)\n{}["certainty"]')
    assert len(list(asked(tree, registry.CRITERIA, ASKING, keys=False))) == 4
    found = [
        f"{path.relative_to(PACKAGE)}:{line} {name}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.parent != PACKAGE / "exits" / "criteria"
        for line, name in asked(ast.parse(path.read_text()), registry.CRITERIA, ASKING, keys=False)
    ]
    assert not found

"""A promised drop: exact on disagreement counts, kept in fresh repeats, honest about too few texts. No Paddle."""

from functools import cache

import numpy as np
import pytest

from ofa_bert.errors import UserError
from ofa_bert.exits.kept_curve import KeptCurve
from ofa_bert.exits.outputs import Outputs
from ofa_bert.exits.policy import Policy, first_exits
from ofa_bert.exits.promise import Parted, at_most, bound, chance, needed, promised
from ofa_bert.exits.sweep import answers_at, choose, row
from ofa_bert.files.fields import Fields
from ofa_bert.tasks.task import Task

TASK = Task("t", ("a", "b", "c"), ("accuracy",), ("text",))
F1 = Task("t", ("a", "b"), ("f1", "accuracy"), ("text",))


def test_the_chance_is_that_of_the_counts():
    """Against counting every outcome of a few texts, at the worst share of those on which the two part."""
    n, drop = 6, 0.2

    def exactly(net, share):
        up, down = (share + drop) / 2, (share - drop) / 2
        total = 0.0
        for outcome in np.ndindex(*[3] * n):
            steps = [(-1, 0, 1)[each] for each in outcome]
            if sum(steps) <= net:
                total += np.prod([{1: up, -1: down, 0: 1 - share}[step] for step in steps])
        return total

    from ofa_bert.exits.promise import _at_most

    for net in (-3, 0, 1, 6):
        for share in (0.2, 0.5, 1.0):
            found = _at_most(net, n, drop, np.asarray([share]))[0]
            assert found == pytest.approx(exactly(net, share), abs=1e-12)


def test_more_losses_promise_less_and_more_texts_promise_more():
    bounds = [at_most(Parted(worse, 2, 400)) for worse in range(0, 12, 2)]
    assert bounds == sorted(bounds)
    assert bounds[-1] > 8 / 400  # never below what was measured
    assert at_most(Parted(5, 5, 4000)) < at_most(Parted(5, 5, 400))
    assert at_most(Parted(6, 0, 400), 0.99) > at_most(Parted(6, 0, 400), 0.9)
    assert at_most(Parted(3, 3, 400)) < at_most(Parted(30, 30, 400))  # more parted ways, less is known


def test_how_many_texts_a_drop_needs():
    count = needed(0.01)
    assert 298 <= count < 400  # 0.99 ** 298 is 0.05
    assert chance(Parted(0, 0, count), 0.01) <= 0.05 < chance(Parted(0, 0, count - 1), 0.01)
    assert at_most(Parted(0, 0, count)) <= 0.01 < at_most(Parted(0, 0, count - 5))
    assert needed(0.1) < needed(0.01) < needed(0.002)
    assert needed(0.0) is None


def test_a_bound_says_nothing_false_about_a_known_drop():
    """Coverage: of the worst cases, where the true drop is just what would be promised."""
    rng = np.random.default_rng(3)
    for drop, better, n in ((0.01, 0.0, 500), (0.02, 0.03, 800), (0.05, 0.1, 300)):
        drawn = rng.multinomial(n, [drop + better, better, 1 - drop - 2 * better], size=150)
        wrong = sum(at_most(Parted(int(worse), int(good), n)) < drop for worse, good, _ in drawn)
        assert wrong <= 150 * 0.05 + 3 * (150 * 0.05 * 0.95) ** 0.5, (drop, better, n, wrong)


# From nobody on; as fine as a sweep has them.
GRID = [Policy("normalised", share) for share in (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9)]


def planted(rng, count):
    """Logits [4, N, 3] of exits that grow better and surer with depth, and labels [N]."""
    labels, hard = rng.integers(0, 3, count), rng.random(count)
    logits = rng.normal(0, 1.0, [4, count, 3])
    for place, strength in enumerate((1.2, 2.2, 3.2, 4.0)):
        logits[place, np.arange(count), labels] += strength * (1.4 - hard)
    return Outputs(logits.astype(np.float32), np.zeros([3, count], np.float32), (3, 6, 9, 12)), labels


def chosen_policy(outputs, labels, drop):
    """As the job chooses: thresholds of the sweep, each with its bound, asked from the most careful on."""
    tried = GRID
    rows, bounds = [], [0.0]
    for policy in tried:
        places = first_exits(policy, outputs.logits, outputs.certainty)
        found = row(TASK, outputs, places, labels)
        rows.append({**found, "speedup": 12 / found["mean_layers"]})
        if len(rows) > 1:  # those behind one that fails are not asked
            failed = bounds[-1] > drop
            answers = answers_at(outputs, places)
            bounds.append(1.0 if failed else bound(TASK, answers, outputs.logits[-1], labels))
    return tried[choose(rows, drop, None, bounds)]


@cache
def true_drop(policy):
    """What a hundred thousand other texts say."""
    outputs, labels = planted(np.random.default_rng(10**6), 100_000)
    places = first_exits(policy, outputs.logits, outputs.certainty)
    right = answers_at(outputs, places).argmax(-1) == labels
    return float((outputs.logits[-1].argmax(-1) == labels).mean() - right.mean())


def test_the_promise_holds_in_fresh_repeats():
    """200 repeats, each with held-out texts of its own; the truth is what a hundred thousand others say."""
    drop, kept, left_early = 0.01, 0, 0
    for seed in range(200):
        policy = chosen_policy(*planted(np.random.default_rng(seed), 800), drop)
        kept += true_drop(policy) <= drop
        left_early += not policy.never(3)
    assert kept >= 190, kept
    assert left_early >= 150, left_early  # it is no promise to leave nobody early


def test_without_the_promise_it_is_broken_often():
    """So the test above can fail: the fastest threshold within the drop as measured loses more in truth."""
    drop, kept = 0.01, 0
    for seed in range(40):
        held, own = planted(np.random.default_rng(seed), 800)
        tried = GRID
        rows = []
        for policy in tried:
            found = row(TASK, held, first_exits(policy, held.logits, held.certainty), own)
            rows.append({**found, "speedup": 12 / found["mean_layers"]})
        kept += true_drop(tried[choose(rows, drop, None)]) <= drop
    assert kept < 36, kept


def test_other_metrics_are_bounded_by_the_bootstrap():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 300)
    full = np.eye(2)[labels] * 4 + rng.normal(0, 1.5, [300, 2])
    exits = full + rng.normal(0, 1.5, [300, 2])
    pytest.importorskip("sklearn")
    found = bound(F1, exits, full, labels)
    assert found > 0
    assert bound(F1, full, full, labels) == 0.0


def test_thresholds_are_asked_in_turn_until_one_fails():
    assert promised([0.0, 0.004, 0.02, 0.001], 0.01) == 2
    assert promised([0.05], 0.01) == 0


ROWS = [
    {"threshold": 0.0, "ask": [], "score": 0.9, "mean_layers": 12.0, "speedup": 1.0},
    {"threshold": 0.1, "ask": [2], "score": 0.899, "mean_layers": 10.0, "speedup": 1.1},
    {"threshold": 0.2, "ask": [1, 2], "score": 0.896, "mean_layers": 8.0, "speedup": 1.4},
    {"threshold": 0.3, "ask": [0, 1, 2], "score": 0.9, "mean_layers": 5.0, "speedup": 2.0},
]
BOUNDS = [0.0, 0.006, 0.012, 0.004]


def test_a_lucky_bold_threshold_behind_one_that_fails_is_not_taken():
    assert choose(ROWS, 0.01, None) == 3
    assert choose(ROWS, 0.01, None, BOUNDS) == 1
    assert choose(ROWS, 0.02, None, BOUNDS) == 3
    assert choose(ROWS, 0.001, None, BOUNDS) == 0  # nobody leaves early, which costs nothing
    with pytest.raises(UserError, match="`target_speedup` 1.3: the fastest threshold within 0.01 .* 1.10 times"):
        choose(ROWS, 0.01, 1.3, BOUNDS)


def test_the_kept_curve_gives_a_threshold_for_a_drop():
    curve = KeptCurve.of("accuracy", 400, 0.95, ROWS, BOUNDS)
    again = KeptCurve.read(Fields(curve.to_json(), "curve"), 3)
    assert again == curve
    assert again.within(0.01).threshold == 0.1
    assert again.within(0.02).threshold == 0.3
    with pytest.raises(UserError, match=r"exit_drop 0\.001: the 400 held-out texts .* promise 0\.006 of accuracy"):
        again.within(0.001)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"points": []}, "points is"),
        ({"examples": 0}, "examples is 0"),
        ({"confidence": "sure"}, "confidence is 'sure'"),
        ({"points": [{"threshold": 1}]}, "ask is missing"),
    ],
)
def test_a_damaged_curve_is_one_line(change, said):
    value = {**KeptCurve.of("accuracy", 400, 0.95, ROWS, BOUNDS).to_json(), **change}
    with pytest.raises(UserError, match=said) as raised:
        KeptCurve.read(Fields(value, "curve"), 3)
    assert "\n" not in str(raised.value)


def test_a_policy_that_never_leaves_has_nothing_to_choose():
    curve = KeptCurve.of("accuracy", 400, 0.95, ROWS[:1], BOUNDS[:1])
    with pytest.raises(UserError, match="exit_drop"):
        curve.within(0.5)
    assert Policy.never_leaves(3).never(3)

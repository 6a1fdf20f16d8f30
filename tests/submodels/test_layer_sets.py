"""Sets of layers by rule and by what dropping them costs. Needs no Paddle."""

import itertools

import pytest

from ofa_bert.submodels.layer_sets import (
    distinct,
    dropped_one_by_one,
    longest_gap,
    lower_layers,
    prefix_layers,
    upper_layers,
)


def test_rules_of_spacing():
    assert prefix_layers(12, 6) == (0, 1, 2, 3, 4, 5)
    assert lower_layers(12, 6) == (0, 2, 4, 6, 8, 10)
    assert upper_layers(12, 6) == (1, 3, 5, 7, 9, 11)
    assert (lower_layers(4, 1), upper_layers(4, 1), prefix_layers(4, 1)) == ((0,), (3,), (0,))


@pytest.mark.parametrize("rule", [prefix_layers, lower_layers, upper_layers])
def test_every_rule_keeps_so_many_layers_that_are_there(rule):
    for count in range(1, 25):
        for keep in range(1, count + 1):
            layers = rule(count, keep)
            assert len(layers) == keep
            assert list(layers) == sorted(set(layers) & set(range(count)))


def test_gaps_count_at_both_ends():
    assert longest_gap(12, (0, 5, 6, 7, 8, 10)) == 4
    assert longest_gap(12, (3, 11)) == 7
    assert longest_gap(4, (0, 1)) == 2
    assert longest_gap(4, (0, 1, 2, 3)) == 0


def cost_of(weights):
    return lambda layers: sum(weight for layer, weight in enumerate(weights) if layer not in layers)


def test_the_layer_that_costs_least_goes_first():
    found = dropped_one_by_one(4, 2, cost_of([4, 1, 2, 3]))
    assert found == {4: (0, 1, 2, 3), 3: (0, 2, 3), 2: (0, 3)}
    assert dropped_one_by_one(3, 3, cost_of([1, 1, 1])) == {3: (0, 1, 2)}


def test_no_more_than_two_in_a_row_are_dropped_where_that_can_be():
    weights = [9, 1, 1, 1, 1, 9, 9, 9, 9, 5, 9, 5]
    assert dropped_one_by_one(12, 6, cost_of(weights))[6] == (0, 5, 6, 7, 8, 10)
    close = dropped_one_by_one(12, 6, cost_of(weights), 2)
    assert all(longest_gap(12, layers) <= 2 for layers in close.values())
    assert close[6] == (0, 2, 5, 6, 7, 10)
    # Three of twelve cannot stand without longer gaps: then the shortest there are.
    for order in itertools.islice(itertools.permutations(range(12)), 0, 400, 37):
        layers = dropped_one_by_one(12, 2, cost_of(list(order)), 2)[2]
        assert len(layers) == 2


def test_equal_sets_are_one_with_both_names():
    assert distinct({"a": (0, 1), "b": (0, 2), "c": (0, 1)}) == {"a, c": (0, 1), "b": (0, 2)}

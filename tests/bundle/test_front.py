"""A front on disk is what a search left; every damage is one line. And it holds what a search writes."""

import json
from dataclasses import replace

import pytest

from helpers.small_front import FRONT, POINTS, POLICY, SHAPE
from ofa_bert.bundle import front as bundle_front
from ofa_bert.bundle.front import Front
from ofa_bert.errors import UserError
from ofa_bert.search.costs import latency, parameters
from ofa_bert.search.front import Point
from ofa_bert.search.report import operating_point
from ofa_bert.search.run_modes import RunMode


def test_a_front_on_disk_is_the_same(tmp_path):
    FRONT.save(tmp_path / "front.json")
    assert Front.load(tmp_path / "front.json") == FRONT
    assert json.loads((tmp_path / "front.json").read_text()) == FRONT.to_json()


def test_a_policy_on_disk_keeps_its_kind_of_task():
    value = changed(0, exits={**SMALL_EXITS, "policy": replace(POLICY, kind="multilabel").to_json()}, mean_layers=1.5)
    assert Front.from_json(value, "front.json").points[0].exits.policy.kind == "multilabel"


def test_what_is_read_of_a_point():
    small, early, large = POINTS
    assert (small.predicted_ms, small.latency_ms, small.parameters) == (2.0, 2.2, 900)
    assert (early.latency_ms, early.parameters) == (3.0, None)
    assert (FRONT.within(4.9), FRONT.within(5), FRONT.within(1)) == (early, large, None)
    assert replace(FRONT, points=(replace(small, score=0.99), early)).within(9).score == 0.99


def changed(place, **changes):
    value = FRONT.to_json()
    value["points"][place].update(changes)
    return value


SMALL_EXITS = {"policy": POLICY.to_json(), "ask": [0], "shares": [0.5, 0.5]}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "is \\[\\], must be an object"),
        ({**FRONT.to_json(), "format": 2}, "front of format 2; search again"),
        ({**FRONT.to_json(), "points": []}, "no points"),
        ({**FRONT.to_json(), "points": FRONT.to_json()["points"][::-1]}, "do not ascend in latency_ms"),
        ({**FRONT.to_json(), "cost": "parameters"}, "a point without the cost parameters"),
        ({**FRONT.to_json(), "winner": 3}, "winner 3 of 3 points"),
        ({**FRONT.to_json(), "shape": {}}, "shape: num_layers is missing"),
        (changed(0, score="x"), "points 0: score is 'x', must be a finite number"),
        (changed(1, precision="fp8"), "points 1: precision is 'fp8', must be one of fp32"),
        (changed(0, sub_model={}), "points 0, sub_model: a sub-model is"),
        (changed(0, sub_model={"layers": [9], "heads": [1], "ffn": [1]}, mean_layers=None), "points 0: the sub-model"),
        (changed(0, costs={"latency_ms": -1}), "costs: latency_ms is -1, must be a finite number of at least 0"),
        (changed(0, measured_ms=1e12), "measured_ms is 1000000000000.0, must be"),
        (changed(0, mean_layers=3), "mean_layers is 3, must be at most the 2 layers"),
        (changed(0, exits={**SMALL_EXITS, "ask": []}), "ask is \\[\\], must be places of exits"),
        (changed(0, exits={**SMALL_EXITS, "ask": [1]}), "shares is .*a share of the samples for each exit"),
        (changed(0, exits={**SMALL_EXITS, "shares": [0.5, 0.6]}), "shares is .*1 together"),
        (changed(0, exits={**SMALL_EXITS, "ask": [1], "shares": []}), "exits is .*exits of a model with 2 layers"),
        (changed(0, exits={**SMALL_EXITS, "policy": {"criterion": "luck"}}), "criterion is 'luck', must be one of"),
    ],
)
def test_damage_is_named(value, message, tmp_path):
    (tmp_path / "front.json").write_text(json.dumps(value))
    with pytest.raises(UserError, match=message) as error:
        Front.load(tmp_path / "front.json")
    assert str(error.value).startswith(str(tmp_path / "front.json"))
    assert str(error.value).isprintable()


def test_it_holds_what_a_search_finds_of_its_points():
    ways = [RunMode("int8"), RunMode("fp32", POLICY, (0, 2))]
    told = [
        {"way": ways[0].to_json(), "mean_layers": 2.0, "shares": [0.0, 1.0], "loss": 0.4, "scores": {"accuracy": 0.8}},
        {"way": ways[1].to_json(), "mean_layers": 2.75, "shares": [0.25, 0.0, 0.25, 0.5], "loss": 0.1},
        {"loss": 0.05, "name": "w1_d1"},  # of a search that had nothing to choose
    ]
    points = [
        Point(point.sub_model, point.score - 0.1, point.costs["latency_ms"], point.score, point.costs, more)
        for point, more in zip(POINTS, told)
    ]
    found = Front(SHAPE, "latency_ms", "accuracy", tuple(map(operating_point, points)), 1)
    assert [point.costs for point in found.points] == [point.costs for point in POINTS]
    assert [point.precision for point in found.points] == ["int8", "fp32", "fp32"]
    assert [point.exits for point in found.points] == [None, POINTS[1].exits, None]
    assert [point.loss for point in found.points] == [0.4, 0.1, 0.05]
    assert found.points[1].mean_layers == 2.75
    assert Front.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_the_costs_are_called_as_a_search_calls_them():
    assert (latency.COST.name, parameters.COST.name) == (bundle_front.LATENCY, bundle_front.PARAMETERS)

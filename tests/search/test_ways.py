"""Precision and early exits of one sub-model: expected latencies against sums by hand, and which way suits a budget."""

import json

import numpy as np
import pytest

from helpers.models import batch_of, build, randomise
from ofa_bert.bundle.latency_table import ExitCost, LatencyTable
from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.exits.layout import ExitLayout
from ofa_bert.exits.outputs import Outputs
from ofa_bert.exits.policy import Policy, first_exits
from ofa_bert.latency.fit import ExitRun, with_exits
from ofa_bert.models.exits.heads import Exits
from ofa_bert.search.deployed import Engine
from ofa_bert.search.evaluator import expanded, suited
from ofa_bert.search.front import Budget, Point
from ofa_bert.search.nsga2 import Evaluated
from ofa_bert.search.run_modes import RunMode, RunModes, thresholds
from ofa_bert.search.scorer import Scorer
from ofa_bert.submodels.values import ModelShape, SubModelConfig, uniform
from ofa_bert.tasks.task import Task
from ofa_bert.training.exits.states import Frozen, collect

SHAPE = ModelShape(4, 32, 4, 8, 64, 50, 40, 2, 3)
SUB_MODEL = SubModelConfig([0, 1, 3], [2, 4, 1], [64, 16, 32])
TASK = Task("made-up", ("a", "b", "c"), ("accuracy",), ("text",))


EXIT_COST = ExitCost("ramp", 0.5, 0.25)


def table(scale=1.0, exits=EXIT_COST):
    heads, ffn = {0: 0.0, 4: 4.0 * scale}, {0: 0.0, 64: 2.0 * scale}
    return LatencyTable(SHAPE, 1.0 * scale, 3.0 * scale, heads, ffn, {"precision": "fp32"}, {}, (), exits)


def outputs(examples=40, exits=2, seed=0):
    """Random answers of `exits` exits after 1, 2, ... layers and of the whole model after 3."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.standard_normal([exits + 1, examples, 3]).astype("float32")
    certainty = rng.random([exits, examples]).astype("float32")
    return Outputs(logits, certainty, (*range(1, exits + 1), 3))


def test_a_call_that_ends_early_costs_the_layers_before_and_what_it_asked():
    found = table().after_layers(SUB_MODEL)
    assert found.tolist() == [1 + 3 + 2 + 2, 8 + 3 + 4 + 0.5, 15.5 + 3 + 1 + 1]
    assert table().predict(SUB_MODEL) == 20.5
    # Two parts and one head until the second exit when it alone is asked; three parts and that head until the end.
    assert table().after_exits(SUB_MODEL, (1, 2, 3), (1,)).tolist() == [8.5, 15.5 + 1.25, 20.5 + 1.75]
    assert table().after_exits(SUB_MODEL, (1, 2, 3), (0, 1)).tolist() == [8 + 0.75, 15.5 + 1.5, 20.5 + 2.0]
    again = LatencyTable.from_json(json.loads(json.dumps(table().to_json())))
    assert again == table()
    assert LatencyTable.from_json(table(exits=None).to_json()).exits is None
    with pytest.raises(ValueError, match="a latency table without exits"):
        table(exits=None).after_exits(SUB_MODEL, (3,), ())


def test_exit_costs_are_found_again_in_the_runs_they_made():
    asks = [(0,), (1,), (2,), (0, 1), (0, 1, 2)]
    layers, wide = (1, 2, 3), SubModelConfig([0, 1, 2], [4, 4, 4], [64, 64, 64])
    true = table(exits=ExitCost("ramp", 0.3, 0.7))
    runs = [ExitRun(model, layers, ask, ExitRun(model, layers, ask, 0.0).predicted(true))
            for model in (SUB_MODEL, wide) for ask in asks]  # fmt: skip
    assert runs[2].ms == pytest.approx(20.5 + 3 * 0.3)  # all three parts, and no early head asked
    assert runs[3].ms == pytest.approx(15.5 + 2 * 0.3 + 2 * 0.7)
    found = with_exits(table(exits=None), "ramp", runs[:6], runs[6:]).exits
    assert (found.call_ms, found.head_ms) == (pytest.approx(0.3), pytest.approx(0.7))
    assert found.median_error < 1e-9
    slower = [run._replace(ms=1.1 * run.ms) for run in runs[6:]]
    assert with_exits(table(), "ramp", runs[:6], slower).exits.median_error == pytest.approx(1 - 1 / 1.1)


def test_expected_latency_is_the_mean_over_examples():
    said = outputs()
    policies = thresholds("entropy", 3, 2)
    ways = RunModes({"fp32": table(), "int8": table(0.25)}, policies)
    runs = ways.runs(SUB_MODEL, said)
    assert [run.way for run in runs[:1]] == [RunMode("fp32")]
    assert runs[0].latency_ms == 20.5
    assert {run.way.precision for run in runs} == {"fp32", "int8"}
    assert len(runs) > 10
    for run in runs[1:]:
        if run.way.policy is None:
            continue
        own = table(0.25 if run.way.precision == "int8" else 1.0)
        asked = np.asarray([*run.way.ask, 2])
        places = asked[first_exits(run.way.policy, said.logits[asked], said.certainty[list(run.way.ask)])]
        each = [own.after_exits(SUB_MODEL, said.layers, run.way.ask)[place] for place in places]
        assert run.latency_ms == pytest.approx(np.mean(each))
        np.testing.assert_array_equal(run.logits, said.logits[places, np.arange(40)])
        assert run.mean_layers == pytest.approx(np.mean(np.asarray(said.layers)[places]))
    fastest = min(runs, key=lambda run: run.latency_ms)
    assert fastest.way.precision == "int8"
    assert fastest.way.policy == policies[-1]


def test_without_exits_or_tables_there_is_one_way_each():
    said = Outputs(outputs().logits[-1:], np.zeros([0, 40], "float32"), (3,))
    (run,) = RunModes({}, thresholds("entropy", 3, 2)).runs(SUB_MODEL, said)
    assert run.way == RunMode("fp32")
    assert run.latency_ms is None
    assert run.mean_layers == 3
    only = RunModes({"int8": table()}).runs(SUB_MODEL, outputs(), ("int8",))
    assert [run.way for run in only] == [RunMode("int8")]


def test_ways_survive_json_and_thresholds_are_ones_that_can_be_meant():
    from ofa_bert.exits.policy import check_threshold

    way = RunMode("int8", Policy("entropy", 0.2), (0, 3))
    assert RunMode.from_json(json.loads(json.dumps(way.to_json()))) == way
    assert RunMode.from_json(RunMode("fp32").to_json()) == RunMode("fp32")
    for criterion, labels in (("entropy", 3), ("normalised", 2), ("certainty", 1), ("patience", 2), ("margin", 3)):
        found = [policy.threshold for policy in thresholds(criterion, labels, 5)]
        assert len(set(found)) == len(found) >= 4
        assert all(check_threshold(criterion, threshold, labels, 5) is None for threshold in found)


def test_what_suits_a_budget():
    def way(value, ms, score=0.5):
        return Evaluated(value, score, {"latency_ms": ms}, {"loss": 0.0})

    slow, middle, fast = way(3.0, 9.0, 0.9), way(2.0, 5.0, 0.8), way(1.0, 2.0, 0.7)
    every = [slow, middle, fast]
    assert suited(every, Budget({"latency_ms": 10.0}), "latency_ms") is slow
    assert suited(every, Budget({"latency_ms": 6.0}), "latency_ms") is middle
    assert suited(every, Budget({"latency_ms": 1.0}), "latency_ms") is fast  # the nearest to it
    assert suited(every, Budget(min_score=0.75), "latency_ms") is middle
    assert suited(every, Budget(min_score=0.95), "latency_ms") is slow
    point = Point(SUB_MODEL, 3.0, 9.0, 0.9, slow.costs, {"loss": 0.0, "others": [middle.__dict__]})
    assert [p.value for p in expanded(point, "latency_ms")] == [3.0, 2.0]
    assert all("others" not in p.more for p in expanded(point, "latency_ms"))


@pytest.fixture(scope="module")
def supernet():
    model = randomise(build(layers=4, num_labels=3), 4)
    model.eval()
    exits = randomise(Exits(model, ExitLayout("attention", (0, 2))), 5)
    exits.eval()
    rows = [batch_of(1, 3 + row % 9, seed=row) for row in range(24)]
    ids, types = ([getattr(row, name).numpy()[0] for row in rows] for name in ("input_ids", "token_type_ids"))
    return model, exits, Encoded(ids, types, np.arange(24) % 3)


@pytest.mark.parametrize("layers", [(0, 1, 2, 3), (1, 2, 3), (1, 3)])
def test_the_scorer_and_the_engine_say_what_the_exits_say(supernet, layers):
    from ofa_bert.latency.device import Measurer
    from ofa_bert.models.encoder import shape_of

    model, exits, encoded = supernet
    sub_model = SubModelConfig(layers, [4, 1, 2, 3][: len(layers)], [64, 10, 33, 20][: len(layers)])
    expected = collect(Frozen(model, encoded, {}, 0), exits, sub_model)
    scorer = Scorer(model, encoded, TASK, 0, uniform(shape_of(model), 1.0), exits)
    engines = {
        precision: Engine(Measurer("cpu", "onnx_runtime", precision, 1, 5, 12, 3), model, exits, 0, ())
        for precision in ("fp32", "int8")
    }
    said = {name: engine.outputs(sub_model, encoded) for name, engine in engines.items()}
    for found in (scorer.outputs(sub_model), said["fp32"]):
        assert found.layers == expected.layers
        np.testing.assert_allclose(found.logits, expected.logits, atol=2e-4)
        np.testing.assert_allclose(found.certainty, expected.certainty, atol=2e-4)
    off = np.abs(said["int8"].logits - expected.logits).max()
    assert 1e-4 < off < 0.5 * np.abs(expected.logits).max()
    np.testing.assert_allclose(scorer.logits(sub_model), expected.logits[-1], atol=1e-5)

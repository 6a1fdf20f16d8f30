"""Bort's search: the space, the counts, the W-coefficient, and the walk against brute force."""

import json
import math
import random
from collections.abc import Sequence

import pytest

from ofa_bert.errors import RunError, UserError
from ofa_bert.files.journal import Journal
from ofa_bert.search.fptas.walk import Problem, StepCounter, fptas, regret, w_coefficient, walk
from ofa_bert.submodels.counting import count_parameters
from ofa_bert.submodels.shape import Shape, Surroundings, operations, parameters, shapes
from ofa_bert.submodels.values import ModelShape, uniform

TOP = Shape(24, 16, 1024, 4096)
TINY = Surroundings(vocab_size=40, max_positions=16, outputs=3)


def regrets(problem: Problem, epsilons: Sequence[int], journal: Journal) -> dict[int, float]:
    """Regret of each epsilon against brute force, which evaluates whatever the journal lacks."""
    best = fptas(problem, 1, journal).best["W"]
    return {epsilon: regret(best, fptas(problem, epsilon, journal).best["W"]) for epsilon in epsilons}


def problem(candidates=None, error=None, **more):
    around = Surroundings(vocab_size=30522)
    return Problem(
        candidates=shapes() if candidates is None else candidates,
        top=TOP,
        parameters=lambda shape: parameters(shape, around),
        time=lambda shape: operations(shape, around),
        error=error or made_up_error(0),
        **more,
    )


def made_up_error(seed, calls=None):
    """Smaller models err more, with noise that depends on the candidate, the set and the seed alone."""

    def error(shape, theta, counter):
        if calls is not None:
            calls.append(str(shape))
        noise = random.Random(f"{seed} {shape} {sorted(theta.items())}").uniform(0.7, 1.3)
        return noise * (1e7 / parameters(shape, Surroundings(30522))) ** 0.4

    return error


def test_borts_ranges_hold_300_candidates_and_every_hidden_size_divides():
    found = shapes()
    assert len(found) == len(set(found)) == 300
    assert all(shape.hidden % shape.heads == 0 for shape in found)
    assert {shape.hidden for shape in found if shape.heads == 12} == {768}


def test_ranges_without_a_candidate_and_impossible_shapes_are_refused():
    with pytest.raises(UserError, match="multiple of heads"):
        shapes(heads=[7], hidden=[512])
    with pytest.raises(UserError, match="do not divide"):
        Shape(2, 5, 512, 256)
    with pytest.raises(UserError, match="at least 1"):
        Shape(0, 4, 512, 256)


def test_borts_own_shape_has_the_parameters_of_its_formula():
    bort = Shape(4, 8, 1024, 768)
    roberta = Surroundings(vocab_size=50265, type_vocab_size=0, pooler=False)
    assert parameters(bort, roberta) == 75_106_304
    assert parameters(bort, Surroundings(28996, type_vocab_size=0, pooler=False)) == 53_326_848
    swapped = Shape(4, 8, 768, 1024)  # what the published 56.14 M and 30.3 % belong to
    assert parameters(swapped, roberta) == pytest.approx(54.76e6, rel=1e-3)


def test_parameters_agree_with_the_sub_model_count_for_all_300():
    around = Surroundings(vocab_size=30522, outputs=2)
    for shape in shapes():
        full = ModelShape(
            num_layers=shape.depth, hidden_size=shape.hidden, num_heads=shape.heads,
            head_dim=shape.hidden // shape.heads, ffn_size=shape.ffn, vocab_size=30522, max_positions=512,
            type_vocab_size=2, num_labels=2,
        )  # fmt: skip
        assert parameters(shape, around) == count_parameters(full, uniform(full, 1.0))


def built(shape):
    """(parameters of each layer, all other parameters) of PaddleNLP's model."""
    import paddle
    from paddlenlp.transformers import BertConfig, BertForSequenceClassification

    with paddle.LazyGuard():  # sizes without memory: the largest would need half a gigabyte
        model = BertForSequenceClassification(
            BertConfig(
                vocab_size=40, max_position_embeddings=16, type_vocab_size=2, hidden_size=shape.hidden,
                num_hidden_layers=shape.depth, num_attention_heads=shape.heads, intermediate_size=shape.ffn,
                num_labels=3,
            )
        )  # fmt: skip
    every = sum(math.prod(p.shape) for p in model.parameters())
    layers = [sum(math.prod(p.shape) for p in layer.parameters()) for layer in model.bert.encoder.layers]
    return layers, every - sum(layers)


@pytest.mark.slow
def test_parameters_are_those_of_the_built_model_for_all_300():
    seen = {}
    for shape in shapes():
        key = (shape.heads, shape.hidden, shape.ffn)
        if key not in seen:
            seen[key] = built(Shape(2, *key))  # building all depths takes minutes, and a depth is so many equal layers
        layers, rest = seen[key]
        assert layers[0] == layers[1]
        assert rest + shape.depth * layers[0] == parameters(shape, TINY), shape
    for depth in (4, 12):
        layers, rest = built(Shape(depth, 8, 512, 256))
        assert len(layers) == depth
        assert rest + sum(layers) == parameters(Shape(depth, 8, 512, 256), TINY)


def test_operations_are_twice_the_multiplications_of_the_matrices_and_some():
    bert_base = Shape(12, 12, 768, 3072)
    matrices = 2 * 12 * (4 * 768 * 768 + 2 * 768 * 3072) * 128
    attention = 2 * 12 * 2 * 128 * 128 * 768
    total = operations(bert_base, Surroundings(30522), 128)
    assert 1.0 < total / (matrices + attention) < 1.02


@pytest.mark.parametrize("measure", [parameters, operations])
def test_costs_grow_in_every_dimension(measure):
    around = Surroundings(30522, outputs=2)
    base = measure(Shape(4, 8, 512, 512), around)
    assert measure(Shape(6, 8, 512, 512), around) > base
    assert measure(Shape(4, 8, 768, 512), around) > base
    assert measure(Shape(4, 8, 512, 768), around) > base
    more_heads = measure(Shape(4, 16, 512, 512), around)
    assert more_heads == base if measure is parameters else more_heads > base


def test_w_is_zero_at_the_maximum_point_whatever_its_error():
    assert w_coefficient(10.0, 3.0, 0.5, 10.0, 3.0) == 0.0
    assert w_coefficient(10.0, 3.0, 0.0, 10.0, 3.0) == 0.0


def test_w_falls_in_p_and_i_doubles_with_half_the_error_and_has_no_units():
    def w(p, i, e):
        return w_coefficient(p, i, e, 100.0, 50.0)

    assert w(10, 20, 0.5) > w(11, 20, 0.5) > w(99, 20, 0.5) > 0
    assert w(10, 20, 0.5) > w(10, 21, 0.5) > w(10, 49, 0.5) > 0
    assert w(10, 20, 0.25) == pytest.approx(2 * w(10, 20, 0.5))
    assert w_coefficient(10e6, 20e3, 0.5, 100e6, 50e3) == pytest.approx(w(10, 20, 0.5))


def test_a_maximum_point_that_is_not_is_refused():
    small_top = Problem([Shape(6, 8, 512, 512)], Shape(2, 8, 512, 512), lambda s: s.depth, lambda s: 1, lambda *a: 1.0)
    with pytest.raises(UserError, match="larger maximum point"):
        fptas(small_top, 1)


def brute_force(one):
    """The winner, written down without anything of the search but the formula."""
    around = Surroundings(vocab_size=30522)
    top_p, top_i = parameters(TOP, around), operations(TOP, around)

    def worth(shape, theta):
        p, i, e = parameters(shape, around), operations(shape, around), one.error(shape, theta, StepCounter(0))
        return (top_p - p) * (top_i - i) / (top_p * top_i * e)

    return max((worth(shape, theta), shape) for shape in one.candidates for theta in one.theta)


def test_epsilon_1_is_brute_force_for_several_seeds_and_sets():
    thetas = ({"lr": 1e-3}, {"lr": 1e-4})
    for seed in range(5):
        one = problem(error=made_up_error(seed), theta=thetas)
        best, shape = brute_force(one)
        found = fptas(one, 1)
        assert found.winner == shape
        assert found.best["W"] == pytest.approx(best)
        assert len(found.records) == 600


@pytest.mark.parametrize("epsilon", [1, 2, 7, 50, 299, 300])
def test_no_more_evaluations_than_the_interval_allows(epsilon):
    calls = []
    found = fptas(problem(error=made_up_error(0, calls)), epsilon)
    assert len(calls) == len(set(calls)) == len(found.records) == math.ceil(300 / epsilon)
    assert found.best["W"] == max(record["W"] for record in found.records)


def test_the_walk_goes_by_size_and_its_intervals_nest():
    one = problem()
    sizes = [one.parameters(shape) for shape in walk(one, 1)]
    assert sizes == sorted(sizes)
    assert len(sizes) == 300
    assert set(walk(one, 6)) <= set(walk(one, 3)) <= set(walk(one, 1))


@pytest.mark.parametrize("epsilon", [0, 301, -1])
def test_an_impossible_interval_is_refused(epsilon):
    with pytest.raises(UserError, match="from 1"):
        walk(problem(), epsilon)


def test_regret_is_zero_for_epsilon_1_and_never_negative(tmp_path):
    one = problem(error=made_up_error(4))
    found = regrets(one, [1, 2, 10, 60, 300], Journal())
    assert found[1] == 0.0
    assert all(0 <= value <= 1 for value in found.values())
    assert found[300] > 0
    assert regret(4.0, 3.0) == 0.25


def test_an_evaluation_cannot_take_more_than_n_steps():
    def greedy(shape, theta, counter):
        for _ in range(6):
            counter.step()
        return 1.0

    with pytest.raises(RunError, match="5 steps"):
        fptas(problem([Shape(2, 4, 512, 256)], greedy, max_steps=5), 1)
    found = fptas(problem([Shape(2, 4, 512, 256)], greedy, max_steps=6), 1)
    assert found.best["steps"] == 6


def test_the_same_seed_gives_the_same_winner_and_records():
    def without_time(result):
        return [{k: v for k, v in record.items() if k != "seconds"} for record in result.records]

    first, second = fptas(problem(error=made_up_error(3)), 5), fptas(problem(error=made_up_error(3)), 5)
    assert first.winner == second.winner
    assert without_time(first) == without_time(second)


def test_a_diverged_error_is_no_result():
    with pytest.raises(RunError, match="diverged"):
        fptas(problem([Shape(2, 4, 512, 256)], lambda *a: float("nan")), 1)


def test_a_killed_search_continues_without_evaluating_twice(tmp_path):
    path, calls = tmp_path / "log.jsonl", []

    def dies(shape, theta, counter):
        if len(calls) == 7:
            raise KeyboardInterrupt
        return made_up_error(2, calls)(shape, theta, counter)

    with pytest.raises(KeyboardInterrupt):
        fptas(problem(error=dies), 20, Journal(path, {"seed": 2}))
    with open(path, "a") as file:
        file.write('{"key": "torn')  # what a kill in the middle of a write leaves
    more = []
    resumed = fptas(problem(error=made_up_error(2, more)), 20, Journal(path, {"seed": 2}))
    assert len(calls) == 7
    assert len(more) == 8
    assert not set(calls) & set(more)
    whole = fptas(problem(error=made_up_error(2)), 20)
    assert resumed.winner == whole.winner
    assert [r["W"] for r in resumed.records] == [r["W"] for r in whole.records]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 16
    assert {"p", "i", "e", "W", "steps", "theta", "candidate"} <= set(lines[1])


def test_a_log_of_another_search_is_refused(tmp_path):
    Journal(tmp_path / "log.jsonl", {"seed": 2, "steps": 5})
    with pytest.raises(UserError, match="steps was 5, now 6"):
        Journal(tmp_path / "log.jsonl", {"seed": 2, "steps": 6})
    (tmp_path / "other.jsonl").write_text("no json\n")
    with pytest.raises(UserError, match="no log"):
        Journal(tmp_path / "other.jsonl", {})


@pytest.mark.parametrize(("name", "value"), [("W", None), ("e", "small"), ("steps", -1), ("theta", [1])])
def test_a_log_whose_evaluation_is_none_is_one_line(tmp_path, name, value):
    path = tmp_path / "log.jsonl"
    fptas(problem(), 100, Journal(path, {}))
    header, first, *rest = path.read_text().splitlines()
    path.write_text("\n".join([header, json.dumps({**json.loads(first), name: value}), *rest]) + "\n")
    with pytest.raises(UserError, match=rf"log.jsonl: {name} is .*; move it away or name another directory") as error:
        fptas(problem(), 100, Journal(path, {}))
    assert "\n" not in str(error.value)

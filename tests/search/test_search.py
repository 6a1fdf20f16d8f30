"""The search core against brute force: spaces, fronts, budgets, first guesses, and NSGA-II with its resuming."""

import itertools
import random
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence

import pytest

from helpers.paths import ROOT, TESTS
from helpers.searching import SHAPE, SMALL, WORTH, cost_of, evaluate, nsga, seen
from ofa_bert.errors import RunError, UserError
from ofa_bert.search.front import Budget, Point, choose, pareto_front
from ofa_bert.search.guesses import additive_front
from ofa_bert.search.nsga2 import Evaluated, Nsga
from ofa_bert.submodels.counting import count_flops
from ofa_bert.submodels.uneven import UnevenSpace, uneven_space, vary
from ofa_bert.submodels.values import ModelShape, SubModelConfig, uniform


def points(space=SMALL):
    return [evaluate(s).point(s, "flops") for s in space.every()]


def brute_front(found):
    """Every point that no other one beats, by comparing all pairs."""
    return {
        (p.value, p.cost)
        for p in found
        if not any(q.value >= p.value and q.cost <= p.cost and (q.value, q.cost) != (p.value, p.cost) for q in found)
    }


def test_space_enumerates_everything_once_and_genes_name_it():
    every = list(SMALL.every())
    assert len(every) == len(set(every)) == 5**3 - 1  # each layer: dropped or one of 4; never all dropped
    assert all(SMALL.decode(SMALL.encode(s)) == s for s in every)
    ranges = SMALL.ranges()
    decoded = {
        SMALL.decode(dict(zip(ranges, values)))
        for values in itertools.product(*(range(low, high + 1) for low, high in ranges.values()))
    }
    assert decoded == {*every, None}


def test_space_keeps_its_least_depth_and_its_choices_fit():
    deep = UnevenSpace(SHAPE, (4,), (64,), min_depth=2)
    assert {s.depth for s in deep.every()} == {2, 3}
    assert deep.decode({**deep.encode(uniform(SHAPE, 1.0)), "heads_0": 0, "heads_1": 0}) is None
    assert not UnevenSpace(SHAPE, (4,), (64,), min_depth=3).droppable
    for bad in ({"heads": (5,)}, {"ffn": (65,)}, {"ffn": ()}, {"min_depth": 4}):
        with pytest.raises(UserError):
            UnevenSpace(SHAPE, **{"heads": (2,), "ffn": (32,), **bad})


def test_uneven_space_of_a_supernet_starts_at_its_smallest_width():
    twelve = ModelShape(12, 384, 12, 32, 1536, 30522, 512, 2, 2)
    space = uneven_space(twelve, 0.5, 0.5)
    assert space.heads == (6, 7, 8, 9, 10, 11, 12)
    assert space.ffn == tuple(range(768, 1537, 128))
    assert space.min_depth == 6


def test_encoding_takes_the_nearest_choice():
    assert SMALL.decode(SMALL.encode(SubModelConfig([0, 2], [3, 4], [40, 60]))) == SubModelConfig(
        [0, 2], [2, 4], [32, 64]
    )


def test_draws_and_children_stay_in_the_space_and_reach_all_of_it():
    rng, space = random.Random(1), UnevenSpace(SHAPE, (2, 4), (32, 64), min_depth=1)
    drawn = [space.draw(rng) for _ in range(300)]
    assert all(space.decode(genes) is not None for genes in drawn)
    reached, parents = set(), drawn[:10]
    for _ in range(6000):
        child = vary(space, parents, rng)
        assert all(low <= child[name] <= high for name, (low, high) in space.ranges().items())
        reached.add(space.decode(child))
        parents[rng.randrange(10)] = child
    assert reached - {None} == set(space.every())


def test_pareto_front_is_that_of_all_pairs_in_any_order():
    found = points()
    for seed in range(3):
        random.Random(seed).shuffle(found)
        front = pareto_front(found)
        assert {(p.value, p.cost) for p in front} == brute_front(found)
        assert [p.cost for p in front] == sorted(p.cost for p in front)
        assert [p.score for p in front] == sorted(p.score for p in front)
    assert pareto_front([]) == []


def test_choice_is_the_best_of_all_within_the_budget():
    found = points()
    limit = sorted(p.cost for p in found)[50]
    best = choose(found, Budget({"flops": limit}))
    assert best.cost <= limit
    assert best.score == max(p.score for p in found if p.cost <= limit)
    least = sorted(p.score for p in found)[90]
    cheapest = choose(found, Budget(min_score=least))
    assert cheapest.score >= least
    assert cheapest.cost == min(p.cost for p in found if p.score >= least)
    with pytest.raises(RunError, match="`max_flops` 1e-06: the smallest found has"):
        choose(found, Budget({"flops": 1e-6}))
    with pytest.raises(RunError, match="`min_score` 1000: the best found has"):
        choose(found, Budget(min_score=1000.0))


def test_hypervolume_counts_the_area_once():
    def point(score, cost):
        return Point(SubModelConfig([0], [1], [1]), score, cost, score)

    assert hypervolume([point(2.0, 1.0)], 0.0, 4.0) == 6.0
    assert hypervolume([point(2.0, 1.0), point(1.0, 2.0), point(3.0, 3.0)], 0.0, 4.0) == 7.0
    assert hypervolume([point(2.0, 5.0)], 0.0, 4.0) == 0.0


def additive_hurts():
    loss_increases = []
    for layer in range(3):
        full = WORTH[layer][0] * 2 + WORTH[layer][1] * 2
        worth = {
            (h, f): WORTH[layer][0] * h**0.5 + WORTH[layer][1] * (f / 16) ** 0.5 for h in SMALL.heads for f in SMALL.ffn
        }
        loss_increases.append({None: full, **{option: full - value for option, value in worth.items()}})
    return loss_increases


def test_additive_front_is_the_convex_hull_of_brute_force():
    loss_increases = additive_hurts()

    def total(sub_model):
        place = {layer: i for i, layer in enumerate(sub_model.layers)}
        return sum(
            loss_increases[k][(sub_model.heads[place[k]], sub_model.ffn[place[k]]) if k in place else None]
            for k in range(3)
        )

    found = additive_front(SMALL, loss_increases, cost_of, count=400)
    every = [(total(s), cost_of(s)) for s in SMALL.every()]
    hull = set()
    for price in (10 ** (k / 100) for k in range(-400, 300)):
        hull.add(min(every, key=lambda point: (point[0] + price * point[1], point[1])))
    assert len(found) == len(set(found)) >= 5
    assert {(total(s), cost_of(s)) for s in found} <= hull
    costs = [cost_of(s) for s in found]
    assert costs == sorted(costs, reverse=True)
    assert uniform(SHAPE, 1.0) in found


def test_nsga_finds_the_front_of_brute_force_with_fewer_evaluations():
    calls = []
    first = [uniform(SHAPE, 1.0), uniform(SHAPE, 0.5)]
    found = nsga(calls=calls, first=first).run(90)
    assert calls[:2] == first
    assert len(calls) == len(set(calls)) == 90 < len(list(SMALL.every()))
    every = brute_front(points())
    hit = {(p.value, p.cost) for p in pareto_front(found)} & every
    assert len(hit) >= 0.9 * len(every)
    best = hypervolume(pareto_front(points()), 0.0, cost_of(uniform(SHAPE, 1.0)) * 1.01)
    assert hypervolume(pareto_front(found), 0.0, cost_of(uniform(SHAPE, 1.0)) * 1.01) > 0.995 * best


@pytest.mark.slow
def test_nsga_beats_random_draws_on_a_larger_space():
    shape = ModelShape(12, 384, 12, 32, 1536, 30522, 512, 2, 2)
    space, rng = uneven_space(shape, 0.25, 0.5), random.Random(0)
    worth = [(rng.uniform(0.2, 2), rng.uniform(0.2, 2)) for _ in range(12)]

    def judge(sub_model):
        total = 0.0
        for layer, heads, ffn in zip(sub_model.layers, sub_model.heads, sub_model.ffn):
            total += worth[layer][0] * (heads / 12) ** 0.5 + worth[layer][1] * (ffn / 1536) ** 0.5 + 0.5
        return Evaluated(total, total, {"flops": count_flops(shape, sub_model) / 1e9}, {})

    grid = [uniform(shape, width) for width in (1.0, 0.75, 0.5, 0.25)]
    found = Nsga(space, judge, "flops", Budget(), grid, 20, 1).run(250)
    drawn = [space.decode(space.draw(rng)) for _ in range(250)] + grid
    random_points = [judge(s).point(s, "flops") for s in drawn]
    worst = count_flops(shape, uniform(shape, 1.0)) / 1e9
    assert hypervolume(found, 0.0, worst) > 1.05 * hypervolume(random_points, 0.0, worst)


def test_constraints_draw_the_search_into_the_budget():
    limit = sorted(p.cost for p in points())[30]
    found = nsga(budget=Budget({"flops": limit})).run(70)
    inside = [p for p in found if p.cost <= limit]
    assert len(inside) > 20
    assert max(p.score for p in inside) == max(p.score for p in points() if p.cost <= limit)


def test_resuming_gives_what_an_uninterrupted_search_gives(tmp_path):
    whole = nsga(tmp_path / "a", first=[uniform(SHAPE, 0.5)]).run(40)
    nsga(tmp_path / "b", first=[uniform(SHAPE, 0.5)]).run(17)
    calls = []
    resumed = nsga(tmp_path / "b", calls, first=[uniform(SHAPE, 0.5)]).run(40)
    assert seen(resumed) == seen(whole)
    assert len(calls) == 23


@pytest.mark.slow
def test_an_evaluation_that_dies_is_made_again(tmp_path):
    whole = nsga(tmp_path / "a", first=[uniform(SHAPE, 0.5)]).run(30)
    for deaths in (1, 12, 13):
        left = [deaths]

        def dies(sub_model, left=left):
            left[0] -= 1
            if left[0] <= 0:
                raise KeyboardInterrupt
            return evaluate(sub_model)

        with pytest.raises(KeyboardInterrupt):
            nsga(tmp_path / "b", evaluate=dies, first=[uniform(SHAPE, 0.5)]).run(30)
    assert seen(nsga(tmp_path / "b", first=[uniform(SHAPE, 0.5)]).run(30)) == seen(whole)


SCRIPT = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from helpers.searching import SHAPE, nsga
from ofa_bert.submodels.values import uniform
found = nsga(Path(sys.argv[1]), first=[uniform(SHAPE, 0.5)]).run(40, done=lambda n: print(n, flush=True))
"""


def hypervolume(front: Sequence[Point], worst_value: float, worst_cost: float) -> float:
    """The area that a front dominates, down to the worst corner: larger is better (for comparing two fronts)."""
    area, last = 0.0, worst_value
    for point in pareto_front([p for p in front if p.cost <= worst_cost and p.value >= worst_value]):
        area += (point.value - last) * (worst_cost - point.cost)
        last = point.value
    return area


def other_process(directory):
    script = textwrap.dedent(SCRIPT).format(path=[str(ROOT), str(TESTS)])
    return subprocess.Popen([sys.executable, "-c", script, str(directory)], stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_killed_process_loses_nothing(tmp_path):
    process = other_process(tmp_path / "b")
    for line in process.stdout:
        if int(line) == 15:
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    whole = nsga(tmp_path / "a", first=[uniform(SHAPE, 0.5)]).run(40)
    assert seen(nsga(tmp_path / "b", first=[uniform(SHAPE, 0.5)]).run(40)) == seen(whole)


@pytest.mark.slow
def test_two_processes_share_one_search(tmp_path):
    calls = []
    nsga(tmp_path, [], first=[uniform(SHAPE, 0.5)]).run(1)  # makes the file
    process = other_process(tmp_path)
    found = nsga(tmp_path, calls, first=[uniform(SHAPE, 0.5)]).run(40)
    process.wait(timeout=60)
    assert process.returncode == 0
    assert 40 <= len(found) <= 41
    assert len(calls) <= 40
    assert len(nsga(tmp_path, first=[uniform(SHAPE, 0.5)]).run(40)) >= 40
    assert len({p.sub_model for p in found}) >= 35


def test_genes_that_another_process_has_half_written_are_no_obstacle(tmp_path):
    import optuna

    one = nsga(tmp_path)
    one.run(3)
    study = optuna.load_study(study_name="sub-models", storage=f"sqlite:///{tmp_path / 'study.db'}")
    half = study.ask()
    half.suggest_int("heads_0", 0, 2)
    half.set_user_attr("process", ["another machine", 1])
    assert len(one.run(8)) == 8


def test_a_study_of_another_search_is_refused(tmp_path):
    nsga(tmp_path, settings={"seed": 3, "examples": 8}).run(2)
    with pytest.raises(UserError, match="examples was 8, now 9"):
        nsga(tmp_path, settings={"seed": 3, "examples": 9}).run(2)

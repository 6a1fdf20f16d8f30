"""The picture of a search: the budget's line, counts, intervals, names that cover nothing. Points are made up."""

import pytest

from helpers.pictures import boxes, labels, level_lines, note, overlapping, upright_lines
from ofa_bert.reporting import pyplot
from ofa_bert.search.front import Budget, Point
from ofa_bert.search.plots import Searched, front_figure
from ofa_bert.submodels.values import SubModelConfig


def point(number, cost, score, loss, name=None, precision=None, interval=True):
    more = {"loss": loss}
    if interval:
        more["interval"] = [score - 0.03, score + 0.02]
    if name:
        more["name"] = name
    if precision:
        more["way"] = {"precision": precision, "policy": None, "ask": []}
    sub_model = SubModelConfig((0,), (1 + number,), (32,))
    return Point(sub_model, score - loss, cost, score, {"latency_ms": cost, "parameters": 1e6 * cost}, more)


def points(precisions=(None,), interval=True):
    front = [
        point(n, 2 + n / 4, 0.8 + n / 100, 0.5 - n / 40, precision=precisions[n % len(precisions)], interval=interval)
        for n in range(12)
    ]
    names = [f"w{width}_d{depth}" for width in ("1", "0.8333", "0.6667", "0.5") for depth in ("1", "0.75", "0.5")]
    grid = [
        point(20 + n, 2.5 + n / 30, 0.81 + n / 900, 0.45 - n / 500, name, precisions[0]) for n, name in enumerate(names)
    ]
    return front, grid


def about(**limits):
    minimum = limits.pop("min_score", None)
    return Searched("SST-2", "accuracy", "latency_ms", 321, 256, Budget(limits, minimum))


@pytest.fixture
def drawn():
    made = []

    def draw(*arguments):
        made.append(front_figure(*arguments))
        return made[-1]

    yield draw
    for figure in made:
        pyplot().close(figure)


def test_budget_counts_and_intervals_are_there(drawn):
    front, grid = points()
    figure = drawn(front, grid, front[6], about(latency_ms=3.6))
    score, loss = figure.axes
    for axis in (score, loss):
        assert upright_lines(axis) == {"budget: latency 3.60 ms": 3.6}
    assert "321 sub-models evaluated, 12 on the front, 12 of the uniform grid" in note(figure)
    assert "95 %" in note(figure)
    assert {"front (12)", "uniform grid (12)", "winner", "budget: latency 3.60 ms"} == set(labels(figure))
    (bars,) = score.containers
    ends = [segment[:, 1] for segment in bars.lines[2][0].get_segments()]
    assert ends[0] == pytest.approx([front[0].score - 0.03, front[0].score + 0.02])
    assert len(ends) == 12
    assert "256 held-out" in figure.get_suptitle()


def test_names_of_a_crowded_grid_do_not_overlap(drawn):
    front, grid = points()
    figure = drawn(front, grid, front[6], about(latency_ms=3.6))
    for axis in figure.axes:
        found = boxes(figure, axis)
        assert len(found) >= 9
        assert set(found) <= {p.more["name"] for p in grid}
        assert overlapping(found) == []


def test_other_budgets_are_told_where_no_line_can_show_them(drawn):
    front, grid = points(("fp32", "int8"))
    figure = drawn(front, grid, None, about(latency_ms=99, parameters=2e6, min_score=0.86))
    score, loss = figure.axes
    assert upright_lines(score) == upright_lines(loss) == {}
    assert "budget: latency 99.00 ms lies outside the picture" in note(figure)
    assert "budget: parameters 2.00 M, which is not on this axis" in note(figure)
    assert level_lines(score) == {"lowest score 0.86": 0.86}
    assert {"front, fp32 (6)", "front, int8 (6)"} < set(labels(figure))
    assert "winner" not in labels(figure)


def test_points_without_intervals_are_told(drawn):
    front, grid = points(interval=False)
    assert "No intervals known" in note(drawn(front, grid, front[0], about()))
    mixed = [*points()[0][:5], *front[5:]]
    assert "7 of the front have none" in note(drawn(mixed, grid, front[0], about()))

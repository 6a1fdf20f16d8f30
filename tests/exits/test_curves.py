"""The picture of thresholds: held out beside dev, the targets' lines, counts and intervals. Rows are made up."""

import dataclasses

import pytest

from helpers.pictures import boxes, labels, level_lines, note, overlapping, upright_lines
from ofa_bert.exits.curves import Curves, curves_figure
from ofa_bert.reporting import pyplot


def rows(offset=0.0, timed=True):
    found = []
    for n in range(8):
        score = 0.9 + offset - 0.001 * n * n
        row = {"threshold": n / 20, "score": score, "mean_layers": 12 - 1.2 * n}
        if timed:
            row |= {"low": score - 0.02, "high": score + 0.015, "ms": {"1": 12 - n, "32": 6 - n / 2}}
        found.append(row)
    return found


def curves(**more):
    held = {"threshold": rows(), "predicted": rows(-0.004)}
    dev = {"threshold": rows(-0.01, timed=False), "predicted": rows(-0.02, timed=False)}
    made = Curves("made up: entropy", "accuracy", held, held["threshold"][4], 421, dev, 872)
    return dataclasses.replace(made, **more)


@pytest.fixture
def drawn():
    made = []

    def draw(value):
        made.append(curves_figure(value))
        return made[-1]

    yield draw
    for figure in made:
        pyplot().close(figure)


def test_dev_stands_beside_what_chose_the_threshold(drawn):
    figure = drawn(curves())
    layers, *timed = figure.axes
    lines = {line.get_label(): line for line in layers.lines}
    assert list(lines["threshold, dev"].get_ydata()) == [row["score"] for row in rows(-0.01)][::-1]
    assert list(lines["threshold, held out"].get_ydata()) == [row["score"] for row in rows()][::-1]
    assert {"threshold, dev", "predicted, dev", "threshold, held out", "predicted, held out", "chosen"} < set(
        labels(figure)
    )
    assert len(timed) == 2
    for axis in timed:  # dev is not timed at each threshold
        assert not any(line.get_label().endswith("dev") for line in axis.lines)
    assert "872 examples of dev, which chose nothing" in note(figure)
    assert "421 held-out examples chose" in note(figure)
    assert "threshold: 8 thresholds, 8 on the front" in note(figure)
    assert "95 %" in note(figure)
    assert all(axis.containers for axis in figure.axes)


def test_what_was_asked_for_is_a_line(drawn):
    figure = drawn(curves(drop=0.02, speedup=2.0))
    for axis in figure.axes:
        assert level_lines(axis)["lowest allowed: 0.88"] == pytest.approx(0.88)
    assert upright_lines(figure.axes[-1]) == {"2 times as fast": 3.0}
    assert upright_lines(figure.axes[0]) == {}
    assert not any("lowest allowed" in each for each in labels(drawn(curves())))
    assert "lies outside the picture" in note(drawn(curves(drop=0.9)))


def test_names_of_thresholds_do_not_overlap(drawn):
    figure = drawn(curves())
    for axis in figure.axes:
        found = boxes(figure, axis)
        assert "0.2" in found
        assert overlapping(found) == []


def test_without_dev_and_intervals_it_says_neither(drawn):
    held = {"threshold": [{key: row[key] for key in row if key not in ("low", "high")} for row in rows()]}
    figure = drawn(curves(held_out=held, dev={}))
    assert "dev" not in note(figure)
    assert "95 %" not in note(figure)

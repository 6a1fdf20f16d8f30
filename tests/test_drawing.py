"""How pictures look: names that cover nothing, budgets that are drawn or told, series that a grey print tells apart."""

import itertools
import random

import pytest

from helpers.pictures import boxes, note, overlapping, upright_lines
from ofa_bert import drawing
from ofa_bert.drawing import Named
from ofa_bert.reporting import explained, legend, pyplot


@pytest.fixture
def panel():
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(7, 5), layout="constrained")
    yield figure, axis
    plt.close(figure)


def draw(axis, points):
    axis.plot([p.x for p in points], [p.y for p in points], "o")
    return drawing.name_points(axis, points)


def crowd(count, seed=0, spread=0.02):
    """Points that stand almost on top of each other, with names longer than the way between them."""
    rng = random.Random(seed)
    return [Named(1 + spread * rng.random(), 0.9 + spread * rng.random(), f"w0.{n}_d0.{n} int8") for n in range(count)]


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_names_of_crowded_points_cover_none_of_each_other(panel, scale):
    figure, axis = panel
    axis.set(xscale=scale, xlim=(0.5, 3), ylim=(0.5, 1.3))
    points = crowd(14)
    names = draw(axis, points)
    assert names.left_out == []
    found = boxes(figure, axis)
    assert sorted(found) == sorted(point.name for point in points)
    assert overlapping(found) == []
    edges = axis.get_window_extent()
    for box in found.values():
        assert edges.x0 <= box.x0 < box.x1 <= edges.x1
        assert edges.y0 <= box.y0 < box.y1 <= edges.y1


def test_the_same_names_at_one_place_would_cover_each_other_without_placing(panel):
    """So the test above can fail."""
    figure, axis = panel
    axis.set(xlim=(0.5, 3), ylim=(0.5, 1.3))
    for point in crowd(14):
        axis.annotate(point.name, (point.x, point.y), xytext=(4, 4), textcoords="offset points", fontsize=8)
    assert len(overlapping(boxes(figure, axis))) > 20


def test_no_name_covers_a_point_or_another_mark(panel):
    figure, axis = panel
    points, marks = crowd(6, spread=0.5), [(1.2 + n / 40, 0.9 + n / 40) for n in range(12)]
    axis.plot(*zip(*marks), "x")
    axis.set(xlim=(0.5, 3), ylim=(0.5, 1.8))
    axis.plot([p.x for p in points], [p.y for p in points], "o")
    drawing.name_points(axis, points, marks)
    for box in boxes(figure, axis).values():
        for place in [*((p.x, p.y) for p in points), *marks]:
            assert not box.contains(*axis.transData.transform(place))


def test_what_finds_no_room_is_left_out_and_returned(panel):
    figure, axis = panel
    points = crowd(120, spread=0.001)
    axis.set(xlim=(0.5, 3), ylim=(0.5, 1.3))
    names = draw(axis, points)
    assert len(names.left_out) + len(names.written) == 120
    assert names.left_out
    assert names.written[0].get_text() == points[0].name  # the first is the most important
    assert overlapping(boxes(figure, axis)) == []


def test_names_stay_apart_in_the_file_that_is_written(panel, tmp_path):
    """It has another resolution than the screen that they were placed on."""
    figure, axis = panel
    axis.set(xlim=(0.5, 3), ylim=(0.5, 1.3), title="above", xlabel="below")
    draw(axis, crowd(10))
    figure.set_dpi(drawing.DPI)
    assert overlapping(boxes(figure, axis)) == []
    drawing.save(figure, tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_a_limit_is_a_line_or_where_it_would_squeeze_all_else_a_text(panel):
    _, axis = panel
    axis.plot([1, 2], [0.2, 0.9])
    assert drawing.limit(axis, 1.5, "budget: 1.5 ms") is None
    assert upright_lines(axis) == {"budget: 1.5 ms": 1.5}
    assert drawing.limit(axis, 500, "budget: 500 ms") == "budget: 500 ms lies outside the picture"
    assert list(upright_lines(axis)) == ["budget: 1.5 ms"]
    assert axis.get_xlim()[1] < 3


def test_notes_are_broken_into_lines_that_fit(panel):
    figure, _ = panel
    drawing.note(figure, ["words " * 80, "the second"])
    lines = figure.get_supxlabel().splitlines()
    assert len(lines) > 3
    assert lines[-1] == "the second"
    assert note(figure).startswith("words words")
    figure.draw_without_rendering()
    assert figure._supxlabel.get_window_extent().x1 <= figure.bbox.x1


def test_series_are_told_apart_without_their_colours():
    looks = [drawing.look(number) for number in range(9)]
    assert len({(each.marker, each.hatch) for each in looks}) == 9
    for one, other in itertools.pairwise(looks):  # lightness of neighbours, as a grey print has it
        assert abs(grey(one.color) - grey(other.color)) > 0.04


def grey(color):
    red, green, blue = (int(color[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue


def test_the_legend_of_a_table_explains_its_columns():
    rows = [{"name": "a", "ms, batch 32": "1", "share": "2"}]
    meanings = {"ms, batch ": "of a text", "share": "of all", "sha": "never", "other": "not here"}
    assert legend(rows, meanings) == "ms, batch 32: of a text\nshare: of all"
    assert explained(rows, meanings).endswith("|\n\nms, batch 32: of a text\nshare: of all")

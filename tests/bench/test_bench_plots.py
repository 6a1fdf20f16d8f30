"""Pictures of a benchmark: who has no score is named, whiskers and intervals are drawn, names cover nothing."""

import pytest

from helpers.pictures import boxes, labels, note, overlapping
from ofa_bert.bench.plots import latency_figure, trade_off_figure
from ofa_bert.reporting import pyplot

ENGINES = (("onnx_runtime", "fp32"), ("onnx_runtime", "int8"), ("openvino", "fp32"))


def row(bundle, engine, place, score, batch=1, sure=True):
    ms = (9 - place) * (0.6 if engine[1] == "int8" else 1.0) * batch**0.5
    known = sure and score is not None
    return {
        "bundle": bundle, "backend": engine[0], "precision": engine[1], "threads": 1, "batch": batch, "length": 64,
        "p50_ms": ms, "p95_ms": ms * 1.3, "runs": 40, "score": score,
        "score_low": score - 0.02 if known else None, "score_high": score + 0.01 if known else None,
        "score_name": None if score is None else "accuracy",
    }  # fmt: skip


def rows(sure=True, batches=(1, 16)):
    found = []
    for batch in batches:
        for place in range(7):
            for engine in ENGINES:
                found.append(row(f"w0.{place}_d1", engine, place, 0.92 - 0.002 * place, batch, sure))
        found.append(row("paddle_dynamic", ("paddle", "fp32"), -2, None, batch))
    return found


@pytest.fixture
def drawn():
    made = []

    def draw(draw_it, *arguments):
        made.append(draw_it(*arguments))
        return made[-1]

    yield draw
    for figure in filter(None, made):
        pyplot().close(figure)


def test_models_without_a_score_are_named_under_the_picture(drawn):
    figure = drawn(trade_off_figure, rows())
    assert "Without a score, so not shown: paddle_dynamic paddle fp32." in note(figure)
    assert "21 models, 7 of them the best within some time" in note(figure)
    assert "95 %" in note(figure)
    assert not any("paddle" in each for each in labels(figure))
    scored = [each for each in rows() if each["score"] is not None]
    assert "Without a score" not in note(drawn(trade_off_figure, scored))


def test_scores_out_of_manifests_have_no_bars_and_that_is_told(drawn):
    figure = drawn(trade_off_figure, rows(sure=False))
    assert "A score out of a manifest has no bar" in note(figure)
    assert not any(axis.containers for axis in figure.axes)
    assert all(len(axis.containers) == 21 for axis in drawn(trade_off_figure, rows()).axes)


def test_without_any_score_there_is_no_picture(drawn):
    assert drawn(trade_off_figure, [row("a", ENGINES[0], 0, None)]) is None


def test_names_of_the_best_do_not_overlap(drawn):
    figure = drawn(trade_off_figure, rows())
    for axis in figure.axes:
        found = boxes(figure, axis)
        assert len(found) >= 5
        assert overlapping(found) == []


def test_bars_have_whiskers_to_the_slow_runs_and_numbers_beyond_them(drawn):
    figure = drawn(latency_figure, rows(batches=(1,)))
    (axis,) = figure.axes
    found = boxes(figure, axis)
    assert len(axis.texts) == 22
    assert overlapping(found) == []
    assert sorted(text.xy[0] for text in axis.texts) == pytest.approx(
        sorted(each["p95_ms"] for each in rows(batches=(1,)))
    )
    assert "22 models, 40 or more runs of each" in note(figure)
    assert len({patch.get_hatch() for patch in axis.patches}) == 7

"""Small numeric functions against their definitions."""

from operator import itemgetter

import numpy as np
import pytest

from ofa_bert.numerics import log_sigmoid, log_softmax, undominated


@pytest.mark.parametrize("seed", range(20))
def test_a_front_is_what_nothing_beats(seed):
    rng = np.random.default_rng(seed)
    points = [(*pair, name) for name, pair in enumerate(rng.integers(0, 6, (20, 2)).tolist())]

    def beaten(cost, value, name):
        others = [point for point in points if point[2] != name]
        return any(c <= cost and v >= value and ((c, v) != (cost, value) or n < name) for c, v, n in others)

    wanted = sorted(point for point in points if not beaten(*point))
    assert undominated(points, itemgetter(0), itemgetter(1)) == wanted
    assert [value for _, value, _ in wanted] == sorted({value for _, value, _ in wanted})


def test_log_softmax_of_any_size_of_logits():
    logits = np.asarray([[1e4, 0.0, -1e4], [0.0, 0.0, 0.0], [-3.0, 1.0, 2.0]])
    found = log_softmax(logits)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(np.exp(found).sum(-1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(found[2], logits[2] - np.log(np.exp(logits[2]).sum()), rtol=1e-12)


def test_log_sigmoid_of_any_size_of_logits():
    logits = np.asarray([1e4, 3.0, 0.0, -3.0, -1e4], dtype="float32")
    np.testing.assert_allclose(log_sigmoid(logits)[1:4], np.log(1 / (1 + np.exp([-3.0, 0.0, 3.0]))), rtol=1e-12)
    assert log_sigmoid(logits)[[0, -1]].tolist() == [0.0, -1e4]

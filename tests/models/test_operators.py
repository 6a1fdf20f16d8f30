import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from ofa_bert.models import operators
from ofa_bert.models.operators import dropout, layer_norm, linear, softmax


def random(*shape, scale=1.0):
    return paddle.to_tensor(np.random.default_rng(sum(shape)).normal(0, scale, shape).astype("float32"))


def values_and_gradients(function, *inputs):
    leaves = [value.detach() for value in inputs]
    for leaf in leaves:
        leaf.stop_gradient = False
    out = function(*leaves)
    (out * random(*out.shape)).sum().backward()
    return [out.numpy(), *(leaf.grad.numpy() for leaf in leaves)]


def check(ours, plain, *inputs):
    for mine, theirs in zip(values_and_gradients(ours, *inputs), values_and_gradients(plain, *inputs)):
        assert mine.shape == theirs.shape
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("shape", [(7, 12), (2, 5, 12), (1, 1, 12)])
def test_linear_has_paddles_values_and_gradients(shape):
    check(linear, F.linear, random(*shape), random(12, 9), random(9))


@pytest.mark.parametrize("shape", [(7, 12), (2, 5, 12)])
def test_layer_norm_has_paddles_values_and_gradients(shape):
    x = random(*shape, scale=3.0) + 2.0
    plain = lambda x, w, b: F.layer_norm(x, x.shape[-1:], w, b, 1e-5)  # noqa: E731
    check(lambda x, w, b: layer_norm(x, w, b, 1e-5), plain, x, random(12), random(12))


def test_layer_norm_of_a_constant_row_is_its_bias():
    out = layer_norm(paddle.full([2, 8], 5.0), paddle.ones([8]), paddle.full([8], 0.25), 1e-12)
    np.testing.assert_allclose(out.numpy(), 0.25)


def test_softmax_has_paddles_values_and_gradients():
    check(softmax, F.softmax, random(2, 3, 4, 5))


def test_softmax_survives_large_scores_and_ignores_masked_ones():
    out = softmax(paddle.to_tensor([[900.0, 899.0, -1e4]])).numpy()
    np.testing.assert_allclose(out, [[0.7310586, 0.2689414, 0.0]], rtol=1e-5)


def test_dropout_zeroes_its_share_and_keeps_the_mean():
    out = dropout(paddle.ones([400, 500]), 0.1, training=True).numpy()
    assert abs((out == 0).mean() - 0.1) < 0.005
    assert abs(out.mean() - 1.0) < 0.005
    assert len(np.unique(out)) == 2


def test_dropout_sends_gradients_through_what_it_kept():
    x = random(30, 40)
    x.stop_gradient = False
    out = dropout(x, 0.5, training=True)
    out.sum().backward()
    np.testing.assert_allclose((x.grad * x).numpy(), out.numpy(), rtol=1e-6)


def test_dropout_follows_the_seed_and_differs_between_calls():
    def twice(seed):
        paddle.seed(seed)
        return [dropout(paddle.ones([8, 33]), 0.3, training=True).numpy() for _ in range(2)]

    first, second = twice(1), twice(1)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], twice(2)[0])


@pytest.mark.parametrize(("probability", "training"), [(0.0, True), (0.3, False)])
def test_dropout_does_nothing_without_probability_or_training(probability, training):
    x = random(5, 5)
    np.testing.assert_array_equal(dropout(x, probability, training).numpy(), x.numpy())


def test_dropout_of_everything_leaves_zeros():
    assert not dropout(paddle.ones([4, 4]), 1.0, training=True).numpy().any()


def test_other_types_go_to_paddles_own_operators(monkeypatch):
    used = []
    monkeypatch.setattr(operators.F, "linear", lambda *a: used.append("linear"))
    monkeypatch.setattr(operators.F, "softmax", lambda *a: used.append("softmax"))
    double = paddle.ones([2, 2], dtype="float64")
    linear(double, double, double[0])
    softmax(double)
    assert used == ["linear", "softmax"]

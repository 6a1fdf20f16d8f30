"""Linear, LayerNorm, softmax and dropout whose gradients are fast on a CPU.

Paddle's own CPU kernels for the sums over rows (bias and LayerNorm gradients), for softmax with its gradient and for
random numbers use one core and no vector instructions. Here the same mathematics is written with what is fast there:
matrix products, also with a vector of ones in place of a sum, and element-wise operators on equal shapes.
Everywhere but on a CPU, or in half precision, Paddle's own operators run.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle.autograd import PyLayer

from ofa_bert.system import interrupts

P = ParamSpec("P")
G = TypeVar("G")
_RESOLUTION = 1 << 16  # a random number has 16 bits: dropout keeps an element with probability k / 65536


def linear(x: paddle.Tensor, weight: paddle.Tensor, bias: paddle.Tensor) -> paddle.Tensor:
    """x [..., I] times weight [I, O] plus bias [O]: [..., O]."""
    return _Linear.apply(x, weight, bias) if _by_hand(x) else F.linear(x, weight, bias)


def layer_norm(x: paddle.Tensor, weight: paddle.Tensor, bias: paddle.Tensor, epsilon: float) -> paddle.Tensor:
    """Normalise the last dimension of x [..., H]; weight and bias [H]."""
    if _by_hand(x):
        return _LayerNorm.apply(x, weight, bias, epsilon)
    return F.layer_norm(x, x.shape[-1:], weight, bias, epsilon)


def softmax(x: paddle.Tensor) -> paddle.Tensor:
    """Softmax over the last dimension."""
    return _Softmax.apply(x) if _by_hand(x) else F.softmax(x)


def log_softmax(x: paddle.Tensor) -> paddle.Tensor:
    """Over the last dimension. Paddle 2.6's own takes seconds for a vocabulary on a CPU, a hundred times as long."""
    shifted = x - x.max(axis=-1, keepdim=True).detach()
    return shifted - shifted.exp().sum(-1, keepdim=True).log()


def dropout(x: paddle.Tensor, probability: float, training: bool) -> paddle.Tensor:
    """Zero elements with `probability`, to 1/65536, and scale the others so that the mean stays.

    Draws follow paddle.seed.
    """
    if training and 0 < probability < 1 and _by_hand(x):
        return _Dropout.apply(x, probability)
    return F.dropout(x, probability, training=training)


def _by_hand(x: paddle.Tensor) -> bool:
    return x.place.is_cpu_place() and x.dtype == paddle.float32


_raised: list[BaseException] = []  # by the backward of a PyLayer, in the pass that is going on


def backward(loss: paddle.Tensor) -> None:
    """`loss.backward()` whose errors are those that were raised: Paddle makes an OSError of every one in a PyLayer.

    Ctrl-C waits for the end of the pass.
    """
    _raised.clear()
    try:
        with interrupts.deferred():
            loss.backward()
    except Exception:
        if not _raised:
            raise
        raise _raised[0] from None
    finally:
        _raised.clear()  # with its frames, which hold tensors


def _remembered(function: Callable[P, G]) -> Callable[P, G]:
    """A PyLayer's backward whose error `backward` finds again. Every PyLayer's has to be one."""

    @functools.wraps(function)
    def remembering(*arguments: P.args, **named: P.kwargs) -> G:
        try:
            return function(*arguments, **named)
        except BaseException as error:
            _raised.append(error)
            raise

    return remembering


class _Linear(PyLayer):
    @staticmethod
    def forward(ctx, x, weight, bias):
        rows = x.reshape([-1, x.shape[-1]])  # [N, I]
        ctx.save_for_backward(rows, weight)
        ctx.shape = x.shape
        return paddle.addmm(bias, rows, weight).reshape([*x.shape[:-1], weight.shape[1]])  # [..., O]

    @staticmethod
    @_remembered
    def backward(ctx, gradient):
        rows, weight = ctx.saved_tensor()
        gradient = gradient.reshape([-1, gradient.shape[-1]])  # [N, O]
        to_x = paddle.matmul(gradient, weight, transpose_y=True).reshape(ctx.shape)  # [..., I]
        return to_x, paddle.matmul(rows, gradient, transpose_x=True), _sum_rows(gradient)


class _LayerNorm(PyLayer):
    @staticmethod
    def forward(ctx, x, weight, bias, epsilon):
        rows = x.reshape([-1, x.shape[-1]])  # [N, H]
        average = paddle.full([rows.shape[1], 1], 1.0 / rows.shape[1])
        centred = rows - paddle.matmul(rows, average)
        scale = paddle.rsqrt(paddle.matmul(centred * centred, average) + epsilon)  # [N, 1]
        normal = centred * scale
        ctx.save_for_backward(normal, scale, weight)
        return (normal * weight + bias).reshape(x.shape)

    @staticmethod
    @_remembered
    def backward(ctx, gradient):
        normal, scale, weight = ctx.saved_tensor()
        shape = gradient.shape
        gradient = gradient.reshape(normal.shape)  # [N, H]
        product = gradient * normal
        average = (weight / weight.shape[0]).unsqueeze(-1)  # [H, 1]: a mean over H of what is multiplied with weight
        mean, slope = paddle.matmul(gradient, average), paddle.matmul(product, average)  # [N, 1]
        to_x = (gradient * weight - mean - normal * slope) * scale
        return to_x.reshape(shape), _sum_rows(product), _sum_rows(gradient)


class _Softmax(PyLayer):
    @staticmethod
    def forward(ctx, x):
        rows = x.reshape([-1, x.shape[-1]])  # [N, T]
        powers = paddle.exp(rows - rows.max(-1, keepdim=True))
        result = powers * (1.0 / paddle.matmul(powers, paddle.ones([rows.shape[1], 1])))
        ctx.save_for_backward(result)
        return result.reshape(x.shape)

    @staticmethod
    @_remembered
    def backward(ctx, gradient):
        (result,) = ctx.saved_tensor()
        weighted = gradient.reshape(result.shape) * result  # [N, T]
        total = paddle.matmul(weighted, paddle.ones([result.shape[1], 1]))  # [N, 1]
        return (weighted - result * total).reshape(gradient.shape)


class _Dropout(PyLayer):
    @staticmethod
    def forward(ctx, x, probability):
        dropped = round(probability * _RESOLUTION)
        ctx.kept = paddle.to_tensor(_random_words(x.shape) >= dropped)  # bool: a quarter of the memory of x
        ctx.scale = _RESOLUTION / (_RESOLUTION - dropped)
        return x * (ctx.kept.astype(x.dtype) * ctx.scale)

    @staticmethod
    @_remembered
    def backward(ctx, gradient):
        return gradient * (ctx.kept.astype(gradient.dtype) * ctx.scale)


def _random_words(shape: list[int]) -> np.ndarray:
    """Uniform uint16 numbers of that shape; Paddle's generator, which seeds them, is 20 times slower."""
    seed = paddle.randint(0, 2**31 - 1, [1]).item()
    count = int(np.prod(shape))
    words = np.random.SFC64(seed).random_raw((count + 3) // 4)  # uint64: four numbers each
    return words.view(np.uint16)[:count].reshape(shape)


def _sum_rows(matrix: paddle.Tensor) -> paddle.Tensor:
    """Sum over the first dimension of [N, O]: [O]."""
    return paddle.matmul(paddle.ones([1, matrix.shape[0]]), matrix).reshape([-1])

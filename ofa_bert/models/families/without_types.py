"""Classifiers of a family without token types, called as those of all others are. Imports no Paddle by itself."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Protocol

from ofa_bert.models.families.paddlenlp import ModelClass

if TYPE_CHECKING:
    import paddle


class _Untyped(Protocol):
    """A classifier that `with_types` made."""

    def stock_forward(self, input_ids: paddle.Tensor, /, **more: object) -> paddle.Tensor: ...


@functools.cache  # the same class whenever it is asked for
def with_types(stock: ModelClass) -> ModelClass:
    """PaddleNLP's class, whose forward(input_ids, attention_mask) takes (input_ids, token_type_ids) instead.

    It has the stock name, so what is saved names PaddleNLP's class.
    """
    own = {"forward": _forward, "stock_forward": stock.forward, "__module__": stock.__module__}
    made: ModelClass = type(stock)(stock.__name__, (stock,), own)  # type: ignore[call-arg]  # a class's class
    return made


# At the top level: Paddle's tracing loses what a function inside another one sees.
def _forward(
    self: _Untyped, input_ids: paddle.Tensor, token_type_ids: paddle.Tensor | None = None, **more: object
) -> paddle.Tensor:
    ids = input_ids if token_type_ids is None else bound(input_ids, token_type_ids)
    return self.stock_forward(ids, **more)


def bound(input_ids: paddle.Tensor, token_type_ids: paddle.Tensor) -> paddle.Tensor:
    """The ids int64 [B, T], in a static graph as a sum with nothing of the types.

    Paddle drops an input that nothing reads, and a back end feeds both.
    """
    import paddle

    return input_ids if paddle.in_dynamic_mode() else input_ids + token_type_ids * 0

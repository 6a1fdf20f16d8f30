"""Classifiers of a family without token types, called as those of all others are. Imports no Paddle by itself."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Protocol

from ofa_bert.models.families.paddlenlp import ModelClass, PaddleConfig

if TYPE_CHECKING:
    import paddle


class _Untyped(Protocol):
    """A classifier that `with_types` made."""

    base_model_prefix: str

    def stock_init(self, config: PaddleConfig, /) -> None: ...
    def stock_forward(self, input_ids: paddle.Tensor, /, **more: object) -> paddle.Tensor: ...


@functools.cache  # the same class whenever it is asked for
def with_types(stock: ModelClass, told_what_to_mask: bool = False, ffn_from_config: bool = False) -> ModelClass:
    """PaddleNLP's class, whose forward(input_ids, attention_mask) takes (input_ids, token_type_ids) instead.

    It has the stock name, so what is saved names PaddleNLP's class. The rest as of `Family`.
    """
    forward = _masked_forward if told_what_to_mask else _forward
    own: dict[str, object] = {"forward": forward, "stock_forward": stock.forward, "__module__": stock.__module__}
    if ffn_from_config:
        own |= {"__init__": _sized_init, "stock_init": getattr(stock, "__init__")}  # noqa: B009  # as mypy has it
    made: ModelClass = type(stock)(stock.__name__, (stock,), own)  # type: ignore[call-arg]  # a class's class
    return made


# At the top level: Paddle's tracing loses what a function inside another one sees.
def _forward(
    self: _Untyped, input_ids: paddle.Tensor, token_type_ids: paddle.Tensor | None = None, **more: object
) -> paddle.Tensor:
    ids = input_ids if token_type_ids is None else bound(input_ids, token_type_ids)
    return self.stock_forward(ids, **more)


def _masked_forward(
    self: _Untyped,
    input_ids: paddle.Tensor,
    token_type_ids: paddle.Tensor | None = None,
    attention_mask: paddle.Tensor | None = None,
    **more: object,
) -> paddle.Tensor:
    ids = input_ids if token_type_ids is None else bound(input_ids, token_type_ids)
    if attention_mask is None:
        attention_mask = (input_ids != getattr(self, self.base_model_prefix).pad_token_id).astype("int64")  # [B, T]
    return self.stock_forward(ids, attention_mask=attention_mask, **more)


def _sized_init(self: _Untyped, config: PaddleConfig) -> None:
    from paddle import nn

    self.stock_init(config)
    for layer in getattr(self, self.base_model_prefix).encoder.layers:
        if layer.linear1.weight.shape[1] != config.intermediate_size:
            layer.linear1 = nn.Linear(config.hidden_size, config.intermediate_size)
            layer.linear2 = nn.Linear(config.intermediate_size, config.hidden_size)


def bound(input_ids: paddle.Tensor, token_type_ids: paddle.Tensor) -> paddle.Tensor:
    """The ids int64 [B, T], in a static graph as a sum with nothing of the types.

    Paddle drops an input that nothing reads, and a back end feeds both.
    """
    import paddle

    return input_ids if paddle.in_dynamic_mode() else input_ids + token_type_ids * 0

"""Losses against NumPy, and the layer matching of shallow sub-models."""

import numpy as np
import paddle
import pytest

from ofa_bert.tasks.kinds import classification
from ofa_bert.training.losses.classification import LOSSES as CLASSES
from ofa_bert.training.losses.distillation import (
    hidden_loss,
    match_layers,
    token_weights,
)
from ofa_bert.training.losses.regression import LOSSES as NUMBERS
from ofa_bert.training.supernet.layer_choice import layers_by_importance

RNG = np.random.default_rng(0)


def tensor(*shape):
    return paddle.to_tensor(RNG.normal(size=shape).astype("float32"))


def test_soft_cross_entropy():
    student, teacher = tensor(5, 3), tensor(5, 3)
    p = np.exp(teacher.numpy()) / np.exp(teacher.numpy()).sum(-1, keepdims=True)
    log_q = student.numpy() - np.log(np.exp(student.numpy()).sum(-1, keepdims=True))
    assert CLASSES.logit(student, teacher).item() == pytest.approx(-(p * log_q).sum(-1).mean(), rel=1e-5)


def test_regression_uses_squared_error():
    student, teacher = tensor(5, 1), tensor(5, 1)
    expected = ((student.numpy() - teacher.numpy()) ** 2).mean()
    assert NUMBERS.logit(student, teacher).item() == pytest.approx(expected, rel=1e-5)


def test_hidden_loss_is_a_mean_over_sentences_of_their_own_tokens():
    mask = paddle.to_tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    student, teacher = [tensor(2, 3, 4)], [tensor(2, 3, 4)]
    squared = ((student[0] - teacher[0]).numpy() ** 2).mean(-1)  # [B, T]
    expected = (squared[0].mean() + squared[1, 0]) / 2
    assert hidden_loss(student, teacher, token_weights(mask)).item() == pytest.approx(expected, rel=1e-5)


def test_hidden_loss_ignores_padding_and_adds_layers():
    mask = paddle.to_tensor([[1.0, 1.0], [1.0, 0.0]])
    student, teacher = tensor(2, 2, 4), tensor(2, 2, 4)
    once = hidden_loss([student], [teacher], token_weights(mask)).item()
    noisy = student.numpy().copy()
    noisy[1, 1] += 100.0
    changed = paddle.to_tensor(noisy)
    assert hidden_loss([changed], [teacher], token_weights(mask)).item() == pytest.approx(once, rel=1e-6)
    assert hidden_loss([student] * 2, [teacher] * 2, token_weights(mask)).item() == pytest.approx(2 * once, rel=1e-6)


@pytest.mark.parametrize(
    ("kept", "matched"),
    [
        (range(6), (0, 1, 2, 3, 4, 5)),
        ((0, 2, 5), (1, 4, 5)),
        ((5,), (5,)),
        ((0, 1, 2), (0, 1, 5)),
    ],
)
def test_a_kept_layer_stands_in_for_those_dropped_after_it(kept, matched):
    assert match_layers(tuple(kept), 6) == matched


def test_the_layer_that_does_nothing_is_dropped_first():
    from helpers.models import build
    from ofa_bert.data.encoding.encoded import Encoded
    from ofa_bert.models.encoder import encoder_layers

    model = build(layers=4, num_labels=3)
    idle = encoder_layers(model)[2]
    for parameter in idle.parameters():
        parameter.set_value(parameter * 0)
    # With LayerNorms that pass their input on, the layer is the identity up to normalisation.
    for norm in (idle.norm1, idle.norm2):
        norm.weight.set_value(paddle.ones_like(norm.weight))
    for norm in (encoder_layers(model)[1].norm2,):
        norm.weight.set_value(paddle.ones_like(norm.weight))
        norm.bias.set_value(paddle.zeros_like(norm.bias))
    rng = np.random.default_rng(1)
    ids = [rng.integers(5, 40, 6) for _ in range(12)]
    encoded = Encoded(ids, [np.zeros(6, dtype="int64")] * 12, np.zeros(12, dtype="int64"))
    kept = layers_by_importance(model, encoded, 0, (1.0, 0.75, 0.5), classification.KIND)
    assert kept[0] == (0, 1, 2, 3)
    assert kept[1] == (0, 1, 3)
    assert len(kept[2]) == 2
    assert set(kept[2]) < set(kept[1])

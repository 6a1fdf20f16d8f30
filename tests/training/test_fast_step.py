"""The step as it is trained against the same step written plainly, on Paddle's own operators."""

import numpy as np
import paddle
import pytest

from helpers.models import batch_of, build
from ofa_bert.models import operators
from ofa_bert.models.encoder import set_dropout, shape_of
from ofa_bert.models.supernet import forward
from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.training.losses.classification import LOSSES as CLASSES
from ofa_bert.training.losses.distillation import token_weights
from ofa_bert.training.losses.regression import LOSSES as NUMBERS
from ofa_bert.training.supernet.sandwich import Choice
from ofa_bert.training.supernet.step import Objective, supernet_step, teacher_forward

STEPS = 12


def plain_step(model, teacher, objective, space):
    """Teacher and embeddings anew for each sub-model, and one backward of all the losses together."""

    def step(batch, number, backward):
        total, sums = 0.0, {}
        sub_models = space.sub_models().values()
        for sub_model in sub_models:
            with paddle.no_grad():
                wanted = teacher_forward(teacher, batch)
            weights = token_weights((batch.input_ids != 0).astype("float32"))
            student = forward(model, batch.input_ids, batch.token_type_ids, sub_model)
            loss, parts = objective.loss(student, wanted, weights, sub_model)
            total = total + loss / len(sub_models)
            for name, value in parts.items():
                sums[name] = sums.get(name, 0.0) + value / len(sub_models)
        backward(total)
        return sums

    return step


def curve(make_step, losses):
    """Losses [STEPS, 2] of a training run that always starts alike."""
    model, teacher = build(seed=1), build(seed=2)
    set_dropout(model, 0.0)
    model.train()
    space = SearchSpace(shape_of(model), (1.0, 0.75, 0.5), (1.0, 0.5))
    objective = Objective(losses, 1.0, 0.1)
    step = make_step(model, teacher, objective, space)
    optimizer = paddle.optimizer.AdamW(1e-3, epsilon=1e-3, parameters=model.parameters())
    steps = []
    for number in range(STEPS):
        steps.append(step(batch_of(seed=number), number, lambda loss: loss.backward()))
        optimizer.step()
        optimizer.clear_grad()
    return np.array([[step["logit"], step["hidden"]] for step in steps])


@pytest.mark.slow
@pytest.mark.parametrize("losses", [CLASSES, NUMBERS])
def test_loss_curves_of_the_fast_and_the_plain_step_agree(losses, monkeypatch):
    fast = curve(lambda m, t, o, space: supernet_step(m, t, o, Choice(space, seed=0).at), losses)
    monkeypatch.setattr(operators, "_by_hand", lambda x: False)
    plain = curve(plain_step, losses)
    assert plain[-1].sum() < 0.9 * plain[0].sum()  # it learns, so that errors would add up
    np.testing.assert_allclose(fast, plain, rtol=2e-4, atol=1e-6)

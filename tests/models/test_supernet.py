"""The supernet against stock PaddleNLP models: outputs, gradients, sizes, for every family."""

import numpy as np
import paddle
import pytest

from helpers.models import batch_of, build
from ofa_bert.models.encoder import attention_mask, encoder_layers, set_dropout, shape_of
from ofa_bert.models.families.registry import MODEL_TYPES
from ofa_bert.models.supernet import embed, encode, extract, forward
from ofa_bert.submodels.counting import count_parameters
from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.submodels.values import SubModelConfig, uniform
from ofa_bert.training.losses.classification import LOSSES as CLASSES
from ofa_bert.training.supernet.importance import Importance, measure, reorder
from ofa_bert.training.supernet.sandwich import Choice
from ofa_bert.training.supernet.step import Objective, supernet_step, teacher_forward

UNEVEN = SubModelConfig((0, 2, 3), (1, 4, 2), (64, 7, 30))


# ELECTRA with and without a projection behind its embeddings.
SETTINGS = [(model_type, {}) for model_type in MODEL_TYPES] + [("electra", {"embedding_size": 32})]


def sub_models(shape):
    return [uniform(shape, 1.0), uniform(shape, 0.25), uniform(shape, 0.5, (1, 3)), UNEVEN]


@pytest.mark.parametrize(("model_type", "config"), SETTINGS)
def test_largest_sub_model_equals_stock_model(model_type, config):
    model, batch = build(model_type, **config), batch_of()
    stock = model(batch.input_ids, token_type_ids=batch.token_type_ids)
    ours = forward(model, batch.input_ids, batch.token_type_ids, uniform(shape_of(model), 1.0))
    np.testing.assert_allclose(ours.logits.numpy(), stock.numpy(), atol=1e-5)


@pytest.mark.parametrize(("model_type", "config"), SETTINGS)
def test_extracted_model_is_stock_and_equals_supernet(model_type, config):
    model, batch = build(model_type, **config), batch_of()
    shape = shape_of(model)
    for sub_model in sub_models(shape):
        small = extract(model, sub_model)
        assert type(small) is type(model)
        ours = forward(model, batch.input_ids, batch.token_type_ids, sub_model).logits
        theirs = small(batch.input_ids, token_type_ids=batch.token_type_ids)
        np.testing.assert_allclose(theirs.numpy(), ours.numpy(), atol=1e-5)
        assert sum(int(np.prod(p.shape)) for p in small.parameters()) == count_parameters(shape, sub_model)


def test_extraction_copies_weights():
    model = build()
    small = extract(model, uniform(shape_of(model), 1.0))
    before = {name: tensor.numpy().copy() for name, tensor in small.state_dict().items()}
    for parameter in model.parameters():
        parameter.set_value(parameter.numpy() + 1)
    for name, tensor in small.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), before[name])


def test_extraction_keeps_layer_norm_epsilon():
    model = build()
    for layer in encoder_layers(model):
        layer.norm1._epsilon, layer.norm2._epsilon = 1e-4, 2e-4
    model.bert.embeddings.layer_norm._epsilon = 3e-4
    small = extract(model, UNEVEN)
    assert [(layer.norm1._epsilon, layer.norm2._epsilon) for layer in encoder_layers(small)] == [(1e-4, 2e-4)] * 3
    assert small.bert.embeddings.layer_norm._epsilon == 3e-4


def test_padding_does_not_change_logits():
    model, batch = build(), batch_of(size=2, length=6)
    pad = paddle.zeros([2, 5], dtype="int64")
    longer = [paddle.concat([batch.input_ids, pad], 1), paddle.concat([batch.token_type_ids, pad], 1)]
    short = forward(model, batch.input_ids, batch.token_type_ids, UNEVEN).logits
    np.testing.assert_allclose(forward(model, *longer, UNEVEN).logits.numpy(), short.numpy(), atol=1e-5)


def gradients(model, sub_model, batch):
    model.clear_gradients()
    logits = forward(model, batch.input_ids, batch.token_type_ids, sub_model).logits
    CLASSES.task(logits, batch.labels).backward()
    return {name: None if p.grad is None else p.grad.numpy() for name, p in model.named_parameters()}


@pytest.mark.parametrize("model_type", [name for name in MODEL_TYPES if name != "tinybert"])  # has idle projections
def test_largest_sub_model_gives_every_parameter_a_gradient(model_type):
    model = build(model_type)
    for name, gradient in gradients(model, uniform(shape_of(model), 1.0), batch_of()).items():
        assert gradient is not None, name
        assert np.any(gradient != 0), name


def test_gradient_outside_the_slice_is_exactly_zero():
    model = build()
    found = gradients(model, UNEVEN, batch_of())
    head_dim = 8
    for place, index in enumerate(UNEVEN.layers):
        prefix = f"bert.encoder.layers.{index}."
        width, neurons = UNEVEN.heads[place] * head_dim, UNEVEN.ffn[place]
        for name in ("q_proj", "k_proj", "v_proj"):
            weight = found[f"{prefix}self_attn.{name}.weight"]
            assert np.any(weight[:, :width] != 0)
            assert np.all(weight[:, width:] == 0)
            assert np.all(found[f"{prefix}self_attn.{name}.bias"][width:] == 0)
        assert np.all(found[f"{prefix}self_attn.out_proj.weight"][width:] == 0)
        assert np.any(found[f"{prefix}linear1.weight"][:, :neurons] != 0)
        assert np.all(found[f"{prefix}linear1.weight"][:, neurons:] == 0)
        assert np.all(found[f"{prefix}linear1.bias"][neurons:] == 0)
        assert np.all(found[f"{prefix}linear2.weight"][neurons:] == 0)
    dropped = [gradient for name, gradient in found.items() if name.startswith("bert.encoder.layers.1.")]
    assert all(gradient is None or np.all(gradient == 0) for gradient in dropped)


def head_masked_loss(model, batch, layer_index, head, value):
    """The label loss with one head's output scaled by `value`, as a mask would."""
    layer = encoder_layers(model)[layer_index]
    weight = layer.self_attn.out_proj.weight
    original = weight.numpy().copy()
    scaled = original.copy()
    head_dim = layer.self_attn.head_dim
    scaled[head * head_dim : (head + 1) * head_dim] *= value
    weight.set_value(scaled)
    loss = CLASSES.task(model(batch.input_ids, batch.token_type_ids), batch.labels).item()
    weight.set_value(original)
    return loss


def test_head_importance_is_the_gradient_of_a_head_mask():
    model, batch = build(), batch_of(size=4)
    found = measure(model, [batch], CLASSES)
    step = 1e-2
    for layer in range(4):
        for head in range(4):
            up, down = (head_masked_loss(model, batch, layer, head, 1 + sign * step) for sign in (1, -1))
            assert found.heads[layer, head] == pytest.approx(abs(up - down) / (2 * step), rel=0.05, abs=2e-4)


def test_importance_is_the_mean_over_batches_and_clears_gradients():
    model, first, second = build(), batch_of(seed=1), batch_of(seed=2)
    both = measure(model, [first, second], CLASSES)
    alone = [measure(model, [batch], CLASSES) for batch in (first, second)]
    np.testing.assert_allclose(both.heads, (alone[0].heads + alone[1].heads) / 2, rtol=1e-6)
    np.testing.assert_allclose(both.neurons, (alone[0].neurons + alone[1].neurons) / 2, rtol=1e-6)
    assert all(p.grad is None or np.all(p.grad.numpy() == 0) for p in model.parameters())


def test_importance_leaves_the_mode_as_it_was_and_runs_without_dropout():
    model, batch = build(), batch_of()
    quiet = measure(model, [batch], CLASSES)
    model.train()
    noisy = measure(model, [batch], CLASSES)
    assert model.training
    np.testing.assert_array_equal(quiet.heads, noisy.heads)


def test_reordering_keeps_logits_and_sorts_recomputed_scores():
    model, batch = build(), batch_of(size=4)
    before = model(batch.input_ids, batch.token_type_ids).numpy()
    importance = measure(model, [batch], CLASSES)
    assert np.any(np.diff(importance.heads, axis=1) > 0)
    assert np.any(np.diff(importance.neurons, axis=1) > 0)
    reorder(model, importance)
    np.testing.assert_allclose(model(batch.input_ids, batch.token_type_ids).numpy(), before, atol=1e-5)
    again = measure(model, [batch], CLASSES)
    assert np.all(np.diff(again.heads, axis=1) <= 1e-6)
    assert np.all(np.diff(again.neurons, axis=1) <= 1e-6)


def test_a_permutation_that_forgets_one_matrix_is_seen():
    model, batch = build(), batch_of()
    before = model(batch.input_ids, batch.token_type_ids).numpy()
    layer = encoder_layers(model)[0]
    kept = layer.linear2.weight.numpy().copy()
    reorder(model, measure(model, [batch], CLASSES))
    layer.linear2.weight.set_value(kept)
    assert np.abs(model(batch.input_ids, batch.token_type_ids).numpy() - before).max() > 1e-3


def test_importance_survives_json():
    importance = Importance(np.random.rand(2, 3), np.random.rand(2, 5))
    again = Importance.from_json(importance.to_json())
    np.testing.assert_array_equal(again.heads, importance.heads)
    np.testing.assert_array_equal(again.neurons, importance.neurons)


class CountingTeacher:
    """Counts the embedding passes of a teacher, and notes its mode and whether autograd was on."""

    def __init__(self, model):
        self.calls = []
        model.bert.embeddings.register_forward_pre_hook(
            lambda layer, inputs: self.calls.append((model.training, paddle.is_grad_enabled()))
        )


def supernet_gradients(model, teacher, space, batch, choose=None):
    model.clear_gradients()
    step = supernet_step(model, teacher, Objective(CLASSES, 1.0, 0.1), choose or Choice(space, seed=0).at)
    losses = step(batch, 0, lambda loss: loss.backward())
    return losses, {name: p.grad.numpy().copy() for name, p in model.named_parameters() if p.grad is not None}


def test_one_teacher_forward_per_batch_in_eval_mode_without_autograd():
    model, teacher = build(seed=1), build(seed=2)
    counter = CountingTeacher(teacher)
    model.train()
    space = SearchSpace(shape_of(model), (1.0, 0.75, 0.5, 0.25), (1.0, 0.5))
    supernet_gradients(model, teacher, space, batch_of())
    assert counter.calls == [(False, False)]
    assert all(p.grad is None for p in teacher.parameters())


def test_step_gradient_is_that_of_the_mean_loss_of_all_sub_models():
    model, teacher, batch = build(seed=1), build(seed=2), batch_of()
    space = SearchSpace(shape_of(model), (1.0, 0.5), (1.0, 0.5))
    _, ours = supernet_gradients(model, teacher, space, batch)
    model.clear_gradients()
    objective, wanted = Objective(CLASSES, 1.0, 0.1), teacher_forward(teacher, batch)
    wanted = type(wanted)(wanted.logits.detach(), tuple(h.detach() for h in wanted.hidden))
    from ofa_bert.training.losses.distillation import token_weights

    weights = token_weights((batch.input_ids != 0).astype("float32"))
    total = 0.0
    for sub_model in space.sub_models().values():
        student = forward(model, batch.input_ids, batch.token_type_ids, sub_model)
        total = total + objective.loss(student, wanted, weights, sub_model)[0] / len(space.sub_models())
    total.backward()
    for name, parameter in model.named_parameters():
        np.testing.assert_allclose(ours[name], parameter.grad.numpy(), atol=2e-5, err_msg=name)


def test_teacher_equal_to_student_leaves_only_the_entropy():
    model, batch = build(), batch_of()
    space = SearchSpace(shape_of(model), (1.0,))
    losses, _ = supernet_gradients(model, build(), space, batch)
    assert losses["hidden"] == pytest.approx(0.0, abs=1e-9)
    logits = model(batch.input_ids, batch.token_type_ids)
    probabilities = paddle.nn.functional.softmax(logits).numpy()
    entropy = -(probabilities * np.log(probabilities)).sum(-1).mean()
    assert losses["logit"] == pytest.approx(entropy, rel=1e-4)


def test_dropout_can_be_switched_off_everywhere():
    model, batch = build(), batch_of()
    set_dropout(model, 0.0)
    model.train()
    shape = shape_of(model)
    runs = [forward(model, batch.input_ids, batch.token_type_ids, uniform(shape, 0.5)).logits.numpy() for _ in "ab"]
    np.testing.assert_array_equal(*runs)
    set_dropout(model, 0.3)
    runs = [forward(model, batch.input_ids, batch.token_type_ids, uniform(shape, 0.5)).logits.numpy() for _ in "ab"]
    assert np.abs(runs[0] - runs[1]).max() > 1e-3


def test_encode_runs_from_a_shared_embedding():
    model, batch = build(), batch_of()
    embedded = embed(model, batch.input_ids, batch.token_type_ids)
    shared = encode(model, embedded, attention_mask(model, batch.input_ids), UNEVEN)
    whole = forward(model, batch.input_ids, batch.token_type_ids, UNEVEN)
    np.testing.assert_array_equal(shared.logits.numpy(), whole.logits.numpy())
    assert len(shared.hidden) == UNEVEN.depth

"""Heads, their losses and training steps, against the stock model and formulas written out."""

import copy

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from helpers.models import batch_of, build, randomise
from ofa_bert.errors import UserError
from ofa_bert.exits.layout import ExitLayout
from ofa_bert.models.encoder import attention_mask, classifier_head, classify, module_at, set_dropout, shape_of
from ofa_bert.models.exits.heads import Exits, extract_exits, load_exits
from ofa_bert.models.families.registry import MODEL_TYPES
from ofa_bert.models.record import ExitRecord, ModelRecord
from ofa_bert.models.supernet import extract, forward, whole
from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.submodels.values import SubModelConfig, uniform
from ofa_bert.training.exits import steps
from ofa_bert.training.exits.states import Frozen, collect, freeze
from ofa_bert.training.exits.steps import ExitObjective, frozen_step, geep_step, joint_step
from ofa_bert.training.losses.classification import LOSSES as CLASSES
from ofa_bert.training.losses.exits import certainty_loss, exit_loss, weights
from ofa_bert.training.losses.regression import LOSSES as NUMBERS

UNEVEN = SubModelConfig((0, 2, 3), (1, 4, 2), (64, 7, 30))


def with_exits(model, head="ramp", layers=(0, 1, 2), seed=5):
    exits = Exits(model, ExitLayout(head, layers))
    randomise(exits, seed)
    exits.eval()
    return exits


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_ramp_with_the_models_own_head_answers_as_the_model(model_type):
    model, batch = build(model_type), batch_of()
    exits = Exits(model, ExitLayout("ramp", (1,)))
    exits.eval()
    ramp = exits.heads["1"]
    dense = module_at(model, classifier_head(model).dense)  # copied to begin with, the classifier is not
    np.testing.assert_array_equal(ramp.dense.weight.numpy(), dense.weight.numpy())
    ramp.start_from(model, with_classifier=True)
    out = forward(model, batch.input_ids, batch.token_type_ids, whole(model))
    mask = attention_mask(model, batch.input_ids)
    np.testing.assert_allclose(exits.logits(1, out.hidden[-1], mask).numpy(), out.logits.numpy(), atol=1e-6)


def test_an_attention_head_ignores_padding_and_reads_all_tokens():
    model = build()
    exits = with_exits(model, "attention")
    hidden = paddle.randn([2, 5, 32])
    mask = paddle.zeros([2, 1, 1, 5])
    longer = paddle.concat([hidden, paddle.randn([2, 3, 32])], 1)
    padded = paddle.concat([mask, paddle.full([2, 1, 1, 3], -1e4)], 3)
    short = exits.logits(1, hidden, mask).numpy()
    np.testing.assert_allclose(exits.logits(1, longer, padded).numpy(), short, atol=1e-5)
    changed = hidden.clone()
    changed[:, 4] = 0.0
    assert np.abs(exits.logits(1, changed, mask).numpy() - short).max() > 1e-3


def test_an_attention_head_is_two_heads_of_scaled_dot_products():
    head, hidden = with_exits(build(), "attention").heads["0"], paddle.randn([2, 4, 32])
    x = np.tanh(head.project(hidden).numpy())
    query, key, value = ((x @ p.weight.numpy() + p.bias.numpy()) for p in (head.query, head.key, head.value))
    parts = []
    for part in (slice(0, 64), slice(64, 128)):
        scores = query[:, :1, part] @ key[..., part].transpose(0, 2, 1) / 8.0
        attention = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        parts.append(attention @ value[..., part])
    first = head.out(paddle.to_tensor(np.concatenate(parts, -1)[:, 0])).numpy()
    expected = head.classifier(paddle.tanh(head.dense(paddle.to_tensor(first)))).numpy()
    np.testing.assert_allclose(head(hidden, paddle.zeros([2, 1, 1, 4])).numpy(), expected, atol=1e-4)


def test_exits_hang_only_before_the_last_layer():
    model = build()
    for layers in ((3,), (0, 4), (), (-1,)):
        with pytest.raises(UserError, match="layers 0 to 2"):
            Exits(model, ExitLayout("ramp", layers))
    layout = ExitLayout("ramp", (0, 2))
    assert layout.points(whole(model)) == ((0, 0), (2, 2))
    assert layout.points(uniform(shape_of(model), 0.5, (0, 2, 3))) == ((0, 0), (1, 2))
    assert layout.points(uniform(shape_of(model), 0.5, (1, 2))) == ()  # the head after its last layer is not used


@pytest.mark.parametrize("head", ["ramp", "attention"])
def test_exits_of_a_sub_model_equal_those_of_the_extracted_model(head):
    model, batch = build(), batch_of()
    exits = with_exits(model, head)
    small = extract(model, UNEVEN)
    own = extract_exits(exits, small, UNEVEN)
    assert own.layout.layers == (0, 1)
    mask = attention_mask(model, batch.input_ids)
    there = forward(model, batch.input_ids, batch.token_type_ids, UNEVEN)
    here = forward(small, batch.input_ids, batch.token_type_ids, whole(small))
    for place, layer in exits.layout.points(UNEVEN):
        expected = exits.logits(layer, there.hidden[place], mask).numpy()
        np.testing.assert_allclose(own.logits(place, here.hidden[place], mask).numpy(), expected, atol=1e-4)
    with pytest.raises(UserError, match="none of which"):
        extract_exits(with_exits(model, head, (1,)), small, UNEVEN)


def record_of(layout):
    return ModelRecord(exits=ExitRecord(layout=layout, training="deebert"))


def test_loading_refuses_what_does_not_fit(tmp_path):
    from ofa_bert.files.weights import write_weights
    from ofa_bert.models.directories import arrays_of

    model = build()
    exits = with_exits(model)
    with pytest.raises(UserError, match="`exits`"):
        load_exits(tmp_path, ModelRecord(), model)
    write_weights(tmp_path / "exits.safetensors", arrays_of(exits))
    again = load_exits(tmp_path, record_of(exits.layout), model)
    for name, tensor in again.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), exits.state_dict()[name].numpy())
    with pytest.raises(UserError, match="does not hold"):
        load_exits(tmp_path, record_of(ExitLayout("ramp", (0,))), model)
    with pytest.raises(UserError, match="wrong shape|needs"):
        load_exits(tmp_path, record_of(exits.layout), build(hidden=16))


def logits_of(*shape, seed=0):
    return paddle.to_tensor(np.random.default_rng(seed).normal(0, 1, shape).astype("float32"))


def test_losses_are_the_formulas():
    student, teacher, labels = logits_of(5, 3), logits_of(5, 3, seed=1), paddle.to_tensor([0, 1, 2, 1, 0])
    p, q = F.softmax(teacher).numpy(), F.softmax(student).numpy()
    kl = (p * np.log(p / q)).sum(-1).mean()
    ce = -np.log(q[np.arange(5), labels.numpy()]).mean()
    assert CLASSES.distance(student, teacher).item() == pytest.approx(kl, rel=1e-5)
    assert CLASSES.distance(teacher, teacher).item() == pytest.approx(0.0, abs=1e-7)
    for share in (0.0, 0.3, 1.0):
        found = exit_loss(student, labels, teacher, share, CLASSES).item()
        assert found == pytest.approx((1 - share) * ce + share * kl, rel=1e-5)
    numbers, wanted = logits_of(5, 1), paddle.to_tensor(np.linspace(0, 5, 5).astype("float32"))
    assert NUMBERS.distance(numbers, teacher[:, :1]).item() == pytest.approx(
        ((numbers.numpy() - teacher.numpy()[:, :1]) ** 2).mean(), rel=1e-5
    )
    certain = paddle.to_tensor([0.1, 0.9, 0.5, 0.5, 0.5])
    right = (student.numpy().argmax(-1) == labels.numpy()).astype(float)
    assert certainty_loss(certain, student, labels, CLASSES).item() == pytest.approx(
        ((certain.numpy() - right) ** 2).mean(), rel=1e-5
    )
    right = 1 - np.tanh(np.abs(numbers.numpy()[:, 0] - wanted.numpy()))
    assert certainty_loss(certain, numbers, wanted, NUMBERS).item() == pytest.approx(
        ((certain.numpy() - right) ** 2).mean(), rel=1e-5
    )
    assert weights("linear", (1, 2, 5)) == pytest.approx([1 / 8, 2 / 8, 5 / 8])
    assert weights("uniform", (1, 2, 5)) == pytest.approx([1 / 3] * 3)


def test_the_teacher_of_a_distance_gets_no_gradient():
    student, teacher = logits_of(4, 3), logits_of(4, 3, seed=1)
    student.stop_gradient = teacher.stop_gradient = False
    exit_loss(student, paddle.to_tensor([0, 1, 2, 0]), teacher, 0.5, CLASSES).backward()
    assert teacher.grad is None
    assert np.any(student.grad.numpy() != 0)


def gradients(layer):
    return {name: None if p.grad is None else p.grad.numpy().copy() for name, p in layer.named_parameters()}


def run_step(step, batch, number=0):
    return step(batch, number, lambda loss: loss.backward())


def whole_only(model):
    return lambda number: (whole(model),)


@pytest.mark.parametrize("head", ["ramp", "attention"])
def test_ramps_train_on_a_model_that_gets_no_gradient(head):
    model, batch = build(), batch_of()
    exits = with_exits(model, head)
    frozen = Frozen(model, None, {}, 0)
    before = {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}
    states = frozen.states(batch, whole(model))
    assert all(hidden.stop_gradient for hidden in states.hidden)
    assert states.last.stop_gradient
    optimizer = paddle.optimizer.AdamW(1e-2, parameters=exits.parameters())
    losses = run_step(frozen_step(exits, frozen, ExitObjective(CLASSES, 0.0), whole_only(model)), batch)
    assert all(gradient is None for gradient in gradients(model).values())
    assert all(g is not None and np.any(g != 0) for g in gradients(exits).values()), "a head without gradient"
    # The sum over all but the last exit of the cross-entropy with the labels, and nothing else.
    out = forward(model, batch.input_ids, batch.token_type_ids, whole(model))
    mask = attention_mask(model, batch.input_ids)
    each = [F.cross_entropy(exits.logits(i, out.hidden[i], mask), batch.labels).item() for i in range(3)]
    assert losses["exits"] == pytest.approx(sum(each), rel=1e-5)
    starts = {name: tensor.numpy().copy() for name, tensor in exits.state_dict().items()}
    optimizer.step()
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), before[name])
    for name, tensor in exits.state_dict().items():
        assert np.any(tensor.numpy() != starts[name]), name


def encoded_of(batch):
    from ofa_bert.data.encoding.encoded import Encoded

    lengths = (batch.input_ids != 0).astype("int64").sum(1).numpy()
    ids = [row[:n] for row, n in zip(batch.input_ids.numpy(), lengths)]
    types = [row[:n] for row, n in zip(batch.token_type_ids.numpy(), lengths)]
    return Encoded(ids, types, batch.labels.numpy())


def test_states_from_memory_are_the_models_own():
    model, batch = build(), batch_of(size=5)
    sub_models = {"whole": whole(model), "uneven": UNEVEN}
    data = {"train": encoded_of(batch)}
    kept = freeze(model, data, sub_models, 0, limit_mib=1.0)["train"]
    anew = freeze(model, data, sub_models, 0, limit_mib=kept.mebibytes() / 2)["train"]
    assert kept._cache
    assert not anew._cache
    assert kept.mebibytes() == pytest.approx(5 * (4 + 3) * 32 * 4 / 2**20)
    for sub_model in sub_models.values():
        ours, theirs = kept.states(batch, sub_model), anew.states(batch, sub_model)
        for own, other in zip(ours.hidden, theirs.hidden):
            np.testing.assert_allclose(own[:, 0].numpy(), other[:, 0].numpy(), atol=1e-5)
        np.testing.assert_allclose(ours.last.numpy(), theirs.last.numpy(), atol=1e-5)
    exits = with_exits(model)
    for sub_model in sub_models.values():
        one, two = collect(kept, exits, sub_model), collect(anew, exits, sub_model)
        np.testing.assert_allclose(one.logits, two.logits, atol=1e-5)
        np.testing.assert_allclose(one.certainty, two.certainty, atol=1e-5)
        full = forward(model, batch.input_ids, batch.token_type_ids, sub_model).logits.numpy()
        np.testing.assert_allclose(one.logits[-1], full, atol=1e-5)
        assert one.layers == ((1, 2, 3, 4) if sub_model.depth == 4 else (1, 2, 3))


def test_exits_of_a_supernet_train_over_its_sub_models():
    model, batch = build(), batch_of()
    space = SearchSpace(shape_of(model), (1.0, 0.5), (1.0, 0.5))
    exits, frozen, objective = with_exits(model), Frozen(model, None, {}, 0), ExitObjective(CLASSES, 0.4)
    sub_models = tuple(space.sub_models().values())
    run_step(frozen_step(exits, frozen, objective, lambda number: sub_models), batch)
    ours = gradients(exits)
    exits.clear_gradients()
    with_points = [sub_model for sub_model in sub_models if exits.layout.points(sub_model)]
    for sub_model in with_points:
        run_step(frozen_step(exits, frozen, objective, lambda number, one=sub_model: (one,)), batch)
    assert len(with_points) == len(sub_models) == 4
    for name, gradient in gradients(exits).items():
        np.testing.assert_allclose(ours[name], gradient / 4, atol=1e-5, err_msg=name)


class Counted:
    """Counts the encoder layers that run, and notes the inputs of the model's own classifier."""

    def __init__(self, model, monkeypatch):
        self.layers, self.answered = 0, 0
        real = steps.encode

        def encode(of, embedded, mask, sub_model):
            self.layers += sub_model.depth
            self.answered += sub_model.layers[-1] == len(whole(model).layers) - 1
            self.calls = getattr(self, "calls", 0) + 1
            return real(of, embedded, mask, sub_model)

        monkeypatch.setattr(steps, "encode", encode)


def test_geep_runs_20_layers_for_12_with_8_exits(monkeypatch):
    model, batch = build(layers=12, hidden=16, ffn=16), batch_of()
    exits = with_exits(model, "attention", tuple(range(8)))
    counted = Counted(model, monkeypatch)
    run_step(geep_step(model, exits, ExitObjective(CLASSES, 1.0), whole_only(model)), batch)
    assert counted.layers == 11 + 9
    assert counted.answered == counted.calls == 9  # the classifier reads outputs of the last layer, nothing else


def geep_by_hand(model, exits, batch, count):
    """The loss as the reference states it: every sub-network from the embeddings on."""
    shape, depth = shape_of(model), shape_of(model).num_layers
    mask = attention_mask(model, batch.input_ids)

    def run(layers):
        return forward(model, batch.input_ids, batch.token_type_ids, uniform(shape, 1.0, layers))

    full = run(range(depth))
    shared = F.cross_entropy(full.logits, batch.labels)
    students = 0.0
    for k in range(1, count + 1):
        h = run(range(k)).hidden[-1]
        last_on_h = run([*range(k), depth - 1]).logits
        shared = shared + F.cross_entropy(last_on_h, batch.labels)
        p = F.softmax(full.logits.detach())
        students = students + F.kl_div(F.log_softmax(exits.logits(k - 1, h, mask)), p, reduction="batchmean")
    return shared, students


@pytest.mark.parametrize("count", [2, 3])
def test_geep_loss_has_e_plus_1_cross_entropies_and_e_divergences(count):
    model, batch = build(seed=2), batch_of()
    exits = with_exits(model, "attention", tuple(range(count)))
    losses = run_step(geep_step(model, exits, ExitObjective(CLASSES, 1.0), whole_only(model)), batch)
    ours, heads = gradients(model), gradients(exits)
    model.clear_gradients()
    exits.clear_gradients()
    shared, students = geep_by_hand(model, exits, batch, count)
    (shared + students).backward()
    assert losses["shared"] == pytest.approx(shared.item(), rel=1e-5)
    assert losses["exits"] == pytest.approx(students.item(), rel=1e-4)
    for name, parameter in model.named_parameters():
        np.testing.assert_allclose(ours[name], parameter.grad.numpy(), atol=2e-4, rtol=1e-3, err_msg=name)
    for name, parameter in exits.heads.named_parameters():
        np.testing.assert_allclose(heads[f"heads.{name}"], parameter.grad.numpy(), atol=2e-5, rtol=1e-3, err_msg=name)


def test_geep_divergence_reaches_the_backbone_but_not_its_teacher():
    model, batch = build(), batch_of()
    exits = with_exits(model, "attention", (0, 1))
    losses = CLASSES._replace(task=lambda logits, labels: logits.sum() * 0.0)
    run_step(geep_step(model, exits, ExitObjective(losses, 1.0), whole_only(model)), batch)
    found = gradients(model)
    assert np.any(found["bert.encoder.layers.0.linear1.weight"] != 0)
    assert np.any(found["bert.encoder.layers.1.linear1.weight"] != 0)
    for name in ("bert.encoder.layers.2.linear1.weight", "bert.pooler.dense.weight", "classifier.weight"):
        assert np.all(found[name] == 0), name


def test_joint_loss_is_the_weighted_mean_of_all_exits():
    model, batch = build(), batch_of()
    exits = with_exits(model)
    losses = run_step(joint_step(model, exits, ExitObjective(CLASSES, 0.0, "linear"), whole_only(model)), batch)
    out = forward(model, batch.input_ids, batch.token_type_ids, whole(model))
    mask = attention_mask(model, batch.input_ids)
    each = [F.cross_entropy(exits.logits(i, out.hidden[i], mask), batch.labels).item() for i in range(3)]
    each.append(F.cross_entropy(out.logits, batch.labels).item())
    assert losses["exits"] == pytest.approx(np.dot(each, [1, 2, 3, 4]) / 10, rel=1e-5)
    found = {**gradients(model), **gradients(exits)}
    assert all(gradient is not None and np.any(gradient != 0) for gradient in found.values())


def test_alternate_training_trains_the_last_exit_alone_every_other_step():
    model, batch = build(), batch_of()
    exits = with_exits(model)
    step = joint_step(model, exits, ExitObjective(CLASSES, 0.0), whole_only(model), alternate=True)
    first = run_step(step, batch, 0)
    assert all(gradient is None for gradient in gradients(exits).values())
    assert set(first) == {"last"}
    out = forward(model, batch.input_ids, batch.token_type_ids, whole(model))
    assert first["last"] == pytest.approx(F.cross_entropy(out.logits, batch.labels).item(), rel=1e-5)
    assert set(run_step(step, batch, 1)) == {"exits", "certainty"}
    assert all(gradient is not None for gradient in gradients(exits).values())


def test_certainty_trains_nothing_but_itself():
    model, batch = build(), batch_of()
    exits = with_exits(model)
    plain, other = (copy.deepcopy(exits) for _ in range(2))
    for linear in other.certain.values():
        linear.weight.set_value(linear.weight.numpy() + 3.0)
    found = []
    for one in (plain, other):
        model.clear_gradients()
        run_step(joint_step(model, one, ExitObjective(CLASSES, 0.2), whole_only(model)), batch)
        found.append({**gradients(model), **gradients(one.heads)})
    for name, gradient in found[0].items():
        np.testing.assert_array_equal(gradient, found[1][name], err_msg=name)


@pytest.mark.parametrize("kind", ["geep", "joint"])
def test_sub_models_share_the_embeddings_gradient(kind):
    """The step's gradient over two sub-models is the mean of theirs."""
    model, batch = build(), batch_of()
    set_dropout(model, 0.0)
    exits = with_exits(model)
    make = {"geep": geep_step, "joint": joint_step}[kind]
    pair = (whole(model), UNEVEN)
    run_step(make(model, exits, ExitObjective(CLASSES, 0.5), lambda number: pair), batch)
    both = {**gradients(model), **gradients(exits)}
    model.clear_gradients()
    exits.clear_gradients()
    for one in pair:
        run_step(make(model, exits, ExitObjective(CLASSES, 0.5), lambda number, one=one: (one,)), batch)
    for name, gradient in {**gradients(model), **gradients(exits)}.items():
        np.testing.assert_allclose(both[name], gradient / 2, atol=2e-5, rtol=1e-3, err_msg=name)


def test_regression_has_squared_errors():
    model, batch = build(num_labels=1), batch_of()
    batch = type(batch)(batch.input_ids, batch.token_type_ids, paddle.to_tensor([0.5, 2.0, 4.0]), batch.index)
    exits = with_exits(model)
    losses = run_step(joint_step(model, exits, ExitObjective(NUMBERS, 0.0, "uniform"), whole_only(model)), batch)
    out = forward(model, batch.input_ids, batch.token_type_ids, whole(model))
    mask = attention_mask(model, batch.input_ids)
    logits = [*(exits.logits(i, out.hidden[i], mask) for i in range(3)), classify(model, out.hidden[-1])]
    errors = [((one.numpy()[:, 0] - batch.labels.numpy()) ** 2).mean() for one in logits]
    assert losses["exits"] == pytest.approx(np.mean(errors), rel=1e-5)

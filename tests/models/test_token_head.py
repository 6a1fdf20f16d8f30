"""A head that reads every token: transformers' own logits, sub-models, gradients, sizes, ONNX, what is refused."""

import json
import shutil

import numpy as np
import paddle
import pytest

from helpers.models import batch_of, build, randomise
from helpers.paths import TESTS
from helpers.torch_tokens import FAMILIES, LABELS
from ofa_bert.data.encoding.batches import Batch
from ofa_bert.errors import UserError
from ofa_bert.export.onnx import writer
from ofa_bert.export.onnx.form import Form
from ofa_bert.models.directories import load_model
from ofa_bert.models.encoder import answers_per_token, shape_of
from ofa_bert.models.families.registry import model_class
from ofa_bert.models.supernet import extract, forward, whole
from ofa_bert.submodels.counting import count_parameters
from ofa_bert.submodels.values import ModelShape, SubModelConfig, uniform
from ofa_bert.tasks.kinds.tokens import IGNORED, KIND, tags_of
from ofa_bert.tasks.task import Task
from ofa_bert.training.losses.task import for_batch, losses_of

STORED = TESTS / "models" / "stored" / "tokens"
TASK = Task("t", tags_of(("LOC", "PER")), KIND.usual_metrics, ("text",), KIND.name)


@pytest.fixture(scope="module")
def stored():
    """The batch and transformers' logits of each family."""
    with np.load(STORED / "outputs.npz") as arrays:
        return dict(arrays)


def random_model(family, **more):
    """A tiny random token classifier in eval mode."""
    config = build(family, num_labels=5, **more).config
    model = model_class(family, per_token=True)(config)
    model.eval()
    return randomise(model, 1)


def tags_for(ids, seed=0):
    """[B, T] of a task with five labels: first and last tokens and padding count for nothing."""
    tags = np.random.default_rng(seed).integers(0, 5, ids.shape)
    last = (ids != 0).sum(1) - 1
    tags[:, 0] = tags[np.arange(len(ids)), last] = IGNORED
    tags[ids == 0] = IGNORED
    return tags


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_transformers_own(family, stored):
    ids, types = (paddle.to_tensor(stored[name]) for name in ("input_ids", "token_type_ids"))
    real = stored["input_ids"] != 0
    model, _, _ = load_model(STORED / family)
    model.eval()
    assert answers_per_token(model)
    for found in (model(ids, token_type_ids=types), forward(model, ids, types, whole(model)).logits):
        np.testing.assert_allclose(found.numpy()[real], stored[family][real], atol=1e-4)
    arranged, _, _ = load_model(STORED / family, task=TASK)  # in the task's order, by the names of the classes
    arranged.eval()
    order = [LABELS.index(label) for label in TASK.labels]
    own = arranged(ids, token_type_ids=types).numpy()
    np.testing.assert_allclose(own[real], stored[family][real][:, order], atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sub_model_inside_is_the_extracted_one_and_has_the_counted_size(family):
    model = random_model(family)
    batch, real = batch_of(), batch_of().input_ids.numpy() != 0
    shape = shape_of(model)
    assert ModelShape.from_json(shape.to_json()) == shape
    for sub_model in (uniform(shape, 1.0), uniform(shape, 0.5, (0, 3)), SubModelConfig((1, 2), (3, 1), (17, 40))):
        small = extract(model, sub_model)
        inside = forward(model, batch.input_ids, batch.token_type_ids, sub_model).logits.numpy()
        alone = small(batch.input_ids, token_type_ids=batch.token_type_ids).numpy()
        np.testing.assert_allclose(inside[real], alone[real], atol=1e-5)
        assert count_parameters(shape, sub_model) == sum(parameter.size for parameter in small.parameters())


@pytest.mark.parametrize("form", [Form(), Form(fused=True), Form(weights="dynamic")], ids=["plain", "fused", "int8"])
def test_an_onnx_file_answers_for_every_token(form, tmp_path):
    import onnxruntime

    model, batch = random_model("bert"), batch_of(size=4, length=9)
    writer.write(model, tmp_path / "x.onnx", form)
    session = onnxruntime.InferenceSession(str(tmp_path / "x.onnx"), providers=["CPUExecutionProvider"])
    ids, types = batch.input_ids.numpy(), batch.token_type_ids.numpy()
    (found,) = session.run(["logits"], {"input_ids": ids, "token_type_ids": types})
    wanted = model(batch.input_ids, token_type_ids=batch.token_type_ids).numpy()
    assert found.shape == (4, 9, 5)
    limit = 1e-4 if form.weights == "float" else 0.5 * wanted.std()
    assert np.abs(found - wanted)[ids != 0].max() < limit


def test_only_tokens_that_count_do_and_a_wider_padding_changes_nothing():
    model, batch = random_model("bert"), batch_of()
    ids = batch.input_ids.numpy()
    tags = tags_for(ids)
    teacher = forward(random_model("bert", seed=5), batch.input_ids, batch.token_type_ids, whole(model)).logits
    logits = forward(model, batch.input_ids, batch.token_type_ids, whole(model)).logits

    def found(logits, teacher, tags):
        own = for_batch(losses_of(TASK), Batch(None, None, paddle.to_tensor(tags), None))
        tags = paddle.to_tensor(tags)
        losses = own.task(logits, tags), own.logit(logits, teacher), own.distance(logits, teacher)
        return [loss.item() for loss in losses]

    def changed(values):
        other = values.numpy().copy()
        other[tags == IGNORED] += 7.0
        return paddle.to_tensor(other)

    plain = found(logits, teacher, tags)
    assert found(changed(logits), changed(teacher), tags) == pytest.approx(plain, rel=1e-5)
    wide = [np.pad(each.numpy(), ((0, 0), (0, 4), (0, 0)), constant_values=3.0) for each in (logits, teacher)]
    padded = np.pad(tags, ((0, 0), (0, 4)), constant_values=IGNORED)
    assert found(*map(paddle.to_tensor, wide), padded) == pytest.approx(plain, rel=1e-5)
    # By hand: mean over texts of the mean over their tokens.
    log = np.log(np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(-1, keepdims=True))
    each = [-np.mean([log[row, place, tags[row, place]] for place in np.flatnonzero(tags[row] != IGNORED)])
            for row in range(len(tags))]  # fmt: skip
    assert plain[0] == pytest.approx(np.mean(each), rel=1e-5)
    assert found(logits, logits, tags)[2] == pytest.approx(0, abs=1e-6)


def test_two_processes_with_half_a_batch_each_have_the_gradient_of_one_with_all():
    model, batch = random_model("bert"), batch_of(size=4, length=9)
    tags = tags_for(batch.input_ids.numpy())

    def gradient(rows):
        model.clear_gradients()
        ids, types = batch.input_ids[rows], batch.token_type_ids[rows]
        logits = forward(model, ids, types, whole(model)).logits
        losses_of(TASK).task(logits, paddle.to_tensor(tags[rows])).backward()
        return model.bert.encoder.layers[0].linear1.weight.grad.numpy().copy()

    halves = gradient(slice(0, 2)) + gradient(slice(2, 4))
    np.testing.assert_allclose(halves / 2, gradient(slice(0, 4)), atol=1e-6)


def test_texts_whose_labels_do_not_count_are_left_out():
    tags = tags_for(batch_of().input_ids.numpy())
    logits = paddle.to_tensor(np.random.default_rng(3).normal(size=[*tags.shape, 5]).astype("float32"))
    weights = np.asarray([2.0, 0.0, 2.0], dtype="float32")
    own = for_batch(losses_of(TASK), Batch(None, None, paddle.to_tensor(tags), None, weights))
    each = [losses_of(TASK).task(logits[row : row + 1], paddle.to_tensor(tags[row : row + 1])).item() for row in (0, 2)]
    assert own.task(logits, paddle.to_tensor(tags)).item() == pytest.approx(2 * sum(each) / 3, rel=1e-5)


def test_a_loss_of_a_kind_without_its_batch_is_refused():
    with pytest.raises(TypeError, match="take the losses of that batch"):
        losses_of(TASK).logit(paddle.zeros([1, 2, 5]), paddle.zeros([1, 2, 5]))


def test_gradients_reach_what_answers_and_nothing_outside_the_slice():
    model, batch = random_model("bert"), batch_of()
    tags = paddle.to_tensor(tags_for(batch.input_ids.numpy()))
    for sub_model in (uniform(shape_of(model), 1.0), uniform(shape_of(model), 0.5)):
        model.clear_gradients()
        logits = forward(model, batch.input_ids, batch.token_type_ids, sub_model).logits
        losses_of(TASK).task(logits, tags).backward()
        without = {name for name, each in model.named_parameters() if each.grad is None}
        assert without == {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}  # PaddleNLP's, and idle
        outside = model.bert.encoder.layers[0].linear1.weight.grad.numpy()[:, sub_model.ffn[0] :]
        assert not outside.any()


def test_a_family_without_a_token_classifier_is_refused():
    with pytest.raises(UserError, match="`model_type` tinybert: .*take one of bert, ernie, roberta, electra"):
        model_class("tinybert", per_token=True)


def test_a_head_for_whole_texts_is_none_for_tokens(tmp_path):
    directory = shutil.copytree(STORED / "bert", tmp_path / "x")
    config = json.loads((directory / "config.json").read_text())
    config["architectures"] = ["BertForSequenceClassification"]
    (directory / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="answers texts as a whole.*`fresh_head`"):
        load_model(directory, task=TASK)
    model, _, _ = load_model(directory, num_labels=5, task=TASK, fresh_head=True)
    assert answers_per_token(model)
    whole_texts = Task("t", ("a", "b", "c", "d", "e"), ("accuracy",), ("text",))
    with pytest.raises(UserError, match="answers for every token.*`fresh_head`"):
        load_model(STORED / "bert", task=whole_texts)

"""ELECTRA: transformers' own states and logits, from every layout that a checkpoint of it has, up to the Predictor."""

import importlib.util
import json
import shutil
import subprocess
import sys

import numpy as np
import paddle
import pytest

from helpers import foreign_files
from helpers.foreign_files import fingerprint, tokenizer_for
from helpers.models import batch_of, build, randomise
from helpers.paths import ROOT, TESTS
from ofa_bert.errors import UserError
from ofa_bert.export.bundle import export_bundle
from ofa_bert.files.weights import read_weights, write_weights
from ofa_bert.models import masked_lm
from ofa_bert.models.directories import load_model, save_model
from ofa_bert.models.encoder import encoder_layers, resize, shape_of
from ofa_bert.models.exits.heads import Exits
from ofa_bert.models.families.electra import ELECTRA
from ofa_bert.models.families.registry import model_class
from ofa_bert.models.record import ModelRecord
from ofa_bert.models.supernet import forward, whole
from ofa_bert.submodels.counting import count_flops, count_parameters
from ofa_bert.submodels.shape import Shape, Surroundings, operations, parameters
from ofa_bert.submodels.values import ModelShape, uniform

STORED = TESTS / "models" / "stored" / "electra"
CLASSIFIER, GENERATOR = STORED / "classifier", STORED / "generator"
LIMIT = 1e-4


def outputs(directory=STORED):
    """What transformers computed: the batch, states, logits and token_logits."""
    with np.load(directory / "outputs.npz") as arrays:
        return {name: paddle.to_tensor(array) for name, array in arrays.items()}


def assert_transformers_logits(directory, theirs):
    model, _, _ = load_model(directory, "electra")
    model.eval()
    ids, types = theirs["input_ids"], theirs["token_type_ids"]
    np.testing.assert_allclose(model(ids, token_type_ids=types).numpy(), theirs["logits"].numpy(), atol=LIMIT)
    ours = forward(model, ids, types, whole(model))
    np.testing.assert_allclose(ours.logits.numpy(), theirs["logits"].numpy(), atol=LIMIT)
    real = (ids != 0).numpy()
    np.testing.assert_allclose(ours.hidden[-1].numpy()[real], theirs["states"].numpy()[real], atol=LIMIT)


def assert_transformers_token_logits(directory, theirs):
    loaded = masked_lm.load(str(directory), "electra")
    assert loaded.has_head
    loaded.model.eval()
    places = np.flatnonzero((theirs["input_ids"] != 0).numpy())
    found = loaded.model(theirs["input_ids"], theirs["token_type_ids"], paddle.to_tensor(places))
    wanted = theirs["token_logits"].numpy()
    np.testing.assert_allclose(found.numpy(), wanted.reshape(-1, wanted.shape[-1])[places], atol=LIMIT)


def test_logits_of_a_hugging_face_directory_are_transformers_own():
    before = fingerprint(CLASSIFIER)
    assert_transformers_logits(CLASSIFIER, outputs())
    assert fingerprint(CLASSIFIER) == before


def test_a_torch_pickle_gives_them_too(tmp_path):
    directory = shutil.copytree(CLASSIFIER, tmp_path / "bin")
    foreign_files.write_torch(directory / "pytorch_model.bin", read_weights(directory / "model.safetensors"))
    (directory / "model.safetensors").unlink()
    assert_transformers_logits(directory, outputs())


def test_a_directory_that_paddlenlp_converted_and_saved_gives_them_too(tmp_path):
    theirs = model_class("electra").from_pretrained(
        str(shutil.copytree(CLASSIFIER, tmp_path / "copy")), convert_from_torch=True
    )
    theirs.save_pretrained(str(tmp_path / "paddle"))
    shutil.copy(CLASSIFIER / "vocab.txt", tmp_path / "paddle")
    assert (tmp_path / "paddle" / "model_state.pdparams").is_file()
    assert_transformers_logits(tmp_path / "paddle", outputs())


def test_a_masked_lm_is_transformers_generator(tmp_path):
    theirs = outputs()
    assert_transformers_token_logits(GENERATOR, theirs)
    loaded = masked_lm.load(str(GENERATOR), "electra")
    save_model(tmp_path / "own", loaded.model, loaded.tokenizer, ModelRecord())
    assert json.loads((tmp_path / "own" / "config.json").read_text())["architectures"] == ["ElectraForMaskedLM"]
    assert_transformers_token_logits(tmp_path / "own", theirs)


def test_where_torch_is_installed_it_computes_the_same_now(tmp_path):
    missing = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}; the stored logits are compared all the same")
    command = [sys.executable, "-m", "helpers.torch_electra", str(tmp_path)]  # apart: torch and Paddle disagree in one
    done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    theirs = outputs(tmp_path)
    assert_transformers_logits(tmp_path / "classifier", theirs)
    assert_transformers_token_logits(tmp_path / "generator", theirs)
    for name, tensor in outputs().items():
        np.testing.assert_allclose(tensor.numpy(), theirs[name].numpy(), atol=1e-5, err_msg=name)


def pre_trained(path, rename=lambda name: name, **more):
    """The stored classifier as a pre-trained discriminator: its encoder under other names, with other heads."""
    directory = shutil.copytree(CLASSIFIER, path)
    weights = read_weights(CLASSIFIER / "model.safetensors")
    encoder = {rename(name): array for name, array in weights.items() if not name.startswith("classifier")}
    head = {"discriminator_predictions.dense.weight": (32, 32), "discriminator_predictions.dense_prediction.bias": (1,)}
    arrays = {rename(name): np.ones(shape, "f4") for name, shape in head.items()}
    write_weights(directory / "model.safetensors", {**encoder, **arrays, **more}, {"format": "pt"})
    return directory


def assert_encoder_of_the_stored(directory):
    theirs = outputs()
    model, _, _ = load_model(directory, "electra", num_labels=5)
    model.eval()
    out = forward(model, theirs["input_ids"], theirs["token_type_ids"], whole(model))
    real = (theirs["input_ids"] != 0).numpy()
    np.testing.assert_allclose(out.hidden[-1].numpy()[real], theirs["states"].numpy()[real], atol=LIMIT)
    assert out.logits.shape == [3, 5]


def test_a_discriminator_gives_the_encoder_and_a_fresh_classifier(tmp_path):
    directory = pre_trained(tmp_path / "discriminator")
    assert_encoder_of_the_stored(directory)
    with pytest.raises(UserError, match="is an encoder without a classifier"):
        load_model(directory, "electra")
    lacking = read_weights(directory / "model.safetensors")
    del lacking["electra.embeddings_project.bias"]
    write_weights(directory / "model.safetensors", lacking, {"format": "pt"})
    with pytest.raises(UserError, match="missing electra.embeddings_project.bias"):
        load_model(directory, "electra", num_labels=2)


def test_joint_pre_training_holds_both(tmp_path):
    """The discriminator is what a classifier starts from, the generator is the masked LM."""
    generator = {f"generator.{name}": array for name, array in read_weights(GENERATOR / "model.safetensors").items()}
    directory = pre_trained(tmp_path / "joint", lambda name: f"discriminator.{name}", **generator)
    assert_encoder_of_the_stored(directory)
    shutil.copy(GENERATOR / "config.json", directory)
    assert_transformers_token_logits(directory, outputs())


def test_joint_pre_training_as_paddlenlp_saves_it(tmp_path):
    import paddlenlp.transformers as families

    joint = randomise(families.ElectraForTotalPretraining(build("electra").config), 5)
    joint.save_pretrained(str(tmp_path / "joint"))
    tokenizer_for(tmp_path, "electra").save_pretrained(str(tmp_path / "joint"))
    model, _, _ = load_model(tmp_path / "joint", "electra", num_labels=2)
    own, theirs = dict(model.electra.named_parameters()), dict(joint.discriminator.electra.named_parameters())
    assert set(own) == set(theirs)
    assert all(np.array_equal(own[name].numpy(), theirs[name].numpy()) for name in own)
    loaded = masked_lm.load(str(tmp_path / "joint"), "electra")
    assert loaded.has_head
    loaded.model.eval(), joint.eval()
    batch = batch_of()
    (scores,) = joint.generator(batch.input_ids, token_type_ids=batch.token_type_ids)[:1]
    scores = scores.numpy().reshape(-1, 40)
    places = np.arange(len(scores))
    found = loaded.model(batch.input_ids, batch.token_type_ids, paddle.to_tensor(places)).numpy()
    np.testing.assert_allclose(found, scores, atol=LIMIT)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"embedding_size": 0}, "embedding_size is 0"),
        ({"embedding_size": "wide"}, "embedding_size is 'wide'"),
        ({"embedding_size": 24}, "embedding_size is 24, the weights have 16"),
        ({"hidden_act": "elu"}, "hidden_act 'elu' is none of gelu, "),
        ({"hidden_act": "relu"}, "Hugging Face's classifier uses gelu all the same"),
        ({"model_type": "bert"}, "is a bert model, not electra; use `model_type` bert"),
    ],
)
def test_configurations_that_do_not_fit(tmp_path, changes, words):
    directory = shutil.copytree(CLASSIFIER, tmp_path / "changed")
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(UserError, match=words) as error:
        load_model(directory, "electra")
    assert "\n" not in str(error.value)


def test_every_activation_that_is_let_through_builds_a_model():
    for name in ELECTRA.activations:
        model, batch = build("electra", layers=1, hidden_act=name), batch_of()
        ours = forward(model, batch.input_ids, batch.token_type_ids, whole(model)).logits
        np.testing.assert_allclose(
            model(batch.input_ids, batch.token_type_ids).numpy(), ours.numpy(), atol=1e-5, err_msg=name
        )


def test_sizes():
    """transformers' num_parameters() of its default configuration, which is ELECTRA small, and of a wider one."""
    small = ModelShape(12, 256, 4, 64, 1024, 30522, 512, 2, 2, embedding_size=128)
    assert count_parameters(small, uniform(small, 1.0)) == 13_549_314
    wide = ModelShape(**{**small.to_json(), "embedding_size": 256})
    assert count_parameters(wide, uniform(wide, 1.0)) == 17_489_154
    projected = count_flops(small, uniform(small, 1.0)) - count_flops(wide, uniform(wide, 1.0))
    assert projected == 2 * 128 * 128 * 256
    without = {key: value for key, value in wide.to_json().items() if key != "embedding_size"}
    assert ModelShape.from_json(without).embedding_size == 0  # as models of older versions wrote it


@pytest.mark.parametrize("embedding_size", [16, 32])
def test_sizes_by_four_numbers(embedding_size):
    shape, model = Shape(4, 4, 32, 64), build("electra", embedding_size=embedding_size)
    around = Surroundings(40, 48, 2, 3, embedding_size=embedding_size)
    assert parameters(shape, around) == sum(int(np.prod(p.shape)) for p in model.parameters())
    narrower = operations(shape, Surroundings(40, 48, 2, 3), 10) - operations(shape, around, 10)
    assert narrower == ((2 + 7) * 10 * 16 - 2 * 10 * 16 * 32 if embedding_size == 16 else 0)
    assert shape_of(model).embedding_size == embedding_size


def test_a_student_of_another_width_keeps_the_embeddings_width(tmp_path):
    teacher = masked_lm.load(str(GENERATOR), "electra").model
    student = masked_lm.student_of(teacher, "electra", Shape(1, 3, 12, 10))
    masked_lm.copy_leading(student, teacher)
    for name in ("embeddings_project.weight", "embeddings.word_embeddings.weight"):
        own, other = (dict(model.electra.named_parameters())[name].numpy() for model in (student, teacher))
        np.testing.assert_array_equal(own, other[:, : own.shape[1]])
    assert student.electra.embeddings_project.weight.shape == [16, 12]
    equal = masked_lm.student_of(teacher, "electra", Shape(1, 4, 16, 10))
    masked_lm.copy_leading(equal, teacher)
    assert not hasattr(equal.electra, "embeddings_project")


def test_a_ramp_starts_from_the_models_own_head():
    from ofa_bert.exits.layout import ExitLayout

    model, _, _ = load_model(CLASSIFIER, "electra")
    ramp = Exits(model, ExitLayout("ramp", (1,))).heads["1"]
    assert ramp.activation == ("gelu",)
    np.testing.assert_array_equal(ramp.dense.weight.numpy(), model.classifier.dense.weight.numpy())


WITHOUT_PADDLE = """
import json, sys
for name in ("paddle", "paddlenlp", "paddleslim", "torch"): sys.modules[name] = None
from ofa_bert.runtime.predictor import Predictor
with Predictor(sys.argv[1], threads=1) as predictor:
    print(json.dumps([item.probabilities for item in predictor.predict(json.loads(sys.argv[2]))]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("heads", [None, (1, 4, 3)], ids=["full", "uneven"])
def test_a_bundle_answers_without_paddle_as_the_model_does(tmp_path, heads):
    model, tokenizer, _ = load_model(CLASSIFIER, "electra")
    if heads:
        resize(model, heads, (7, 40, 33))
        randomise(model, 3)
    model.eval()
    assert [layer.self_attn.num_heads for layer in encoder_layers(model)] == list(heads or (4, 4, 4))
    manifest = export_bundle(
        model, tokenizer, ModelRecord(), tmp_path / "bundle", 16, onnx=True, precisions=("fp16", "int8")
    )
    assert manifest.tokenizer.file == "tokenizer.json"
    texts = ["a film is not good", "The plot was dull, they said", ""]
    command = [sys.executable, "-c", WITHOUT_PADDLE, str(tmp_path / "bundle"), json.dumps(texts)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for text, found in zip(texts, json.loads(done.stdout)):
        ids = paddle.to_tensor([tokenizer(text)["input_ids"]])
        wanted = paddle.nn.functional.softmax(model(ids, paddle.zeros_like(ids))).numpy()[0]
        np.testing.assert_allclose(found, wanted, atol=1e-5)

"""Families whose checkpoints transformers makes: its own states and logits, up to a Predictor without Paddle."""

import importlib.util
import json
import shutil
import subprocess
import sys

import numpy as np
import paddle
import pytest

import export_model
import run_glue
import run_glue_ofa
from helpers import foreign_files
from helpers.foreign_files import fingerprint
from helpers.models import randomise
from helpers.paths import ROOT, TESTS
from helpers.torch_families import FAMILIES
from ofa_bert.errors import UserError
from ofa_bert.exits.layout import ExitLayout
from ofa_bert.export.bundle import export_bundle
from ofa_bert.files.weights import read_weights, write_weights
from ofa_bert.models import masked_lm
from ofa_bert.models.directories import load_model, save_model
from ofa_bert.models.encoder import backbone, has_token_types, resize
from ofa_bert.models.exits.heads import Exits
from ofa_bert.models.record import ModelRecord
from ofa_bert.models.supernet import forward, whole
from ofa_bert.models.vocabulary import trim_vocabulary
from ofa_bert.runtime.predictor import Predictor
from ofa_bert.runtime.tokenizer import load_text_encoder
from ofa_bert.tasks.glue import glue_task
from ofa_bert.training.stated import stated

STORED = TESTS / "models" / "stored"
LIMIT = 1e-4


def outputs(directory):
    """What transformers computed: the batch, states, logits and token_logits."""
    with np.load(directory / "outputs.npz") as arrays:
        return {name: paddle.to_tensor(array) for name, array in arrays.items()}


def real(model, theirs):
    return (theirs["input_ids"] != backbone(model).pad_token_id).numpy()


def assert_logits(directory, theirs, limit=LIMIT):
    model, _, _ = load_model(directory)
    model.eval()
    ids, types = theirs["input_ids"], theirs["token_type_ids"]
    np.testing.assert_allclose(model(ids, token_type_ids=types).numpy(), theirs["logits"].numpy(), atol=limit)
    ours = forward(model, ids, types, whole(model))
    np.testing.assert_allclose(ours.logits.numpy(), theirs["logits"].numpy(), atol=limit)
    kept = real(model, theirs)
    np.testing.assert_allclose(ours.hidden[-1].numpy()[kept], theirs["states"].numpy()[kept], atol=limit)


def assert_token_logits(directory, theirs):
    loaded = masked_lm.load(str(directory), "auto")
    assert loaded.has_head
    loaded.model.eval()
    places = np.flatnonzero(real(loaded.model, theirs))
    found = loaded.model(theirs["input_ids"], theirs["token_type_ids"], paddle.to_tensor(places))
    wanted = theirs["token_logits"].numpy()
    np.testing.assert_allclose(found.numpy(), wanted.reshape(-1, wanted.shape[-1])[places], atol=LIMIT)


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_of_a_hugging_face_directory_are_transformers_own(family):
    directory = STORED / family
    before = fingerprint(directory)
    assert_logits(directory / "classifier", outputs(directory))
    assert_token_logits(directory / "masked_lm", outputs(directory))
    assert fingerprint(directory) == before


@pytest.mark.parametrize("family", FAMILIES)
def test_a_torch_pickle_and_what_is_saved_give_them_too(family, tmp_path):
    theirs = outputs(STORED / family)
    pickled = shutil.copytree(STORED / family / "classifier", tmp_path / "bin")
    foreign_files.write_torch(pickled / "pytorch_model.bin", read_weights(pickled / "model.safetensors"))
    (pickled / "model.safetensors").unlink()
    assert_logits(pickled, theirs)
    model, tokenizer, record = load_model(pickled)
    save_model(tmp_path / "own", model, tokenizer, record)
    assert_logits(tmp_path / "own", theirs)
    loaded = masked_lm.load(str(STORED / family / "masked_lm"), "auto")
    save_model(tmp_path / "masked", loaded.model, loaded.tokenizer, ModelRecord())
    assert_token_logits(tmp_path / "masked", theirs)


@pytest.mark.parametrize("family", FAMILIES)
def test_plain_paddlenlp_loads_what_is_saved(family, tmp_path):
    """PaddleNLP's own class, called in PaddleNLP's own way."""
    import paddlenlp.transformers as paddlenlp

    theirs = outputs(STORED / family)
    model, tokenizer, record = load_model(STORED / family / "classifier")
    save_model(tmp_path / "own", model, tokenizer, record)
    (name,) = json.loads((tmp_path / "own" / "config.json").read_text())["architectures"]
    plain = getattr(paddlenlp, name).from_pretrained(str(tmp_path / "own"))
    plain.eval()
    types = {"token_type_ids": theirs["token_type_ids"]} if has_token_types(model) else {}
    np.testing.assert_allclose(plain(theirs["input_ids"], **types).numpy(), theirs["logits"].numpy(), atol=LIMIT)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_encoder_starts_a_classifier(family, tmp_path):
    """Of a masked LM, and of a classifier of other classes."""
    theirs = outputs(STORED / family)
    with pytest.raises(UserError, match="is an encoder without a classifier"):
        load_model(STORED / family / "masked_lm")
    fresh, _, _ = load_model(STORED / family / "masked_lm", num_labels=5)
    assert forward(fresh, theirs["input_ids"], theirs["token_type_ids"], whole(fresh)).logits.shape == [3, 5]
    with pytest.raises(UserError, match="answers with 3 numbers, the task needs 5"):
        load_model(STORED / family / "classifier", num_labels=5)
    again, _, _ = load_model(STORED / family / "classifier", num_labels=5, fresh_head=True)
    again.eval()
    out = forward(again, theirs["input_ids"], theirs["token_type_ids"], whole(again))
    kept = real(again, theirs)
    np.testing.assert_allclose(out.hidden[-1].numpy()[kept], theirs["states"].numpy()[kept], atol=LIMIT)
    assert out.logits.shape == [3, 5]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_lacking_weight_is_named(family, tmp_path):
    directory = shutil.copytree(STORED / family / "classifier", tmp_path / "m")
    weights = read_weights(directory / "model.safetensors")
    lost = next(name for name in weights if ".layer.1." in name and name.endswith("bias"))
    write_weights(directory / "model.safetensors", {n: a for n, a in weights.items() if n != lost}, {"format": "pt"})
    with pytest.raises(UserError, match=r"missing .*encoder\.layers\.1\.") as error:
        load_model(directory, num_labels=3)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("family", FAMILIES)
def test_pairs_of_texts_are_let_through(family, tmp_path):
    """A family without token types tells two texts apart by the mark between them."""
    directory = shutil.copytree(STORED / family / "classifier", tmp_path / "m")
    model, _, _ = load_model(directory, num_labels=2, task=glue_task("mrpc"), fresh_head=True)
    assert model.config.num_labels == 2


@pytest.mark.parametrize("family", FAMILIES)
def test_where_torch_is_installed_it_computes_the_same_now(family, tmp_path):
    missing = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}; the stored logits are compared all the same")
    # Apart: torch and Paddle disagree in one process.
    command = [sys.executable, "-m", "helpers.torch_families", str(tmp_path)]
    done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    theirs = outputs(tmp_path / family)
    assert_logits(tmp_path / family / "classifier", theirs)
    assert_token_logits(tmp_path / family / "masked_lm", theirs)
    for name, tensor in outputs(STORED / family).items():
        np.testing.assert_allclose(tensor.numpy(), theirs[name].numpy(), atol=1e-5, err_msg=name)


def distilbert_saying(path, **values):
    directory = shutil.copytree(STORED / "distilbert" / "classifier", path)
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, **values}))
    return directory


def test_what_transformers_calls_otherwise_is_read(tmp_path):
    values = {"activation": "relu", "dropout": 0.21, "attention_dropout": 0.22, "seq_classif_dropout": 0.23}
    directory = distilbert_saying(tmp_path / "m", **values)
    model, tokenizer, record = load_model(directory)
    layer = model.distilbert.encoder.layers[0]
    assert layer.activation is paddle.nn.functional.relu
    assert (layer.dropout1.p, layer.self_attn.dropout, model.dropout.p) == (0.21, 0.22, 0.23)
    found = stated(str(directory), "auto")
    assert (found.widest.depth, found.widest.heads[0], found.widest.ffn[0]) == (3, 4, 40)
    save_model(tmp_path / "own", model, tokenizer, record)  # under PaddleNLP's names, which are read as they stand
    again, _, _ = load_model(tmp_path / "own")
    assert again.distilbert.encoder.layers[0].dropout1.p == 0.21
    assert again.dropout.p == 0.23


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"activation": "gelu_new"}, "hidden_act gelu_new is not what Paddle's encoder can compute; write gelu there"),
        ({"n_heads": 5}, "5 heads do not divide hidden_size 32"),
        ({"n_layers": 9}, "num_hidden_layers is 9, the weights have 3"),
        ({"dim": "wide"}, "hidden_size is 'wide', must be a whole number above 0"),
        ({"dropout": 2}, "hidden_dropout_prob is 2, must be from 0 to below 1"),
    ],
)
def test_a_configuration_of_distilbert_that_does_not_fit(values, words, tmp_path):
    with pytest.raises(UserError, match=words) as error:
        load_model(distilbert_saying(tmp_path / "m", **values))
    assert "\n" not in str(error.value)


def test_a_trimmed_xlm_roberta_answers_as_before(tmp_path):
    """Its table of words is what is large: 250,002 rows of a model with 12 layers, 69 % of the parameters."""
    model, tokenizer, _ = load_model(STORED / "xlm-roberta" / "classifier")
    model.eval()
    texts = ["a film is not good", "the plot was dull , they said"]
    rows, before = [tokenizer(text)["input_ids"] for text in texts], model.config.vocab_size
    wanted = [model(paddle.to_tensor([row])).numpy() for row in rows]
    tokens = {token for row in rows for token in tokenizer.convert_ids_to_tokens(row)}
    (tmp_path / "kept.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    smaller, kept = trim_vocabulary(model, tokenizer, tmp_path / "kept.txt", tmp_path)
    assert len(kept) == model.config.vocab_size < before / 2
    assert model.roberta.embeddings.word_embeddings.weight.shape[0] == len(kept) == len(smaller)
    for text, row, logits in zip(texts, rows, wanted):
        ids = smaller(text)["input_ids"]
        assert [kept[number] for number in ids] == row
        np.testing.assert_allclose(model(paddle.to_tensor([ids])).numpy(), logits, atol=1e-6)
    smaller.save_pretrained(tmp_path / "saved")
    assert load_text_encoder(tmp_path / "saved", 16)(texts)[0][1].tolist() == smaller(texts[1])["input_ids"]


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_hugging_face_directory_goes_through_the_commands(family, tmp_path, glue_dir):
    """A masked LM becomes a teacher, a supernet and, without further words, a bundle."""
    data = ["--task_name", "SST-2", "--data_dir", str(glue_dir), "--device", "cpu"]
    data += "--max_seq_length 20 --batch_size 8 --max_steps 2 --save_steps 2 --learning_rate 1e-3".split()
    encoder, teacher, supernet = (str(path) for path in (STORED / family / "masked_lm", tmp_path / "t", tmp_path / "s"))
    assert run_glue.main([*data, "--model_name_or_path", encoder, "--output_dir", teacher]) == 0
    elastic = [*data, "--model_name_or_path", teacher, "--output_dir", supernet, "--width_mult_list", "1.0", "0.5"]
    assert run_glue_ofa.main(elastic) == 0
    export = ["--model_name_or_path", supernet, "--width_mult", "0.5", "--sub_model_output_dir", str(tmp_path / "d")]
    export += ["--static_sub_model", str(tmp_path / "b"), "--onnx", "--device", "cpu"]
    assert export_model.main(export) == 0
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_text())
    assert all(report["max_abs_difference"] < 1e-4 for report in manifest["models"])
    assert manifest["tokenizer"]["file"] == "tokenizer.json"
    with Predictor(tmp_path / "b", threads=1) as predictor:
        assert predictor.logits(["a film is not good"]).shape == (1, 2)


WITHOUT_PADDLE = """
import json, sys
for name in ("paddle", "paddlenlp", "paddleslim", "torch", "sentencepiece"): sys.modules[name] = None
from ofa_bert.runtime.predictor import Predictor
answers = {}
for backend in ("onnx_runtime", "openvino"):
    with Predictor(sys.argv[1], threads=1, backend=backend) as predictor:
        answers[backend] = predictor.logits([tuple(text) for text in json.loads(sys.argv[2])]).tolist()
print(json.dumps(answers))
"""


@pytest.mark.slow
@pytest.mark.parametrize("with_exits", [False, True], ids=["plain", "exits"])
@pytest.mark.parametrize("heads", [None, (1, 4, 3)], ids=["full", "uneven"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_bundle_answers_without_paddle_as_the_model_does(family, heads, with_exits, tmp_path):
    """Of pairs too; with exits every part is compared by the export itself."""
    model, tokenizer, _ = load_model(STORED / family / "classifier")
    if heads:
        resize(model, heads, (7, 40, 33))
        randomise(model, 3)
    model.eval()
    exits = Exits(model, ExitLayout("ramp", (0, 1))) if with_exits else None
    if exits is not None:
        randomise(exits, 4).eval()
    manifest = export_bundle(
        model, tokenizer, ModelRecord(), tmp_path / "bundle", 16, onnx=True, precisions=("fp32", "int8"), exits=exits
    )
    assert manifest.tokenizer.file == "tokenizer.json"
    texts = [("a film is not good", "bad"), ("The plot was dull, they said", "but they liked it"), ("", "")]
    command = [sys.executable, "-c", WITHOUT_PADDLE, str(tmp_path / "bundle"), json.dumps(texts)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for backend, found in json.loads(done.stdout).items():
        for text, logits in zip(texts, found):
            ids, types = (paddle.to_tensor([row]) for row in tokenizer(*text, max_length=16).values())
            wanted = model(ids, token_type_ids=types).numpy()[0]
            np.testing.assert_allclose(logits, wanted, atol=1e-5, err_msg=f"{backend} {text}")

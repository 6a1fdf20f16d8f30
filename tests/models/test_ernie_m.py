"""ERNIE-M: transformers' own states, logits and ids, PaddleNLP's own cut, up to a Predictor without Paddle."""

import importlib.util
import json
import random
import shutil
import subprocess
import sys

import numpy as np
import paddle
import pytest

from helpers.foreign_files import fingerprint, tokenizer_for
from helpers.models import batch_of, build, randomise
from helpers.paths import ROOT, TESTS
from helpers.second_cut_files import mixed, train_mixed, write_files
from helpers.torch_ernie_m import texts
from ofa_bert.data.tokenization.second_cut import BLANK
from ofa_bert.data.tokenization.tokenizer_files import read_tokenizer
from ofa_bert.errors import UserError
from ofa_bert.exits.layout import ExitLayout
from ofa_bert.export.bundle import export_bundle
from ofa_bert.export.hugging_face.layout import layout_of
from ofa_bert.export.hugging_face.write import write_hugging_face
from ofa_bert.export.tokenizer import ODD_TEXTS
from ofa_bert.models.directories import load_model, save_model
from ofa_bert.models.encoder import longest_input, resize, shape_of
from ofa_bert.models.exits.heads import Exits
from ofa_bert.models.paddlenlp_tokenizer import compare_with_paddlenlp, differing, from_directory
from ofa_bert.models.record import ModelRecord
from ofa_bert.models.supernet import forward, whole
from ofa_bert.models.vocabulary import trim_vocabulary
from ofa_bert.runtime.tokenizer import load_text_encoder
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.tasks.task import Task
from ofa_bert.training.stated import stated

FAMILY, STORED, LIMIT = "ernie_m", TESTS / "models" / "stored" / "ernie-m", 1e-4
TASK = Task("t", ("no", "perhaps", "yes"), ("accuracy",), ("text",), "classification")


def outputs(directory=STORED):
    with np.load(directory / "outputs.npz") as arrays:
        return {name: paddle.to_tensor(array) for name, array in arrays.items()}


def assert_logits(directory, theirs, name="classifier"):
    model, _, _ = load_model(directory)
    model.eval()
    ids, types = theirs["input_ids"], theirs["token_type_ids"]
    kept = (ids != 1).numpy()
    ours = forward(model, ids, types, whole(model))
    for found in (model(ids, token_type_ids=types), ours.logits):
        wanted = theirs[name].numpy()
        rows = slice(None) if wanted.ndim == 2 else kept
        np.testing.assert_allclose(found.numpy()[rows], wanted[rows], atol=LIMIT)
    if name == "classifier":
        np.testing.assert_allclose(ours.hidden[-1].numpy()[kept], theirs["states"].numpy()[kept], atol=LIMIT)


@pytest.mark.parametrize("name", ["classifier", "tokens"])
def test_logits_of_a_hugging_face_directory_are_transformers_own(name, tmp_path):
    before = fingerprint(STORED / name)
    assert_logits(STORED / name, outputs(), name)
    assert fingerprint(STORED / name) == before
    save_model(tmp_path / "own", *load_model(STORED / name))
    assert_logits(tmp_path / "own", outputs(), name)


def test_ids_are_transformers_own():
    tokenizer = read_tokenizer(STORED / "classifier", FAMILY)
    stored = json.loads((STORED / "ids.json").read_text("utf-8"))
    assert len(stored["singles"]) > 200
    found = tokenizer.encode([text for text, _ in stored["singles"]])[0]
    for (text, ids), row in zip(stored["singles"], found):
        assert row.tolist() == ids, text
    for first, second, ids in stored["pairs"]:
        assert tokenizer(first, second)["input_ids"] == ids
    assert tokenizer.get_vocab()[BLANK] in {number for _, ids in stored["singles"] for number in ids}  # it keeps some


def test_where_torch_is_installed_it_computes_the_same_now(tmp_path):
    missing = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}; the stored logits are compared all the same")
    command = [sys.executable, "-m", "helpers.torch_ernie_m", str(tmp_path)]
    done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True)
    if "cannot import name 'ErnieM" in done.stderr:
        pytest.skip("transformers 5 has no ERNIE-M")
    assert done.returncode == 0, done.stderr
    for name in ("classifier", "tokens"):
        assert_logits(tmp_path / name, outputs(tmp_path), name)


@pytest.mark.parametrize("rule", ["nmt_nfkc", "identity"])
def test_paddlenlp_cuts_alike(rule, tmp_path):
    pytest.importorskip("sentencepiece")
    write_files(tmp_path, train_mixed(rule))
    ours, theirs = read_tokenizer(tmp_path, FAMILY), from_directory(tmp_path, FAMILY)
    rng = random.Random(2)
    some = [*ODD_TEXTS, *texts(), *(mixed(rng, 20) for _ in range(300))]
    assert differing(ours, theirs, [text for text in some if text]) == []
    assert differing(ours, theirs, [("a film, 12", "中文12"), ("第3章 is bad", "ok ☃ , 12")]) == []
    ours.save_pretrained(tmp_path / "saved")
    assert differing(ours, from_directory(tmp_path / "saved", FAMILY), texts()[2:]) == []
    assert compare_with_paddlenlp(ours, texts()[2:]) == 0


def test_the_two_cut_lone_blanks_otherwise_and_each_directory_is_followed(tmp_path):
    pytest.importorskip("sentencepiece")
    write_files(tmp_path, train_mixed())
    paddles = read_tokenizer(tmp_path, FAMILY)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"sp_model_kwargs": {}}))
    theirs = read_tokenizer(tmp_path, FAMILY)
    text = "film 中文"
    first, second = (each.convert_ids_to_tokens(each(text)["input_ids"]) for each in (paddles, theirs))
    assert BLANK not in first
    assert [token for token in second if token != BLANK] == first
    assert second.count(BLANK) == 1


def saved_by_paddlenlp(path, **more):
    """A directory as PaddleNLP writes it, with its own model's logits, which is told what to mask."""
    import paddlenlp.transformers as paddlenlp

    config = build(FAMILY, ffn=128, **more).config
    model = randomise(paddlenlp.ErnieMForSequenceClassification(config), 7)
    model.eval()
    model.save_pretrained(str(path))
    tokenizer_for(path, FAMILY).save_pretrained(str(path))
    batch = batch_of(pad_id=config.pad_token_id)
    mask = (batch.input_ids != config.pad_token_id).astype("int64")
    return batch, model(batch.input_ids, attention_mask=mask).numpy(), model(batch.input_ids).numpy()


def test_paddlenlps_directory_has_paddlenlps_logits_with_padding_masked(tmp_path):
    batch, told, not_told = saved_by_paddlenlp(tmp_path, pad_token_id=1)
    model, _, _ = load_model(tmp_path)
    model.eval()
    for found in (model(batch.input_ids), forward(model, batch.input_ids, batch.token_type_ids, whole(model)).logits):
        np.testing.assert_allclose(found.numpy(), told, atol=1e-5)
    assert np.abs(told - not_told).max() > 1e-3  # by itself it masks token 0 and reads padding


def test_what_is_saved_is_a_plain_paddlenlp_model(tmp_path):
    """Where the FFN has the size that PaddleNLP gives it."""
    import paddlenlp.transformers as paddlenlp

    batch, told, _ = saved_by_paddlenlp(tmp_path / "m", pad_token_id=1)
    save_model(tmp_path / "own", *load_model(tmp_path / "m"))
    plain = paddlenlp.ErnieMForSequenceClassification.from_pretrained(str(tmp_path / "own"))
    plain.eval()
    mask = (batch.input_ids != 1).astype("int64")
    np.testing.assert_allclose(plain(batch.input_ids, attention_mask=mask).numpy(), told, atol=1e-5)


def test_positions_begin_at_two(tmp_path):
    model = build(FAMILY)
    assert longest_input(model) == 46
    ids = paddle.to_tensor(np.full((1, 46), 7))
    assert forward(model, ids, ids * 0, whole(model)).logits.shape == [1, 3]
    model.save_pretrained(str(tmp_path))
    with pytest.raises(UserError, match="`max_seq_length` 47: the model has positions for 46 tokens"):
        stated(str(tmp_path), "auto").check_length(47)
    stated(str(tmp_path), "auto").check_length(46)


def test_a_trimmed_model_answers_as_before(tmp_path):
    model, tokenizer, _ = load_model(STORED / "classifier")
    model.eval()
    some = ["a film is not good", "第3章 中文12，ok"]
    rows = [tokenizer(text)["input_ids"] for text in some]
    wanted = [model(paddle.to_tensor([row])).numpy() for row in rows]
    tokens = {token for row in rows for token in tokenizer.convert_ids_to_tokens(row)}
    (tmp_path / "kept.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    smaller, kept = trim_vocabulary(model, tokenizer, tmp_path / "kept.txt", tmp_path)
    assert len(kept) == model.config.vocab_size == len(smaller) < len(tokenizer) / 2
    for text, row, logits in zip(some, rows, wanted):
        ids = smaller(text)["input_ids"]
        assert [kept[number] for number in ids] == row
        np.testing.assert_allclose(model(paddle.to_tensor([ids])).numpy(), logits, atol=1e-6)
    smaller.save_pretrained(tmp_path / "saved")
    assert load_text_encoder(tmp_path / "saved", 16)(some)[0][1].tolist() == smaller(some[1])["input_ids"]


def small(heads=(1, 4, 3), ffn=(7, 40, 33)):
    model, tokenizer, _ = load_model(STORED / "classifier")
    shape = shape_of(model)
    resize(model, heads, ffn)
    randomise(model, 3).eval()
    record = ModelRecord(
        kind="sub_model", task=TASK, model_type=FAMILY, sub_model=SubModelConfig((0, 1, 2), heads, ffn), shape=shape
    )
    return model, tokenizer, record


def written(path, version="4"):
    model, tokenizer, record = small()
    layout = layout_of(model, TASK, version)
    write_hugging_face(path, model, tokenizer, record, record.shape, record.sub_model, 24, layout, None)
    return model


def test_for_hugging_face(tmp_path):
    model = written(tmp_path / "4")
    names = {path.name for path in (tmp_path / "4").iterdir()}
    assert {"vocab.txt", "sentencepiece.bpe.model", "tokenizer_config.json"} <= names
    assert "tokenizer.json" not in names  # transformers' class reads none
    config = json.loads((tmp_path / "4" / "config.json").read_text())
    assert config["pruned_heads"] == {"0": [1, 2, 3], "2": [3]}
    with pytest.raises(UserError, match="transformers 5 has no ernie_m, 4 is the last that has; write for it"):
        layout_of(model, TASK, "5")
    tokenizer = read_tokenizer(tmp_path / "4", FAMILY)
    stored = json.loads((STORED / "ids.json").read_text("utf-8"))["singles"]
    assert [row.tolist() for row in tokenizer.encode([text for text, _ in stored])[0]] == [ids for _, ids in stored]


def test_what_transformers_would_cut_otherwise_is_not_written_for_it(tmp_path):
    model, _, record = small()
    (tmp_path / "m").mkdir()
    tokenizer_for(tmp_path / "m", FAMILY)
    tokenizer = read_tokenizer(tmp_path / "m", FAMILY)
    layout = layout_of(model, TASK, "4")
    with pytest.raises(
        UserError, match="without tokens for blanks that stand alone, which transformers makes"
    ) as error:
        write_hugging_face(tmp_path / "4", model, tokenizer, record, record.shape, record.sub_model, 24, layout, None)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "4").exists()


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
@pytest.mark.parametrize("uneven", [False, True], ids=["full", "uneven"])
def test_a_bundle_answers_without_paddle_as_the_model_does(uneven, with_exits, tmp_path):
    model, tokenizer, _ = small() if uneven else load_model(STORED / "classifier")
    model.eval()
    exits = Exits(model, ExitLayout("ramp", (0, 1))) if with_exits else None
    if exits is not None:
        randomise(exits, 4).eval()
    manifest = export_bundle(
        model, tokenizer, ModelRecord(), tmp_path / "bundle", 16, onnx=True, precisions=("fp32", "int8"), exits=exits
    )
    assert manifest.tokenizer.file == "tokenizer.json"
    some = [("a film is not good", "第3章"), ("中文12，ok", "but they 12 liked it"), ("", "")]
    command = [sys.executable, "-c", WITHOUT_PADDLE, str(tmp_path / "bundle"), json.dumps(some)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for backend, found in json.loads(done.stdout).items():
        for text, logits in zip(some, found):
            ids, types = (paddle.to_tensor([row]) for row in tokenizer(*text, max_length=16).values())
            wanted = model(ids, token_type_ids=types).numpy()[0]
            np.testing.assert_allclose(logits, wanted, atol=1e-5, err_msg=f"{backend} {text}")


def test_a_lacking_weight_and_a_foreign_model_are_named(tmp_path):
    directory = shutil.copytree(STORED / "classifier", tmp_path / "m")
    config = json.loads((directory / "config.json").read_text())
    for values, words in (
        ({"num_hidden_layers": 9}, "num_hidden_layers is 9, the weights have 3"),
        ({"intermediate_size": 44}, "intermediate_size is 44, the weights have 40"),
        ({"max_position_embeddings": 30}, "max_position_embeddings is 30"),
    ):
        (directory / "config.json").write_text(json.dumps({**config, **values}))
        with pytest.raises(UserError, match=words):
            load_model(directory)
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "sentencepiece.bpe.model").unlink()
    with pytest.raises(UserError, match="has no tokenizer; sentencepiece.bpe.model is missing"):
        load_model(directory)

"""Models from every layout give the states of an independent reference; what does not fit is refused."""

from __future__ import annotations

import json
import logging
import os
import shutil

import numpy as np
import paddle
import pytest

from helpers import foreign_files
from helpers.foreign_files import fingerprint, tokenizer_for
from helpers.models import VOCABULARY, build
from helpers.paths import SHARED
from ofa_bert.errors import UserError
from ofa_bert.files.weights import write_weights
from ofa_bert.models.directories import load_model, save_model
from ofa_bert.models.encoder import backbone
from ofa_bert.models.families.registry import model_class
from ofa_bert.models.record import ModelRecord

IDS = np.array([[2, 7, 8, 9, 3, 10, 11, 3], [2, 12, 5, 20, 21, 3, 6, 3]])
TYPES = np.array([[0, 0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0, 1, 1]])


def states(model, ids=IDS, types=TYPES):
    """Last hidden states [B, T, H] of a model in eval mode."""
    model.eval()
    with paddle.no_grad():
        return backbone(model)(paddle.to_tensor(ids), token_type_ids=paddle.to_tensor(types))[0].numpy()


def logits(model, ids=IDS, types=TYPES):
    model.eval()
    with paddle.no_grad():
        return model(paddle.to_tensor(ids), token_type_ids=paddle.to_tensor(types)).numpy()


def hugging_face(path, weights, file="model.safetensors", dtype="f4", **config):
    """A Hugging Face directory that holds these weights, in one of the file formats."""
    foreign_files.model_directory(path, VOCABULARY, **config)
    if file.endswith(".safetensors"):
        write_weights(path / file, {name: array.astype(dtype) for name, array in weights.items()}, {"format": "pt"})
    else:
        foreign_files.write_torch(path / file, weights, dtype, legacy=file == "legacy")
    return path


def expected_states(weights, **changes):
    shape = {**foreign_files.SHAPE, **changes}
    return foreign_files.reference_states(weights, shape, IDS, TYPES)


@pytest.mark.parametrize("prefix", [None, "bert"])
@pytest.mark.parametrize(
    ("file", "dtype"), [("model.safetensors", "f4"), ("model.safetensors", "f2"), ("pytorch_model.bin", "f4")]
)
def test_hugging_face_bert(tmp_path, file, dtype, prefix):
    weights = foreign_files.hugging_face_weights(classifier=3)
    weights = {name: array.astype(dtype).astype("f4") for name, array in weights.items()}
    stored = foreign_files.with_prefix(weights, prefix) if prefix else weights
    directory = hugging_face(tmp_path / "hf", stored, file, dtype)
    before = fingerprint(directory)
    model, tokenizer, record = load_model(directory, "bert", num_labels=3)
    assert fingerprint(directory) == before
    assert record == ModelRecord()
    expected = expected_states(weights)
    np.testing.assert_allclose(states(model), expected, atol=2e-5)
    pooled = np.tanh(expected[:, 0] @ weights["pooler.dense.weight"].T + weights["pooler.dense.bias"])
    scores = pooled @ weights["classifier.weight"].T + weights["classifier.bias"]
    np.testing.assert_allclose(logits(model), scores, atol=2e-5)
    assert tokenizer("a film is not good")["input_ids"][1:-1] == [
        VOCABULARY.index(w) for w in "a film is not good".split()
    ]


@pytest.mark.parametrize("model_type", ["ernie", "roberta", "tinybert"])
def test_hugging_face_other_families(tmp_path, model_type):
    weights = foreign_files.hugging_face_weights()
    directory = hugging_face(
        tmp_path / "hf", foreign_files.with_prefix(weights, model_type), model_type=model_type, pad_token_id=0
    )
    if model_type == "tinybert":  # published with BERT's prefix and without a model type
        shutil.rmtree(directory)
        stored = {**foreign_files.with_prefix(weights, "bert"), "fit_dense.weight": np.zeros([48, 24], "f4")}
        hugging_face(directory, stored, model_type=None, fit_size=48)
    model, _, _ = load_model(directory, model_type, num_labels=2)
    first = 1 if model_type == "roberta" else 0  # RoBERTa's positions start after the padding token's
    expected = foreign_files.reference_states(weights, foreign_files.SHAPE, IDS, TYPES, first)
    np.testing.assert_allclose(states(model), expected, atol=2e-5)


def test_names_of_the_first_bert_checkpoints(tmp_path):
    weights = foreign_files.hugging_face_weights()
    old = {
        name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): a for name, a in weights.items()
    }
    old = {**foreign_files.with_prefix(old, "bert"), "cls.seq_relationship.bias": np.zeros(2, "f4")}
    old["bert.embeddings.position_ids"] = np.zeros(4, "f4")
    model, _, _ = load_model(hugging_face(tmp_path / "hf", old, "pytorch_model.bin"), num_labels=2)
    np.testing.assert_allclose(states(model), expected_states(weights), atol=2e-5)


def test_only_pooler_and_classifier_may_be_fresh(tmp_path, caplog):
    weights = foreign_files.hugging_face_weights(pooler=False)
    directory = hugging_face(tmp_path / "hf", weights)
    with caplog.at_level(logging.INFO, "ofa_bert"):
        model, _, _ = load_model(directory, num_labels=5)
    assert "classifier.weight" in caplog.text
    assert "pooler.dense.bias" in caplog.text
    assert "encoder" not in caplog.text
    assert logits(model).shape == (2, 5)
    with pytest.raises(UserError, match="is an encoder without a classifier"):
        load_model(directory)


def lacking(name):
    return lambda weights: weights.pop(name)


def with_shape(name, *shape):
    return lambda weights: weights.update({name: np.zeros(shape, "f4")})


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lacking("encoder.layer.1.output.dense.bias"), "missing bert.encoder.layers.1.linear2.bias"),
        (lacking("pooler.dense.bias"), "missing bert.pooler.dense.bias"),
        (
            with_shape("encoder.layer.2.output.dense.bias", 24),
            "unexpected bert.encoder.layers.2.linear2.bias",
        ),
        (with_shape("adapter.weight", 2, 2), "unexpected bert.adapter.weight"),
        (with_shape("encoder.layer.0.attention.self.query.lora_A", 2, 2), "unexpected .*lora_A"),
        (
            with_shape("embeddings.word_embeddings.weight", 99, 24),
            "wrong shape: .*is .99, 24., the model needs",
        ),
        (with_shape("classifier.weight", 3, 24), "missing classifier.bias"),
    ],
)
def test_weights_that_do_not_fit(tmp_path, damage, words):
    weights = foreign_files.hugging_face_weights()
    damage(weights)
    with pytest.raises(UserError, match=words):
        load_model(hugging_face(tmp_path / "hf", weights), num_labels=2)


def test_a_classifier_for_another_number_of_labels(tmp_path):
    directory = hugging_face(tmp_path / "hf", foreign_files.hugging_face_weights(classifier=3))
    for number in (2, 4):
        with pytest.raises(UserError, match=f"hf: answers with 3 numbers, the task needs {number}; .*`fresh_head`"):
            load_model(directory, num_labels=number)
    assert load_model(directory, num_labels=2, fresh_head=True)[0].config.num_labels == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "ernie"}, "is a ernie model, not bert; use `model_type` ernie"),
        ({"model_type": "gpt2"}, "is a gpt2 model, not bert; supported are bert"),
        ({"num_attention_heads": 5}, "5 heads do not divide hidden_size 24"),
        ({"hidden_size": "wide"}, "hidden_size is 'wide'"),
        ({"hidden_act": "gelu_fastest"}, "no activation"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type .* is not supported"),
        ({"vocab_size": 20}, "wrong shape"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
    ],
)
def test_configurations_that_do_not_fit(tmp_path, changes, words):
    directory = hugging_face(tmp_path / "hf", foreign_files.hugging_face_weights(), **changes)
    with pytest.raises(UserError, match=words):
        load_model(directory, "bert", num_labels=2)


def test_broken_directories(tmp_path):
    def check(words, change):
        directory = tmp_path / "hf"
        shutil.rmtree(directory, ignore_errors=True)
        change(hugging_face(directory, foreign_files.hugging_face_weights()))
        with pytest.raises(UserError, match=words):
            load_model(directory, num_labels=2)

    check("has no config.json$", lambda path: (path / "config.json").unlink())
    check(
        "did you mean .*hf/best",
        lambda path: path.rename(path / ".." / "b") and (path / "best").mkdir(parents=True),
    )
    check("not a JSON file", lambda path: (path / "config.json").write_text("{"))
    check("must hold a JSON object", lambda path: (path / "config.json").write_text("[]"))
    check("holds no weights", lambda path: (path / "model.safetensors").unlink())
    check("damaged, cut off", lambda path: os.truncate(path / "model.safetensors", 5000))
    check("the file is empty", lambda path: os.truncate(path / "model.safetensors", 0))
    check("vocab.txt is missing", lambda path: (path / "vocab.txt").unlink())
    check("tokenizer cannot be loaded", lambda path: (path / "tokenizer_config.json").write_text("{"))
    check(
        "28 tokens, the model embeds 27",
        lambda path: (path / "vocab.txt").write_text("\n".join([*VOCABULARY, "x"]) + "\n"),
    )
    check("a sub-model is", lambda path: (path / "ofa_config.json").write_text('{"sub_model": {"layers": [0]}}'))
    with pytest.raises(UserError, match="is a file"):
        load_model(tmp_path / "hf" / "vocab.txt")


def test_an_unknown_name_is_one_line():
    with pytest.raises(UserError, match="no/such-model: neither a local directory nor a model") as error:
        load_model("no/such-model")
    assert "\n" not in str(error.value)
    assert "http" not in str(error.value)


def test_a_tokenizer_from_an_unknown_place_names_that_place(tmp_path):
    directory = hugging_face(tmp_path / "hf", foreign_files.hugging_face_weights())
    with pytest.raises(UserError) as error:
        load_model(directory, num_labels=2, tokenizer_name_or_path=str(tmp_path / "gone"))
    assert str(error.value).startswith(f"`tokenizer_name_or_path` {tmp_path / 'gone'}: neither a local directory nor")
    assert "vocab.txt or tokenizer.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_downloaded_pickle_is_not_run_either(tmp_path, monkeypatch):
    import pickle

    path = tmp_path / "model_state.pdparams"
    path.write_bytes(pickle.dumps({"bert.pooler.dense.bias": foreign_files.Poison(tmp_path / "it-ran")}))
    bert = model_class("bert")
    monkeypatch.setattr(bert, "_resolve_model_file_path", lambda *_, **__: (str(path), None, None, False))
    with pytest.raises(UserError, match="system"):
        load_model("bert-base-uncased", num_hidden_layers=1, num_labels=2)
    assert not (tmp_path / "it-ran").exists()


@pytest.mark.parametrize("lower_case", [True, False])
def test_the_tokenizer_configuration_is_respected(tmp_path, lower_case):
    directory = hugging_face(tmp_path / "hf", foreign_files.hugging_face_weights())
    settings = {
        "do_lower_case": lower_case,
        "tokenizer_class": "BertTokenizer",
        "vocab_file": "/etc/hostname",
    }
    settings["added_tokens_decoder"] = {"0": {"content": "[PAD]", "special": True}}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    _, tokenizer, _ = load_model(directory, num_labels=2)
    good = VOCABULARY.index("good") if lower_case else VOCABULARY.index("[UNK]")
    assert tokenizer("Good")["input_ids"] == [2, good, 3]


def test_roberta_with_a_byte_pair_vocabulary(tmp_path):
    """As roberta-base: vocab.json and merges.txt, padding id 1, no tokenizer_config.json."""
    weights = foreign_files.hugging_face_weights(type_vocab_size=1)
    directory = hugging_face(
        tmp_path / "hf",
        foreign_files.with_prefix(weights, "roberta"),
        model_type="roberta",
        pad_token_id=1,
        type_vocab_size=1,
    )
    (directory / "vocab.txt").unlink()
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "g", "o", "d", "go", "od", "good", "Ġ"]
    (directory / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    (directory / "merges.txt").write_text("#version: 0.2\ng o\no d\ngo od\n")
    model, tokenizer, _ = load_model(directory, "roberta", num_labels=2)
    assert tokenizer("good")["input_ids"] == [0, 10, 2]
    assert tokenizer.pad_token_id == 1
    types = np.zeros_like(TYPES)
    expected = foreign_files.reference_states(weights, foreign_files.SHAPE, IDS, types, first_position=2)
    np.testing.assert_allclose(states(model, types=types), expected, atol=2e-5)
    save_model(tmp_path / "out", model, tokenizer, ModelRecord())
    again, tokenizer, _ = load_model(tmp_path / "out", "roberta")
    assert np.array_equal(logits(again, types=types), logits(model, types=types))
    assert tokenizer("good")["input_ids"] == [0, 10, 2]


REAL = ["gte-small", "paraphrase-MiniLM-L3-v2", "ernie-3.0-nano-zh-uie"]


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_real_encoders(name):
    from safetensors.numpy import load_file

    directory = SHARED / "models" / name
    if not directory.is_dir():
        pytest.skip(f"needs the real encoder {name} beside the checkout")
    before = fingerprint(directory)
    model, tokenizer, _ = load_model(directory, "bert", num_labels=2)
    assert fingerprint(directory) == before
    sentence = "如果天气好，我们去公园。" if "zh" in name else "The film was not as dull as its plot, they said."
    encoded = tokenizer(sentence, sentence[:9])
    ids, types = np.array([encoded["input_ids"]]), np.array([encoded["token_type_ids"]])
    config = json.loads((directory / "config.json").read_text())
    expected = foreign_files.reference_states(load_file(str(directory / "model.safetensors")), config, ids, types)
    np.testing.assert_allclose(states(model, ids, types), expected, atol=5e-5)


def test_paddlenlps_own_converter_agrees(tmp_path):
    """On a copy: the converter writes a model_state.pdparams into the directory that it reads."""
    source = SHARED / "models" / "paraphrase-MiniLM-L3-v2"
    if not source.is_dir():
        pytest.skip("needs the real encoder paraphrase-MiniLM-L3-v2 beside the checkout")
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in source.iterdir():
        shutil.copyfile(path, copy / path.name)
    theirs = model_class("bert").from_pretrained(str(copy), convert_from_torch=True)
    assert (copy / "model_state.pdparams").exists()
    ours, _, _ = load_model(source, "bert", num_labels=2)
    both = ours.state_dict(), theirs.state_dict()
    shared = [name for name in both[0] if name.startswith("bert.") and "pooler" not in name]
    assert len(shared) == 5 + 3 * 16
    for name in shared:
        np.testing.assert_array_equal(both[0][name].numpy(), both[1][name].numpy(), err_msg=name)
    (copy / "model.safetensors").unlink()  # what is left is PaddleNLP's own layout
    again, _, _ = load_model(copy, "bert", num_labels=2)
    assert np.array_equal(states(again), states(theirs))


def test_paddlenlp_2_4_directories(tmp_path):
    """model_config.json with nested init_args, as PaddleNLP wrote it before config.json."""
    model, tokenizer = build("bert"), tokenizer_for(tmp_path, "bert")
    save_model(tmp_path / "m", model, tokenizer, ModelRecord())
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    inner = {key: config[key] for key in config if key not in ("architectures", "model_type", "id2label", "label2id")}
    legacy = {
        "init_args": [{**inner, "init_class": "BertModel"}],
        "init_class": "BertForSequenceClassification",
        "num_classes": 3,
    }
    (tmp_path / "m" / "config.json").unlink()
    (tmp_path / "m" / "model_config.json").write_text(json.dumps(legacy))
    paddle.save(model.state_dict(), str(tmp_path / "m" / "model_state.pdparams"))
    (tmp_path / "m" / "model.safetensors").unlink()
    again, _, _ = load_model(tmp_path / "m", "bert")
    assert np.array_equal(logits(again), logits(model))


def test_overrides(tmp_path):
    save_model(tmp_path / "m", build("bert"), tokenizer_for(tmp_path, "bert"), ModelRecord())
    model, _, _ = load_model(tmp_path / "m", hidden_dropout_prob=0.0)
    assert model.config.hidden_dropout_prob == 0.0
    assert backbone(model).encoder.layers[0].dropout1.p == 0.0
    with pytest.raises(TypeError, match="hidden_droopout"):
        load_model(tmp_path / "m", hidden_droopout=0.0)

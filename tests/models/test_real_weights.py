"""Real encoders under another family's names: gte-small as a DistilBERT, ERNIE 3.0 nano as a PP-MiniLM and ERNIE-Gram.

DistilBERT has no token types, so the row of type 0 is put into the table of positions. The states must be those of the
model as it was published, for texts whose types are all 0.
"""

import json

import numpy as np
import paddle
import pytest

from helpers.paths import SHARED
from ofa_bert.export.bundle import export_bundle
from ofa_bert.files.weights import read_weights, write_weights
from ofa_bert.models.directories import load_model
from ofa_bert.models.record import ModelRecord
from ofa_bert.models.supernet import forward, whole
from ofa_bert.runtime.predictor import Predictor

TEXTS = [
    "a gripping, quietly moving film that never puts a foot wrong",
    "the plot is thin and the jokes are older than the cast",
    "it's not bad \u2014 but 3.5 stars would be too many!",
    "这部电影的情节很好，演员也很出色。",
]
POSITIONS, TYPES = "embeddings.position_embeddings.weight", "embeddings.token_type_embeddings.weight"
# Hugging Face's BERT -> Hugging Face's DistilBERT, inside a layer.
PARTS = {
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}


def source(name):
    directory = SHARED / "models" / name
    if not directory.is_dir():
        pytest.skip(f"needs {name} beside the checkout")
    return directory


def write(path, directory, weights, config):
    path.mkdir()
    (path / "vocab.txt").write_bytes((directory / "vocab.txt").read_bytes())
    (path / "config.json").write_text(json.dumps(config))
    write_weights(path / "model.safetensors", weights, {"format": "pt"})
    return path


def as_distilbert(directory, path):
    """In transformers' names and configuration of it."""
    weights, config = read_weights(directory / "model.safetensors"), json.loads((directory / "config.json").read_text())
    renamed = {}
    for name, array in weights.items():
        bare = name.removeprefix("bert.")
        if bare.startswith("encoder.layer."):
            _, _, number, part = bare.split(".", 3)
            module, _, leaf = part.rpartition(".")
            renamed[f"distilbert.transformer.layer.{number}.{PARTS[module]}.{leaf}"] = array
        elif bare.startswith("embeddings.") and bare not in (TYPES, "embeddings.position_ids"):
            renamed[f"distilbert.{bare}"] = array + weights[TYPES][0] if bare == POSITIONS else array
    about = {
        "model_type": "distilbert", "activation": config["hidden_act"], "dim": config["hidden_size"],
        "n_layers": config["num_hidden_layers"], "n_heads": config["num_attention_heads"],
        "hidden_dim": config["intermediate_size"], "vocab_size": config["vocab_size"],
        "max_position_embeddings": config["max_position_embeddings"],
    }  # fmt: skip
    return write(path, directory, renamed, about)


def as_ernies_sister(directory, path, model_type):
    """In PaddleNLP's names. The published file is a BERT already: ERNIE's row of the kind of task is in its tables."""
    model, _, _ = load_model(directory, num_labels=2)
    prefix, config = model.base_model_prefix, model.config
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    renamed = {name.replace(f"{prefix}.", f"{model_type}.", 1): array for name, array in weights.items()}
    sizes = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    sizes += ("max_position_embeddings", "type_vocab_size", "hidden_act", "layer_norm_eps", "pad_token_id")
    about = {"model_type": model_type, "embedding_size": config.hidden_size, "num_labels": 2}
    return write(path, directory, renamed, {**about, **{name: getattr(config, name) for name in sizes}})


def assert_the_same(directory, renamed):
    """Ids and last states of every text."""
    theirs, tokenizer, _ = load_model(directory, num_labels=2)
    ours, own_tokenizer, _ = load_model(renamed, num_labels=2)
    theirs.eval(), ours.eval()
    for text in TEXTS:
        row = tokenizer(text)["input_ids"]
        assert own_tokenizer(text)["input_ids"] == row
        ids = paddle.to_tensor([row])
        one, other = (forward(m, ids, paddle.zeros_like(ids), whole(m)).hidden[-1].numpy() for m in (theirs, ours))
        np.testing.assert_allclose(other, one, atol=1e-4)
    return ours, own_tokenizer


@pytest.mark.slow
def test_gte_small_as_a_distilbert(tmp_path):
    directory = source("gte-small")
    model, tokenizer = assert_the_same(directory, as_distilbert(directory, tmp_path / "m"))
    export_bundle(model, tokenizer, ModelRecord(), tmp_path / "b", 64, onnx=True, precisions=("fp32", "int8"))
    reports = json.loads((tmp_path / "b" / "manifest.json").read_text())["models"]
    assert {report["precision"] for report in reports} >= {"fp32", "int8"}
    assert all(report["max_abs_difference"] < 1e-4 for report in reports if report["precision"] == "fp32")
    with Predictor(tmp_path / "b", threads=1) as predictor:
        found = predictor.logits([(TEXTS[0], TEXTS[1])])[0]
    ids, types = (paddle.to_tensor([row]) for row in tokenizer(TEXTS[0], TEXTS[1]).values())
    np.testing.assert_allclose(found, model(ids, types).numpy()[0], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("model_type", ["ppminilm", "ernie_gram"])
def test_ernie_nano_as_its_sisters(model_type, tmp_path):
    directory = source("ernie-3.0-nano-zh-uie")
    assert_the_same(directory, as_ernies_sister(directory, tmp_path / "m", model_type))

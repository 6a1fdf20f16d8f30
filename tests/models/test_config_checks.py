"""Impossible configurations are refused before a model is built, in one line that says what is allowed."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from helpers import foreign_files
from helpers.models import VOCABULARY
from ofa_bert.errors import UserError
from ofa_bert.models import config_checks
from ofa_bert.models.families.registry import FAMILIES
from ofa_bert.models.parameter_names import to_paddle
from ofa_bert.submodels.values import SubModelConfig

GOOD = {
    **foreign_files.SHAPE, "num_labels": 3, "initializer_range": 0.02, "pool_act": "tanh", "pad_token_id": 0,
    "classifier_dropout": None,
}  # fmt: skip

BERT = FAMILIES["bert"]


def config(**changes):
    return SimpleNamespace(**{**GOOD, **changes})


def weights(**shape):
    return to_paddle(foreign_files.hugging_face_weights(classifier=3, **shape), BERT)


def refused(check, *arguments):
    with pytest.raises(UserError) as error:
        check("there", *arguments)
    message = str(error.value)
    assert message.isprintable()
    assert len(message) < 800
    return message


def test_what_fits_is_not_refused():
    config_checks.check_labels("there", GOOD)
    config_checks.check_config("there", config(), BERT)
    config_checks.check_sizes("there", config(), weights(), "bert")


WRONG = [
    *(("hidden_act", value, "no activation of Paddle; gelu") for value in ("__doc__", 1, ["gelu"], {}, None)),
    *(("hidden_act", value, "write gelu there") for value in ("gelu_new", "gelu_pytorch_tanh", "quick_gelu")),
    *(("layer_norm_eps", value, "at most 0.001") for value in (float("nan"), -1e-12, 0, 0.01, "1e-12", True, None)),
    *(("hidden_dropout_prob", value, "from 0 to below 1") for value in (-0.1, 1.0, 5, float("nan"), "0.1", True)),
    *(("attention_probs_dropout_prob", value, "from 0 to below 1") for value in (-0.1, float("inf"), [0.1])),
    ("classifier_dropout", 2, "from 0 to below 1"),
    *(("num_labels", value, "whole number above 0") for value in (0, -1, True, 2.0, "3", None)),
    *(("hidden_size", value, "whole number above 0") for value in ("wide", None, 24.0, -24, [24])),
    *(("pad_token_id", value, "token's id") for value in (-1, "0", 0.5, True)),
    ("pad_token_id", 27, "must be below 27"),
    ("initializer_range", -1, "not negative"),
    ("num_attention_heads", 5, "do not divide"),
    ("position_embedding_type", "relative_key\n", "not supported"),
    ("hidden_act", "x" * 10**6, "no activation"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "words"), WRONG)
def test_wrong_values(name, value, words):
    message = refused(config_checks.check_config, config(**{name: value}), BERT)
    assert words in message
    assert name in message or "heads" in message


def test_every_problem_is_named_at_once():
    message = refused(config_checks.check_config, config(hidden_act="x", layer_norm_eps=-1.0, vocab_size=0), BERT)
    assert all(name in message for name in ("hidden_act", "layer_norm_eps", "vocab_size"))


def test_activations_are_paddles():
    from paddle.nn import functional

    assert all(callable(getattr(functional, name)) for name in config_checks.ACTIVATIONS)


@pytest.mark.parametrize("values", [
    {"num_labels": 10**12}, {"num_classes": 10**12}, {"num_labels": True}, {"num_labels": "3"}, {"num_labels": -1},
    {"init_args": [{"num_classes": 10**12}]}, {"init_args": [{"init_args": [{"num_labels": 0}]}]},
])  # fmt: skip
def test_labels_are_counted_before_they_get_names(values):
    assert "whole number from 1 to 100000" in refused(config_checks.check_labels, values)


@pytest.mark.parametrize(("name", "value", "held"), [
    ("num_hidden_layers", 10**6, 2), ("vocab_size", 10**12, 27), ("hidden_size", 240, 24),
    ("intermediate_size", 10**9, 40), ("max_position_embeddings", 10**9, 32), ("type_vocab_size", 10**9, 2),
    ("num_labels", 10**5, 3),
])  # fmt: skip
def test_more_than_the_weights_are(name, value, held):
    message = refused(config_checks.check_sizes, config(**{name: value}), weights(), "bert")
    assert f"{name} is {value}, the weights have {held}" in message


def test_layers_are_counted_not_believed():
    """One tensor that calls itself of layer 999,999 is no million layers."""
    sparse = {**weights(), "bert.encoder.layers.999999.linear1.weight": np.zeros([24, 40], "f4")}
    assert "the weights have 3" in refused(config_checks.check_sizes, config(num_hidden_layers=10**6), sparse, "bert")


def test_weights_without_the_sizes():
    one = weights()
    del one["bert.embeddings.word_embeddings.weight"]
    assert "missing bert.embeddings.word" in refused(config_checks.check_sizes, config(vocab_size=10**12), one, "bert")
    one["bert.embeddings.word_embeddings.weight"] = np.zeros(3, "f4")
    assert "is [3], not a matrix" in refused(config_checks.check_sizes, config(), one, "bert")


def test_task_ids():
    about = config(use_task_id=True, task_type_vocab_size=3, task_id=3)
    assert "task_id is 3, must be below 3" in refused(config_checks.check_config, about, BERT)
    assert "missing bert.embeddings.task_type" in refused(config_checks.check_sizes, about, weights(), "bert")


def test_sub_models():
    fits = SubModelConfig((0, 1), (3, 3), (40, 40))
    config_checks.check_sizes("there", config(intermediate_size=80), weights(), "bert", fits)
    for wrong in (SubModelConfig((0, 1), (3, 10**9), (40, 40)), SubModelConfig((0, 1), (3, 3), (10**12, 40))):
        message = refused(config_checks.check_sizes, config(), weights(), "bert", wrong)
        assert "neurons, the weights have 3, 40" in message
    huge = config(intermediate_size=10**9)
    assert "intermediate_size" in refused(config_checks.check_sizes, huge, weights(), "bert", fits)
    deep = config(num_hidden_layers=4)
    assert "num_hidden_layers is 4" in refused(config_checks.check_sizes, deep, weights(), "bert", fits)


LOAD = """
import resource, sys, time
sys.path[:0] = sys.argv[2:]
from ofa_bert.errors import UserError
from ofa_bert.models.directories import load_model
import paddlenlp.transformers
paddlenlp.transformers.BertForSequenceClassification
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + (256 << 20),) * 2)
for line in open(sys.argv[1]).read().split():
    started = time.process_time()
    try:
        load_model(line)
        print("loaded")
    except UserError as error:
        print(error)
    assert time.process_time() - started < 2
"""


@pytest.mark.slow
def test_hostile_directories_cost_nothing(tmp_path):
    """The whole way, in a process with 256 MiB to spare."""
    from helpers.paths import ROOT
    from ofa_bert.files.weights import write_weights

    changes = {
        "layers": {"num_hidden_layers": 10**6},
        "vocabulary": {"vocab_size": 10**12},
        "labels": {"num_labels": 10**12},
        "names": {"num_labels": True},
        "act": {"hidden_act": "__doc__"},
        "eps": {"layer_norm_eps": -1},
        "method": {"to_dict": 1, "_auto_class": "x", "tensor_parallel_degree": 8, "fuse": True, "num_labels": 3},
    }
    for name, changed in changes.items():
        path = foreign_files.model_directory(tmp_path / name, VOCABULARY)
        about = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps({**about, **changed}))
        write_weights(path / "model.safetensors", foreign_files.hugging_face_weights(classifier=3))
    pointer = tmp_path / "pointer"
    pointer.mkdir()
    for file in (tmp_path / "method").iterdir():
        (pointer / file.name).write_bytes(file.read_bytes())
    (pointer / "vocab.txt").write_bytes(foreign_files.LFS_POINTER)
    listed = tmp_path / "list"
    listed.write_text("\n".join(str(tmp_path / name) for name in [*changes, "pointer"]))
    command = [sys.executable, "-c", LOAD, str(listed), str(ROOT), str(ROOT / "tests")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr[-1500:]
    lines = [line for line in done.stdout.splitlines() if line == "loaded" or str(tmp_path) in line]
    words = ["num_hidden_layers is 1000000", "vocab_size is 1000000000000", "num_labels is 1000000000000"]
    words += ["num_labels is True", "hidden_act '__doc__'", "layer_norm_eps is -1", "loaded", "vocab.txt: is a Git LFS"]
    assert len(lines) == len(words)
    assert all(word in line for word, line in zip(words, lines))

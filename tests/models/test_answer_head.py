"""Heads of Hugging Face and PaddleNLP that find answers in contexts: their own logits, and what they may become."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import paddle
import pytest

from helpers.answers_case import write_case
from helpers.models import VOCABULARY
from helpers.paths import TESTS
from helpers.torch_answers import FAMILIES
from ofa_bert.__main__ import main
from ofa_bert.errors import UserError
from ofa_bert.files.weights import read_weights, write_weights
from ofa_bert.models.directories import load_encoder, load_model
from ofa_bert.models.encoder import answers_per_token
from ofa_bert.models.supernet import forward, whole
from ofa_bert.tasks.kinds import tokens
from ofa_bert.tasks.kinds.answers import DOC_STRIDE, KIND, MAY_LACK
from ofa_bert.tasks.task import Task

STORED = TESTS / "models" / "stored" / "answers"
TASK = Task("a", (), KIND.usual_metrics, ("question", "context"), KIND.name, objective=MAY_LACK, doc_stride=DOC_STRIDE)
OTHERS = (
    Task("t", ("a", "b"), ("accuracy",), ("text",)),
    Task("n", tokens.tags_of(("PER",))[:2], tokens.KIND.usual_metrics, ("text",), tokens.KIND.name),
)


def assert_transformers_logits(directory, family):
    """A model with and without its task, stock and as supernet."""
    with np.load(directory / "outputs.npz") as arrays:
        stored = dict(arrays)
    ids, types = (paddle.to_tensor(stored[name]) for name in ("input_ids", "token_type_ids"))
    real = stored["input_ids"] != 0
    assert np.ptp(stored[family][real], axis=0).min() > 0.1  # tokens differ, or nothing is compared
    for task in (TASK, None):
        model, _, _ = load_model(directory / family, num_labels=2 if task else None, task=task)
        model.eval()
        assert answers_per_token(model)
        for found in (model(ids, token_type_ids=types), forward(model, ids, types, whole(model)).logits):
            np.testing.assert_allclose(found.numpy()[real], stored[family][real], atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_transformers_own(family):
    assert_transformers_logits(STORED, family)


def test_where_torch_is_installed_it_computes_the_same_now(tmp_path):
    missing = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}; the stored logits are compared all the same")
    command = [sys.executable, "-m", "helpers.torch_answers", str(tmp_path)]  # apart: torch and Paddle disagree in one
    done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for family in FAMILIES:
        assert_transformers_logits(tmp_path, family)


@pytest.fixture(params=("Bert", "Ernie", "Roberta", "Electra"))
def paddles(request, tmp_path):
    """PaddleNLP's own model of a family, and where it was saved."""
    import paddlenlp.transformers as stock

    sizes = {"vocab_size": len(VOCABULARY), "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 24, "max_position_embeddings": 24, "type_vocab_size": 2, "pad_token_id": 0}
    sizes |= {"embedding_size": 16} if request.param == "Electra" else {}
    paddle.seed(0)
    model = getattr(stock, f"{request.param}ForQuestionAnswering")(getattr(stock, f"{request.param}Config")(**sizes))
    rng = np.random.default_rng(0)
    for parameter in model.parameters():
        parameter.set_value(parameter + rng.normal(0, 0.1, parameter.shape).astype("float32"))
    model.eval()
    config = {**model.config.to_dict(), "architectures": [type(model).__name__]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    write_weights(tmp_path / "model.safetensors", {name: value.numpy() for name, value in model.state_dict().items()})
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    return model, tmp_path


def test_paddlenlps_own_is_the_same_model(paddles):
    stock, directory = paddles
    model, _, _ = load_model(directory, num_labels=2, task=TASK)
    model.eval()
    ids = paddle.to_tensor(np.random.default_rng(0).integers(5, len(VOCABULARY), (2, 9)))
    starts, ends = stock(ids)
    np.testing.assert_allclose(model(ids).numpy(), paddle.stack([starts, ends], axis=-1).numpy(), atol=1e-5)


@pytest.mark.parametrize("task", OTHERS, ids=["texts", "tags"])
def test_for_another_task_it_is_a_start_without_a_head(paddles, task):
    _, directory = paddles
    own = read_weights(directory / "model.safetensors")["classifier.weight"]
    for where in (directory, STORED / "bert"):
        with pytest.raises(UserError, match="encoder without a classifier"):
            load_model(where, task=task)
    model, _, _ = load_model(directory, num_labels=2, task=task)
    assert answers_per_token(model) == task.kind.per_token
    head = model.state_dict()
    assert not any(value.shape == list(own.shape) and np.allclose(value.numpy(), own) for value in head.values())


def test_one_without_its_head_or_of_whole_texts_is_refused(tmp_path):
    weights = read_weights(STORED / "bert" / "model.safetensors")
    config = json.loads((STORED / "bert" / "config.json").read_text())
    (tmp_path / "vocab.txt").write_bytes((STORED / "bert" / "vocab.txt").read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(config))
    write_weights(tmp_path / "model.safetensors", {n: v for n, v in weights.items() if not n.startswith("qa_outputs")})
    with pytest.raises(UserError, match="encoder without a classifier"):
        load_model(tmp_path, task=TASK)
    (tmp_path / "config.json").write_text(json.dumps({**config, "architectures": ["BertForSequenceClassification"]}))
    with pytest.raises(UserError, match="answers texts as a whole.*`fresh_head`"):
        load_model(tmp_path, task=TASK)


def test_an_encoder_is_read_without_the_head(tmp_path):
    found = load_encoder(str(STORED / "bert"), "auto", None)
    assert not found.has_classifier
    assert not any(name.startswith("classifier.") for name in found.model.state_dict())


def test_it_teaches_without_finetuning(tmp_path):
    root = write_case(tmp_path, train=24, dev=8)
    data = ["--train_file", str(root / "train.json"), "--dev_file", str(root / "dev.jsonl"), "--max_seq_length", "20"]
    options = ["supernet", *data, "--model_name_or_path", str(STORED / "bert"), "--max_steps", "1", "--device", "cpu"]
    assert main([*options, "--output_dir", str(tmp_path / "supernet"), "--width_mult_list", "1.0"]) == 0
    assert "f1" in json.loads((tmp_path / "supernet" / "results.json").read_text())["teacher"]

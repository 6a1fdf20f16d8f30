"""Cross-encoders and multiple-choice models from Hugging Face: transformers' own logits, and they teach as they are."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import paddle
import pytest

from helpers.paths import TESTS
from ofa_bert.__main__ import main
from ofa_bert.models.directories import load_model
from ofa_bert.models.supernet import forward, whole
from ofa_bert.runtime.predictor import Predictor
from ofa_bert.tasks.groups import regrouped
from ofa_bert.tasks.task import Task

STORED = TESTS / "models" / "stored" / "grouped"
LIMIT = 1e-4
CHOICES = Task("q", (), ("accuracy",), ("text", "choices"), "choices")
RANKING = Task("r", (), ("mrr@10",), ("query", "passage"), "ranking")


def logits_of(directory, task, theirs):
    """[N, 1], by the stock model and by the supernet's forward of all of it."""
    model, _, _ = load_model(directory, task=task)
    assert model.config.num_labels == 1
    model.eval()
    length = theirs["input_ids"].shape[-1]
    tensors = [paddle.to_tensor(theirs[name].reshape(-1, length)) for name in ("input_ids", "token_type_ids")]
    found = model(tensors[0], token_type_ids=tensors[1]).numpy()
    np.testing.assert_allclose(forward(model, *tensors, whole(model)).logits.numpy(), found, atol=1e-5)
    return found


def assert_transformers_logits(directory):
    with np.load(directory / "outputs.npz") as arrays:
        theirs = dict(arrays)
    ranked = logits_of(directory / "ranker", RANKING, theirs)
    np.testing.assert_allclose(ranked, theirs["ranked"], atol=LIMIT)
    rows = logits_of(directory / "chooser", CHOICES, theirs)
    questions, choices = theirs["chosen"].shape
    chosen = regrouped(rows, np.repeat(np.arange(questions), choices))
    np.testing.assert_allclose(chosen, theirs["chosen"], atol=LIMIT)
    assert np.ptp(theirs["chosen"], axis=1).min() > 0.1  # choices differ, or nothing was compared


def test_logits_are_transformers_own():
    assert_transformers_logits(STORED)


def test_where_torch_is_installed_it_computes_the_same_now(tmp_path):
    missing = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}; the stored logits are compared all the same")
    command = [sys.executable, "-m", "helpers.torch_choices", str(tmp_path)]  # apart: torch and Paddle disagree in one
    done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert_transformers_logits(tmp_path)


def test_a_chooser_of_another_library_teaches_without_finetuning(tmp_path):
    rows = [{"text": "a film", "choices": ["is good", "is not dull", "was bad ."], "label": 1}] * 20
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = ["--train_file", str(path), "--dev_file", str(path), "--max_seq_length", "24", "--device", "cpu"]
    options = ["supernet", *data, "--model_name_or_path", str(STORED / "chooser"), "--max_steps", "1"]
    assert main([*options, "--output_dir", str(tmp_path / "supernet"), "--width_mult_list", "1.0"]) == 0
    teacher = json.loads((tmp_path / "supernet" / "results.json").read_text())["teacher"]["accuracy"]
    options = ["export", "--model_name_or_path", str(tmp_path / "supernet"), "--device", "cpu", "--onnx"]
    options += ["--sub_model_output_dir", str(tmp_path / "small"), "--static_sub_model", str(tmp_path / "bundle")]
    assert main(options) == 0
    with Predictor(tmp_path / "bundle") as predictor:
        (answer,) = predictor.predict([("a film", rows[0]["choices"])])
    assert teacher == float(answer.choice == 1)

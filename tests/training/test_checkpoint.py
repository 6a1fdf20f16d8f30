"""Saved models come back here and in PaddleNLP; checkpoints resume exactly and survive kills and damage."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

import numpy as np
import paddle
import pytest

from helpers.foreign_files import fingerprint, tokenizer_for
from helpers.models import batch_of, build, randomise
from helpers.paths import ROOT
from ofa_bert.errors import RunError, UserError
from ofa_bert.files import reading
from ofa_bert.files.weights import read_weights
from ofa_bert.models import directories
from ofa_bert.models.directories import load_model, save_model
from ofa_bert.models.encoder import resize, shape_of
from ofa_bert.models.families.registry import MODEL_TYPES, model_class
from ofa_bert.models.record import ModelRecord
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.tasks.glue import glue_task
from ofa_bert.training.checkpoints import latest_checkpoint, restore_checkpoint, save_checkpoint
from ofa_bert.training.run_directory import check_output_dir


def logits(model, seed=0):
    """Logits [B, C] of a model in eval mode on a padded batch."""
    model.eval()
    batch = batch_of(seed=seed)
    with paddle.no_grad():
        return model(batch.input_ids, token_type_ids=batch.token_type_ids).numpy()


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_saved_models_load_here_and_in_plain_paddlenlp(tmp_path, model_type):
    model, tokenizer = build(model_type), tokenizer_for(tmp_path, model_type)
    directory = tmp_path / "best"
    record = ModelRecord(task=glue_task("mnli"), scores={"accuracy": 0.5}, step=3, more={"about": [0.5, None]})
    save_model(directory, model, tokenizer, record)
    assert json.loads((directory / "ofa_config.json").read_text()) == record.to_json()
    batch = batch_of()
    expected = model(batch.input_ids, token_type_ids=batch.token_type_ids).numpy()
    before = fingerprint(directory)
    again, its_tokenizer, its_record = load_model(directory, model_type)
    assert again.training
    assert its_record == record
    plain = model_class(model_type).from_pretrained(str(directory))
    for loaded in (again, plain):
        loaded.eval()
        assert np.array_equal(loaded(batch.input_ids, token_type_ids=batch.token_type_ids).numpy(), expected)
        assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(loaded.parameters(), model.parameters()))
    assert fingerprint(directory) == before
    text = "The plot was not bad , they said"
    wanted, found = tokenizer(text, "good"), its_tokenizer(text, "good")
    assert {name: found[name] for name in wanted} == wanted  # some of PaddleNLP's say no types


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_uneven_sub_models_come_back(tmp_path, model_type):
    model = build(model_type, layers=2)
    resize(model, (3, 1), (50, 7))
    randomise(model, seed=4).eval()
    record = ModelRecord(shape=shape_of(build(model_type)), sub_model=SubModelConfig((0, 3), (3, 1), (50, 7)))
    save_model(tmp_path / "sub", model, tokenizer_for(tmp_path, model_type), record)
    again, _, its_record = load_model(tmp_path / "sub", model_type, num_labels=3)
    assert its_record == record
    assert np.array_equal(logits(again), logits(model))
    assert again.config.num_hidden_layers == 2


def test_a_full_disk_loses_no_model(tmp_path, monkeypatch):
    model, tokenizer = build("bert"), tokenizer_for(tmp_path, "bert")
    save_model(tmp_path / "out" / "best", model, tokenizer, ModelRecord(step=1))
    before = fingerprint(tmp_path / "out" / "best")[0]

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ofa_bert.files.weights.os.fsync", full)
    with pytest.raises(RunError, match="best: cannot be written: No space left on device") as error:
        save_model(tmp_path / "out" / "best", randomise(model, 9), tokenizer, ModelRecord(step=2))
    assert error.value.exit_code == 1
    assert fingerprint(tmp_path / "out" / "best")[0] == before
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["best"]


KILLED = """
import os, shutil, sys
sys.path.insert(0, sys.argv[3])
from ofa_bert.files import atomic

atomic._exchange = lambda *_: False
rename, calls = os.rename, []
def die_at_second(*paths):
    calls.append(paths)
    if len(calls) == 2:
        os.kill(os.getpid(), 9)
    rename(*paths)
atomic.os.rename = die_at_second
with atomic.atomic_directory(sys.argv[2]) as new:
    shutil.copytree(sys.argv[1], new, dirs_exist_ok=True)
"""


def test_a_kill_between_the_renames_leaves_a_loadable_model(tmp_path):
    """Only where the system cannot exchange two directories in one step; other moments: test_atomic.py."""
    tokenizer = tokenizer_for(tmp_path, "bert")
    save_model(tmp_path / "best", build("bert"), tokenizer, ModelRecord(step=1))
    save_model(tmp_path / "newer", build("bert", seed=1), tokenizer, ModelRecord(step=2))
    command = [sys.executable, "-c", KILLED, str(tmp_path / "newer"), str(tmp_path / "best"), str(ROOT)]
    assert subprocess.run(command, timeout=60, check=False).returncode == -9
    assert not (tmp_path / "best").exists()
    model, _, record = load_model(tmp_path / "best")
    assert record.step == 2
    assert np.array_equal(logits(model), logits(build("bert", seed=1)))


def make_optimizer(model):
    schedule = paddle.optimizer.lr.LambdaDecay(0.01, lambda step: 1.0 / (1 + step))
    clip = paddle.nn.ClipGradByGlobalNorm(1.0)
    return paddle.optimizer.AdamW(schedule, parameters=model.parameters(), weight_decay=0.1, grad_clip=clip)


def train(model, optimizer, steps):
    model.train()
    for step in steps:
        paddle.seed(step)
        batch = batch_of(seed=step)
        loss = paddle.nn.functional.cross_entropy(
            model(batch.input_ids, token_type_ids=batch.token_type_ids), batch.labels
        )
        loss.backward()
        optimizer.step()
        optimizer.clear_grad(set_to_zero=False)
        optimizer._learning_rate.step()


# TinyBERT has parameters that never get a gradient.
@pytest.mark.parametrize("model_type", ["bert", "tinybert"])
@pytest.mark.parametrize("stepped", [False, True])
def test_resuming_gives_exactly_the_same_weights(tmp_path, model_type, stepped):
    model = build(model_type, layers=2)
    optimizer = make_optimizer(model)
    train(model, optimizer, range(3))
    save_checkpoint(tmp_path, 3, model, optimizer, {"best": {"score": 0.1 + 0.2}})
    train(model, optimizer, range(3, 6))
    # Other layers and another optimizer first: Paddle's names of parameters and moments are then different.
    paddle.nn.Linear(2, 2)
    resumed = build(model_type, layers=2, seed=77)
    train(resumed, make_optimizer(resumed), range(1))
    again = make_optimizer(resumed)
    if stepped:
        train(resumed, again, range(2))
    state = restore_checkpoint(latest_checkpoint(tmp_path), resumed, again)
    assert state == {"best": {"score": 0.1 + 0.2}}
    train(resumed, again, range(3, 6))
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(resumed.state_dict()[name].numpy(), tensor.numpy(), err_msg=name)
    assert again.get_lr() == optimizer.get_lr()


@pytest.fixture(scope="module")
def trained():
    model = build("bert", layers=2)
    optimizer = make_optimizer(model)
    train(model, optimizer, range(1))
    return model, optimizer


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_old_checkpoints_are_removed(tmp_path, trained):
    for step in (1, 2, 10):
        save_checkpoint(tmp_path, step, *trained, {}, keep=2)
    assert names(tmp_path) == ["checkpoint-10", "checkpoint-2"]
    (tmp_path / ".checkpoint-99.ofa-new").mkdir()
    save_checkpoint(tmp_path, 5, *trained, {})  # the run went back to 2 and on from there
    assert names(tmp_path) == ["checkpoint-5"]
    assert latest_checkpoint(tmp_path).name == "checkpoint-5"
    assert latest_checkpoint(tmp_path / "none") is None


def cut(path):
    os.truncate(path / "optimizer.safetensors", 999)


def flip(path):
    raw = bytearray((path / "model.safetensors").read_bytes())
    raw[-7] ^= 1
    (path / "model.safetensors").write_bytes(bytes(raw))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cut, "optimizer.safetensors is missing or cut off"),
        (flip, "model.safetensors is damaged"),
        (lambda path: (path / "state.json").unlink(), "state.json is missing"),
        (lambda path: (path / "checkpoint.json").unlink(), "no usable manifest"),
        (lambda path: (path / "checkpoint.json").write_text('{"files": {}}'), "incomplete manifest"),
        (lambda path: (path / "checkpoint.json").write_text("[1]"), "no usable manifest"),
    ],
)
def test_a_torn_checkpoint_is_skipped_with_a_warning(tmp_path, trained, caplog, damage, words):
    for step in (9, 10):
        save_checkpoint(tmp_path, step, *trained, {}, keep=2)
    damage(tmp_path / "checkpoint-10")
    with caplog.at_level(logging.WARNING, "ofa_bert"):
        assert latest_checkpoint(tmp_path).name == "checkpoint-9"
    assert "checkpoint-10" in caplog.text
    assert words in caplog.text


def test_a_full_disk_keeps_the_older_checkpoint(tmp_path, trained, monkeypatch):
    save_checkpoint(tmp_path, 1, *trained, {})

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ofa_bert.files.weights.os.fsync", full)
    with pytest.raises(RunError, match="No space left"):
        save_checkpoint(tmp_path, 2, *trained, {})
    assert names(tmp_path) == ["checkpoint-1"]
    assert latest_checkpoint(tmp_path).name == "checkpoint-1"


def test_a_checkpoint_of_another_model(tmp_path, trained):
    save_checkpoint(tmp_path, 1, *trained, {})
    deeper = build("bert", layers=3)
    with pytest.raises(UserError, match="another model; only one of the two has bert.encoder.layers.2"):
        restore_checkpoint(tmp_path / "checkpoint-1", deeper, make_optimizer(deeper))
    wider = build("bert", layers=2, ffn=80)
    with pytest.raises(UserError, match="wrong shape"):
        restore_checkpoint(tmp_path / "checkpoint-1", wider, make_optimizer(wider))


SETTINGS = {"task_name": "cola", "seed": 1, "output_dir": "a", "resume": False, "width_mult_list": (1.0, 0.5)}


def test_output_directories(tmp_path, trained):
    out = tmp_path / "out"
    check_output_dir(out, SETTINGS, False, "finetune")
    (out / "train.log").write_text("a log beside the results is fine")
    check_output_dir(out, SETTINGS, False, "finetune")  # nothing was saved yet, so nothing can be lost
    save_checkpoint(out, 1, *trained, {})
    before = fingerprint(out)
    with pytest.raises(UserError, match="holds a run already .checkpoint-1.; continue it with `resume`"):
        check_output_dir(out, SETTINGS, False, "finetune")
    check_output_dir(out, {**SETTINGS, "output_dir": "b", "resume": True, "new_flag": 1}, True, "finetune")
    with pytest.raises(UserError, match="holds a finetune run, not a supernet run"):
        check_output_dir(out, SETTINGS, True, "supernet")
    with pytest.raises(UserError, match="`seed` was 1, now 2; `task_name` was cola, now rte"):
        check_output_dir(out, {**SETTINGS, "task_name": "rte", "seed": 2}, True, "finetune")
    assert fingerprint(out) == before
    (out / "ofa_run.json").unlink()
    with pytest.raises(UserError, match="ofa_run.json"):
        check_output_dir(out, SETTINGS, True, "finetune")
    with pytest.raises(UserError, match="is a file"):
        check_output_dir(out / "train.log", SETTINGS, False, "finetune")


def test_an_interrupted_best_is_found_before_the_output_directory_is_judged(tmp_path):
    (tmp_path / ".best.ofa-old").mkdir()
    with pytest.raises(UserError, match="holds a run already .best."):
        check_output_dir(tmp_path, SETTINGS, False, "finetune")


def test_checkpoint_files_hold_no_pickle(tmp_path, trained):
    path = save_checkpoint(tmp_path, 1, *trained, {})
    assert names(path) == ["checkpoint.json", "model.safetensors", "optimizer.safetensors", "state.json"]
    moments = read_weights(path / "optimizer.safetensors")
    assert "bert.encoder.layers.0.linear1.weight/moment1" in moments
    assert directories.WEIGHTS in reading.read_json(path / "checkpoint.json")["files"]

"""Layers chosen by a short training: the better set is found, from the held-out part alone, and found once."""

import json

import numpy as np
import paddle
import pytest

import run_glue_ofa
from helpers.models import build
from ofa_bert.cli.parser import parse
from ofa_bert.data.encoding.batches import TrainBatches
from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.errors import UserError
from ofa_bert.models.directories import load_model
from ofa_bert.models.encoder import encoder_layers
from ofa_bert.models.record import ModelRecord
from ofa_bert.tasks.task import Task
from ofa_bert.training.losses.classification import LOSSES
from ofa_bert.training.setup import TrainingSetup
from ofa_bert.training.supernet import trial as training_supernet_trial
from ofa_bert.training.supernet.job import SupernetJob
from ofa_bert.training.supernet.layer_choice import choose_layers
from ofa_bert.training.supernet.layer_trials import ChosenDepth, LayerChoice, LayerTrial, best_trial
from ofa_bert.training.supernet.step import Objective
from ofa_bert.training.supernet.trial import TrialPlan, Trials

LINE = "--model_name_or_path M --task_name rte --output_dir O --device cpu --depth_mult_list 1.0 0.5"


def test_the_best_score_wins_then_the_nearest_to_the_teacher_then_the_first():
    even, prefix = LayerTrial("even", (0, 3), 0.8, 0.5), LayerTrial("prefix", (0, 1), 0.9, 0.7)
    assert best_trial([even, prefix]) is prefix
    near = LayerTrial("near", (1, 2), 0.9, 0.1)
    assert best_trial([even, prefix, near]) is near
    assert best_trial([near, LayerTrial("same", (1, 3), 0.9, 0.1)]) is near
    assert best_trial([LayerTrial("diverged", (1, 3), float("nan"), 0.0), even]) is even


def test_a_choice_says_why_as_json():
    trials = (LayerTrial("even", (0, 3), 0.5, 0.5), LayerTrial("prefix", (0, 1), 0.75, 0.25))
    choice = LayerChoice("trial", (ChosenDepth(1.0, (0, 1, 2, 3)), ChosenDepth(0.5, (0, 1), trials)), 300, 16)
    found = json.loads(json.dumps(choice.to_json()))
    assert (found["by"], found["steps"], found["examples"]) == ("trial", 300, 16)
    assert found["depths"][0] == {"depth_mult": 1.0, "layers": [0, 1, 2, 3]}
    assert found["depths"][1]["chosen"] == "prefix"
    assert found["depths"][1]["trials"][0] == {"name": "even", "layers": [0, 3], "score": 0.5, "distance": 0.5}


def test_steps_of_a_trial_need_one():
    assert parse(SupernetJob, f"{LINE} --layer_choice trial --trial_steps 20".split(), "").trial_steps == 20
    assert parse(SupernetJob, LINE.split(), "").layer_choice == "recorded"
    with pytest.raises(UserError, match="--trial_steps: is about --layer_choice trial"):
        parse(SupernetJob, f"{LINE} --trial_steps 20".split(), "")


def with_idle_layers(first, last):
    """Four layers, two of which only normalise what is normalised already."""
    model = build(layers=4)
    layers = encoder_layers(model)
    for index in (first, last):
        for parameter in layers[index].parameters():
            parameter.set_value(parameter * 0)
        for norm in (layers[index].norm1, layers[index].norm2):
            norm.weight.set_value(paddle.ones_like(norm.weight))
    before = layers[first - 1].norm2
    before.weight.set_value(paddle.ones_like(before.weight))
    before.bias.set_value(paddle.zeros_like(before.bias))
    return model


class Tokenizer:
    pad_token_id = 0


def setup_of(model):
    rng = np.random.default_rng(1)
    ids = [np.asarray([2, *rng.integers(5, 40, 6), 3]) for _ in range(64)]
    tensors = paddle.to_tensor(np.stack(ids))
    labels = model(tensors, paddle.zeros_like(tensors)).numpy().argmax(-1)
    encoded = Encoded(ids, [np.zeros(8, "int64")] * 64, labels)
    task = Task("made-up", ("a", "b", "c"), ("accuracy",), ("text",))
    parts = encoded.select(range(32)), encoded.select(range(32, 64))
    return TrainingSetup(task, *parts, {}, model, Tokenizer(), ModelRecord())


@pytest.mark.parametrize(("idle", "best"), [((2, 3), "prefix"), ((1, 2), "even")])
def test_the_better_of_planted_sets_is_chosen_and_trained_once(tmp_path, idle, best, monkeypatch):
    model = with_idle_layers(*idle)
    setup = setup_of(model)
    line = f"{LINE} --layer_choice trial --trial_steps 2 --batch_size 8 --learning_rate 1e-5 --supernet_dropout 0"
    job = parse(SupernetJob, line.split(), "")
    teacher = build(layers=4)
    teacher.set_state_dict(model.state_dict())
    teacher.eval()
    runs = []
    real = training_supernet_trial.loop.fit
    monkeypatch.setattr(training_supernet_trial.loop, "fit", lambda *a, **b: runs.append(b["label"]) or real(*a, **b))

    def chosen():
        batches = TrainBatches(setup.train, 8, 42, 0)
        plan = TrialPlan(job.trial_steps, job.loop, job.optimizer, Objective(LOSSES, 1.0, 0.1), 0.0, {})
        return choose_layers(job, setup, lambda: Trials(plan, setup, teacher, batches, tmp_path))

    choice = chosen()
    full, half = choice.depths
    assert full.layers == (0, 1, 2, 3)
    assert best in best_trial(half.trials).name
    assert half.layers == {"prefix": (0, 1), "even": (0, 3)}[best]
    assert len({trial.layers for trial in half.trials}) == len(half.trials) == len(runs) >= 3
    assert best_trial(half.trials).score > min(trial.score for trial in half.trials)
    assert chosen() == choice
    assert len(runs) == len(half.trials)
    monkeypatch.setattr(training_supernet_trial, "kept_content", lambda path: None)
    assert chosen() == choice  # trained again, with the same end
    assert len(runs) == 2 * len(half.trials)


@pytest.mark.parametrize("kind", ["prefix", "trial"])
def test_the_record_says_what_was_chosen_and_why(models, glue_dir, tmp_path, kind, capsys):
    run = "--task_name SST-2 --device cpu --max_seq_length 32 --batch_size 8 --max_steps 2 --save_steps 2".split()
    run += ["--data_dir", str(glue_dir), "--model_name_or_path", str(models / "teacher")]
    run += [*"--width_mult_list 1.0 0.5 --depth_mult_list 1.0 0.5 --layer_choice".split(), kind]
    run += "--trial_steps 2 --recipe strong".split() if kind == "trial" else []
    assert run_glue_ofa.main([*run, "--output_dir", str(tmp_path / "run")]) == 0
    _, _, record = load_model(tmp_path / "run" / "best")
    about = record.more["layer_choice"]
    assert about["by"] == kind
    assert tuple(about["depths"][1]["layers"]) == record.space.kept_layers[1]
    assert json.loads((tmp_path / "run" / "results.json").read_text())["layer_choice"] == about
    said = capsys.readouterr().err
    assert "depth 0.5 keeps layers" in said
    if kind == "prefix":
        assert record.space.kept_layers[1] == (0, 1)
    else:
        assert (about["steps"], about["examples"]) == (2, 16)
        assert "the best of" in said
        assert record.more["recipe"]["name"] == record.config["recipe"] == "strong"
        assert record.more["recipe"]["set"]["augment"] == record.config["augment"] == 0.3
        assert "recipe strong: --" in said

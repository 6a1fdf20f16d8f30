"""The loop: schedule, batches over processes, one all-reduce per step, and runs that are killed and resumed."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest

import run_glue
import run_glue_ofa
from helpers.launching import free_port, launch, launch_nodes
from helpers.models import build
from helpers.paths import ROOT
from ofa_bert.cli.parser import parse
from ofa_bert.data.encoding.encoded import encode
from ofa_bert.data.sources import load_datasets
from ofa_bert.files.weights import read_weights
from ofa_bert.models.directories import load_model
from ofa_bert.training import distributed
from ofa_bert.training.loop import Plan, make_optimizer, make_plan, step_seed
from ofa_bert.training.supernet import importance
from ofa_bert.training.supernet import train as training_supernet_train
from ofa_bert.training.supernet.job import SupernetJob

COMMON = "--task_name SST-2 --device cpu --max_seq_length 32 --logging_steps 2".split()


def job_of(more=""):
    return parse(SupernetJob, f"--model_name_or_path M --task_name rte --output_dir O {more}".split(), "")


def test_linear_warm_up_and_decay():
    plan = Plan(total_steps=10, warmup_steps=2, stage_ends=(10,))
    factors = [plan.learning_rate_factor(step) for step in range(11)]
    assert factors[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert factors[2:10] == pytest.approx([1 - i / 8 for i in range(8)])
    assert factors[10] == 0.0


def test_every_stage_warms_up_and_decays():
    plan = make_plan(job_of("--max_steps 20 --warmup_proportion 0.2").loop, 5, (0.5,))
    assert plan.stage_ends == (10, 20)
    assert plan.warmup_steps == 2
    assert [plan.learning_rate_factor(s) for s in range(10)] == [plan.learning_rate_factor(s + 10) for s in range(10)]


@pytest.mark.parametrize(
    ("more", "steps"),
    [
        ("--num_train_epochs 2", 20),
        ("--num_train_epochs 0.25", 3),
        ("--max_steps 7", 7),
        ("--gradient_accumulation_steps 4 --num_train_epochs 2", 5),
    ],
)
def test_number_of_steps(more, steps):
    assert make_plan(job_of(more).loop, 10).total_steps == steps


def test_weight_decay_leaves_biases_and_layer_norms_alone():
    model = build(layers=1)
    optimizer = make_optimizer(job_of("--weight_decay 0.5 --learning_rate 0.1").optimizer, model, Plan(2, 0, (2,)))
    before = {name: p.numpy().copy() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        (parameter.sum() * 0.0).backward()
    optimizer.step()
    for name, parameter in model.named_parameters():
        kept = name.endswith("bias") or "norm" in name
        expected = before[name] if kept else before[name] * (1 - 0.1 * 0.5)
        np.testing.assert_allclose(parameter.numpy(), expected, rtol=1e-5, atol=1e-7, err_msg=name)


def test_step_seeds_differ_between_steps_processes_and_runs():
    seeds = {step_seed(seed, step, rank) for seed in range(5) for step in range(200) for rank in range(4)}
    assert len(seeds) == 4000
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_gradients_are_averaged_by_one_all_reduce(monkeypatch):
    model = build(layers=1)
    calls = []

    def all_reduce(flat):
        calls.append(flat.shape)
        flat.set_value(flat * 3.0)  # as if the other process held twice this one's gradient

    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(distributed.dist, "all_reduce", all_reduce)
    weights = [p for name, p in model.named_parameters() if "linear" in name]
    for place, parameter in enumerate(weights):
        (parameter * float(place + 1)).sum().backward()
    distributed.average_gradients(model.parameters())
    assert calls == [[sum(int(np.prod(p.shape)) for p in weights)]]
    for place, parameter in enumerate(weights):
        np.testing.assert_allclose(parameter.grad.numpy(), 1.5 * (place + 1))


def weights_in(directory):
    return read_weights(directory / "model.safetensors")


def arguments(glue_dir, model, output, *more):
    return [
        *COMMON,
        "--data_dir",
        str(glue_dir),
        "--model_name_or_path",
        str(model),
        "--output_dir",
        str(output),
        *more,
    ]


# Six optimizer steps in two stages; dropout stays on, so that random states matter.
ELASTIC = (
    "--batch_size 8 --max_steps 6 --save_steps 2 --learning_rate 1e-3 --width_mult_list 1.0 0.5 --sandwich 1"
    " --depth_mult_list 1.0 0.5 --stages width,width_depth --gradient_accumulation_steps 2"
).split()

# Adam divides by the gradient's size: with its usual epsilon a gradient of rounding noise becomes a whole step.
SMOOTH = "--learning_rate 1e-3 --adam_epsilon 1e-3 --supernet_dropout 0 --width_mult_list 1.0 0.5".split()


@pytest.fixture(scope="module")
def teacher(tmp_path_factory, tiny_bert_dir, glue_dir):
    output = tmp_path_factory.mktemp("teacher") / "run"
    assert (
        run_glue.main(arguments(glue_dir, tiny_bert_dir, output, "--max_steps", "12", "--learning_rate", "3e-3")) == 0
    )
    return output / "last"


def wait_and_kill(command, path):
    """Start a command, kill -9 it as soon as `path` exists."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert path.exists()


@pytest.mark.slow(but="run_glue_ofa.py")
@pytest.mark.parametrize("script", ["run_glue.py", "run_glue_ofa.py"])
def test_a_killed_run_resumes_to_the_same_weights(script, tmp_path, teacher, tiny_bert_dir, glue_dir):
    module = {"run_glue.py": run_glue, "run_glue_ofa.py": run_glue_ofa}[script]
    more = ELASTIC if module is run_glue_ofa else "--batch_size 8 --max_steps 6 --save_steps 2".split()
    model = teacher if module is run_glue_ofa else tiny_bert_dir
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    assert module.main(arguments(glue_dir, model, straight, *more)) == 0
    command = [sys.executable, script, *arguments(glue_dir, model, killed, *more)]
    wait_and_kill(command, killed / "checkpoint-2")
    assert not (killed / "last").exists()
    assert module.main(arguments(glue_dir, model, killed, *more, "--resume")) == 0
    ours, theirs = weights_in(killed / "last"), weights_in(straight / "last")
    for name, array in theirs.items():
        np.testing.assert_array_equal(ours[name], array, err_msg=name)
    histories = [json.loads((run / "results.json").read_text())["history"] for run in (straight, killed)]
    assert [(h["step"], h["scores"]) for h in histories[0]] == [(h["step"], h["scores"]) for h in histories[1]]


@pytest.mark.slow(but="importance")
@pytest.mark.parametrize("choice", ["importance", "trial"])
def test_importance_and_layer_choice_never_see_dev(tmp_path, teacher, glue_dir, choice):
    """Two dev sets, one of them with every label wrong: the same importance, layers and weights."""
    options = f"--max_steps 2 --save_steps 2 --depth_mult_list 1.0 0.5 --layer_choice {choice}".split()
    options += ["--trial_steps", "3"] if choice == "trial" else []
    swapped = tmp_path / "swapped"
    swapped.mkdir()
    (swapped / "train.tsv").write_bytes((glue_dir / "train.tsv").read_bytes())
    header, *rows = (glue_dir / "dev.tsv").read_text().splitlines()
    flipped = [f"{row[:-1]}{1 - int(row[-1])}" for row in rows]
    (swapped / "dev.tsv").write_text("\n".join([header, *flipped]) + "\n", encoding="utf-8")
    for name, data in (("plain", glue_dir), ("other", swapped)):
        assert run_glue_ofa.main(arguments(data, teacher, tmp_path / name, *options)) == 0
    plain, other = tmp_path / "plain", tmp_path / "other"
    assert (plain / "importance.json").read_text() == (other / "importance.json").read_text()
    spaces = [json.loads((run / "last" / "ofa_config.json").read_text())["space"] for run in (plain, other)]
    assert spaces[0] == spaces[1]
    ours, theirs = weights_in(plain / "last"), weights_in(other / "last")
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)
    results = [json.loads((run / "results.json").read_text())["teacher"]["score"] for run in (plain, other)]
    assert sum(results) == pytest.approx(1.0)


@pytest.mark.slow
def test_held_out_examples_are_never_trained_on(tmp_path, teacher, glue_dir, monkeypatch):
    seen, held = [], []
    real_measure, real_step = importance.measure, training_supernet_train.supernet_step

    def measure(model, batches, regression):
        kept = list(batches)
        held.extend(tuple(row[row != 0]) for batch in kept for row in batch.input_ids.numpy())
        return real_measure(model, kept, regression)

    def supernet_step(*parts):
        step = real_step(*parts)

        def spying(batch, number, backward):
            seen.extend(tuple(row[row != 0]) for row in batch.input_ids.numpy())
            return step(batch, number, backward)

        return spying

    monkeypatch.setattr(importance, "measure", measure)
    monkeypatch.setattr(training_supernet_train, "supernet_step", supernet_step)
    options = ["--num_train_epochs", "1", "--save_steps", "99", "--batch_size", "16", "--held_out_share", "0.2"]
    assert run_glue_ofa.main(arguments(glue_dir, teacher, tmp_path / "run", *options)) == 0
    everything = encode(load_datasets("SST-2", glue_dir).train, load_model(teacher)[1], 32, progress=False).input_ids
    assert len(held) == 64
    assert len(seen) == 256
    assert Counter(held) + Counter(seen) == Counter(tuple(ids) for ids in everything)


@pytest.mark.slow
def test_two_processes_train_as_one_with_twice_the_batch(tmp_path, teacher, glue_dir):
    # Dropout draws differ between the two ways of splitting a batch, so it is off.
    shared = ["--max_steps", "4", "--save_steps", "4", *SMOOTH, "--augment", "0.3"]
    one = arguments(glue_dir, teacher, tmp_path / "one", "--batch_size", "16", *shared)
    assert run_glue_ofa.main(one) == 0
    two = arguments(glue_dir, teacher, tmp_path / "two", "--batch_size", "8", *shared)
    launch("run_glue_ofa.py", 2, two, tmp_path / "log", free_port())
    ours, theirs = weights_in(tmp_path / "two" / "last"), weights_in(tmp_path / "one" / "last")
    start = weights_in(teacher)
    for name, array in theirs.items():
        np.testing.assert_allclose(ours[name], array, atol=2e-5, err_msg=name)
    assert max(float(np.abs(theirs[name] - start[name]).max()) for name in start) > 1e-3
    results = json.loads((tmp_path / "two" / "results.json").read_text())
    assert results["processes"] == 2
    alone = json.loads((tmp_path / "one" / "results.json").read_text())
    for row, other in zip(results["last"], alone["last"]):
        assert row["scores"] == pytest.approx(other["scores"])


@pytest.mark.slow
def test_two_nodes_train_as_one_process_with_twice_the_batch(tmp_path, teacher, glue_dir):
    """Two launchers on this machine, each for one node: what a guide says of several machines."""
    shared = ["--max_steps", "3", "--save_steps", "3", *SMOOTH]
    one = arguments(glue_dir, teacher, tmp_path / "one", "--batch_size", "16", *shared)
    assert run_glue_ofa.main(one) == 0
    two = arguments(glue_dir, teacher, tmp_path / "two", "--batch_size", "8", *shared)
    launch_nodes("run_glue_ofa.py", 2, two, tmp_path / "log", free_port())
    ours, theirs = weights_in(tmp_path / "two" / "last"), weights_in(tmp_path / "one" / "last")
    for name, array in theirs.items():
        np.testing.assert_allclose(ours[name], array, atol=2e-5, err_msg=name)
    assert json.loads((tmp_path / "two" / "results.json").read_text())["processes"] == 2


@pytest.mark.slow
def test_two_processes_start_from_the_same_random_head(tmp_path, tiny_bert_dir, glue_dir):
    shared = "--max_steps 2 --save_steps 2 --learning_rate 1e-3 --adam_epsilon 1e-3".split()
    two = arguments(glue_dir, tiny_bert_dir, tmp_path / "two", "--batch_size", "8", *shared)
    probe = tmp_path / "probe.py"
    probe.write_text(PROBE.format(root=str(ROOT), options=two, where=str(tmp_path)), encoding="utf-8")
    launch(str(probe), 2, [], tmp_path / "log", free_port())
    first, second = (np.load(tmp_path / f"rank{rank}.npz") for rank in (0, 1))
    assert "classifier.weight" in first.files
    for name in first.files:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


# Runs the script in each process and saves the weights that each process ends with.
PROBE = """
import sys
sys.path.insert(0, {root!r})
from ofa_bert.system import environment
environment.prepare()
import numpy as np, paddle, random
import run_glue
from ofa_bert.training import distributed, loop

fit = loop.fit

def fit_and_save(config, model, *rest, **more):
    fit(config, model, *rest, **more)
    arrays = {{name: tensor.numpy() for name, tensor in model.state_dict().items()}}
    np.savez({where!r} + "/rank" + str(distributed.rank()) + ".npz", **arrays)

loop.fit = fit_and_save
sys.exit(run_glue.main({options!r}))
"""


@pytest.mark.slow
def test_gradient_accumulation_is_one_larger_batch(tmp_path, teacher, glue_dir):
    # 304 of the 320 training examples are left after the held-out part: one batch of all, or four of 76.
    shared = ["--max_steps", "3", "--save_steps", "3", *SMOOTH]
    whole = arguments(glue_dir, teacher, tmp_path / "whole", "--batch_size", "304", *shared)
    parts = arguments(glue_dir, teacher, tmp_path / "parts", "--batch_size", "76", *shared)
    assert run_glue_ofa.main(whole) == 0
    assert run_glue_ofa.main([*parts, "--gradient_accumulation_steps", "4"]) == 0
    ours, theirs = weights_in(tmp_path / "parts" / "last"), weights_in(tmp_path / "whole" / "last")
    for name, array in theirs.items():
        np.testing.assert_allclose(ours[name], array, atol=2e-5, err_msg=name)


def test_divergence_is_said_in_one_line(tmp_path, tiny_bert_dir, glue_dir, capsys):
    options = arguments(glue_dir, tiny_bert_dir, tmp_path / "run", "--learning_rate", "1e30", "--max_grad_norm", "0")
    assert run_glue.main([*options, "--max_steps", "8", "--save_steps", "8"]) == 1
    error = capsys.readouterr().err
    assert "diverged" in error
    assert "Traceback" not in error

"""The PyTorch twin without PyTorch: what it is told, how it is compared, what it draws."""

import json
import statistics
import sys
from dataclasses import replace

import numpy as np
import pytest

from helpers.bert_directory import SHAPE, tiny_directory, tiny_teacher, tiny_weights
from helpers.glue_layout import write_glue
from helpers.paths import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import torch_twin
from twin import prove, record, schedule
from twin.command_line import limited, told_to_prove, told_to_train
from twin.directory import read_directory
from twin.tables import LIMIT, Check, Row, loss_rows, seeds_table, shown_checks, shown_rows, verdict

from ofa_bert.data.encoding.batches import Batch
from ofa_bert.data.sources import load_datasets
from ofa_bert.errors import UserError
from ofa_bert.files.weights import write_weights
from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.tasks.glue import glue_task
from ofa_bert.training.presets import SUPERNET

LINE = "--model_name_or_path M --task_name mrpc".split()


# What is compared.


def rows_of(product, twin):
    return loss_rows({(0, 0): "w1_d1", (0, 1): "w0.5_d1"}, [product], [twin])


def test_a_loss_may_be_apart_by_the_limit_relative_above_one_and_absolute_below():
    rows = [Row(1, "w1_d1", "hidden", 10.0, 10.0009), Row(1, "w1_d1", "hidden", 0.001, 0.00109)]
    assert [row.wrong for row in rows] == [False, False]
    assert verdict(rows, []) == ""
    rows = [Row(1, "w1_d1", "hidden", 10.0, 10.0011), Row(1, "w1_d1", "hidden", 0.001, 0.00111)]
    assert [row.wrong for row in rows] == [True, True]


def test_a_difference_in_one_loss_is_named():
    losses = [{"logit": 0.5, "hidden": 2.0}, {"logit": 0.75, "hidden": 3.0}]
    assert verdict(rows_of(losses, losses), []) == ""
    other = [losses[0], {"logit": 0.75 + 2 * LIMIT, "hidden": 3.0}]
    rows = rows_of(losses, other)
    found = verdict(rows, [])
    assert found == (
        "1 of 4 losses differ by more than 0.0001, first logit of w0.5_d1 in step 1: 0.750000 and 0.750200"
    )
    marked = [line for line in shown_rows(rows).splitlines() if "!" in line]
    assert len(marked) == 1
    assert "w0.5_d1" in marked[0]


def test_a_loss_that_is_no_number_or_that_one_side_lacks_is_a_difference():
    assert verdict(rows_of([{"logit": 0.5}], [{"logit": float("nan")}]), [])
    assert verdict(rows_of([{"logit": 0.5}], [{"logit": 0.5, "hidden": 0.0}]), [])
    assert verdict(rows_of([{"logit": 0.5, "hidden": 0.0}], [{"logit": 0.5}]), [])
    with pytest.raises(ValueError, match="shorter"):
        rows_of([{"logit": 0.5}, {"logit": 0.5}], [{"logit": 0.5}])


def test_the_other_checks_are_part_of_the_verdict():
    checks = [Check("batches", 0, 0), Check("weights", 0.02, 0.01), Check("scores", float("nan"), 0.005)]
    assert verdict([], checks) == "weights: 0.02 is above 0.01; scores: nan is above 0.005"
    assert shown_checks(checks).count("!") == 2


def test_differences_of_seeds_are_means_with_their_deviation():
    values = ([0.5, -1.25], [1.5, -1.75])
    results = [
        {"scores": {"w1_d1": 0.9, "w0.5_d0.5": 0.8}, "differences": dict(zip(("w1_d1", "w0.5_d0.5"), v))}
        for v in values
    ]
    lines = seeds_table(results).splitlines()
    spread = statistics.stdev([0.5, 1.5])
    assert f"+1.00 ± {spread:.2f}" in lines[2]
    assert "-1.50 ± 0.35" in lines[3]
    assert "80.00 ± 0.00" in lines[3]
    assert "±" not in seeds_table(results[:1])


# What both sides leave behind.


def both_sides(folder):
    """A step of two sub-models by a product and by a twin that agree in all."""
    sub_models = (SubModelConfig((0, 1), (2, 2), (4, 4)), SubModelConfig((0,), (1,), (2,)))
    losses = ({"logit": 0.5, "hidden": 2.0}, {"logit": 0.75, "hidden": 3.0})
    ids = np.arange(6).reshape(2, 3)
    batch = Batch(ids, np.zeros_like(ids), np.asarray([0, 1]), np.asarray([4, 2]))
    record.write_steps(folder, [record.Step(batch, sub_models, losses)])
    (folder / record.PRODUCT / "last").mkdir(parents=True)
    importance = {"heads": [[2.0, 1.0], [4.0, 3.0]], "neurons": [[0.5, 0.25], [0.75, 0.5]]}
    (folder / record.PRODUCT / record.IMPORTANCE).write_text(json.dumps(importance))
    begun = {"bert.pooler.dense.weight": np.ones([2, 2], np.float32), "classifier.bias": np.zeros(2, np.float32)}
    ended = {name: array + 1 for name, array in begun.items()}
    bare = {name.removeprefix("bert."): array for name, array in ended.items()}
    write_weights(folder / record.START, begun)
    write_weights(folder / record.PRODUCT / record.WEIGHTS, ended)
    write_weights(folder / record.TWIN_START, {name: array - 1 for name, array in bare.items()})
    write_weights(folder / record.TWIN_END, bare)
    depths = [{"depth_mult": 0.5, "layers": [0], "trials": [{"score": 0.5, "distance": 0.25, "layers": [0]}]}]
    product = {
        "layer_choice": {"depths": depths},
        "teacher": {"score": 0.9},
        "last": [{"name": "a", "scores": {"score": 0.8}}],
    }
    (folder / record.PRODUCT / record.RESULTS).write_text(json.dumps(product))
    twin = {
        "layer_choice": {"depths": depths}, "importance": importance, "losses": [losses], "names": [["a", "b"]],
        "other_batches": 0, "other_sub_models": 0, "teacher": {"score": 0.9}, "scores": {"a": {"score": 0.8}},
    }  # fmt: skip
    (folder / record.TWIN).write_text(json.dumps(twin))
    return twin


def test_two_sides_that_agree_give_no_verdict(tmp_path):
    both_sides(tmp_path)
    rows, checks = prove.compared(tmp_path)
    assert len(rows) == 4
    assert len(checks) == 10
    assert verdict(rows, checks) == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda twin: twin["losses"][0][1].update(hidden=3.1), "1 of 4 losses differ"),
        (lambda twin: twin["layer_choice"]["depths"][0].update(layers=[1]), "depths with other layers: 1"),
        (lambda twin: twin["layer_choice"]["depths"][0]["trials"][0].update(distance=0.3), "trial of layers: 0.05"),
        (lambda twin: twin["importance"]["heads"][1].reverse(), "importance of heads, of the largest: 0.25"),
        (lambda twin: twin["importance"]["neurons"][0].reverse(), "importance of neurons, of the largest: 0.5"),
        (lambda twin: twin.update(other_batches=1), "batches that the twin draws otherwise: 1"),
        (lambda twin: twin.update(other_sub_models=1), "steps with other sub-models: 1"),
        (lambda twin: twin.update(teacher={"score": 0.8}), "teacher's score on dev: 0.1"),
        (lambda twin: twin.update(scores={}), "sub-models' scores on dev: nan"),
    ],
)
def test_whatever_the_twin_computes_otherwise_is_found(tmp_path, change, said):
    twin = both_sides(tmp_path)
    change(twin)
    (tmp_path / record.TWIN).write_text(json.dumps(twin))
    assert said in verdict(*prove.compared(tmp_path))


@pytest.mark.parametrize(
    ("file", "said"), [(record.TWIN_START, "before the first"), (record.TWIN_END, "after the last")]
)
def test_other_weights_are_found(tmp_path, file, said):
    both_sides(tmp_path)
    (tmp_path / file).unlink()
    write_weights(
        tmp_path / file,
        {"pooler.dense.weight": np.full([2, 2], 1.5, np.float32), "classifier.bias": np.ones(2, np.float32)},
    )
    assert said in verdict(*prove.compared(tmp_path))


# What the programs are told.


def test_a_recipe_is_the_products_own():
    job = told_to_train([*LINE, "--recipe", "strong", "--seeds", "1", "2", "--output_dir", "o"]).job()
    strong = SUPERNET["strong"]
    assert job.loop.num_train_epochs == strong["num_train_epochs"]
    assert job.augmentation.augment == strong["augment"]
    assert (job.stages, job.width_stage_share) == (strong["stages"], strong["width_stage_share"])


def test_a_proof_is_of_so_many_steps_without_dropout():
    told = told_to_prove([*LINE, "--steps", "7", "--sandwich", "1"])
    job = told.job()
    assert (job.loop.max_steps, job.loop.device, job.supernet_dropout, job.sandwich) == (7, "cpu", 0.0, 1)
    assert told.own.examples == 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("--max_steps 3", "--max_steps: is set by this program; give --steps"),
        ("--device gpu", "--device: is set by this program"),
        ("--supernet_dropout 0.1", "--supernet_dropout 0.1: both draw other numbers"),
        ("--gradient_accumulation_steps 2", "the twin takes whole batches"),
        ("--steps 0", "must be a whole number above 0"),
        ("--plant nothing", "invalid choice: 'nothing'"),
        ("--sandwitch 1", "did you mean --sandwich"),
        ("--tokenizer_name_or_path T", "the twin takes the model's own"),
    ],
)
def test_what_cannot_be_proved_is_a_line_with_exit_code_2(more, said, capsys):
    assert torch_twin.main(["prove", *LINE, *more.split()]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told


def test_a_seed_is_given_once():
    with pytest.raises(UserError, match="--seeds 1 1: each once"):
        told_to_train([*LINE, "--output_dir", "o", "--seeds", "1", "1"])
    with pytest.raises(UserError, match="--seed: is set by this program; give --seeds"):
        told_to_train([*LINE, "--output_dir", "o", "--seed", "1"])


def test_a_python_without_pytorch_is_named(tmp_path, capsys):
    assert torch_twin.main(["prove", *LINE, "--torch_python", str(tmp_path / "none")]) == 2
    assert "none: cannot be run" in capsys.readouterr().err
    with pytest.raises(UserError, match="has no nothing_of_that_name; install it"):
        prove.check_python(sys.executable, ("json", "nothing_of_that_name"))


def test_training_without_pytorch_is_a_line(monkeypatch, capsys):
    monkeypatch.setattr(torch_twin, "find_spec", lambda name: None)
    assert torch_twin.main(["train", *LINE, "--output_dir", "o"]) == 2
    assert "has no torch; install it" in capsys.readouterr().err


def test_commands_and_help(capsys):
    assert torch_twin.main([]) == 0
    assert "prove" in capsys.readouterr().out
    assert torch_twin.main(["prov"]) == 2
    assert torch_twin.main(["follow"]) == 2


# What is computed without PyTorch.


def test_the_schedule_and_what_is_drawn_are_the_products():
    from ofa_bert.training import loop
    from ofa_bert.training.supernet.sandwich import Choice

    job = told_to_train(
        [*LINE, "--recipe", "quick", "--max_steps", "23", "--warmup_steps", "3", "--output_dir", "o"]
    ).job()
    plan = loop.make_plan(job.loop, 9, (job.width_stage_share,))
    own = schedule.supernet_schedule(job, 9)
    assert own.ends == plan.stage_ends
    assert [own.factor(step) for step in range(23)] == [plan.learning_rate_factor(step) for step in range(23)]
    wrong = replace(own, planted=True)
    assert wrong.factor(22) > own.factor(22)
    by_epochs = replace(job.loop, max_steps=-1)
    assert schedule.make_schedule(by_epochs, 9).steps == loop.make_plan(by_epochs, 9).total_steps == 36
    space = SearchSpace(SHAPE, (1.0, 0.75, 0.5), (1.0, 0.5))
    widths = SearchSpace(SHAPE, (1.0, 0.75, 0.5), (1.0,))
    for step in range(23):
        chosen = Choice(widths if step < own.ends[0] else space, job.loop.seed, 1).at(step)
        assert schedule.trained(job, space, own, step) == chosen


def test_a_directory_is_read_and_written_as_the_products(tmp_path):
    task = glue_task("mrpc")
    where = tiny_teacher(tmp_path / "teacher", "mrpc")
    found = read_directory(str(where), task)
    assert found.finetuned
    assert found.shape == SHAPE
    assert found.epsilon == 1e-5
    plain = tiny_weights(0)
    assert all(np.array_equal(found.weights[name], array) for name, array in plain.items())
    with pytest.raises(UserError, match="sts-b"):
        read_directory(str(where), glue_task("sts-b"))
    with pytest.raises(UserError, match="was finetuned elsewhere"):
        read_directory(str(tiny_directory(tmp_path / "foreign")), task)
    with pytest.raises(UserError, match="the twin downloads nothing"):
        read_directory("some-model", task)


def test_examples_limit_every_split(tmp_path):
    write_glue(tmp_path, 12, 6)
    datasets = limited(load_datasets(task_name="MRPC", data_dir=tmp_path / "MRPC"), 4)
    assert (len(datasets.train), len(datasets.dev["dev"])) == (4, 4)
    assert limited(datasets, 0) is datasets

"""The PyTorch twin of `pretrain --elastic` without PyTorch: what it is told, its pace, what is compared and written."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from helpers.bert_directory import SHAPE, tiny_directory, tiny_weights
from helpers.models import WORDS
from helpers.paths import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import torch_twin
from twin import record
from twin.directory import read_directory, read_encoder
from twin.elastic.command_line import told_to_pretrain, told_to_prove_elastic
from twin.elastic.compare import compared
from twin.elastic.pace import BySteps, ByTime
from twin.elastic.setup import Setup, with_rules
from twin.schedule import make_schedule
from twin.tables import verdict

from ofa_bert.data.encoding.batches import Batch
from ofa_bert.files.weights import read_weights, write_weights
from ofa_bert.models.record import ModelRecord
from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.submodels.layer_sets import prefix_layers
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.tasks.glue import glue_task


@pytest.fixture
def line(tmp_path):
    """A command line for a tiny encoder and a corpus of 40 texts."""
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, rng.integers(2, 20))) for _ in range(40)]
    (tmp_path / "texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    encoder = tiny_directory(tmp_path / "encoder", 0)
    found = ["--model_name_or_path", str(encoder), "--corpus", str(tmp_path / "texts.txt")]
    return [*found, "--held_out", "8", "--max_seq_length", "24"]


def told(line, more=""):
    return told_to_pretrain([*line, "--output_dir", "o", *more.split()])


# What the programs are told.


def test_pretraining_takes_the_products_own_options(line):
    job = told(line, "--depth_mult_list 1.0 0.5 --relation_heads 8 --layer_choice prefix").job()
    assert (job.depth_mult_list, job.relation_heads, job.layer_choice) == ((1.0, 0.5), 8, "prefix")
    assert (job.model.model_type, job.loop.length, job.optimizer.learning_rate) == ("bert", 24, 2e-4)


def test_a_proof_is_of_so_many_steps(line):
    job = told_to_prove_elastic([*line, "--elastic", "--steps", "7"]).job()
    assert (job.loop.max_steps, job.loop.save_steps, job.loop.device, job.supernet_dropout) == (7, 7, "cpu", 0.0)
    assert job.optimizer.adam_epsilon == 1e-6  # else rounding becomes steps
    given = told_to_prove_elastic([*line, "--elastic", "--adam_epsilon", "1e-8"]).job()
    assert given.optimizer.adam_epsilon == 1e-8


@pytest.mark.parametrize(
    ("command", "more", "said"),
    [
        ("pretrain", "--amp bf16", "--amp: is set by this program; give --autocast"),
        ("pretrain", "--seconds 9 --max_steps 3", "--max_steps: counts steps, --seconds 9 does not"),
        ("pretrain", "--seconds 9 --num_train_epochs 3", "--num_train_epochs: counts steps"),
        ("pretrain", "--seconds 0", "must be a whole number above 0"),
        ("pretrain", "--also every", "invalid choice: 'every'"),
        ("pretrain", "--resume", "--resume: the twin begins anew"),
        ("pretrain", "--relation_heads 7", "must divide the 32 features"),
        ("pretrain", "--held_out 30", "30 of them cannot be held out"),
        ("pretrain", "--depth_mult_list 1.0", "needs 1.0 and a depth below it"),
        ("pretrain", "--max_seq_length 99", "has positions for 48 tokens"),
        ("prove", "--elastic --max_steps 3", "--max_steps: is set by this program; give --steps"),
        ("prove", "--elastic --supernet_dropout 0.1", "both draw other numbers"),
        ("prove", "--elastic --plant nothing", "invalid choice: 'nothing'"),
        ("prove", "--elastic --width_mult_list 0.5", "--width_mult_list"),
    ],
)
def test_what_cannot_be_is_a_line_with_exit_code_2(line, command, more, said, capsys, monkeypatch):
    monkeypatch.setattr(torch_twin, "_need_torch", lambda: None)
    monkeypatch.setitem(sys.modules, "twin.elastic.pretrain", _Pretrain)
    assert torch_twin.main([command, *line, "--output_dir", "o", *more.split()]) == 2
    found = capsys.readouterr().err
    assert said in found
    assert "Traceback" not in found


class _Pretrain:
    """In the place of the module that needs PyTorch: what it does first."""

    pretrain = staticmethod(told_to_pretrain)


def test_pretraining_without_pytorch_is_a_line(monkeypatch, line, capsys):
    monkeypatch.setattr(torch_twin, "find_spec", lambda name: None)
    assert torch_twin.main(["pretrain", *line, "--output_dir", "o"]) == 2
    assert "has no torch; install it" in capsys.readouterr().err


# Pace.


def test_by_the_clock_the_rate_rises_and_falls_with_the_time():
    now = iter([100.0, 102.5, 105.0, 115.0, 119.9, 120.0])
    pace = ByTime(20, 0.25, clock=lambda: next(now))
    assert [pace.factor(step) for step in range(6)] == pytest.approx([0.0, 0.5, 1.0, 1 / 3, 0.1 / 15, None])


def test_without_a_rise_the_clock_begins_at_the_peak():
    now = iter([7.0, 8.0])
    pace = ByTime(2, 0.0, clock=lambda: next(now))
    assert [pace.factor(step) for step in range(2)] == [1.0, 0.5]


def test_by_steps_the_rate_is_the_products(line):
    job = told(line, "--max_steps 8 --warmup_steps 2").job()
    pace = BySteps(make_schedule(job.loop, 5))
    assert [pace.factor(step) for step in (0, 2, 7, 8)] == pytest.approx([1 / 3, 1.0, 1 / 6, None])


# What is trained and written.


def test_other_layers_of_the_same_depths_are_trained_beside_and_each_set_once():
    space = SearchSpace(SHAPE, (1.0,), (1.0, 0.5), ((0, 1, 2, 3), (0, 3)))
    found = with_rules(space, ("prefix", "even", "lower"))
    assert {name: each.layers for name, each in found.items()} == {
        "w1_d1": (0, 1, 2, 3), "w1_d0.5": (0, 3), "w1_d0.5 prefix": prefix_layers(4, 2), "w1_d0.5 lower": (0, 2),
    }  # fmt: skip


def test_what_is_written_is_an_encoder_whose_layers_a_teacher_passes_on(line, tmp_path):
    job = told(line, "--layer_choice prefix").job()
    setup = Setup.of(job, ("even",))
    made, task = setup.record(job), glue_task("mrpc")
    setup.directory.write(tmp_path / "out", replace(made, step=12))
    found = read_encoder(str(tmp_path / "out"))
    assert not found.finetuned
    assert found.stated.record.kind == "pretrained"
    assert found.stated.record.elastic.layers(2) == (0, 1)
    assert found.stated.record.elastic.texts == 40
    written = read_weights(tmp_path / "out" / "model.safetensors")
    assert {name.removeprefix("bert.") for name in written} == set(tiny_weights(0))
    teacher = read_directory(str(tmp_path / "out"), task).with_head(2, seed=1)
    teacher.save(tmp_path / "teacher", task, 24, 1, {"score": 0.5})
    passed = ModelRecord.from_json(json.loads((tmp_path / "teacher" / "ofa_config.json").read_text()), "it").elastic
    assert (passed.layers(2), passed.steps) == ((0, 1), 12)


def test_heads_of_pretraining_are_left_out(line, tmp_path):
    where = tmp_path / "encoder" / "model.safetensors"
    more = {"cls.predictions.decoder_bias": np.ones(3, np.float32), "bert.embeddings.position_ids": np.ones((1, 48))}
    write_weights(where, {**read_weights(where), **more})
    assert set(Setup.of(told(line).job()).directory.weights) == set(tiny_weights(0))


# What is compared.


def both_sides(folder):
    """A step of two depths by a product and by a twin that agree in all."""
    losses = ({"state": 0.0, "relation": 0.5}, {"state": 2.0, "relation": 0.75})
    depths = (SubModelConfig((0, 1), (2, 2), (4, 4)), SubModelConfig((0,), (2,), (4,)))
    ids = np.arange(6).reshape(2, 3)
    record.write_steps(folder, [record.Step(Batch(ids, ids * 0, ids, np.arange(2)), depths, losses)])
    (folder / record.PRODUCT / "last").mkdir(parents=True)
    weights = {"embeddings.layer_norm.weight": np.ones(2, np.float32)}
    moved = {name: array + 1 for name, array in weights.items()}
    for name, arrays in (
        (record.START, weights), (record.TWIN_START, weights), (record.TWIN_END, moved),
        (f"{record.PRODUCT}/{record.WEIGHTS}", moved),
    ):  # fmt: skip
        write_weights(folder / name, arrays)
    kept, far, near = {"a": [0, 1], "b": [0]}, {"a": {"loss": 0.0}, "b": {"loss": 9.0}}, {"a": {"loss": 0.1}}
    results = {"kept_layers": kept, "start": far, "last": {"step": 1, "scores": near}}
    (folder / record.PRODUCT / record.RESULTS).write_text(json.dumps(results))
    twin = {
        "kept_layers": kept, "losses": [losses], "names": [["a", "b"]], "other_batches": 0, "other_sub_models": 0,
        "start": far, "last": near,
    }  # fmt: skip
    (folder / record.TWIN).write_text(json.dumps(twin))
    return json.loads(json.dumps(twin))


def test_two_sides_that_agree_give_no_verdict(tmp_path):
    both_sides(tmp_path)
    rows, checks = compared(tmp_path)
    assert (len(rows), len(checks)) == (4, 7)
    assert verdict(rows, checks) == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda twin: twin["losses"][0][1].update(relation=0.76), "1 of 4 losses differ"),
        (lambda twin: twin["kept_layers"].update(b=[1]), "depths with other layers: 1"),
        (lambda twin: twin.update(other_batches=1), "batches that the twin draws otherwise: 1"),
        (lambda twin: twin.update(other_sub_models=1), "steps with other sub-models: 1"),
        (lambda twin: twin["start"]["b"].update(loss=9.01), "as it came: 0.0011"),
        (lambda twin: twin.update(last={}), "after the last step: nan"),
    ],
)
def test_whatever_the_twin_computes_otherwise_is_found(tmp_path, change, said):
    twin = both_sides(tmp_path)
    change(twin)
    (tmp_path / record.TWIN).write_text(json.dumps(twin))
    assert said in verdict(*compared(tmp_path))

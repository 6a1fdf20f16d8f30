"""Product and PyTorch twin side by side, each in a process of its own, at a tiny shape."""

import json
import sys

import numpy as np
import pytest

from helpers.bert_directory import tiny_directory, tiny_teacher
from helpers.glue_layout import write_glue
from helpers.models import WORDS
from helpers.paths import ROOT
from helpers.torch_python import torch_python

sys.path.insert(0, str(ROOT / "benchmarks"))

import torch_twin
from twin import prove, record
from twin.command_line import PLANTS
from twin.elastic import compare
from twin.elastic.command_line import ELASTIC_PLANTS
from twin.tables import verdict

import export_model
import run_glue
from ofa_bert.submodels.elastic_record import ElasticRecord
from ofa_bert.system import child_process

PROGRAM = ROOT / "benchmarks" / "torch_twin.py"


CASES = {
    "classes": (
        "mrpc",
        "--recipe quick --augment 0.3 --max_grad_norm 0.5 --warmup_steps 2 --weight_decay 0.01 --adam_epsilon 1e-6",
    ),
    "a number": ("sts-b", "--recipe strong --trial_steps 4 --adam_epsilon 1e-3"),
    "recorded layers": ("mrpc", "--depth_mult_list 1.0 0.5 --width_mult_list 1.0 --adam_epsilon 1e-6"),
    "all in every step": (
        "mrpc",
        "--depth_mult_list 1.0 0.5 --layer_choice importance --lambda_logit 0.5 --adam_epsilon 1e-6",
    ),
}


def pretrained_in_depths(directory):
    """With a record of layers that no rule would choose."""
    path = directory / "ofa_config.json"
    elastic = ElasticRecord(by="even", num_layers=4, depths={0.5: (1, 2)}, sha256="0", texts=9)
    path.write_text(json.dumps({**json.loads(path.read_text()), "elastic": elastic.to_json()}))
    return directory


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", CASES)
def test_product_and_twin_agree_and_planted_mistakes_are_found(case, tmp_path, capsys):
    python, (task, flags) = torch_python(), CASES[case]
    write_glue(tmp_path / "glue", 160, 40)
    where, out = pretrained_in_depths(tiny_teacher(tmp_path / "teacher", task)), tmp_path / "proof"
    argv = ["prove", "--model_name_or_path", str(where), "--task_name", task, "--torch_python", python]
    argv += ["--data_dir", str(tmp_path / "glue" / task.upper()), "--output_dir", str(out), *flags.split()]
    # A high rate makes mistakes large. With the usual epsilon it would do so with the rounding of gradients that are
    # zero but for that: those of what only the largest sub-model has, which begins as its teacher.
    argv += ["--learning_rate", "1e-3"]
    code = torch_twin.main(argv)
    told = capsys.readouterr()
    assert code == 0, told.err
    assert "losses of 20 steps agree" in told.out
    if case == "recorded layers":
        layers = json.loads((out / record.TWIN).read_text())["layer_choice"]
        assert (layers["by"], layers["depths"][1]["layers"]) == ("recorded", [1, 2])
    request = json.loads((out / record.REQUEST).read_text())
    for plant in PLANTS:
        request["own"]["plant"] = plant
        (out / record.REQUEST).write_text(json.dumps(request))
        assert child_process.finish([python, str(PROGRAM), "follow", str(out)]).code == 0
        rows, checks = prove.compared(out)
        assert any(row.wrong for row in rows), f"{plant}: not found"
        assert verdict(rows, checks)


@pytest.mark.slow
def test_a_recipe_is_tried_from_an_encoder_on(tmp_path):
    python = torch_python()
    write_glue(tmp_path / "glue", 96, 40)
    encoder, out = tiny_directory(tmp_path / "encoder", 0), tmp_path / "out"
    argv = ["train", "--model_name_or_path", encoder, "--task_name", "MRPC", "--data_dir", tmp_path / "glue" / "MRPC"]
    argv += ["--recipe", "quick", "--seeds", "1", "2", "--device", "cpu", "--finetune_epochs", "1", "--max_steps", "6"]
    argv += ["--max_seq_length", "32"]
    ended = child_process.finish([python, str(PROGRAM), *map(str, argv), "--output_dir", str(out)])
    assert ended.code == 0, ended.complaint
    rows = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]
    assert [row["seed"] for row in rows] == [1, 2]
    assert all(len(row["scores"]) == 8 and row["steps"] == 6 for row in rows)
    assert rows[0]["teacher"] == rows[1]["teacher"]
    name, difference = next(iter(rows[0]["differences"].items()))
    assert difference == pytest.approx(100 * (rows[0]["scores"][name] - rows[0]["teacher"]["score"]))
    assert "± " in (out / "table.md").read_text()
    from ofa_bert.models.directories import load_model

    model, _, read = load_model(out / "teacher")
    assert read.task.name == "mrpc"
    assert model.state_dict()["classifier.weight"].shape == [32, 2]


ELASTIC_CASES = {
    "both losses": "--weight_decay 0.01 --max_grad_norm 0.5 --warmup_steps 2 --relation_heads 8",
    "relations alone": "--state_weight 0 --weight_decay 0.1 --max_grad_norm 0.05 --layer_choice prefix",
}


def write_corpus(path, texts=120):
    rng = np.random.default_rng(0)
    lines = (" ".join(rng.choice(WORDS, rng.integers(2, 24))) for _ in range(texts))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", ELASTIC_CASES)
def test_pretraining_of_depths_agrees_and_planted_mistakes_are_found(case, tmp_path, capsys):
    python, out = torch_python(), tmp_path / "proof"
    argv = ["prove", "--elastic", "--model_name_or_path", str(tiny_directory(tmp_path / "encoder", 0))]
    argv += ["--corpus", str(write_corpus(tmp_path / "texts.txt")), "--held_out", "20", "--max_seq_length", "32"]
    argv += ["--torch_python", python, "--output_dir", str(out), "--batch_size", "8", "--learning_rate", "1e-3"]
    code = torch_twin.main([*argv, *ELASTIC_CASES[case].split()])
    told = capsys.readouterr()
    assert code == 0, told.err
    assert "losses of 20 steps agree" in told.out
    request = json.loads((out / record.REQUEST).read_text())
    alone = case == "relations alone"  # no state of a kept layer is part of them
    for plant in (plant for plant in ELASTIC_PLANTS if not (alone and plant == "matching")):
        request["own"]["plant"] = plant
        (out / record.REQUEST).write_text(json.dumps(request))
        assert child_process.finish([python, str(PROGRAM), "follow", str(out)]).code == 0
        rows, checks = compare.compared(out)
        assert any(row.wrong for row in rows), f"{plant}: not found"
        assert verdict(rows, checks)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("autocast", ["off", "bf16"])
def test_what_the_twin_pretrains_is_nearer_and_a_supernet_of_it_keeps_its_layers(autocast, tmp_path):
    python, elastic, out = torch_python(), tmp_path / "elastic", tmp_path / "out"
    argv = ["pretrain", "--model_name_or_path", tiny_directory(tmp_path / "encoder", 0), "--held_out", "20"]
    argv += ["--corpus", write_corpus(tmp_path / "texts.txt"), "--max_seq_length", "32", "--layer_choice", "prefix"]
    argv += ["--device", "cpu", "--autocast", autocast, "--seconds", "3", "--also", "even", "--batch_size", "8"]
    argv += ["--learning_rate", "1e-3", "--output_dir", elastic]
    ended = child_process.finish([python, str(PROGRAM), *map(str, argv)])
    assert ended.code == 0, ended.complaint
    results = json.loads((elastic / "results.json").read_text())
    assert results["kept_layers"] == {"w1_d1": [0, 1, 2, 3], "w1_d0.5": [0, 1], "w1_d0.5 even": [0, 3]}
    for name in ("w1_d0.5", "w1_d0.5 even"):
        assert results["last"]["scores"][name]["loss"] < 0.8 * results["start"][name]["loss"]
    write_glue(tmp_path / "glue", 96, 40)
    argv = ["train", "--model_name_or_path", elastic, "--task_name", "MRPC", "--data_dir", tmp_path / "glue" / "MRPC"]
    argv += ["--max_steps", "4", "--finetune_epochs", "1", "--depth_mult_list", "1.0", "0.5", "--device", "cpu"]
    argv += ["--max_seq_length", "32", "--keep", "--seeds", "3"]
    ended = child_process.finish([python, str(PROGRAM), *map(str, argv), "--output_dir", str(out)])
    assert ended.code == 0, ended.complaint
    chosen = json.loads((out / "rows.jsonl").read_text())["layer_choice"]
    assert chosen["by"] == "recorded"
    assert [each["layers"] for each in chosen["depths"]] == [[0, 1, 2, 3], [0, 1]]
    assert passed_on(out / "teacher") == results["best"]["step"]
    if autocast == "off":  # the product takes it as well, and exports from what was kept
        cut = ["--model_name_or_path", out / "supernet_3", "--width_mult", "0.5", "--depth_mult", "0.5"]
        cut += ["--device", "cpu", "--sub_model_output_dir", tmp_path / "cut"]
        assert export_model.main(list(map(str, cut))) == 0
        stored = json.loads((tmp_path / "cut" / "ofa_config.json").read_text())["scores"]
        assert stored == json.loads((out / "rows.jsonl").read_text())["all_scores"]["w0.5_d0.5"]
        argv = ["--model_name_or_path", elastic, "--task_name", "MRPC", "--data_dir", tmp_path / "glue" / "MRPC"]
        argv += ["--max_steps", "1", "--max_seq_length", "32", "--device", "cpu", "--output_dir", tmp_path / "product"]
        assert run_glue.main(list(map(str, argv))) == 0
        assert passed_on(tmp_path / "product" / "best") == results["best"]["step"]


def passed_on(directory):
    return json.loads((directory / "ofa_config.json").read_text())["elastic"]["steps"]

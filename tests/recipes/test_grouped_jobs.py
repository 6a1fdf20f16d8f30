"""Every job on choices and on lists of passages: what is counted and scored are whole questions and queries."""

import json
import re

import pytest

import export_model
import run_glue
import run_glue_ofa
from helpers.grouped_data import write_choices, write_lists
from helpers.latency import by_size
from helpers.models import WORDS
from ofa_bert.__main__ import main
from ofa_bert.bundle.manifest import read_manifest
from ofa_bert.recipes import timing

COMMON = "--device cpu --logging_steps 50 --save_steps 999 --max_seq_length 32".split()
STEPS = "--max_steps 6 --batch_size 4".split()
TRAIN, DEV = 60, 12
WRITE = {"choices": write_choices, "ranking": write_lists}
MAIN = {"choices": "accuracy", "ranking": "mrr@10"}


@pytest.fixture(scope="module", params=["choices", "ranking"])
def made(request, tmp_path_factory, tiny_bert_dir):
    """(home with the files, teacher/ and supernet/, what names the data, the main metric)."""
    home = tmp_path_factory.mktemp(request.param)
    write, metric = WRITE[request.param], MAIN[request.param]
    write(home / "train.jsonl", TRAIN, seed=1)
    write(home / "dev.jsonl", DEV, seed=2)
    data = ["--train_file", str(home / "train.jsonl"), "--dev_file", str(home / "dev.jsonl")]
    options = [*COMMON, *data, "--num_train_epochs", "2", "--learning_rate", "2e-3", "--batch_size", "8"]
    encoder = ["--model_name_or_path", str(tiny_bert_dir), "--output_dir", str(home / "teacher")]
    assert run_glue.main([*options, *encoder]) == 0
    of_teacher = ["--model_name_or_path", str(home / "teacher"), "--output_dir", str(home / "supernet")]
    of_teacher += "--width_mult_list 1.0 0.5 --depth_mult_list 1.0 0.5 --held_out_share 0.4".split()
    assert run_glue_ofa.main([*COMMON, *STEPS, *data, *of_teacher]) == 0
    return home, data, metric


def results(directory):
    return json.loads((directory / "results.json").read_text())


def is_share(score, count=DEV):
    """Whether an accuracy is one of so many questions; of a mean of reciprocal ranks nothing is known but its range."""
    return 0 <= score <= 1 and abs(score * count - round(score * count)) < 1e-6


@pytest.mark.parametrize("choice", ["trial", "importance"])
def test_layers_are_chosen_on_whole_examples_and_texts_are_changed(made, tmp_path, choice):
    home, data, metric = made
    options = [*COMMON, *STEPS, *data, "--model_name_or_path", str(home / "teacher"), "--output_dir", str(tmp_path)]
    options += ["--depth_mult_list", "1.0", "0.5", "--width_mult_list", "1.0", "--layer_choice", choice]
    options += ["--augment", "0.5", "--held_out_share", "0.2", *(["--trial_steps", "3"] if choice == "trial" else [])]
    assert run_glue_ofa.main(options) == 0
    found = results(tmp_path)
    assert found["layer_choice"].get("examples", TRAIN // 5) == TRAIN // 5
    assert all(is_share(row["scores"][metric]) for row in found["best"]) or metric != "accuracy"


@pytest.mark.parametrize(
    "more",
    [
        ["--state_weight", "0"],
        ["--label_weight", "0.5", "--augment", "0.3"],
        ["--augment_copies", "1"],
    ],
)
def test_a_student_is_distilled(made, tmp_path, more):
    home, data, metric = made
    options = ["distil", *COMMON, *STEPS, *data, "--teacher", str(home / "teacher"), "--student", "2,2,32,32"]
    assert main([*options, "--output_dir", str(tmp_path / "student"), *more]) == 0
    assert 0 <= results(tmp_path / "student")["best"]["scores"][metric] <= 1


def test_a_model_is_pruned(made, tmp_path):
    home, data, _metric = made
    options = ["prune", "--device", "cpu", *data, "--model_name_or_path", str(home / "teacher")]
    options += ["--target_num_heads", "2", "--target_ffn_dim", "32", "--held_out_share", "0.1"]
    assert main([*options, "--output_dir", str(tmp_path / "pruned")]) == 0
    assert results(tmp_path / "pruned")["measured_on"] == TRAIN // 10


def test_settings_are_tuned(made, tiny_bert_dir, tmp_path):
    pytest.importorskip("optuna")
    _, data, _ = made
    options = [
        "tune",
        *COMMON,
        "--max_steps",
        "6",
        "--batch_sizes",
        "4",
        *data,
        "--model_name_or_path",
        str(tiny_bert_dir),
        "--trials",
        "2",
    ]
    assert main([*options, "--tune_share", "0.2", "--output_dir", str(tmp_path / "tuned")]) == 0
    assert results(tmp_path / "tuned")["tuned_on"] == TRAIN // 5


@pytest.mark.parametrize("algorithm", ["nsga2", "fptas", "scratch"])
def test_a_sub_model_is_searched(made, tmp_path, algorithm):
    home, _, metric = made
    options = ["search", "--model", str(home / "supernet"), "--output_dir", str(tmp_path), "--device", "cpu"]
    if algorithm == "nsga2":
        options += "--trials 12 --population 6 --examples 20 --min_score 0 --finetune_steps 2".split()
    else:
        options += "--algorithm fptas --depths 2 4 --heads 2 4 --ffn 32 64 --epsilon 1 --examples 20".split()
    if algorithm == "scratch":
        options += "--from_scratch --hidden 32 --max_steps 2 --batch_size 4".split()
    assert main(options) == 0
    found = results(tmp_path)
    if algorithm == "nsga2":
        assert found["held_out"] == 24  # of 60, as the supernet held them out
        assert 0 <= found["dev"][metric] <= 1


def test_a_sub_model_is_polished(made, tmp_path):
    home, data, metric = made
    options = ["--model_name_or_path", str(home / "supernet"), "--sub_model_output_dir", str(tmp_path / "small")]
    options += ["--width_mult", "0.5", "--polish", "1", "--device", "cpu", *data]
    assert export_model.main(options) == 0
    record = json.loads((tmp_path / "small" / "ofa_config.json").read_text())
    assert record["polish"]["after"][metric] == record["scores"][metric]


def test_a_bundle_is_benched_and_handed_to_a_server(made, tmp_path, capsys):
    home, data, metric = made
    options = ["--model_name_or_path", str(home / "supernet"), "--sub_model_output_dir", str(tmp_path / "small")]
    options += ["--static_sub_model", str(tmp_path / "bundle"), "--onnx", "--device", "cpu", "--width_mult", "0.5"]
    assert export_model.main(options) == 0
    rounds = ["--batch", "4", "--length", "16", "--threads", "1", "--repeats", "2", "--output_dir", str(tmp_path / "b")]
    assert main(["bench", "--bundles", str(tmp_path / "bundle"), *rounds, *data]) == 0
    (row,) = [row for row in json.loads((tmp_path / "b" / "rows.json").read_text())["rows"] if not row["peer"]][:1]
    assert row["score_name"] == metric
    assert row["score"] is not None
    shown = capsys.readouterr().out
    assert "pairs/s" in shown
    assert (
        main(["export_serving", "--bundles", str(tmp_path / "bundle"), "--output_dir", str(tmp_path / "served")]) == 0
    )
    (config,) = (tmp_path / "served" / "triton").rglob("config.pbtxt")
    assert re.search(r"output \{[^}]*dims: 1\n", config.read_text())  # a number a row, which a client regroups
    compile((tmp_path / "served" / "README.md").read_text().split("```python\n")[1].split("```")[0], "client", "exec")


@pytest.mark.slow
def test_the_recipe_goes_through(made, tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "SPIN_SECONDS", 0)
    monkeypatch.setattr(timing, "LATENCY_TEXTS", 4)
    home, data, metric = made
    options = ["recipe", *COMMON, *STEPS, *data, "--teacher", str(home / "teacher"), "--student", "2,2,32,32"]
    options += "--max_drop 100 --repeats 1 --samples 8 --workers 0 --target_num_heads 1 --target_ffn_dim 16".split()
    assert main([*options, "--output_dir", str(tmp_path)]) == 0
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert rows[0]["score"] == pytest.approx(results(home / "teacher")["best"]["scores"][metric], abs=1e-3)
    assert all(0 <= row["score"] <= 1 for row in rows)


@pytest.mark.slow
def test_a_sub_model_is_chosen_by_its_latency(made, tmp_path):
    home, _, _ = made
    few = "--models 2 --check 3 --repeats 3 --min_width 0.5 --length 16".split()
    supernet, table = str(home / "supernet"), str(tmp_path / "table.json")
    assert main(["latency", "--model", supernet, "--output", table, *few]) == 0
    by_size(table)
    options = ["search", "--model", supernet, "--device", "cpu", "--latency_table", table, "--speedups", "1.05"]
    options += "--trials 12 --population 6 --examples 20".split()
    assert main([*options, "--output_dir", str(tmp_path / "found")]) == 0
    (member,) = results(tmp_path / "found")["family"]
    assert member["difference"]["low"] <= member["difference"]["score"] <= member["difference"]["high"]


@pytest.mark.slow
def test_a_fused_export_of_a_trimmed_vocabulary(made, tmp_path):
    home, data, _ = made
    (tmp_path / "words.txt").write_text("\n".join(WORDS) + "\n")
    options = ["--model_name_or_path", str(home / "supernet"), "--sub_model_output_dir", str(tmp_path / "small")]
    options += ["--static_sub_model", str(tmp_path / "bundle"), "--trim_vocab", str(tmp_path / "words.txt"), *data]
    options += "--onnx --fused --width_mult 0.5 --device cpu --precision fp32 fp16 int8 --max_drop 100".split()
    assert export_model.main(options) == 0
    checks = {each.name: each.check for each in read_manifest(tmp_path / "bundle").models}
    assert {"onnx-fp32-fused", "onnx-fp16-fused", "onnx-int8"} <= set(checks)
    assert checks["onnx-fp32-fused"].argmax_agreement == 1

"""Multiple choice from training to a bundle, by the commands."""

import json

import numpy as np
import pytest

import export_model
import run_glue
import run_glue_ofa
from helpers.grouped_data import write_choices
from ofa_bert.__main__ import main
from ofa_bert.data.table_files import read_table
from ofa_bert.runtime.predictor import Predictor
from ofa_bert.tasks.questions import Question

COMMON = "--device cpu --max_seq_length 32 --logging_steps 50".split()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    home = tmp_path_factory.mktemp("choices")
    write_choices(home / "train.jsonl", 120, seed=1)
    write_choices(home / "dev.jsonl", 40, seed=2)
    return home


@pytest.fixture(scope="module")
def data(files):
    return ["--train_file", str(files / "train.jsonl"), "--dev_file", str(files / "dev.jsonl")]


@pytest.fixture(scope="module")
def teacher(files, data, tiny_bert_dir):
    options = [*COMMON, *data, "--model_name_or_path", str(tiny_bert_dir), "--output_dir", str(files / "teacher")]
    options += "--batch_size 8 --num_train_epochs 6 --learning_rate 3e-3 --adam_epsilon 1e-6 --save_steps 99".split()
    assert run_glue.main(options) == 0
    return files / "teacher"


@pytest.fixture(scope="module")
def supernet(files, data, teacher):
    options = [*COMMON, *data, "--model_name_or_path", str(teacher), "--output_dir", str(files / "supernet")]
    options += "--width_mult_list 1.0 0.5 --depth_mult_list 1.0 0.5 --num_train_epochs 3 --batch_size 8".split()
    assert run_glue_ofa.main([*options, "--learning_rate", "2e-3", "--save_steps", "99"]) == 0
    return files / "supernet"


@pytest.fixture(scope="module")
def bundle(files, data, supernet):
    options = ["--model_name_or_path", str(supernet), "--sub_model_output_dir", str(files / "small")]
    options += ["--static_sub_model", str(files / "bundle"), "--width_mult", "0.5", "--onnx", "--max_drop", "100"]
    options += ["--precision", "fp32", "int8", "int8-static", "fp16", *data, "--device", "cpu"]
    assert export_model.main(options) == 0
    return files / "bundle"


def results(directory):
    return json.loads((directory / "results.json").read_text())


def test_a_teacher_and_its_sub_models_choose(teacher, supernet):
    assert results(teacher)["best"]["scores"]["accuracy"] > 0.9
    rows = {row["name"]: row["scores"]["accuracy"] for row in results(supernet)["best"]}
    assert len(rows) == 4
    assert min(rows.values()) > 0.6
    task = json.loads((teacher / "best" / "ofa_config.json").read_text())["task"]
    assert (task["kind"], task["labels"], task["metrics"]) == ("choices", [], ["accuracy"])
    held = json.loads((supernet / "best" / "ofa_config.json").read_text())["held_out"]
    assert held["count"] == 6  # of 120 questions, each whole


def test_a_bundle_answers_as_the_model_that_it_was_exported_from(bundle, files):
    manifest = json.loads((bundle / "manifest.json").read_text())
    precisions = {model["precision"] for model in manifest["models"]}
    assert precisions == {"fp32", "int8", "int8-static", "fp16"}
    same = {model["precision"]: model["argmax_agreement"] for model in manifest["models"]}
    assert same["fp32"] == 1
    assert all(share * 40 == pytest.approx(round(share * 40)) for share in same.values())  # of 40 questions
    output = files / "scores.json"
    scored = []
    for what in (["--bundle", str(bundle)], ["--model_name_or_path", str(files / "small")]):
        assert main(["evaluate", *what, "--file", str(files / "dev.jsonl"), "--output", str(output)]) == 0
        (split,) = json.loads(output.read_text())["splits"]
        assert split["examples"] == 40
        scored.append(split["scores"]["accuracy"])
    assert scored[0] == scored[1] == manifest["score"]


def test_without_data_nobody_says_how_many_choices_are_the_same(supernet, tmp_path, capsys):
    options = ["--model_name_or_path", str(supernet), "--sub_model_output_dir", str(tmp_path / "small")]
    options += ["--static_sub_model", str(tmp_path / "bundle"), "--width_mult", "0.5", "--onnx", "--device", "cpu"]
    assert export_model.main(options) == 0
    assert "same answers" not in capsys.readouterr().out
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert {model["argmax_agreement"] for model in manifest["models"]} == {None}


def test_a_predictor_is_asked_questions(bundle):
    with Predictor(bundle) as predictor:
        asked = [("a film", ["it was bad", "it was good", "they hated it"]), Question("a film", ("good", "dull"), "it")]
        first, second = predictor.predict(asked)
        assert (first.choice, second.choice) == (1, 0)
        assert len(first.probabilities) == 3
        assert sum(first.probabilities) == pytest.approx(1)
        assert first.probability == max(first.probabilities)
        logits = predictor.logits([("a film", "it good"), ("a film", "it dull")])[:, 0]
        odds = np.exp(logits - logits.max())
        np.testing.assert_allclose(second.probabilities, odds / odds.sum(), rtol=1e-4)


def test_workers_and_batches_change_nothing(bundle):
    asked = [("a film", ["it was bad", "it was good", "they hated it"]), ("the plot", ["dull", "bright"])] * 5
    with Predictor(bundle, threads=1) as one, Predictor(bundle, workers=2, batch_size=3) as several:
        found = [[(each.choice, *each.probabilities) for each in both.predict(asked)] for both in (one, several)]
    for first, second in zip(*found):
        assert second == pytest.approx(first, abs=1e-4)


def test_predict_writes_a_choice_for_every_question(bundle, files):
    output = files / "predicted.jsonl"
    options = ["predict", "--bundle", str(bundle), "--input", str(files / "dev.jsonl"), "--output", str(output)]
    assert main([*options, "--all_probabilities"]) == 0
    table = read_table(output)
    rows = [dict(zip(table.header, cells)) for _, cells in table.rows]
    right = sum(row["predicted_choice"] == row["label"] for row in rows) / len(rows)
    assert right == pytest.approx(json.loads((bundle / "manifest.json").read_text())["score"])
    assert all(len(row["probabilities"]) == len(row["choices"]) for row in rows)


def test_columns_of_questions_are_not_named(bundle, files, capsys):
    options = ["predict", "--bundle", str(bundle), "--input", str(files / "dev.jsonl")]
    options += ["--output", str(files / "none.jsonl"), "--text_columns", "text"]
    assert main(options) == 2
    assert "--text_columns text: " in capsys.readouterr().err
    assert not (files / "none.jsonl").exists()


def test_exits_are_refused_in_one_line(teacher, data, tmp_path, capsys):
    options = [
        "supernet",
        "--exits",
        "deebert",
        *COMMON,
        *data,
        "--model_name_or_path",
        str(teacher),
        "--output_dir",
        str(tmp_path / "x"),
    ]
    assert main(options) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert "has choices, where a text has no answer of its own" in said[-1]
    assert not (tmp_path / "x").exists()

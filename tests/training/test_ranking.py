"""Rerankers from training to a bundle: on 0 and 1, on numbers, on a teacher's scores, and from a cross-encoder."""

import json

import numpy as np
import pytest

import export_model
import run_glue
import run_glue_ofa
from helpers.grouped_data import write_lists, write_pairs
from ofa_bert.__main__ import main
from ofa_bert.bundle.manifest import read_manifest
from ofa_bert.data.table_files import read_table
from ofa_bert.errors import UserError
from ofa_bert.runtime.predictor import Predictor

COMMON = "--device cpu --max_seq_length 32 --logging_steps 50 --save_steps 999".split()
LEARN = "--batch_size 8 --num_train_epochs 7 --learning_rate 1e-3 --adam_epsilon 1e-6".split()
PRECISIONS = ("fp32", "fp16", "int8", "int8-static")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    home = tmp_path_factory.mktemp("ranking")
    write_pairs(home / "train.tsv", 90, seed=1)
    write_pairs(home / "dev.tsv", 24, seed=2)
    write_pairs(home / "numbers.tsv", 90, seed=1, of_label=lambda right: 2.5 if right else -0.5)
    write_lists(home / "lists.jsonl", 90, seed=3)
    write_lists(home / "lists-dev.jsonl", 20, seed=4)
    return home


def data_of(files, train="train.tsv", dev="dev.tsv"):
    return ["--train_file", str(files / train), "--dev_file", str(files / dev)]


def results(directory):
    return json.loads((directory / "results.json").read_text())


def task_in(directory):
    return json.loads((directory / "best" / "ofa_config.json").read_text())["task"]


@pytest.fixture(scope="module")
def teacher(files, tiny_bert_dir):
    options = [*COMMON, *LEARN, *data_of(files), "--model_name_or_path", str(tiny_bert_dir)]
    assert run_glue.main([*options, "--output_dir", str(files / "teacher")]) == 0
    return files / "teacher"


@pytest.fixture(scope="module")
def cross_encoder(files, teacher):
    """The teacher as Hugging Face would have it: weights and a config.json that says nothing of the task."""
    home = files / "cross-encoder"
    home.mkdir()
    for name in ("model.safetensors", "vocab.txt", "config.json"):
        (home / name).write_bytes((teacher / "best" / name).read_bytes())
    config = json.loads((home / "config.json").read_text())
    config = {**config, "architectures": ["BertForSequenceClassification"], "id2label": {"0": "LABEL_0"}}
    (home / "config.json").write_text(json.dumps({**config, "label2id": {"LABEL_0": 0}}))
    return home


@pytest.fixture(scope="module")
def bundle(files, cross_encoder):
    """Of a supernet that the cross-encoder taught, without finetuning."""
    options = [*COMMON, *data_of(files), "--model_name_or_path", str(cross_encoder)]
    options += "--width_mult_list 1.0 0.5 --num_train_epochs 5 --learning_rate 1e-3 --batch_size 8".split()
    assert run_glue_ofa.main([*options, "--output_dir", str(files / "supernet")]) == 0
    options = ["--model_name_or_path", str(files / "supernet"), "--sub_model_output_dir", str(files / "small")]
    options += ["--static_sub_model", str(files / "bundle"), "--width_mult", "0.5", "--onnx", "--device", "cpu"]
    assert export_model.main([*options, "--precision", *PRECISIONS, *data_of(files), "--max_drop", "100"]) == 0
    return files / "bundle"


def test_a_ranker_is_trained_on_0_and_1(teacher):
    task = task_in(teacher)
    assert (task["kind"], task["objective"], task["metrics"]) == ("ranking", "binary", ["mrr@10", "ndcg@10"])
    assert task["text_columns"] == ["query", "passage"]
    assert results(teacher)["best"]["scores"]["mrr@10"] > 0.95  # guessing has about 0.52


def test_a_cross_encoder_teaches_a_supernet(bundle, files):
    assert results(files / "supernet")["teacher"]["mrr@10"] == results(files / "teacher")["best"]["scores"]["mrr@10"]
    rows = {row["name"]: row["scores"] for row in results(files / "supernet")["best"]}
    assert min(scores["mrr@10"] for scores in rows.values()) > 0.9
    held = json.loads((files / "supernet" / "best" / "ofa_config.json").read_text())["held_out"]
    assert held["count"] == 4  # of 90 queries, each whole


@pytest.mark.parametrize(("train", "objective"), [("numbers.tsv", "numbers"), ("lists.jsonl", "lists")])
def test_a_ranker_is_trained_on_numbers_and_on_scores_of_a_teacher(files, tiny_bert_dir, tmp_path, train, objective):
    dev = "lists-dev.jsonl" if train.startswith("lists") else "dev.tsv"
    options = [*COMMON, *LEARN, *data_of(files, train, dev), "--model_name_or_path", str(tiny_bert_dir)]
    assert run_glue.main([*options, "--output_dir", str(tmp_path / "out")]) == 0
    assert task_in(tmp_path / "out")["objective"] == objective
    scores = results(tmp_path / "out")["best"]["scores"]
    assert scores["mrr@10"] > 0.9
    assert scores["ndcg@10"] > 0.9
    if objective == "lists":
        loss = results(tmp_path / "out")
        assert loss["task"] == "custom"


def test_a_cross_encoder_teaches_a_student_listwise(files, cross_encoder, tmp_path):
    options = ["distil", *COMMON, *data_of(files, "lists.jsonl", "lists-dev.jsonl"), "--teacher", str(cross_encoder)]
    options += ["--student", "2,2,32,32", "--output_dir", str(tmp_path / "student"), "--num_train_epochs", "16"]
    assert main([*options, "--learning_rate", "2e-3", "--batch_size", "8"]) == 0
    assert task_in(tmp_path / "student")["objective"] == "lists"
    assert results(tmp_path / "student")["best"]["scores"]["mrr@10"] > 0.8


def test_every_file_of_the_bundle_was_checked_on_whole_queries(bundle):
    manifest = read_manifest(bundle)
    assert {each.precision for each in manifest.models} == set(PRECISIONS)
    found = {each.precision: each.check for each in manifest.models}
    assert found["fp32"].argmax_agreement == 1
    assert all(check.score_after > 0.6 for check in found.values())
    same = [check.argmax_agreement for check in found.values()]
    assert all(share * 24 == pytest.approx(round(share * 24)) for share in same)  # of 24 queries


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_ranks(bundle, precision):
    with Predictor(bundle, "onnx_runtime", precision, threads=1) as predictor:
        (first, *_) = predictor.rank("film 3 the", ["it was dull", "it was good", "they hated it"])
    assert first[0] == 1


def test_a_predictor_ranks(bundle):
    passages = ["it was dull", "it was good", "they hated it"]
    with Predictor(bundle) as predictor:
        found = predictor.rank("film 3", passages)
        assert found[0].place == 1
        assert [each.passage for each in found] == [passages[each.place] for each in found]
        assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
        values = [answer.value for answer in predictor.predict([("film 3", passage) for passage in passages])]
        np.testing.assert_allclose([values[each.place] for each in found], [each.score for each in found], rtol=1e-5)
        assert predictor.rank("film 3", []) == []
        with pytest.raises(UserError, match="must be a list of texts"):
            predictor.rank("film 3", "it was good")


def test_workers_and_batches_change_nothing(bundle):
    pairs = [(f"film {number} the", text) for number in range(4) for text in ("it was dull", "it was good", "they")]
    with Predictor(bundle, threads=1) as one, Predictor(bundle, workers=2, batch_size=3) as several:
        np.testing.assert_allclose(one.logits(pairs), several.logits(pairs), atol=1e-4)


def test_exits_are_refused_in_one_line(teacher, files, tmp_path, capsys):
    options = [*COMMON, *data_of(files), "--model_name_or_path", str(teacher), "--exits", "deebert"]
    assert run_glue_ofa.main([*options, "--output_dir", str(tmp_path), "--max_steps", "1"]) == 2
    refusal = capsys.readouterr().err
    assert "has ranking, where a text has no answer of its own" in refusal
    assert refusal.count("\n") == 1


def test_predict_scores_pairs_and_whole_queries(bundle, files):
    output = files / "predicted.tsv"
    common = ["predict", "--bundle", str(bundle), "--input"]
    assert main([*common, str(files / "dev.tsv"), "--output", str(output)]) == 0
    pairs = read_table(output)
    assert pairs.header == ("query", "passage", "label", "predicted_value")
    assert len(pairs.rows) == 96
    output = files / "predicted.jsonl"
    assert main([*common, str(files / "lists-dev.jsonl"), "--output", str(output)]) == 0
    table = read_table(output)
    for _, cells in table.rows:
        row = dict(zip(table.header, cells))
        values = row["predicted_values"]
        assert len(values) == len(row["passages"])
        assert [values[place] for place in row["predicted_order"]] == sorted(values, reverse=True)


def test_evaluate_scores_queries(bundle, files):
    output, found = files / "scores.json", []
    for what in (["--bundle", str(bundle)], ["--model_name_or_path", str(files / "small")]):
        assert main(["evaluate", *what, "--file", str(files / "dev.tsv"), "--output", str(output)]) == 0
        (split,) = json.loads(output.read_text())["splits"]
        assert split["examples"] == 24
        found.append(split["scores"])
    assert found[0] == found[1]
    assert set(found[0]) == {"mrr@10", "ndcg@10"}

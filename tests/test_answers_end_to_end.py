"""Answers in contexts through every stage, by the commands that a user types."""

import json

import numpy as np
import pytest

import export_model
import run_glue
import run_glue_ofa
from helpers.answers_case import questions, write_case
from helpers.latency import by_size
from helpers.models import VOCABULARY
from ofa_bert.__main__ import main
from ofa_bert.bundle.manifest import read_manifest
from ofa_bert.recipes import timing
from ofa_bert.runtime.predictor import Predictor

# Windows of 20 tokens, 6 apart: most contexts have several.
COMMON = "--device cpu --batch_size 16 --max_seq_length 20 --doc_stride 6".split()
STEPS = "--device cpu --batch_size 16 --max_seq_length 20 --learning_rate 1e-3 --save_steps 10 --max_steps 20".split()


def data(root):
    return ["--train_file", str(root / "train.json"), "--dev_file", str(root / "dev.jsonl")]


def results(directory):
    return json.loads((directory / "results.json").read_text())


def command(*words):
    return main(list(map(str, words)))


@pytest.fixture(scope="module")
def runs(tmp_path_factory, tiny_bert_dir):
    """train.json, dev.jsonl, teacher/, supernet/, dynamic/ and bundle/ of one small run; a third lacks answers."""
    root = write_case(tmp_path_factory.mktemp("answers"), lacking=0.3)
    finetune = [*data(root), *COMMON, "--model_name_or_path", str(tiny_bert_dir), "--output_dir", str(root / "teacher")]
    assert run_glue.main([*finetune, *"--num_train_epochs 12 --learning_rate 3e-3 --save_steps 60".split()]) == 0
    elastic = [*data(root), *COMMON, "--model_name_or_path", str(root / "teacher")]
    elastic += ["--output_dir", str(root / "supernet"), *"--num_train_epochs 3 --learning_rate 1e-3".split()]
    elastic += "--save_steps 40 --depth_mult_list 1.0 --width_mult_list 1.0 0.5 --augment 0.2".split()
    assert run_glue_ofa.main(elastic) == 0
    export = ["--model_name_or_path", str(root / "supernet"), "--sub_model_output_dir", str(root / "dynamic")]
    export += ["--static_sub_model", str(root / "bundle"), *"--onnx --device cpu --width_mult 0.5".split()]
    export += ["--precision", *"fp32 fp16 int8 int8-static".split(), "--max_drop", "10", *data(root)]
    assert export_model.main(export) == 0
    return root


def test_teacher_and_sub_models_find_the_answers(runs):
    assert results(runs / "teacher")["best"]["score"] > 0.8
    rows = {row["name"]: row["scores"] for row in results(runs / "supernet")["best"]}
    assert all(scores["f1"] > 0.7 for scores in rows.values())
    assert set(rows["w1_d1"]) >= {"f1", "exact_match"}


def test_every_file_of_the_bundle_was_checked_and_says_the_windows(runs):
    manifest = read_manifest(runs / "bundle")
    assert (manifest.task.doc_stride, manifest.task.objective, len(manifest.task.thresholds)) == (6, "may_lack", 1)
    checks = {each.name: each.check for each in manifest.models}
    assert set(checks) >= {"paddle-fp32", "onnx-fp32", "onnx-fp16", "onnx-int8", "onnx-int8-static"}
    assert checks["onnx-fp32"].max_abs_difference < 1e-4
    assert all(check.score_after > 0.6 for check in checks.values())


ANSWERS = [(backend, "fp32") for backend in ("onnx_runtime", "openvino", "paddle_inference")]
ANSWERS += [("onnx_runtime", precision) for precision in ("fp16", "int8", "int8-static")]


@pytest.mark.parametrize(("backend", "precision"), ANSWERS)
def test_predictor_finds_answers_at_their_places(runs, backend, precision):
    rows = questions(60, seed=3, lacking=0.3, fillers=(1, 3))
    with Predictor(runs / "bundle", backend, precision, threads=1) as predictor:
        found = [each.extract for each in predictor.predict([(q, c) for q, c, _, _ in rows])]
        assert predictor.predict([]) == []
    assert all(c[each.start : each.end] == each.text for each, (_, c, _, _) in zip(found, rows))
    right = [each.text == answer for each, (_, _, answer, _) in zip(found, rows)]
    assert np.mean(right) > 0.5
    assert {start < 0 for *_, start in rows} == {True, False} == {not each.text for each in found}
    assert all(0 < each.score <= 1 for each in found)


def test_workers_and_batches_change_nothing(runs):
    pairs = [(q, c) for q, c, _, _ in questions(30, seed=7, fillers=(0, 3))]
    with Predictor(runs / "bundle", threads=1) as one, Predictor(runs / "bundle", workers=2, batch_size=3) as several:
        np.testing.assert_allclose(one.logits(pairs), several.logits(pairs), atol=1e-4)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_predict_writes_answers_beside_the_questions(runs, tmp_path, suffix):
    cells = {"question": "the film was", "context": " we liked it . the film was good . they said ."}
    text = (
        json.dumps(cells) if suffix == ".jsonl" else "question,context\n" + ",".join(f'"{v}"' for v in cells.values())
    )
    (tmp_path / f"in{suffix}").write_text(text + "\n")
    given = ["predict", "--bundle", runs / "bundle", "--input", tmp_path / f"in{suffix}"]
    assert command(*given, "--output", tmp_path / f"out{suffix}") == 0
    from ofa_bert.data.table_files import read_table

    table = read_table(tmp_path / f"out{suffix}")
    answer, start, end, _ = (table.rows[0][1][table.column(name)] for name in ("answer", "start", "end", "score"))
    assert cells["context"][int(start) : int(end)] == answer


def test_evaluate_scores_model_and_bundle_alike(runs, tmp_path):
    chosen = ["--model_name_or_path", runs / "supernet", "--width_mult", "0.5"]
    for name, what in (("model", chosen), ("bundle", ["--bundle", runs / "bundle"])):
        given = ["evaluate", *what, "--file", runs / "dev.jsonl", "--output", tmp_path / f"{name}.json"]
        assert command(*given) == 0
    model, bundle = (json.loads((tmp_path / f"{name}.json").read_text())["splits"] for name in ("model", "bundle"))
    assert bundle[0]["scores"] == pytest.approx(model[0]["scores"])
    assert bundle[0]["examples"] == 60
    rows = {row["name"]: row["scores"] for row in results(runs / "supernet")["best"]}
    assert bundle[0]["scores"]["f1"] == pytest.approx(rows["w0.5_d1"]["f1"])


def test_distil_prune_and_search(runs, tmp_path):
    pair = [*data(runs), "--teacher", runs / "teacher"]
    logits_alone = ["--state_weight", 0, "--attention_weight", 0, "--augment_copies", 1, "--doc_stride", 6]
    given = ["distil", *pair, "--student", "2,4,32,64", "--output_dir", tmp_path / "b", *STEPS, *logits_alone]
    assert command(*given) == 0
    assert results(tmp_path / "b")["best"]["score"] > 0.4
    cut = ["--model_name_or_path", tmp_path / "b", "--target_num_heads", 2, "--target_ffn_dim", 32]
    assert command("prune", *data(runs), *cut, "--output_dir", tmp_path / "c", "--device", "cpu") == 0
    base = ["search", "--model", runs / "supernet", "--device", "cpu", "--max_params", 30000, "--finetune_steps", 3]
    assert command(*base, "--output_dir", tmp_path / "one", "--trials", 10, "--population", 5) == 0
    assert results(tmp_path / "one")["dev"]["f1"] > 0.6


def test_bench_serving_and_exits(runs, tmp_path, capsys):
    quick = ["--backends", "onnx_runtime", "--precisions", "fp32", "--batch", 1, "--length", 8, "--repeats", 2]
    assert command("bench", "--bundles", runs / "bundle", "--output_dir", tmp_path / "b", *quick, *data(runs)) == 0
    (row,) = json.loads((tmp_path / "b" / "rows.json").read_text())["rows"]
    assert row["score"] > 0.6
    assert command("export_serving", "--bundles", runs / "bundle", "--output_dir", tmp_path / "s", "--threads", 1) == 0
    assert "Logits [B, T, 2]" in (tmp_path / "s" / "README.md").read_text()
    capsys.readouterr()
    given = ["supernet", *data(runs), "--exits", "deebert", "--model_name_or_path", runs / "teacher"]
    assert command(*given, "--output_dir", tmp_path / "x", *STEPS) == 2
    assert "has answers, where a text has no answer of its own" in capsys.readouterr().err


@pytest.mark.slow
def test_a_fused_export_finds_the_same(runs, tmp_path):
    where = ["--sub_model_output_dir", tmp_path / "d", "--static_sub_model", tmp_path / "s", "--max_drop", 10]
    more = ["--device", "cpu", "--width_mult", 0.5, "--onnx", "--fused", "--precision", "fp32", "fp16", "int8"]
    given = ["--model_name_or_path", runs / "supernet", *where, *more, *data(runs)]
    assert export_model.main(list(map(str, given))) == 0
    checks = {each.name: each.check for each in read_manifest(tmp_path / "s").models}
    assert {"onnx-fp32-fused", "onnx-fp16-fused", "onnx-int8"} <= set(checks)
    assert checks["onnx-fp32-fused"].argmax_agreement == 1
    assert all(check.score_after > 0.6 for check in checks.values())
    pairs = [(q, c) for q, c, _, _ in questions(20, seed=5, lacking=0.3)]
    with Predictor(runs / "bundle", threads=1) as plain, Predictor(tmp_path / "s", threads=1) as fused:
        found = [[each.extract.to_json() for each in one.predict(pairs)] for one in (plain, fused)]
    assert [{**each, "score": 0} for each in found[0]] == [{**each, "score": 0} for each in found[1]]


@pytest.mark.slow
def test_a_trimmed_and_polished_export(runs, tmp_path):
    (tmp_path / "words.txt").write_text("\n".join(VOCABULARY[5:20]) + "\n")
    where = ["--sub_model_output_dir", tmp_path / "d", "--static_sub_model", tmp_path / "s", "--max_drop", 90]
    more = ["--device", "cpu", "--width_mult", 0.5, "--trim_vocab", tmp_path / "words.txt", "--polish", 1]
    given = ["--model_name_or_path", runs / "supernet", *where, *more, *data(runs)]
    assert export_model.main(list(map(str, given))) == 0
    polished = json.loads((tmp_path / "d" / "ofa_config.json").read_text())["polish"]
    assert set(polished["after"]) >= {"f1", "exact_match"}
    context = "we liked it . the film was good ."
    with Predictor(tmp_path / "s", threads=1) as predictor:
        assert predictor.task.doc_stride == 6
        assert len(predictor.task.thresholds) == 1
        found = predictor.predict([("the film was", context)])[0].extract
    assert context[found.start : found.end] == found.text


@pytest.mark.slow
def test_latency_and_a_family_of_speedups(runs, tmp_path):
    few = ["--models", 2, "--check", 3, "--repeats", 3, "--min_width", 0.5, "--length", 16]
    assert command("latency", "--model", runs / "supernet", "--output", tmp_path / "t.json", *few) == 0
    by_size(tmp_path / "t.json")
    base = ["search", "--model", runs / "supernet", "--device", "cpu", "--trials", 10, "--population", 5]
    family = ["--latency_table", tmp_path / "t.json", "--speedups", 1.1]
    assert command(*base, "--output_dir", tmp_path / "two", *family) == 0
    (member,) = results(tmp_path / "two")["family"]
    assert member["difference"]["low"] <= member["difference"]["score"] <= member["difference"]["high"]
    assert read_manifest(tmp_path / "two" / "x1.1" / "static").task.doc_stride == 6


@pytest.mark.slow
def test_search_by_the_w_coefficient_inside_and_from_scratch(runs, tmp_path):
    base = ["search", "--model", runs / "supernet", "--device", "cpu", "--algorithm", "fptas", "--max_params", 30000]
    assert command(*base, "--output_dir", tmp_path / "one") == 0
    scratch = ["--from_scratch", "--max_steps", 2, "--depths", 1, 2, "--hidden", 32, "--heads", 4, "--ffn", 32]
    assert command(*base, "--output_dir", tmp_path / "two", *scratch) == 0


@pytest.mark.slow
def test_the_recipe_goes_through(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "SPIN_SECONDS", 0)
    monkeypatch.setattr(timing, "LATENCY_TEXTS", 4)
    pair = ["--teacher", runs / "teacher", "--student", "2,2,32,32", "--output_dir", tmp_path / "r", "--max_drop", 90]
    quick = ["--repeats", 1, "--samples", 8, "--workers", 0, "--skip", "prune"]
    assert command("recipe", *data(runs), *pair, *quick, *STEPS, "--doc_stride", 6) == 0
    rows = json.loads((tmp_path / "r" / "rows.json").read_text())["rows"]
    assert rows[0]["score"] == pytest.approx(results(runs / "teacher")["best"]["score"], abs=1e-3)


@pytest.mark.slow
def test_settings_are_tuned(runs, tiny_bert_dir, tmp_path):
    pytest.importorskip("optuna")
    few = ["--trials", 2, "--batch_sizes", 8, "--tune_share", 0.2, "--max_steps", 3, "--max_seq_length", 20]
    given = ["tune", *data(runs), "--device", "cpu", "--doc_stride", 6, "--model_name_or_path", tiny_bert_dir]
    assert command(*given, *few, "--output_dir", tmp_path / "t") == 0
    assert results(tmp_path / "t")["tuned_on"] == 60  # of 300 questions, all their windows

"""Numbers through every stage, by the commands that a user types: how much a text praises."""

import json
import random

import numpy as np
import pytest

import export_model
import run_glue
import run_glue_ofa
from helpers.latency import by_size
from helpers.models import VOCABULARY
from ofa_bert.__main__ import main
from ofa_bert.bundle.manifest import read_manifest
from ofa_bert.data.table_files import read_table
from ofa_bert.recipes import timing
from ofa_bert.runtime.predictor import Predictor

pytestmark = pytest.mark.slow

COMMON = "--device cpu --batch_size 16 --max_seq_length 20".split()
STEPS = [*COMMON, *"--learning_rate 1e-3 --save_steps 10 --max_steps 20".split()]
WORTH = {"good": 1.0, "bright": 0.6, "liked": 0.4, "dull": -0.5, "hated": -0.8, "bad": -1.1}


def rows(count, seed=0):
    """(text, the sum of what its words are worth)."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        words = [*rng.choices(sorted(WORTH), k=rng.randint(0, 3)), *rng.choices(("film", "the", "was", "plot"), k=3)]
        rng.shuffle(words)
        found.append((" ".join(words), round(sum(WORTH.get(word, 0.0) for word in words), 2)))
    return found


def command(*words):
    return main(list(map(str, words)))


def results(directory):
    return json.loads((directory / "results.json").read_text())


def data(root):
    return ["--train_file", str(root / "train.tsv"), "--dev_file", str(root / "dev.tsv")]


@pytest.fixture(scope="module")
def runs(tmp_path_factory, tiny_bert_dir):
    """train.tsv, dev.tsv, teacher/, supernet/, dynamic/ and bundle/ of one small run."""
    root = tmp_path_factory.mktemp("numbers")
    for name, count, seed in (("train", 400, 0), ("dev", 80, 1)):
        lines = ["text\tlabel", *(f"{text}\t{number}" for text, number in rows(count, seed))]
        (root / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    finetune = [*data(root), *COMMON, "--model_name_or_path", str(tiny_bert_dir), "--output_dir", str(root / "teacher")]
    assert run_glue.main([*finetune, *"--num_train_epochs 8 --learning_rate 3e-3 --save_steps 60".split()]) == 0
    elastic = [*data(root), *COMMON, "--model_name_or_path", str(root / "teacher")]
    elastic += ["--output_dir", str(root / "supernet"), *"--num_train_epochs 3 --learning_rate 1e-3".split()]
    elastic += "--save_steps 40 --depth_mult_list 1.0 --width_mult_list 1.0 0.5 --augment 0.2".split()
    assert run_glue_ofa.main(elastic) == 0
    export = ["--model_name_or_path", str(root / "supernet"), "--sub_model_output_dir", str(root / "dynamic")]
    export += ["--static_sub_model", str(root / "bundle"), *"--onnx --fused --device cpu --width_mult 0.5".split()]
    export += ["--precision", *"fp32 fp16 int8 int8-static".split(), "--max_drop", "20", *data(root)]
    assert export_model.main(export) == 0
    return root


def test_teacher_and_sub_models_give_the_numbers(runs):
    assert results(runs / "teacher")["best"]["scores"]["pearson"] > 0.9
    rows = {row["name"]: row["scores"] for row in results(runs / "supernet")["best"]}
    assert all(scores["pearson"] > 0.85 for scores in rows.values())


def test_every_file_of_the_bundle_was_checked(runs):
    checks = {each.name: each.check for each in read_manifest(runs / "bundle").models}
    assert set(checks) >= {"paddle-fp32", "onnx-fp32", "onnx-fp32-fused", "onnx-fp16", "onnx-int8", "onnx-int8-static"}
    assert checks["onnx-fp32"].max_abs_difference < 1e-4
    assert all(check.score_after > 0.7 for check in checks.values())
    assert {check.argmax_agreement for check in checks.values()} == {None}  # numbers are near, never "the same"


@pytest.mark.parametrize("backend", ["onnx_runtime", "openvino", "paddle_inference"])
def test_predictor_gives_numbers(runs, backend):
    texts, wanted = zip(*rows(40, seed=5))
    with Predictor(runs / "bundle", backend, threads=1) as predictor:
        found = [each.value for each in predictor.predict(list(texts))]
    assert np.corrcoef(found, wanted)[0, 1] > 0.85
    with Predictor(runs / "bundle", backend, workers=2, batch_size=3) as several:
        np.testing.assert_allclose([each.value for each in several.predict(list(texts))], found, atol=1e-4)


def test_predict_and_evaluate(runs, tmp_path):
    given = ["predict", "--bundle", runs / "bundle", "--input", runs / "dev.tsv", "--output", tmp_path / "out.tsv"]
    assert command(*given) == 0
    table = read_table(tmp_path / "out.tsv")
    numbers = [float(row[table.column("predicted_value")]) for _, row in table.rows]
    wanted = [float(row[table.column("label")]) for _, row in table.rows]
    given = ["evaluate", "--bundle", runs / "bundle", "--file", runs / "dev.tsv", "--output", tmp_path / "e.json"]
    assert command(*given) == 0
    (split,) = json.loads((tmp_path / "e.json").read_text())["splits"]
    assert split["scores"]["pearson"] == pytest.approx(np.corrcoef(numbers, wanted)[0, 1], abs=1e-4)


def test_distil_prune_tune_and_search(runs, tiny_bert_dir, tmp_path):
    pair = [*data(runs), "--teacher", runs / "teacher", "--student", "2,4,32,64"]
    assert command("distil", *pair, "--output_dir", tmp_path / "a", *STEPS) == 0
    cut = ["--model_name_or_path", tmp_path / "a", "--target_num_heads", 2, "--target_ffn_dim", 32]
    assert command("prune", *data(runs), *cut, "--output_dir", tmp_path / "b", "--device", "cpu") == 0
    pytest.importorskip("optuna")
    few = ["--trials", 2, "--batch_sizes", 16, "--tune_share", 0.2, "--max_steps", 3, "--max_seq_length", 20]
    given = ["tune", *data(runs), "--device", "cpu", "--model_name_or_path", tiny_bert_dir]
    assert command(*given, *few, "--output_dir", tmp_path / "t") == 0
    base = ["search", "--model", runs / "supernet", "--device", "cpu", "--max_params", 30000]
    assert command(*base, "--output_dir", tmp_path / "one", "--trials", 10, "--population", 5) == 0
    assert command(*base, "--output_dir", tmp_path / "two", "--algorithm", "fptas") == 0


def test_latency_and_a_family_of_speedups(runs, tmp_path):
    few = ["--models", 2, "--check", 3, "--repeats", 3, "--min_width", 0.5, "--length", 16]
    assert command("latency", "--model", runs / "supernet", "--output", tmp_path / "t.json", *few) == 0
    by_size(tmp_path / "t.json")
    base = ["search", "--model", runs / "supernet", "--device", "cpu", "--trials", 10, "--population", 5]
    family = ["--latency_table", tmp_path / "t.json", "--speedups", 1.1]
    assert command(*base, "--output_dir", tmp_path / "two", *family) == 0
    assert len(results(tmp_path / "two")["family"]) == 1


def test_a_trimmed_and_polished_export(runs, tmp_path):
    (tmp_path / "words.txt").write_text("\n".join(VOCABULARY[5:]) + "\n")
    where = ["--sub_model_output_dir", tmp_path / "d", "--static_sub_model", tmp_path / "s", "--max_drop", 90]
    more = ["--device", "cpu", "--width_mult", 0.5, "--trim_vocab", tmp_path / "words.txt", "--polish", 1]
    given = ["--model_name_or_path", runs / "supernet", *where, *more, *data(runs)]
    assert export_model.main(list(map(str, given))) == 0
    with Predictor(tmp_path / "s", threads=1) as predictor:
        good, bad = (each.value for each in predictor.predict(["the film was good", "the film was bad"]))
    assert good > bad


def test_the_recipe_goes_through(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "SPIN_SECONDS", 0)
    monkeypatch.setattr(timing, "LATENCY_TEXTS", 4)
    pair = ["--teacher", runs / "teacher", "--student", "2,2,32,32", "--output_dir", tmp_path / "r", "--max_drop", 90]
    quick = ["--repeats", 1, "--samples", 8, "--workers", 0, "--skip", "prune"]
    assert command("recipe", *data(runs), *pair, *quick, *STEPS) == 0
    assert json.loads((tmp_path / "r" / "rows.json").read_text())["rows"][0]["score"] > 0.85


def test_exits_bench_and_serving(runs, tmp_path):
    given = ["supernet", *data(runs), "--exits", "deebert", "--model_name_or_path", runs / "teacher"]
    assert command(*given, "--output_dir", tmp_path / "x", *STEPS) == 0
    quick = ["--backends", "onnx_runtime", "--precisions", "fp32", "--batch", 1, "--length", 8, "--repeats", 2]
    assert command("bench", "--bundles", runs / "bundle", "--output_dir", tmp_path / "b", *quick, *data(runs)) == 0
    (row,) = json.loads((tmp_path / "b" / "rows.json").read_text())["rows"]
    assert (row["score_name"], row["score"] > 0.8) == ("pearson", True)
    assert command("export_serving", "--bundles", runs / "bundle", "--output_dir", tmp_path / "s", "--threads", 1) == 0

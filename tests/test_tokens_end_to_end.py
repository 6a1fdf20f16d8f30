"""Tags of words through every stage, by the commands that a user types."""

import dataclasses
import json

import numpy as np
import pytest

import export_model
import run_glue
import run_glue_ofa
from helpers.latency import by_size
from helpers.models import VOCABULARY
from helpers.token_case import tagged_sentences, write_case
from ofa_bert.__main__ import main
from ofa_bert.bundle.manifest import read_manifest
from ofa_bert.errors import UserError
from ofa_bert.models.directories import load_model
from ofa_bert.recipes import timing
from ofa_bert.runtime.predictor import Predictor
from ofa_bert.tasks.task import Task

STEPS = "--device cpu --batch_size 16 --max_seq_length 32 --learning_rate 1e-3 --save_steps 10 --max_steps 20".split()


@pytest.fixture(scope="module")
def runs(tmp_path_factory, tiny_bert_dir):
    """train.conll, dev.conll, teacher/, supernet/, dynamic/ and bundle/ of one small run."""
    root = write_case(tmp_path_factory.mktemp("tokens"))
    common = [*data(root), *"--device cpu --batch_size 16 --max_seq_length 32".split()]
    finetune = [*common, "--model_name_or_path", str(tiny_bert_dir), "--output_dir", str(root / "teacher")]
    assert run_glue.main([*finetune, *"--num_train_epochs 6 --learning_rate 3e-3 --save_steps 30".split()]) == 0
    elastic = [*common, "--model_name_or_path", str(root / "teacher"), "--output_dir", str(root / "supernet")]
    elastic += "--num_train_epochs 3 --learning_rate 1e-3 --save_steps 20 --depth_mult_list 1.0 0.5".split()
    elastic += "--width_mult_list 1.0 0.5 --layer_choice importance --sandwich 1 --augment 0.2".split()
    assert run_glue_ofa.main(elastic) == 0
    export = ["--model_name_or_path", str(root / "supernet"), "--sub_model_output_dir", str(root / "dynamic")]
    export += ["--static_sub_model", str(root / "bundle"), *"--onnx --fused --device cpu --width_mult 0.5".split()]
    export += ["--precision", *"fp32 fp16 int8 int8-static int8-static-fp16".split(), *data(root)]
    assert export_model.main(export) == 0
    return root


def data(root):
    return ["--train_file", str(root / "train.conll"), "--dev_file", str(root / "dev.conll")]


def results(directory):
    return json.loads((directory / "results.json").read_text())


def command(*words):
    return main(list(map(str, words)))


def test_teacher_and_sub_models_find_the_parts(runs):
    assert results(runs / "teacher")["best"]["score"] > 0.95
    rows = {row["name"]: row["scores"] for row in results(runs / "supernet")["best"]}
    assert set(rows) == {"w1_d1", "w0.5_d1", "w1_d0.5", "w0.5_d0.5"}
    assert all(scores["f1"] > 0.8 for scores in rows.values())
    assert set(rows["w1_d1"]) >= {"f1", "precision", "recall", "token_accuracy"}
    assert (runs / "supernet" / "importance.json").is_file()


def test_the_teacher_is_a_stock_model_with_named_classes(runs):
    from paddlenlp.transformers import BertForTokenClassification

    config = json.loads((runs / "teacher" / "best" / "config.json").read_text())
    assert config["architectures"] == ["BertForTokenClassification"]
    assert list(config["id2label"].values()) == ["O", "B-OPINION", "I-OPINION", "B-THING", "I-THING"]
    stock = BertForTokenClassification.from_pretrained(str(runs / "teacher" / "best"))
    own, _, _ = load_model(runs / "teacher" / "best")
    assert all(
        np.array_equal(each.numpy(), stock.state_dict()[name].numpy()) for name, each in own.state_dict().items()
    )


def test_every_file_of_the_bundle_was_checked(runs):
    manifest = read_manifest(runs / "bundle")
    assert manifest.per_token
    checks = {each.name: each.check for each in manifest.models}
    assert set(checks) >= {
        "paddle-fp32", "onnx-fp32", "onnx-fp32-fused", "onnx-fp16", "onnx-fp16-fused", "onnx-int8", "onnx-int8-static",
        "onnx-int8-static-fp16",
    }  # fmt: skip
    assert checks["onnx-fp32"].max_abs_difference < 1e-4
    assert all(check.score_after > 0.8 for check in checks.values())


ANSWERS = [(backend, "fp32") for backend in ("onnx_runtime", "openvino", "paddle_inference")]
ANSWERS += [("onnx_runtime", precision) for precision in ("fp16", "int8", "int8-static")]


@pytest.mark.parametrize(("backend", "precision"), ANSWERS)
def test_predictor_finds_the_parts_at_their_places(runs, backend, precision):
    texts = ["  The film was not very good.", "", "a plot is very dull but the acting was not", "film " * 50]
    with Predictor(runs / "bundle", backend, precision, threads=1) as predictor:
        found = predictor.predict(texts)
        logits, (first, empty, *_) = predictor.logits(texts), predictor.word_answers(texts).words
    first_entities = [(each.label, each.text, each.start, each.end) for each in found[0].entities]
    assert first_entities == [("THING", "film", 6, 10), ("OPINION", "not very good", 15, 28)]
    assert found[0].label is found[0].value is found[0].labels is None
    assert (found[1].entities, len(empty.pieces)) == ((), 0)
    assert all(texts[2][each.start : each.end] == each.text for each in found[2].entities)
    assert {each.label for each in found[2].entities} == {"THING", "OPINION"}
    assert all(0.2 < each.score <= 1 for each in found[0].entities)
    assert len(logits) == 7 + 0 + 10 + 30  # of a text that is cut, 30 words and two marks
    assert len(first.pieces) == 7


def test_workers_and_batches_change_nothing(runs):
    texts = [" ".join(words) for words, _ in tagged_sentences(40, seed=7)]
    with Predictor(runs / "bundle", threads=1) as one, Predictor(runs / "bundle", workers=2, batch_size=3) as several:
        first, second = one.logits(texts), several.logits(texts)
        with pytest.raises(UserError, match="word by word"):
            one.answers(texts)
    np.testing.assert_allclose(first, second, atol=1e-4)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv"])
def test_predict_writes_parts_beside_the_texts(runs, tmp_path, suffix, capsys):
    texts, between = [" the film was very bad", "good"], {".csv": ",", ".tsv": "\t"}.get(suffix)
    lines = ["text" + between + "n", *(f"{text}{between}1" for text in texts)] if between else [
        json.dumps({"text": text, "n": 1}) for text in texts
    ]  # fmt: skip
    (tmp_path / f"in{suffix}").write_text("\n".join(lines) + "\n")
    given = ["predict", "--bundle", runs / "bundle", "--input", tmp_path / f"in{suffix}"]
    assert command(*given, "--output", tmp_path / f"out{suffix}") == 0
    assert "THING: 1" in capsys.readouterr().out
    from ofa_bert.data.table_files import read_table

    table = read_table(tmp_path / f"out{suffix}")
    cells = [row[table.column("entities")] for _, row in table.rows]
    found = [cell if suffix == ".jsonl" else json.loads(cell) for cell in cells]
    assert [(part["label"], part["text"], part["start"], part["end"]) for part in found[0]] == [
        ("THING", "film", 5, 9), ("OPINION", "very bad", 14, 22)
    ]  # fmt: skip
    assert found[1] == []
    assert command(*given, "--output", tmp_path / f"out{suffix}", "--all_probabilities") == 2
    assert "one score each" in capsys.readouterr().err


def test_evaluate_scores_model_and_bundle_alike(runs, tmp_path):
    chosen = ["--model_name_or_path", runs / "supernet", "--width_mult", "0.5"]
    for name, what in (("model", chosen), ("bundle", ["--bundle", runs / "bundle"])):
        given = ["evaluate", *what, "--file", runs / "dev.conll", "--output", tmp_path / f"{name}.json"]
        assert command(*given) == 0
    model, bundle = (json.loads((tmp_path / f"{name}.json").read_text())["splits"] for name in ("model", "bundle"))
    assert bundle[0]["scores"] == pytest.approx(model[0]["scores"])
    assert bundle[0]["labels"] == model[0]["labels"]
    assert [row["label"] for row in bundle[0]["labels"]] == ["OPINION", "THING"]
    assert bundle[0]["scores"]["f1"] == pytest.approx(results(runs / "supernet")["best"][1]["scores"]["f1"])


def test_distil_prune_and_distil_again(runs, tmp_path):
    pair = [*data(runs), "--teacher", runs / "teacher"]
    assert command("distil", *pair, "--student", "2,2,32,32", "--output_dir", tmp_path / "a", *STEPS) == 0
    logits_alone = ["--state_weight", 0, "--attention_weight", 0, "--augment_copies", 1]
    assert (
        command("distil", *pair, "--student", "2,4,32,64", "--output_dir", tmp_path / "b", *STEPS, *logits_alone) == 0
    )
    cut = ["--model_name_or_path", tmp_path / "b", "--target_num_heads", 2, "--target_ffn_dim", 32]
    assert command("prune", *data(runs), *cut, "--output_dir", tmp_path / "c", "--device", "cpu") == 0
    again = ["--student", tmp_path / "c", "--label_weight", 0.5]
    assert command("distil", *pair, *again, "--output_dir", tmp_path / "d", *STEPS) == 0
    assert all(results(tmp_path / name)["best"]["score"] > 0.8 for name in "abd")


def test_latency_search_and_a_family_of_speedups(runs, tmp_path):
    few = ["--models", 2, "--check", 3, "--repeats", 3, "--min_width", 0.5, "--length", 16]
    assert command("latency", "--model", runs / "supernet", "--output", tmp_path / "t.json", *few) == 0
    by_size(tmp_path / "t.json")
    base = ["search", "--model", runs / "supernet", "--device", "cpu"]
    few = ["--trials", 10, "--population", 5]
    limit = [*few, "--max_params", 30000, "--finetune_steps", 3]
    assert command(*base, "--output_dir", tmp_path / "one", *limit) == 0
    assert results(tmp_path / "one")["dev"]["f1"] > 0.8
    family = ["--latency_table", tmp_path / "t.json", "--speedups", 1.1]
    assert command(*base, "--output_dir", tmp_path / "two", *few, *family) == 0
    (member,) = results(tmp_path / "two")["family"]
    assert member["difference"]["low"] <= member["difference"]["score"] <= member["difference"]["high"]
    assert read_manifest(tmp_path / "two" / "x1.1" / "static").per_token


def test_search_by_the_w_coefficient_inside_and_from_scratch(runs, tmp_path):
    base = ["search", "--model", runs / "supernet", "--device", "cpu", "--algorithm", "fptas", "--max_params", 30000]
    assert command(*base, "--output_dir", tmp_path / "one") == 0
    scratch = ["--from_scratch", "--max_steps", 2, "--depths", 1, 2, "--hidden", 32, "--heads", 4, "--ffn", 32]
    assert command(*base, "--output_dir", tmp_path / "two", *scratch) == 0


def test_early_exits_are_refused_in_one_line(runs, tmp_path, capsys):
    given = ["supernet", *data(runs), "--exits", "deebert", "--model_name_or_path", runs / "teacher"]
    assert command(*given, "--output_dir", tmp_path / "x", *STEPS) == 2
    assert "has tokens, where a text has no answer of its own" in capsys.readouterr().err
    given = ["predict", "--bundle", runs / "bundle", "--input", runs / "x.csv", "--output", tmp_path / "y.csv"]
    (runs / "x.csv").write_text("text\na\n")
    assert command(*given, "--exit_threshold", "0.5") == 2
    assert "has no early exits" in capsys.readouterr().err


def test_a_model_of_whole_texts_is_no_start_without_a_fresh_head(runs, tmp_path, capsys):
    (tmp_path / "t.tsv").write_text("text\tlabel\n" + "a film\tgood\na plot\tbad\n" * 8)
    table = ["--train_file", tmp_path / "t.tsv", "--dev_file", tmp_path / "t.tsv"]
    source = ["--model_name_or_path", runs / "teacher", *STEPS]
    assert command("finetune", *table, *source, "--output_dir", tmp_path / "a") == 2
    assert "fresh_head" in capsys.readouterr().err
    assert command("finetune", *table, *source, "--fresh_head", "--output_dir", tmp_path / "a") == 0


def test_serving_says_the_shape_of_answers(runs, tmp_path):
    assert command("export_serving", "--bundles", runs / "bundle", "--output_dir", tmp_path / "s", "--threads", 1) == 0
    (config,) = (tmp_path / "s" / "triton").rglob("config.pbtxt")
    output = config.read_text().split("output {")[1].split("}")[0]
    assert output.split() == ["name:", '"logits"', "data_type:", "TYPE_FP32", "dims:", "-1", "dims:", "5"]
    assert "Logits [B, T, 5]" in (tmp_path / "s" / "README.md").read_text()


def test_bench_measures_the_f1_of_the_bundle(runs, tmp_path):
    quick = ["--backends", "onnx_runtime", "--precisions", "fp32", "--batch", 1, "--length", 8, "--repeats", 2]
    given = ["--bundles", runs / "bundle", "--output_dir", tmp_path / "bench", *quick, *data(runs)]
    assert command("bench", *given, "--peers", "paddle_dynamic") == 0
    row, peer = json.loads((tmp_path / "bench" / "rows.json").read_text())["rows"]
    assert row["score"] > 0.8
    assert row["score_name"] == "f1"
    assert peer["score"] is None


def test_the_recipe_goes_through(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "SPIN_SECONDS", 0)
    monkeypatch.setattr(timing, "LATENCY_TEXTS", 4)
    pair = ["--teacher", runs / "teacher", "--student", "2,2,32,32", "--output_dir", tmp_path / "r", "--max_drop", 40]
    quick = ["--repeats", 1, "--samples", 8, "--workers", 0, "--skip", "prune"]
    assert command("recipe", *data(runs), *pair, *quick, *STEPS) == 0
    rows = json.loads((tmp_path / "r" / "rows.json").read_text())["rows"]
    assert rows[0]["score"] > 0.95


def test_a_trimmed_and_polished_export(runs, tmp_path):
    (tmp_path / "words.txt").write_text("\n".join(VOCABULARY[5:20]) + "\n")
    where = ["--sub_model_output_dir", tmp_path / "d", "--static_sub_model", tmp_path / "s", "--max_drop", 60]
    more = ["--device", "cpu", "--width_mult", 0.5, "--trim_vocab", tmp_path / "words.txt", "--polish", 1]
    given = ["--model_name_or_path", runs / "supernet", *where, *more, *data(runs)]
    assert export_model.main(list(map(str, given))) == 0
    with Predictor(tmp_path / "s", threads=1) as predictor:
        assert [each.text for each in predictor.predict(["a film"])[0].entities] == ["film"]


def test_a_task_comes_back_from_its_json(runs):
    task = read_manifest(runs / "bundle").task
    assert Task.from_json(task.to_json()) == task
    with pytest.raises(ValueError, match="no kind of task"):
        _ = dataclasses.replace(task, kind_name="tagging").kind


@pytest.mark.slow
def test_settings_are_tuned(runs, tiny_bert_dir, tmp_path):
    pytest.importorskip("optuna")
    few = ["--trials", 2, "--batch_sizes", 16, "--tune_share", 0.2, "--max_steps", 3, "--max_seq_length", 32]
    given = ["tune", *data(runs), "--device", "cpu", "--model_name_or_path", tiny_bert_dir]
    assert command(*given, *few, "--output_dir", tmp_path / "t") == 0
    assert results(tmp_path / "t")["tuned_on"] == 48  # of 240 sentences

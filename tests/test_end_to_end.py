"""The three scripts in a row, as a user runs them; also the whole suite for Paddle 3."""

import json

import numpy as np
import paddle
import pytest

import export_model
import run_glue
import run_glue_ofa
from helpers.models import VOCABULARY
from helpers.paths import ROOT
from ofa_bert.data.encoding.batches import eval_batches
from ofa_bert.data.encoding.encoded import encode
from ofa_bert.data.sources import load_datasets
from ofa_bert.models.directories import load_model
from ofa_bert.models.supernet import forward
from ofa_bert.runtime.opening import open_model
from ofa_bert.submodels.counting import count_parameters
from ofa_bert.training.evaluation import to_tensors

COMMON = "--task_name SST-2 --device cpu --batch_size 16 --max_seq_length 32 --logging_steps 20".split()
WIDTHS = ["1.0", "0.75", "0.5"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory, tiny_bert_dir, glue_dir):
    """teacher/, supernet/, dynamic/ and static/ of one small run."""
    root = tmp_path_factory.mktemp("runs")
    before = sorted((path.name, path.read_bytes()) for path in tiny_bert_dir.iterdir())
    data = [*COMMON, "--data_dir", str(glue_dir)]
    finetune = [*data, "--model_name_or_path", str(tiny_bert_dir), "--output_dir", str(root / "teacher")]
    finetune += "--num_train_epochs 4 --learning_rate 3e-3 --save_steps 30 --weight_decay 0.01".split()
    assert run_glue.main(finetune) == 0
    elastic = [*data, "--model_name_or_path", str(root / "teacher"), "--output_dir", str(root / "supernet")]
    elastic += "--num_train_epochs 3 --learning_rate 1e-3 --save_steps 25 --depth_mult_list 1.0 0.5".split()
    elastic += "--stages width,width_depth --layer_choice importance --keep_best_sub_models".split()
    assert run_glue_ofa.main([*elastic, "--width_mult_list", *WIDTHS]) == 0
    export = ["--model_name_or_path", str(root / "supernet"), "--sub_model_output_dir", str(root / "dynamic")]
    export += ["--static_sub_model", str(root / "static"), "--onnx", "--device", "cpu", "--max_seq_length", "32"]
    assert export_model.main([*export, "--width_mult", "0.5", "--depth_mult", "0.5"]) == 0
    assert sorted((path.name, path.read_bytes()) for path in tiny_bert_dir.iterdir()) == before
    return root


def dev_logits(run, tokenizer, glue_dir):
    datasets = load_datasets(task_name="SST-2", data_dir=glue_dir)
    encoded = encode(datasets.dev["dev"], tokenizer, 32, progress=False)
    logits = np.zeros([len(encoded), 2], dtype="float32")
    for batch in eval_batches(encoded, 16, tokenizer.pad_token_id):
        logits[batch.index] = run(batch)
    return logits, encoded.labels


def test_teacher_learned_and_results_tell_the_truth(runs, glue_dir):
    results = json.loads((runs / "teacher" / "results.json").read_text())
    model, tokenizer, record = load_model(runs / "teacher" / "best")
    model.eval()
    logits, labels = dev_logits(
        lambda b: model(*map(paddle.to_tensor, (b.input_ids, b.token_type_ids))), tokenizer, glue_dir
    )
    accuracy = float((logits.argmax(-1) == labels).mean())
    assert accuracy == pytest.approx(results["best"]["score"])
    assert accuracy > 0.85
    assert record.kind == "teacher"
    assert record.task.name == "sst-2"
    assert max(entry["scores"]["score"] for entry in results["history"]) == results["best"]["score"]


def test_supernet_results_are_those_of_its_saved_weights(runs, glue_dir):
    results = json.loads((runs / "supernet" / "results.json").read_text())
    model, tokenizer, record = load_model(runs / "supernet" / "best")
    model.eval()
    space = record.space
    assert [row["name"] for row in results["best"]] == list(space.sub_models())
    assert len(results["best"]) == 6
    for row in results["best"]:
        sub_model = space.sub_models()[row["name"]]

        def run(batch, sub_model=sub_model):
            tensors = to_tensors(batch)
            return forward(model, tensors.input_ids, tensors.token_type_ids, sub_model).logits.numpy()

        logits, labels = dev_logits(run, tokenizer, glue_dir)
        assert float((logits.argmax(-1) == labels).mean()) == pytest.approx(row["scores"]["accuracy"])
        assert row["parameters"] == count_parameters(space.shape, sub_model)
        assert row["difference"] == pytest.approx(row["scores"]["score"] - results["teacher"]["score"])
    widths = [row for row in results["best"] if row["name"].endswith("_d1")]
    assert all(row["scores"]["accuracy"] > 0.8 for row in widths)


def test_supernet_directory_is_whole(runs):
    found = {path.name for path in (runs / "supernet").iterdir()}
    assert {"best", "last", "importance.json", "importance.png", "results.json", "best_w0.5_d0.5"} <= found
    assert sum(name.startswith("checkpoint-") for name in found) == 1
    assert (runs / "supernet" / "importance.png").read_bytes().startswith(b"\x89PNG")


def test_supernet_loads_in_plain_paddlenlp_as_the_full_model(runs, glue_dir):
    from paddlenlp.transformers import BertForSequenceClassification

    plain = BertForSequenceClassification.from_pretrained(str(runs / "supernet" / "best"))
    plain.eval()
    model, tokenizer, _ = load_model(runs / "supernet" / "best")
    model.eval()
    theirs, _ = dev_logits(
        lambda b: plain(*map(paddle.to_tensor, (b.input_ids, b.token_type_ids))), tokenizer, glue_dir
    )
    ours, _ = dev_logits(lambda b: model(*map(paddle.to_tensor, (b.input_ids, b.token_type_ids))), tokenizer, glue_dir)
    np.testing.assert_allclose(theirs, ours, atol=1e-4)


def test_dynamic_static_and_onnx_sub_model_agree_with_the_supernet(runs, glue_dir):
    supernet, tokenizer, record = load_model(runs / "supernet" / "best")
    supernet.eval()
    small, _, small_record = load_model(runs / "dynamic")
    small.eval()
    sub_model = record.space.sub_model(0.5, 0.5)

    def in_supernet(batch):
        tensors = to_tensors(batch)
        return forward(supernet, tensors.input_ids, tensors.token_type_ids, sub_model).logits.numpy()

    expected, labels = dev_logits(in_supernet, tokenizer, glue_dir)
    dynamic, _ = dev_logits(
        lambda b: small(*map(paddle.to_tensor, (b.input_ids, b.token_type_ids))).numpy(), tokenizer, glue_dir
    )
    np.testing.assert_allclose(dynamic, expected, atol=1e-4)
    for name in ("paddle_inference", "onnx_runtime"):
        backend = open_model(runs / "static", name)
        logits, _ = dev_logits(lambda b, run=backend.run: run(b.input_ids, b.token_type_ids), tokenizer, glue_dir)
        np.testing.assert_allclose(logits, expected, atol=1e-4)
    manifest = json.loads((runs / "static" / "manifest.json").read_text())
    assert small_record.sub_model == sub_model
    assert manifest["sub_model"] == sub_model.to_json()
    assert manifest["score"] == pytest.approx(float((expected.argmax(-1) == labels).mean()))
    assert manifest["parameters"] == count_parameters(record.shape, sub_model)


@pytest.mark.slow
def test_precisions_and_a_trimmed_vocabulary_from_the_command_line(runs, glue_dir, tmp_path, capsys):
    kept = tmp_path / "kept.txt"
    words = {word for name in ("train.tsv", "dev.tsv") for word in (glue_dir / name).read_text().split()}
    kept.write_text("\n".join(sorted(words & set(VOCABULARY) - {"very"})) + "\n")
    flags = ["--model_name_or_path", str(runs / "supernet"), "--sub_model_output_dir", str(tmp_path / "dynamic")]
    flags += ["--static_sub_model", str(tmp_path / "static"), "--device", "cpu", "--max_seq_length", "32"]
    flags += ["--precision", "int8", "int8-static", "--data_dir", str(glue_dir), "--width_mult", "0.5"]
    assert export_model.main([*flags, "--trim_vocab", str(kept), "--max_drop", "10"]) == 0
    assert ", dev " in capsys.readouterr().out
    manifest = json.loads((tmp_path / "static" / "manifest.json").read_text())
    assert {"paddle-fp32", "onnx-int8", "onnx-int8-static"} <= {entry["name"] for entry in manifest["models"]}
    assert all(entry["score_before"] - entry["score_after"] <= 0.1 for entry in manifest["models"])
    small, tokenizer, record = load_model(tmp_path / "dynamic")
    assert record.shape.vocab_size == len(tokenizer.get_vocab()) < len(VOCABULARY)
    assert manifest["parameters"] == sum(parameter.size for parameter in small.parameters())
    before = {path.name: path.read_bytes() for path in (tmp_path / "static").iterdir() if path.is_file()}
    # Without most words the score falls below what it was before: nothing new is written.
    kept.write_text("a\n")
    assert export_model.main([*flags, "--trim_vocab", str(kept), "--max_drop", "2"]) == 1
    assert "paddle-fp32: accuracy on dev falls by" in capsys.readouterr().err
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "static").iterdir() if path.is_file()}
    assert load_model(tmp_path / "dynamic")[2] == record
    assert export_model.main([*flags, "--task_name", "CoLA"]) == 2


def test_sub_model_can_be_finetuned_further(runs, glue_dir, tmp_path):
    arguments = [*COMMON, "--data_dir", str(glue_dir), "--model_name_or_path", str(runs / "dynamic")]
    assert run_glue.main([*arguments, "--output_dir", str(tmp_path / "more"), "--max_steps", "3"]) == 0
    again, _, record = load_model(tmp_path / "more" / "last")
    before, _, record_before = load_model(runs / "dynamic")
    assert record.sub_model == record_before.sub_model
    stored = json.loads((runs / "dynamic" / "ofa_config.json").read_text())
    assert stored["sub_model"] == record.sub_model.to_json()
    changed = [
        bool((a != b).any()) for a, b in zip(again.parameters(), before.parameters()) if list(a.shape) == list(b.shape)
    ]
    assert len(changed) == len(before.parameters())
    assert any(changed)
    export = ["--model_name_or_path", str(tmp_path / "more" / "last"), "--device", "cpu", "--max_seq_length", "32"]
    export += ["--sub_model_output_dir", str(tmp_path / "dynamic"), "--static_sub_model", str(tmp_path / "static")]
    assert export_model.main(export) == 0
    manifest = json.loads((tmp_path / "static" / "manifest.json").read_text())
    assert manifest["score"] == record.scores["score"]
    assert manifest["sub_model"] == record.sub_model.to_json()


def test_uneven_sub_model_from_a_file(runs, tmp_path):
    config = {"layers": [0, 1, 3], "heads": [4, 1, 2], "ffn": [10, 64, 33]}
    (tmp_path / "uneven.json").write_text(json.dumps(config))
    arguments = ["--model_name_or_path", str(runs / "supernet"), "--sub_model_output_dir", str(tmp_path / "dynamic")]
    arguments += ["--static_sub_model", str(tmp_path / "static"), "--device", "cpu", "--max_seq_length", "32"]
    assert export_model.main([*arguments, "--sub_model", str(tmp_path / "uneven.json")]) == 0
    assert json.loads((tmp_path / "static" / "manifest.json").read_text())["sub_model"] == config


def failing(main, arguments, capsys):
    code = main(arguments)
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert error.count("error:") == 1
    return code, error


def test_untrained_width_is_refused_unless_allowed(runs, tmp_path, capsys):
    arguments = ["--model_name_or_path", str(runs / "supernet"), "--sub_model_output_dir", str(tmp_path / "dynamic")]
    arguments += ["--device", "cpu", "--width_mult", "0.3"]
    code, error = failing(export_model.main, arguments, capsys)
    assert code == 2
    assert "1.0, 0.75, 0.5" in error
    assert not (tmp_path / "dynamic").exists()
    assert export_model.main([*arguments, "--allow_untrained"]) == 0


def test_mistakes_that_leave_everything_as_it_was(runs, glue_dir, tmp_path, capsys):
    best = runs / "supernet" / "best"
    before = {path.name: path.read_bytes() for path in best.iterdir()}
    base = ["--model_name_or_path", str(runs / "supernet"), "--device", "cpu", "--sub_model_output_dir"]
    code, error = failing(export_model.main, [*base, str(best)], capsys)
    assert code == 2
    assert "must differ" in error
    data = [*COMMON, "--data_dir", str(glue_dir), "--model_name_or_path", str(runs / "teacher")]
    code, error = failing(run_glue_ofa.main, [*data, "--output_dir", str(runs / "supernet")], capsys)
    assert code == 2
    assert "--resume" in error
    other = ["--task_name", "RTE", *data[2:]]
    code, error = failing(run_glue_ofa.main, [*other, "--output_dir", str(tmp_path / "new")], capsys)
    assert code == 2
    code, error = failing(run_glue.main, ["--model_type", "gpt", *data, "--output_dir", str(tmp_path / "x")], capsys)
    assert code == 2
    assert "bert, ernie, roberta, tinybert" in error
    assert {path.name: path.read_bytes() for path in best.iterdir()} == before


def test_a_model_of_another_task_is_refused(runs, tmp_path, capsys):
    for name in ("train.tsv", "dev.tsv"):
        (tmp_path / name).write_text("text\tlabel\na film\tyes\nit hated\tno\nthe plot\tyes\n", encoding="utf-8")
    arguments = [
        "--train_file",
        str(tmp_path / "train.tsv"),
        "--dev_file",
        str(tmp_path / "dev.tsv"),
        "--device",
        "cpu",
    ]
    arguments += ["--model_name_or_path", str(runs / "teacher"), "--output_dir", str(tmp_path / "out")]
    code, error = failing(run_glue_ofa.main, arguments, capsys)
    assert code == 2
    assert "sst-2" in error


def test_scripts_speak_of_nothing_but_the_project():
    for path in [*ROOT.glob("*.py"), *ROOT.glob("ofa_bert/*.py"), ROOT / "Makefile"]:
        text = path.read_text(encoding="utf-8")
        assert "/work/" not in text, path
        assert "../shared" not in text, path

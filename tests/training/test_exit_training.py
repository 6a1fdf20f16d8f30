"""Exits through the commands: trained, saved, loaded, resumed, chosen and reported."""

import json
import math
import shutil

import numpy as np
import pytest

import export_model
import run_glue
import run_glue_ofa
from helpers.launching import free_port, launch
from helpers.models import build
from ofa_bert import __main__ as commands
from ofa_bert.cli.parser import parse
from ofa_bert.data.encoding.encoded import encode
from ofa_bert.data.sources import load_datasets
from ofa_bert.errors import UserError
from ofa_bert.exits.kept_curve import KeptCurve
from ofa_bert.exits.outputs import Outputs
from ofa_bert.exits.policy import Policy, first_exits, saving
from ofa_bert.exits.promise import promised
from ofa_bert.exits.sweep import choose, policies, row, taken, worth_asking
from ofa_bert.exits.token_table import TABLE, TokenTable
from ofa_bert.files.fields import Fields
from ofa_bert.files.weights import read_weights
from ofa_bert.models.directories import load_model
from ofa_bert.models.exits.heads import load_exits
from ofa_bert.models.supernet import whole
from ofa_bert.runtime.predictor import Predictor
from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.submodels.values import SubModelConfig, uniform
from ofa_bert.tasks.glue import glue_task
from ofa_bert.tasks.intervals import wilson
from ofa_bert.training.evaluation import predict, stock_forward
from ofa_bert.training.exits.answering import answer, answer_at
from ofa_bert.training.exits.jobs import ExitChoiceJob, ExitTrainingJob
from ofa_bert.training.exits.train import choose_layout

pytestmark = pytest.mark.slow  # each way to train exits

COMMON = "--task_name SST-2 --device cpu --batch_size 16 --max_seq_length 32 --logging_steps 20".split()
EXIT_STEPS = "--max_steps 40 --save_steps 20 --learning_rate 3e-3".split()


@pytest.fixture(scope="module")
def data(glue_dir):
    return ["--task_name", "SST-2", "--data_dir", str(glue_dir), "--device", "cpu"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory, tiny_bert_dir, glue_dir):
    """teacher/, supernet/ and exits on both: deebert on the supernet, geep on the teacher."""
    root = tmp_path_factory.mktemp("exits")
    base = [*COMMON, "--data_dir", str(glue_dir)]

    def go(main, source, name, *more):
        target = ["--model_name_or_path", str(source), "--output_dir", str(root / name)]
        assert main([*base, *target, *more]) == 0

    go(run_glue.main, tiny_bert_dir, "teacher", *"--num_train_epochs 4 --learning_rate 3e-3 --save_steps 40".split())
    elastic = "--max_steps 40 --learning_rate 1e-3 --save_steps 40 --width_mult_list 1.0 0.5 --depth_mult_list 1.0 0.5"
    go(run_glue_ofa.main, root / "teacher", "supernet", *elastic.split())
    go(run_glue_ofa.main, root / "supernet", "deebert", "--exits", "deebert", *EXIT_STEPS)
    go(run_glue_ofa.main, root / "teacher", "geep", "--exits", "geep", "--geep_exit_num", "2", *EXIT_STEPS)
    return root


def loaded(directory):
    model, tokenizer, record = load_model(directory)
    model.eval()
    return model, tokenizer, record, load_exits(directory, record, model)


def dev_of(tokenizer, glue_dir, split="dev"):
    datasets = load_datasets("SST-2", glue_dir)
    return encode(datasets.train if split == "train" else datasets.dev["dev"], tokenizer, 32, progress=False)


def test_ramp_training_leaves_the_supernet_bit_for_bit(runs):
    before = read_weights(runs / "supernet" / "best" / "model.safetensors")
    for name in ("best", "last"):
        after = read_weights(runs / "deebert" / name / "model.safetensors")
        assert set(before) == set(after)
        for key, array in before.items():
            np.testing.assert_array_equal(after[key], array, err_msg=key)
    metas = [json.loads((runs / run / "best" / "ofa_config.json").read_text()) for run in ("supernet", "deebert")]
    assert metas[0]["space"] == metas[1]["space"]
    assert metas[1]["kind"] == "supernet"
    assert metas[0]["scores"] == metas[1]["scores"]  # the last exit is the model's own classifier
    heads = read_weights(runs / "deebert" / "last" / "exits.safetensors")
    layers = {key.split(".")[1] for key in heads if key.startswith("heads.")}
    assert layers == {"0", "1", "2"} == {str(layer) for layer in metas[1]["exits"]["layers"]}


def test_heads_have_a_learning_rate_of_their_own(runs, glue_dir, tmp_path, capsys):
    """Adam's first step moves every parameter by its learning rate, where the gradient is not about 0."""
    line = [*COMMON, "--data_dir", str(glue_dir), "--model_name_or_path", str(runs / "teacher"), "--exits", "joint"]
    line += "--max_steps 1 --warmup_proportion 0 --learning_rate 1e-4 --max_grad_norm 0 --adam_epsilon 1e-12".split()
    rates = ["--exit_learning_rate", "1e-2"]
    assert run_glue_ofa.main([*line, *rates, "--output_dir", str(tmp_path / "out")]) == 0
    before = read_weights(runs / "teacher" / "best" / "model.safetensors")
    after = read_weights(tmp_path / "out" / "last" / "model.safetensors")
    heads = read_weights(tmp_path / "out" / "last" / "exits.safetensors")
    pooler = "bert.pooler.dense.weight"  # which a ramp starts from
    assert np.median(np.abs(after[pooler] - before[pooler])) == pytest.approx(1e-4, rel=0.01)
    assert np.median(np.abs(heads["heads.0.dense.weight"] - before[pooler])) == pytest.approx(1e-2, rel=0.01)
    capsys.readouterr()
    line[line.index("joint")] = "deebert"
    assert run_glue_ofa.main([*line, *rates, "--output_dir", str(tmp_path / "x")]) == 2
    assert "give --learning_rate" in capsys.readouterr().err


def test_joint_training_trains_the_model_too(runs):
    before = read_weights(runs / "teacher" / "best" / "model.safetensors")
    after = read_weights(runs / "geep" / "last" / "model.safetensors")
    assert all(np.any(after[key] != array) for key, array in before.items() if "position" not in key)
    meta = json.loads((runs / "geep" / "last" / "ofa_config.json").read_text())
    assert meta["exits"]["layers"] == [0, 1]
    assert meta["exits"]["head"] == "attention"
    assert meta["exits"]["lambda"] == 1.0
    assert meta["kind"] == "teacher"


@pytest.mark.parametrize("run", ["deebert", "geep"])
def test_results_are_what_forced_exits_score(runs, glue_dir, run):
    """Every sample answered at exit i gives the score that training reported of exit i; the last one is the model's."""
    model, tokenizer, _record, exits = loaded(runs / run / "best")
    dev = dev_of(tokenizer, glue_dir)
    results = json.loads((runs / run / "results.json").read_text())
    reported = results["best"]["scores"]["exits"][0]["exits"]
    assert [entry["layers"] for entry in reported] == [*(layer + 1 for layer in exits.layout.layers), 4]
    for place, entry in enumerate(reported):
        logits = answer_at(model, exits, np.full(len(dev), place), dev, 16, 0).logits
        assert float((logits.argmax(-1) == dev.labels).mean()) == pytest.approx(entry["accuracy"])
    logits = predict(stock_forward(model), dev, 2, 0, batch_size=16)
    np.testing.assert_array_equal(answer(model, exits, Policy("entropy", 0.0), dev, 16, 0).logits, logits)
    assert reported[-1]["score"] > 0.8
    assert max(entry["score"] for entry in reported[:-1]) > 0.7


def test_a_directory_with_exits_loads_in_plain_paddlenlp(runs, glue_dir):
    from paddlenlp.transformers import BertForSequenceClassification

    plain = BertForSequenceClassification.from_pretrained(str(runs / "deebert" / "best"))
    plain.eval()
    model, tokenizer, _, _ = loaded(runs / "deebert" / "best")
    dev = dev_of(tokenizer, glue_dir)
    theirs, ours = (predict(stock_forward(one), dev, 2, 0) for one in (plain, model))
    np.testing.assert_allclose(theirs, ours, atol=1e-5)


def test_best_is_chosen_on_the_held_out_part_which_nothing_trains_on(runs, glue_dir):
    results = json.loads((runs / "geep" / "results.json").read_text())
    held = [entry["scores"]["held_out"] for entry in results["history"]]
    assert results["best"]["score"] == max(held)
    model, tokenizer, record, exits = loaded(runs / "geep" / "last")
    train = dev_of(tokenizer, glue_dir, "train")
    _, chosen = record.exits.held_out.split("", len(train))
    part = train.select(chosen)
    scores = []
    for place in range(3):
        logits = answer_at(model, exits, np.full(len(part), place), part, 16, 0).logits
        scores.append(float((logits.argmax(-1) == part.labels).mean()))
    assert len(part) == 16
    assert np.mean(scores) == pytest.approx(held[-1])


@pytest.mark.parametrize(
    ("kind", "more"), [("deebert", "--exit_lambda 0.5"), ("geep", ""), ("alternate", "--sandwich 0")]
)
def test_a_run_that_was_interrupted_resumes_to_the_same_weights(runs, glue_dir, tmp_path, kind, more, monkeypatch):
    from ofa_bert.training import run_directory

    base = [*COMMON, "--data_dir", str(glue_dir), "--exits", kind, "--model_name_or_path", str(runs / "supernet")]
    base += [*"--max_steps 6 --save_steps 2 --learning_rate 1e-3".split(), *more.split()]
    assert run_glue_ofa.main([*base, "--output_dir", str(tmp_path / "straight")]) == 0
    real = run_directory.save_checkpoint

    def stop_after_4(output, step, *rest):
        real(output, step, *rest)
        if step == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run_directory, "save_checkpoint", stop_after_4)
        assert run_glue_ofa.main([*base, "--output_dir", str(tmp_path / "stopped")]) == 130
    assert run_glue_ofa.main([*base, "--output_dir", str(tmp_path / "stopped"), "--resume"]) == 0
    for file in ("model.safetensors", "exits.safetensors"):
        ours, theirs = (read_weights(tmp_path / run / "last" / file) for run in ("stopped", "straight"))
        for name, array in theirs.items():
            np.testing.assert_array_equal(ours[name], array, err_msg=name)
    histories = [json.loads((tmp_path / r / "results.json").read_text())["history"] for r in ("straight", "stopped")]
    assert [entry["scores"] for entry in histories[0]] == [entry["scores"] for entry in histories[1]]


CHOICE = "--repeats 1 --timing_samples 24 --thresholds 4 --batch_sizes 1 8 --pool 2".split()


def choose_in(runs, data, tmp_path, run, *more):
    target = ["--model_name_or_path", str(runs / run), "--output_dir", str(tmp_path / "policy")]
    assert commands.main(["exits", *data, *CHOICE, *target, *more]) == 0
    return json.loads((tmp_path / "policy" / "exits.json").read_text())


def taken_row(results, mode):
    rows = results["held_out"][mode]
    return next(entry for entry in rows if entry["threshold"] == results["chosen"]["policy"]["threshold"])


def test_exits_are_chosen_by_margin(runs, data, glue_dir, tmp_path):
    results = choose_in(runs, data, tmp_path, "geep", "--criterion", "margin", "--target_drop", "0.5")
    policy = Policy.from_json(results["chosen"]["policy"])
    assert policy.criterion == "margin"
    assert 0 < policy.threshold <= 1
    model, tokenizer, _, exits = loaded(runs / "geep" / "best")
    dev = dev_of(tokenizer, glue_dir)
    found = answer(model, exits, policy, dev, 8, 0, ask=results["chosen"]["ask"])
    assert results["dev"]["exits"]["accuracy"] == pytest.approx(float((found.logits.argmax(-1) == dev.labels).mean()))
    assert results["dev"]["exits"]["mean_layers"] == pytest.approx(found.layers.mean())


@pytest.mark.parametrize("mode", ["threshold", "predicted"])
def test_the_chosen_policy_does_on_dev_what_the_report_says(runs, data, glue_dir, tmp_path, mode, capsys):
    more = ["--target_drop", "0.1", "--confidence", "0", "--mode", mode]
    results = choose_in(runs, data, tmp_path, "geep", *more)
    assert "time saved" in capsys.readouterr().out
    about = json.loads((tmp_path / "policy" / "exit_policy.json").read_text())
    policy = Policy.from_json(about["policy"])
    assert policy.criterion == "normalised"
    model, tokenizer, _, exits = loaded(runs / "geep" / "best")
    dev = dev_of(tokenizer, glue_dir)
    if about["mode"] == "threshold":  # also when no prediction was worth its time
        found = answer(model, exits, policy, dev, 8, 0, ask=about["ask"])
    else:
        table = TokenTable(**read_weights(tmp_path / "policy" / TABLE))
        found = answer_at(model, exits, table.predict(dev.input_ids), dev, 8, 0)
    report = results["dev"]["exits"]
    assert report["accuracy"] == pytest.approx(float((found.logits.argmax(-1) == dev.labels).mean()))
    assert report["saving"] == pytest.approx(saving(found.layers, 4)) == pytest.approx(1 - found.layers.mean() / 4)
    assert sum(report["histogram"].values()) == len(dev)
    assert set(report["ms"]) == {"1", "8"}
    assert results["dev"]["full"]["saving"] == 0.0
    assert results["dev"]["full"]["time_saving"] == {"1": 0.0, "8": 0.0}
    if results["held_out"][mode].index(taken_row(results, mode)):
        assert sum(results["dev"]["prediction"]["error_histogram"].values()) == len(dev)
    assert (tmp_path / "policy" / "exits.png").read_bytes().startswith(b"\x89PNG")
    rows = results["held_out"][mode]
    chosen = taken_row(results, mode)
    able = [entry for entry in rows if entry["score"] >= rows[0]["score"] - 0.1]
    assert chosen["speedup"] == max(entry["speedup"] for entry in able)
    means = [entry["mean_layers"] for entry in rows]
    assert means[0] == 4
    assert mode == "predicted" or means == sorted(means, reverse=True)
    assert len(rows) > 2


def test_a_promised_drop_is_kept_by_what_is_chosen_and_the_policy_keeps_the_curve(runs, data, tmp_path):
    results = choose_in(runs, data, tmp_path, "geep", "--target_drop", "0.6", "--table_samples", "0")
    curve = json.loads((tmp_path / "policy" / "exit_policy.json").read_text())["curve"]
    rows = results["held_out"]["threshold"]
    assert [point["threshold"] for point in curve["points"]] == [entry["threshold"] for entry in rows]
    assert curve["points"][0]["at_most"] == 0.0
    assert all(point["at_most"] >= max(0.0, point["drop"]) for point in curve["points"])
    assert (curve["examples"], curve["confidence"], curve["metric"]) == (16, 0.95, "accuracy")
    able = [0, *range(1, 1 + promised([point["at_most"] for point in curve["points"][1:]], 0.6))]
    assert rows.index(taken_row(results, "threshold")) == max(able, key=lambda i: rows[i]["speedup"])
    chosen = KeptCurve.read(Fields(curve, "curve"), len(results["chosen"]["layers"]) - 1).within(0.6)
    assert chosen.at_most <= 0.6
    dev = results["dev_curves"]["threshold"]
    assert [entry["threshold"] for entry in dev] == [entry["threshold"] for entry in rows]
    assert dev[0]["score"] == pytest.approx(results["dev"]["full"]["accuracy"])
    assert dev[rows.index(taken_row(results, "threshold"))]["score"] == pytest.approx(
        results["dev"]["exits"]["accuracy"]
    )


def test_what_a_threshold_is_chosen_on_is_said(runs, data, glue_dir, tmp_path, capsys):
    """16 examples: how many there are, and what their score may really be, in the table, the log and exits.json."""
    results = choose_in(
        runs, data, tmp_path, "geep", "--target_drop", "0.1", "--confidence", "0", "--table_samples", "0"
    )
    printed = capsys.readouterr()
    chosen = taken_row(results, "threshold")
    low, high = wilson(chosen["score"], 16)
    assert results["chosen_on"] == {
        "examples": 16,
        "full": results["held_out"]["threshold"][0]["score"],
        "exits": chosen["score"],
        "low": low,
        "high": high,
        "drop_at_most": results["chosen_on"]["drop_at_most"],
        "confidence": 0.95,
    }
    assert f"at most {results['chosen_on']['drop_at_most']:.4f} with 95 % confidence" in printed.out
    assert "score on 16 held out" in printed.out
    assert f"{chosen['score']:.4f} ({low:.4f} to {high:.4f})" in printed.out
    warning = next(line for line in printed.err.splitlines() if "16 held-out examples" in line)
    assert f"from {low:.4f} to {high:.4f}" in warning
    assert "--held_out_share" in warning


def test_a_threshold_is_chosen_on_what_training_held_out_and_on_nothing_else(runs, glue_dir, tmp_path, capsys):
    """The same sentences in another order would be split otherwise: three quarters of them were trained on."""
    lines = (glue_dir / "train.tsv").read_text().splitlines()
    for name, rows in (("moved", [*lines[2:], lines[1]]), ("fewer", lines[1:-1]), ("few", lines[1:17])):
        other = tmp_path / name
        other.mkdir()
        (other / "train.tsv").write_text("\n".join([lines[0], *rows]) + "\n")
        shutil.copy(glue_dir / "dev.tsv", other / "dev.tsv")
        line = ["exits", "--task_name", "SST-2", "--data_dir", str(other), "--device", "cpu", *CHOICE]
        line += ["--model_name_or_path", str(runs / "geep"), "--output_dir", str(tmp_path / "policy")]
        code, error = failing(commands.main, line, capsys)
        assert code == 2
        assert "give the data that it was trained with" in error
    assert not (tmp_path / "policy").exists()


def test_a_log_calls_each_split_what_it_is(runs, glue_dir, tmp_path, capsys):
    line = [*COMMON, "--data_dir", str(glue_dir), "--model_name_or_path", str(runs / "teacher"), "--exits", "deebert"]
    assert run_glue_ofa.main([*line, "--max_steps", "1", "--output_dir", str(tmp_path / "out")]) == 0
    steps = [line.split("  ", 1)[1] for line in capsys.readouterr().err.splitlines() if " step 1  " in line]
    assert [line.split()[:2] for line in steps] == [["held", "out,"], ["dev,", "model,"]]


def test_thresholds_on_the_command_line(runs, data, glue_dir, tmp_path):
    results = choose_in(runs, data, tmp_path, "geep", "--geep_threshold", "0.5", "--mode", "predicted")
    table = TokenTable(**read_weights(tmp_path / "policy" / TABLE))
    assert table.layers.tolist() == [1, 2, 4]
    assert len(table.cuts) == 2
    model, tokenizer, _, exits = loaded(runs / "geep" / "best")
    dev = dev_of(tokenizer, glue_dir)
    found = answer_at(model, exits, table.predict(dev.input_ids), dev, 8, 0)
    report = results["dev"]["exits"]
    assert results["chosen"]["mode"] == "predicted"
    assert report["mean_layers"] == pytest.approx(found.layers.mean())
    assert report["accuracy"] == pytest.approx(float((found.logits.argmax(-1) == dev.labels).mean()))
    errors = results["dev"]["prediction"]["error_histogram"]
    assert sum(errors.values()) == 96
    assert results["dev"]["prediction"]["right"] == errors.get("0", 0) / 96
    results = choose_in(runs, data, tmp_path, "geep", "--geep_threshold", "1", "--table_samples", "0")
    assert results["dev"]["exits"]["histogram"] == {"1": 96, "2": 0, "4": 0}
    results = choose_in(runs, data, tmp_path, "geep", "--geep_threshold", "0", "--table_samples", "0")
    assert results["dev"]["exits"]["histogram"] == {"1": 0, "2": 0, "4": 96}
    assert results["dev"]["exits"]["accuracy"] == results["dev"]["full"]["accuracy"]


def test_a_sub_model_of_the_supernet_uses_the_heads_of_its_layers(runs, data, glue_dir, tmp_path):
    more = ["--width_mult", "0.5", "--depth_mult", "0.5", "--exit_threshold", "0.3", "--table_samples", "0"]
    results = choose_in(runs, data, tmp_path, "deebert", *more)
    meta = json.loads((runs / "deebert" / "best" / "ofa_config.json").read_text())
    sub_model = SearchSpace.from_json(meta["space"]).sub_model(0.5, 0.5)
    assert results["chosen"]["sub_model"] == sub_model.to_json()
    assert sub_model.layers == (0, 3)
    assert results["chosen"]["layers"] == [1, 2]
    assert results["name"] == "w0.5_d0.5"
    full = next(e for e in meta["exit_scores"] if e["name"] == "w0.5_d0.5")["exits"][-1]
    assert results["dev"]["full"]["accuracy"] == pytest.approx(full["accuracy"])


def test_an_exported_sub_model_keeps_the_exits_of_its_layers(runs, data, glue_dir, tmp_path):
    export = ["--model_name_or_path", str(runs / "deebert"), "--sub_model_output_dir", str(tmp_path / "small")]
    assert export_model.main([*export, "--width_mult", "0.5", "--depth_mult", "0.5", "--device", "cpu"]) == 0
    model, tokenizer, record, exits = loaded(tmp_path / "small")
    assert exits.layout.layers == (0,)
    assert record.sub_model.layers == (0, 3)
    dev = dev_of(tokenizer, glue_dir)
    reported = json.loads((runs / "deebert" / "best" / "ofa_config.json").read_text())["exit_scores"]
    expected = next(entry for entry in reported if entry["name"] == "w0.5_d0.5")["exits"][0]
    logits = answer_at(model, exits, np.zeros(len(dev), dtype=int), dev, 16, 0).logits
    assert expected["layers"] == 1
    assert float((logits.argmax(-1) == dev.labels).mean()) == pytest.approx(expected["accuracy"])
    # It can have its exits trained further, as any model can.
    more = ["--model_name_or_path", str(tmp_path / "small"), "--output_dir", str(tmp_path / "more")]
    train = [*COMMON, "--data_dir", str(glue_dir), "--exits", "joint", "--max_steps", "2", *more]
    assert run_glue_ofa.main(train) == 0
    again = json.loads((tmp_path / "more" / "best" / "ofa_config.json").read_text())
    assert again["sub_model"] == record.sub_model.to_json()
    assert again["kind"] == "sub_model"
    choose_in(tmp_path, data, tmp_path, "more", "--exit_threshold", "0.3", "--table_samples", "0")


def test_a_bundle_leaves_where_the_policy_left(runs, data, glue_dir, tmp_path, capsys):
    width = ["--width_mult", "0.5"]
    results = choose_in(runs, data, tmp_path, "deebert", *width, "--exit_threshold", "0.6", "--mode", "predicted")
    export = ["--model_name_or_path", str(runs / "deebert"), "--sub_model_output_dir", str(tmp_path / "small")]
    export += ["--static_sub_model", str(tmp_path / "static"), "--onnx", "--max_seq_length", "16", "--device", "cpu"]
    policy = ["--exit_policy", str(tmp_path / "policy")]
    assert export_model.main([*export, *policy]) == 2
    assert "same --width_mult" in capsys.readouterr().err
    assert export_model.main([*export, *policy, *width]) == 0
    assert "exits after 1 2 3 4 layers" in capsys.readouterr().out
    model, tokenizer, _, exits = loaded(tmp_path / "small")
    dev = dev_of(tokenizer, glue_dir)
    about = results["chosen"]
    table = TokenTable(**read_weights(tmp_path / "policy" / TABLE))
    wanted = {
        None: answer_at(model, exits, table.predict(dev.input_ids), dev, 8, 0),  # the mode that was chosen
        "threshold": answer(model, exits, Policy.from_json(about["policy"]), dev, 8, 0, ask=about["ask"]),
    }
    texts = [line.split("\t")[0] for line in (glue_dir / "dev.tsv").read_text().splitlines()[1:]]
    for mode, expected in wanted.items():
        with Predictor(tmp_path / "static", threads=1, exit_threshold="policy", exit_mode=mode) as predictor:
            found = predictor.answers(texts)
        np.testing.assert_array_equal(found.layers, expected.layers)
        np.testing.assert_allclose(found.logits, expected.logits, atol=1e-4)
    # A trimmed vocabulary has other ids, for the token table too.
    (tmp_path / "kept.txt").write_text(
        "\n".join({word for text in texts for word in tokenizer.fast.encode(text).tokens}) + "\n"
    )
    export[export.index(str(tmp_path / "static"))] = str(tmp_path / "trimmed")
    assert export_model.main([*export, *policy, *width, "--trim_vocab", str(tmp_path / "kept.txt")]) == 0
    with Predictor(tmp_path / "trimmed", threads=1, exit_threshold="policy") as predictor:
        found = predictor.answers(texts)
        assert len(predictor._model.plan.table.counts) < model.config.vocab_size
    np.testing.assert_array_equal(found.layers, wanted[None].layers)
    np.testing.assert_allclose(found.logits, wanted[None].logits, atol=1e-4)


def test_regression_exits_by_certainty_and_patience(runs, tiny_bert_dir, tmp_path):
    rng = np.random.default_rng(0)
    for name, count in (("train", 120), ("dev", 40)):
        words = [rng.choice(["good", "bad"], rng.integers(1, 6)) for _ in range(count)]
        rows = [f"{' '.join(row)}\t{(row == 'good').sum() / 2 + 0.25}" for row in words]
        (tmp_path / f"{name}.tsv").write_text("\n".join(["text\tlabel", *rows]) + "\n", encoding="utf-8")
    own = ["--train_file", str(tmp_path / "train.tsv"), "--dev_file", str(tmp_path / "dev.tsv"), "--device", "cpu"]
    own += ["--label_kind", "numbers"]
    steps = "--max_seq_length 16 --max_steps 20 --save_steps 20 --learning_rate 2e-3".split()
    teacher, exits = str(tmp_path / "teacher"), str(tmp_path / "joint")
    assert run_glue.main([*own, *steps, "--model_name_or_path", str(tiny_bert_dir), "--output_dir", teacher]) == 0
    joint = ["--exits", "joint", "--model_name_or_path", teacher, "--output_dir", exits]
    assert run_glue_ofa.main([*own, *steps, *joint]) == 0
    for more in (
        ["--target_drop", "0.2", "--confidence", "0"],
        ["--criterion", "patience", "--exit_threshold", "1", "--tolerance", "0.3"],
    ):
        target = ["--model_name_or_path", exits, "--output_dir", str(tmp_path / "policy")]
        assert commands.main(["exits", *own, *CHOICE, *target, *more]) == 0
        results = json.loads((tmp_path / "policy" / "exits.json").read_text())
        assert sum(results["dev"]["exits"]["histogram"].values()) == 40
        assert results["chosen"]["policy"]["criterion"] == ("patience" if "patience" in more else "certainty")
        assert math.isfinite(results["dev"]["exits"]["pearson"])
    for criterion in ("entropy", "margin"):
        refused = ["exits", *own, *target, "--criterion", criterion]
        assert commands.main(refused) == 2


def failing(main, arguments, capsys):
    code = main(arguments)
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert error.count("error:") == 1
    return code, error


def test_mistakes_are_said_in_one_line(runs, data, tiny_bert_dir, tmp_path, capsys):
    def exits(source, *more):
        out = ["--output_dir", str(tmp_path / "out")]
        return failing(
            run_glue_ofa.main,
            [*COMMON, *data, "--exits", "deebert", "--model_name_or_path", str(source), *out, *more],
            capsys,
        )

    code, error = exits(tiny_bert_dir)
    assert code == 2
    assert "run_glue.py" in error
    code, error = exits(runs / "teacher", "--exit_layers", "1", "3")
    assert code == 2
    assert "layers 0 1 2" in error
    code, error = exits(runs / "teacher", "--geep_exit_num", "4")
    assert code == 2
    assert "from 1 to 3" in error
    code, error = failing(run_glue_ofa.main, [*data, "--exit_layers", "1"], capsys)
    assert code == 2
    assert "--exits is required" in error
    code, error = exits(runs / "teacher", "--width_mult_list", "1.0")
    assert code == 2
    assert "without --exits" in error

    def choice(source, *more):
        out = ["--output_dir", str(tmp_path / "policy")]
        return failing(commands.main, ["exits", *data, "--model_name_or_path", str(source), *out, *more], capsys)

    for source, more, part in (
        (runs / "supernet", [], "train them with run_glue_ofa.py --exits"),
        (runs / "geep", ["--width_mult", "0.5"], "is no supernet"),
        (runs / "deebert", ["--exit_threshold", "0.7"], "ln 2 = 0.693"),
        (runs / "geep", ["--geep_threshold", "1.5"], "from 0"),
        (runs / "geep", ["--geep_threshold", "0.1", "--criterion", "entropy"], "one or the other"),
        (runs / "geep", ["--target_speedup", "99", *CHOICE, "--table_samples", "0"], "ask for less"),
        (runs / "geep", ["--target_drop", "0.1", "--exit_threshold", "0.1"], "exclude each other"),
        (runs / "geep", ["--target_drop", "0.01", *CHOICE], "promised with 95 % confidence, there are 16"),
        (runs / "geep", ["--target_drop", "0", *CHOICE], "no number of held-out texts promises"),
        (runs / "geep", ["--confidence", "0.9"], "--confidence is about --target_drop"),
        (runs / "geep", ["--mode", "predicted", "--table_samples", "0"], "needs the token table"),
    ):
        code, error = choice(source, *more)
        assert code == 2, error
        assert part in error, error
    assert not (tmp_path / "policy").exists()


def training(more):
    return parse(ExitTrainingJob, f"--model_name_or_path M --task_name rte --output_dir O {more}".split(), "")


@pytest.mark.parametrize(
    ("more", "part"),
    [
        ("--exits deebert --exit_layers 1 --geep_exit_num 2", "exclude each other"),
        ("--exits geep --exit_lambda 1.5", "at least 0 and at most 1"),
        ("--exits bert", "must be one of deebert, geep, joint, alternate"),
        ("--exits joint --held_out_share 1", "--held_out_share"),
        ("--exits joint --geep_exit_num 0", "--geep_exit_num 0"),
        ("", "--exits is required"),
    ],
)
def test_refused_training_flags(more, part):
    with pytest.raises(UserError) as caught:
        training(more)
    assert part in str(caught.value)


def test_defaults_follow_the_kind_of_training():
    deebert, geep = (training(f"--exits {kind}").resolved() for kind in ("deebert", "geep"))
    assert (deebert.rates.learning_rate, deebert.exit_head, deebert.exit_lambda) == (1e-3, "ramp", 0.0)
    assert (geep.rates.learning_rate, geep.exit_head, geep.exit_lambda) == (3e-5, "attention", 1.0)
    assert training("--exits geep --exit_lambda 0 --exit_head ramp").resolved().exit_lambda == 0.0


def test_layouts():
    twelve = {"model": SubModelConfig(tuple(range(12)), (1,) * 12, (1,) * 12)}
    assert choose_layout(training("--exits deebert").resolved(), twelve).layers == tuple(range(11))
    assert choose_layout(training("--exits geep").resolved(), twelve).layers == tuple(range(8))
    assert choose_layout(training("--exits joint --exit_layers 5 2").resolved(), twelve).layers == (2, 5)
    shape = whole(build(layers=6))
    shallow = {"a": SubModelConfig((0, 2, 5), shape.heads[:3], shape.ffn[:3])}
    assert choose_layout(training("--exits deebert").resolved(), shallow).layers == (0, 2)
    with pytest.raises(UserError, match="layers 0 2;"):
        choose_layout(training("--exits deebert --exit_layers 1").resolved(), shallow)
    with pytest.raises(UserError, match="one layer"):
        choose_layout(training("--exits deebert").resolved(), {"a": SubModelConfig((3,), (1,), (1,))})


def test_help_teaches_exits(capsys):
    for main, arguments, words in (
        (run_glue_ofa.main, ["--help"], ["--exits deebert --help"]),
        (run_glue_ofa.main, ["--exits", "deebert", "--help"], ["--geep_exit_num", "--exit_lambda", "supernet's serve"]),
        (commands.main, ["exits", "--help"], ["--target_drop", "--geep_threshold", "--mode"]),
    ):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        shown = " ".join(capsys.readouterr().out.split())
        assert caught.value.code == 0
        assert all(word in shown for word in words)


def outputs_of(seed=0, count=150):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1, [4, count, 2]) * np.asarray([1, 2, 3, 4])[:, None, None]
    return Outputs(logits.astype("float32"), rng.uniform(0, 1, [3, count]).astype("float32"), (2, 4, 5, 6))


@pytest.mark.parametrize("criterion", ["entropy", "normalised", "certainty", "patience", "margin"])
def test_a_sweep_spreads_over_the_layers_saved(criterion):
    outputs = outputs_of()
    tried = policies(criterion, 0.1, outputs, 8)
    rows = [
        row(glue_task("rte"), outputs, first_exits(policy, outputs.logits, outputs.certainty), np.zeros(150, dtype=int))
        for policy in tried
    ]
    means = [entry["mean_layers"] for entry in rows]
    assert means[0] == 6
    assert means == sorted(means, reverse=True)
    assert means[-1] < (5 if criterion == "patience" else 4)
    assert all(entry["saving"] == pytest.approx(1 - entry["mean_layers"] / 6) for entry in rows)
    if criterion != "patience":
        assert len(tried) >= 6
        assert max(np.abs(np.diff(means))) < 1.2
        limit = math.log(2) if criterion == "entropy" else 1.0 + 1e-9
        assert all(policy.threshold < limit for policy in tried)


def test_targets_choose_a_row():
    rows = [
        {"score": 0.90, "speedup": 1.0},
        {"score": 0.91, "speedup": 1.2},
        {"score": 0.89, "speedup": 1.9},
        {"score": 0.80, "speedup": 2.5},
    ]
    assert choose(rows, 0.0, None) == 1
    assert choose(rows, 0.01, None) == 2
    assert choose(rows, 0.5, None) == 3
    assert choose(rows, None, 1.1) == 1
    assert choose(rows, None, 1.5) == 2
    assert choose(rows, None, 2.0) == 3
    assert choose(rows, 0.02, 1.5) == 2
    with pytest.raises(UserError, match="1.90 times"):
        choose(rows, 0.02, 2.2)
    with pytest.raises(UserError, match="2.50 times"):
        choose(rows, None, 3.0)


def test_choice_flags():
    def config(more):
        return parse(ExitChoiceJob, f"--model_name_or_path M --task_name rte --output_dir O {more}".split(), "")

    assert config("--geep_threshold 0").wanted_threshold == 0.0
    assert config("--exit_threshold 0.1").wanted_threshold == 0.1
    assert config("").wanted_threshold is None
    for more, part in (("--target_drop -1", "--target_drop -1.0"), ("--batch_sizes 0 4", "--batch_sizes 0")):
        with pytest.raises(UserError, match=part):
            config(more)


def test_uniform_names_are_kept(runs):
    """Exits of every sub-model of the supernet were scored, those without an exit before their last layer left out."""
    results = json.loads((runs / "deebert" / "results.json").read_text())
    meta = json.loads((runs / "supernet" / "best" / "ofa_config.json").read_text())
    space = SearchSpace.from_json(meta["space"])
    assert [entry["name"] for entry in results["best"]["scores"]["exits"]] == list(space.sub_models())
    assert results["best"]["scores"]["exits"][0]["sub_model"] == uniform(space.shape, 1.0).to_json()


def test_exits_that_nobody_leaves_at_are_not_asked():
    outputs = outputs_of()
    logits = outputs.logits.copy()
    logits[1] = 0.0  # an exit that never knows
    outputs = outputs._replace(logits=logits)
    policy = Policy("entropy", 0.3)
    ask = worth_asking(policy, outputs)
    assert ask == (0, 2)
    np.testing.assert_array_equal(taken(policy, outputs, ask), first_exits(policy, logits, None))
    assert set(taken(policy, outputs, (2,))) == {2, 3}
    assert (taken(policy, outputs, ()) == 3).all()
    assert worth_asking(Policy("entropy", 0.0), outputs) == () == worth_asking(Policy("patience", 3), outputs)
    assert worth_asking(Policy("patience", 1), outputs) == (0, 1, 2)


def test_finetuning_can_leave_out_what_exits_are_chosen_on(tmp_path, tiny_bert_dir, glue_dir, monkeypatch):
    from ofa_bert.training import finetune

    seen = set()
    real = finetune.finetune_step

    def spying(model, regression):
        step = real(model, regression)

        def run(batch, number, backward):
            seen.update(batch.index.tolist())
            assert len(batch.labels) == 16
            return step(batch, number, backward)

        return run

    monkeypatch.setattr(finetune, "finetune_step", spying)
    options = [*COMMON, "--data_dir", str(glue_dir), "--model_name_or_path", str(tiny_bert_dir)]
    options += ["--output_dir", str(tmp_path / "run"), "--held_out_share", "0.1", "--num_train_epochs", "1"]
    assert run_glue.main(options) == 0
    assert seen == set(range(288))  # of 320


@pytest.mark.parametrize("kind", ["deebert", "joint"])
def test_two_processes_train_exits_as_one_with_twice_the_batch(runs, glue_dir, tmp_path, kind):
    source = tmp_path / "teacher"
    shutil.copytree(runs / "teacher" / "last", source)
    config = json.loads((source / "config.json").read_text())
    # Dropout draws differ between the two ways of splitting a batch, so it is off.
    config.update(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    (source / "config.json").write_text(json.dumps(config))
    base = [*COMMON, "--data_dir", str(glue_dir), "--exits", kind, "--model_name_or_path", str(source)]
    base += "--max_steps 4 --save_steps 4 --learning_rate 1e-3 --adam_epsilon 1e-3".split()
    assert run_glue_ofa.main([*base, "--output_dir", str(tmp_path / "one")]) == 0
    two = [*base, "--batch_size", "8", "--output_dir", str(tmp_path / "two")]
    launch("run_glue_ofa.py", 2, two, tmp_path / "log", free_port())
    for file in ("model.safetensors", "exits.safetensors"):
        ours, theirs = (read_weights(tmp_path / run / "last" / file) for run in ("two", "one"))
        for name, array in theirs.items():
            np.testing.assert_allclose(ours[name], array, atol=2e-5, err_msg=name)
    ours, theirs = (json.loads((tmp_path / run / "results.json").read_text()) for run in ("two", "one"))
    assert ours["processes"] == 2
    assert ours["last"]["scores"] == theirs["last"]["scores"]

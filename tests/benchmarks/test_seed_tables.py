"""The tables of PaddleSlim's OFA-BERT page: rendered from known numbers, refused settings, and made end to end."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from helpers.glue_layout import write_glue
from helpers.paths import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import seed_tables
from seed_page import estimate, figures, plan, results, running, tables

from ofa_bert.data.sources import load_datasets
from ofa_bert.errors import RunError, UserError

BERT, TINY = "bert-base-uncased", "tinybert-6l-768d-v2-en"
PROGRAM = ROOT / "benchmarks" / "seed_tables.py"


def chosen(tmp_path, *more):
    return seed_tables.resolve(seed_tables.parser().parse_args(["--output_dir", str(tmp_path), *more]))


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_run(output, run, finetuned, compressed=None, teacher=None):
    """What a finetuning, and with `compressed` a supernet, leave behind."""
    at = run.directory(output)
    write_json(at / "finetune" / "best" / "ofa_config.json", {})
    best = {"step": 1, "score": 0.5, "scores": finetuned}
    write_json(at / "finetune" / "results.json", {"task": run.task, "best": best, "seconds": 3600.0})
    if compressed is None:
        return
    write_json(at / "supernet" / "last" / "ofa_config.json", {})
    rows = [
        {"name": "w1_d1", "parameters": 109483778, "scores": finetuned},
        {"name": "w0.6667_d1", "parameters": 81150722, "scores": compressed},
    ]
    about = {"task": run.task, "teacher": teacher or finetuned, "last": rows, "seconds": 7200.0}
    write_json(at / "supernet" / "results.json", about)


def write_bench(output, name, milliseconds, gpu=None):
    """rows.json with (full, width 2/3) of every batch size."""
    rows = [
        {"bundle": bundle, "batch": batch, "p50_ms": value, "gpu": gpu, "processor": "Some CPU", "cores": 2}
        for batch, both in zip(figures.BATCHES, milliseconds)
        for bundle, value in zip((plan.FULL, plan.COMPRESSED), both)
    ]
    write_json(plan.bench_directory(output, BERT, name) / "rows.json", {"rows": rows, "skipped": []})


def cells(table):
    """The lines of a Markdown table as dictionaries."""
    titles, _, *lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return [dict(zip(titles, line)) for line in lines]


def test_scores_stand_beside_the_published_ones(tmp_path):
    choice, _ = chosen(tmp_path, "--tasks", "sst2", "MRPC", "MNLI", "--seeds", "1", "2")
    write_run(tmp_path, plan.Run(BERT, "sst-2", 1), {"accuracy": 0.93}, {"accuracy": 0.92})
    write_run(tmp_path, plan.Run(BERT, "sst-2", 2), {"accuracy": 0.94}, {"accuracy": 0.93})
    both = {"matched_accuracy": 0.84422, "mismatched_accuracy": 0.85}
    write_run(tmp_path, plan.Run(BERT, "mnli", 2), both, both)
    write_run(tmp_path, plan.Run(BERT, "mrpc", 1), {"accuracy": 0.87, "f1": 0.90})
    lines = cells(tables.score_table(tables.score_rows(choice, tmp_path)))
    found = {(line["task"], line["metric"]): line for line in lines}
    sst = found["SST-2", "accuracy"]
    assert sst["finetuned: ours"] == "0.9350 ± 0.0071 (2 seeds)"
    assert sst["finetuned: published"] == "0.93005"
    assert sst["finetuned: difference"] == "+0.0050"
    assert (sst["width 2/3: ours"], sst["width 2/3: published"]) == ("0.9250 ± 0.0071 (2 seeds)", "0.931193")
    assert sst["width 2/3: difference"] == "-0.0062"
    assert found["MNLI", "matched accuracy"]["finetuned: difference"] == "+0.0000"
    assert found["MNLI", "mismatched accuracy"]["width 2/3: difference"] == "-0.0024"
    assert found["MRPC", "F1"]["finetuned: ours"] == "0.9000"
    assert found["MRPC", "F1"]["width 2/3: ours"] == "not run yet"
    assert found["MRPC", "F1"]["width 2/3: difference"] == ""
    assert found["MRPC", "accuracy"]["finetuned: published"] == "0.88235"
    assert tables.sizes(choice, tmp_path) == [
        f"{BERT}: 109.48 M parameters to 81.15 M (-26 %); published 110M to 81M (-26 %)"
    ]


def test_a_model_that_the_page_does_not_have_is_not_published(tmp_path):
    choice, _ = chosen(tmp_path, "--models", TINY, "tinybert-4l-312d-v2-en", "--tasks", "CoLA", "--device", "cpu")
    first, second = cells(tables.score_table(tables.score_rows(choice, tmp_path)))
    assert (first["model"], first["finetuned: published"], first["width 2/3: published"]) == (
        TINY,
        *["not published"] * 2,
    )
    assert (second["finetuned: published"], second["width 2/3: published"]) == ("0.4961", "0.5048")
    assert {
        line["published on"] for line in cells(tables.latency_table(tables.latency_rows(choice, tmp_path, {})))
    } == {"not published"}


def latency_lines(tmp_path, reasons=None):
    choice, _ = chosen(tmp_path, "--device", "gpu")
    rows = tables.latency_rows(choice, tmp_path, reasons or {})
    return {(line["on"], line["batch"], line["precision"]): line for line in cells(tables.latency_table(rows))}, rows


def test_latency_stands_beside_the_published_one(tmp_path):
    write_bench(tmp_path, plan.GPU, ((100.0, 50.0), (200.0, 100.0)), gpu="Tesla T4, 550.1")
    write_bench(tmp_path, plan.TENSORRT, ((20.0, 16.0), (50.0, 40.0)), gpu="Tesla T4, 550.1")
    write_bench(tmp_path, plan.CPU, ((900.0, 600.0), (2000.0, 1000.0)))
    found, rows = latency_lines(tmp_path)
    first = found["Tesla T4, 550.1", "16", "FP32"]
    assert (first["full ms"], first["width 2/3 ms"], first["faster"]) == ("100.00", "50.00", "2.00x")
    assert (first["published on"], first["published ms"]) == ("T4", "110.71 / 69.62")
    assert (first["published faster"], first["difference"]) == ("1.59x", "+0.41x")
    half = found["Tesla T4, 550.1", "40", "FP16"]
    assert (half["faster"], half["published faster"], half["difference"]) == ("1.25x", "1.44x", "-0.19x")
    cpu = found["Some CPU, 2 core(s)", "16", "FP32"]
    assert (cpu["published on"], cpu["published faster"]) == ("Xeon Gold 5117", "1.41x")
    assert found["Some CPU, 2 core(s)", "40", "FP32"]["published on"] == "not published"
    assert tables.notes(rows) == [f"{BERT}, Tesla T4, 550.1, FP16: TensorRT"]


def test_fp16_without_tensorrt_says_so_and_a_missing_gpu_does(tmp_path):
    write_bench(tmp_path, plan.CUDA_FP16, ((20.0, 16.0), (50.0, 40.0)), gpu="V100-SXM2")
    reasons = {
        plan.bench_directory(tmp_path, BERT, plan.TENSORRT): "a build without it",
        plan.bench_directory(tmp_path, BERT, plan.GPU): "no driver",
    }
    found, rows = latency_lines(tmp_path, reasons)
    assert found["V100-SXM2", "16", "FP16"]["full ms"] == "20.00"
    assert found["GPU", "16", "FP32"]["full ms"] == "not run yet"
    assert tables.notes(rows) == [
        f"{BERT}, GPU, FP32: not measured: no driver",
        f"{BERT}, V100-SXM2, FP16: ONNX Runtime's CUDA provider, not TensorRT (TensorRT: a build without it)",
    ]


def test_the_card_decides_which_published_latency_is_shown():
    assert figures.latency(BERT, True, "Tesla V100-SXM2-16GB, 550", 16, figures.FP32).full == 33.28
    assert figures.latency(BERT, True, "Tesla V100-SXM2-16GB, 550", 40, figures.FP32).full == 252.78
    assert figures.latency(BERT, True, "Tesla T4", 16, figures.FP16).compressed == 14.93


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--tasks WNLI", "WNLI: the page has SST-2, QNLI, CoLA, MRPC, STS-B, QQP, MNLI, RTE"),
        ("--tasks sst3", "sst3: the page has SST-2"),
        ("--tasks SST-2 sst2", "--tasks sst-2 sst-2: each once"),
        ("--models a/b c/b", "two are called alike"),
        ("--seeds -1", "-1: must be a whole number, 0 or more"),
        ("--finetune_epochs 0", "--finetune_epochs: 0: must be a number above 0"),
        ("--supernet_learning_rate nan", "nan: must be a number above 0"),
        ("--device cpu --amp fp16", "--amp fp16: needs --device gpu"),
        ("--data_dir {here} --tasks RTE", "no RTE/train.tsv; name GLUE's own directory"),
        ("--tusk RTE", "unrecognized arguments: --tusk RTE"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_code_2(words, said, tmp_path, capsys):
    argv = ["--output_dir", str(tmp_path / "out"), *words.format(here=tmp_path).split()]
    assert seed_tables.main(argv) == 2
    complaint = capsys.readouterr().err
    assert said in complaint
    assert complaint.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_tasks_that_are_there_are_named_where_others_are_missing(tmp_path, capsys):
    write_glue(tmp_path / "glue", 3, 3)
    (tmp_path / "glue" / "QQP" / "train.tsv").unlink()
    assert seed_tables.main(["--output_dir", str(tmp_path / "out"), "--data_dir", str(tmp_path / "glue")]) == 2
    assert (
        "no QQP/train.tsv; it has SST-2 QNLI CoLA MRPC STS-B MNLI RTE; name those with --tasks"
        in capsys.readouterr().err
    )


def test_other_settings_in_the_same_directory_are_refused_and_more_tasks_are_not(tmp_path, capsys):
    _, settings = chosen(tmp_path, "--supernet_epochs", "6")
    write_json(tmp_path / seed_tables.SETTINGS, vars(settings))
    same = ["--output_dir", str(tmp_path), "--dry_run", "--device", "cpu"]
    assert seed_tables.main([*same, "--tasks", "RTE", "--seeds", "7"]) == 0
    assert seed_tables.main([*same, "--supernet_epochs", "5"]) == 2
    assert "--supernet_epochs was 6.0, now 5.0; give the same, or name another --output_dir" in capsys.readouterr().err


def test_a_dry_run_prints_every_command_and_what_is_left(tmp_path, capsys):
    write_run(tmp_path, plan.Run(BERT, "rte", 42), {"accuracy": 0.7})
    argv = ["--output_dir", str(tmp_path), "--dry_run", "--tasks", "RTE", "--device", "cpu"]
    assert seed_tables.main(argv) == 0
    lines = capsys.readouterr().out.splitlines()
    commands = [shlex.split(line)[3] for line in lines if not line.startswith("#")]
    assert commands == ["finetune", "supernet", "export", "export", "bench"]
    assert lines[0].endswith("RTE, seed 42: finetune (done)")
    # 78 batches an epoch; at the rate of the finetuning, which took the hour that its results say.
    first, second = estimate.training(plan.Run(BERT, "rte", 42), *chosen(tmp_path, "--tasks", "RTE"))
    hours = second.operations / first.operations
    assert lines[2].endswith(f"supernet (468 steps, at most {hours:.2f} hours)")
    assert lines[-1].startswith(f"# training that is left: at most {hours:.1f} hours")
    assert lines[-1].endswith("as the trainings that are finished here")
    assert not (tmp_path / "settings.json").exists()


def test_the_estimate_counts_the_models_own_operations(tmp_path):
    choice, settings = chosen(tmp_path, "--batch_size", "10", "--finetune_epochs", "2", "--finetune_save_steps", "200")
    first, _ = estimate.training(plan.Run(BERT, "rte", 42), choice, settings)
    forward = 12 * 1.863e9  # of a BERT-base layer for 128 tokens
    assert first.steps == 2 * 249
    assert first.operations == pytest.approx((3 * 10 * 498 + 3 * 277) * forward, rel=2e-3)
    assert first.hours(4.0) == pytest.approx(first.operations / 4e12 / 3600)
    unknown, _ = chosen(tmp_path, "--models", "some/other")
    assert estimate.training(plan.Run("other", "rte", 42), unknown, settings)[0].operations is None


def test_all_eight_layouts_are_what_the_commands_read(tmp_path):
    write_glue(tmp_path, 7, 5)
    for task in figures.DIRECTORIES:
        data = load_datasets(task, plan.data_directory(str(tmp_path), task))
        assert len(data.train) == 7
        assert estimate.rows(task, str(tmp_path)) == (7, 5 * len(data.dev))
        keys = {f"{split}_{name}" if len(data.dev) > 1 else name for split in data.dev for name in data.task.metrics}
        assert {metric.key for metric in figures.METRICS[task]} == keys


@pytest.mark.parametrize("text", ["", "[]", '{"task": "rte"}', '{"task": "cola", "best": {}}'])
def test_a_result_that_is_not_whole_counts_as_none(text, tmp_path):
    run = plan.Run(BERT, "rte", 1)
    write_run(tmp_path, run, {"accuracy": 0.7}, {"accuracy": 0.6})
    at = run.directory(tmp_path)
    assert results.finetuned(at / "finetune", "rte").scores == {"accuracy": 0.7}
    assert results.supernet(at / "supernet", "rte").compressed == {"accuracy": 0.6}
    for kind, read in (("finetune", results.finetuned), ("supernet", results.supernet)):
        (at / kind / "results.json").write_text(text)
        assert read(at / kind, "rte") is None
    (tmp_path / "rows.json").write_text(text)
    assert not results.latencies(tmp_path).whole([plan.FULL])


def test_a_step_that_fails_says_why_in_one_line_and_where_all_of_it_is(tmp_path):
    step = plan.Step("a step", ("bench", "--bundles", "nowhere"), tmp_path, lambda: True)
    with pytest.raises(UserError) as stopped:
        running.run(step, tmp_path / "logs" / "a.log")
    assert "a step: --output_dir is required" in str(stopped.value)
    assert str(tmp_path / "logs" / "a.log") in str(stopped.value)
    assert "$ python -m ofa_bert bench --bundles nowhere" in (tmp_path / "logs" / "a.log").read_text()
    empty = plan.Step("another", ("--version",), tmp_path, lambda: False)
    with pytest.raises(RunError, match="another: ended without a whole result"):
        running.run(empty, tmp_path / "logs" / "b.log")


def test_a_latency_that_cannot_be_measured_is_a_note_and_a_training_that_fails_ends_the_run(tmp_path):
    choice, settings = chosen(tmp_path, "--tasks", "RTE", "--device", "gpu")
    report = seed_tables.Report(choice, settings, tmp_path)
    place = plan.bench_directory(tmp_path, BERT, plan.TENSORRT)
    needed = plan.Step("not needed", ("--nonsense",), tmp_path, lambda: False, unless=lambda: True)
    seed_tables.run_steps([plan.Step("latency", ("bench",), place, lambda: False, may_fail=True), needed], report)
    assert "FP16: not measured: TensorRT: --bundles is required" in report.write()
    with pytest.raises(UserError, match="a training: --"):
        seed_tables.run_steps([plan.Step("a training", ("finetune",), tmp_path, lambda: False)], report)
    assert "not run yet" in (tmp_path / "tables.md").read_text()


@pytest.mark.slow
def test_a_run_that_is_killed_in_a_training_goes_on_to_whole_tables(tmp_path, tiny_bert_dir):
    write_glue(tmp_path / "glue", 400, 32)
    output = tmp_path / "out"
    argv = [
        sys.executable, str(PROGRAM), "--output_dir", str(output), "--models", str(tiny_bert_dir),
        "--tasks", "MNLI", "--data_dir", str(tmp_path / "glue"), "--device", "cpu", "--batch_size", "8",
        "--max_seq_length", "16", "--finetune_epochs", "4", "--finetune_save_steps", "40", "--supernet_epochs", "0.2",
        "--repeats", "3",
    ]  # fmt: skip
    name = tiny_bert_dir.name
    finetune = output / name / "MNLI" / "seed-42" / "finetune"
    first = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 100
    while not list(finetune.glob("checkpoint-*")) and time.monotonic() < deadline:
        assert first.poll() is None
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert not (finetune / "results.json").exists()
    done = subprocess.run(argv, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    log = (output / "logs" / f"{name}-MNLI-seed-42-finetune.log").read_text()
    assert log.count("$ python -m ofa_bert finetune") == 2
    assert "resuming" in log
    scores = cells((output / "tables.md").read_text().split("\n\n")[1])
    assert [line["task"] for line in scores] == ["MNLI", "MNLI"]
    written = json.loads((output / "results.json").read_text())
    assert written["settings"]["finetune_epochs"] == 4.0
    assert written["versions"]["paddlenlp"]
    for line, row in zip(scores, written["scores"], strict=True):
        assert line["finetuned: ours"] == f"{row['finetuned'][0]:.4f}"
        assert line["width 2/3: ours"] == f"{row['compressed'][0]:.4f}"
    assert [(row["batch"], row["precision"]) for row in written["latency"]] == [(16, "fp32"), (40, "fp32")]
    assert all(row["full"] > 0 and row["compressed"] > 0 for row in written["latency"])
    assert [line.split()[3] for line in written["commands"]].count("export") == 2
    again = subprocess.run(argv, capture_output=True, text=True, timeout=100)
    assert again.returncode == 0
    assert again.stderr.count("there already") == 5
    assert again.stdout == done.stdout

"""The benchmarks at a tiny shape: both sides train the same thing, and the rows say what was run."""

import importlib
import json
import math
import sys
from contextlib import ExitStack

import pytest

from helpers.paths import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import train_step
import turns

# 12 heads: PaddleNLP fails in a reshape where heads times width is no whole number.
TINY = train_step.bert(2, hidden=48, heads=12, ffn=96, vocab=60)
CASE = train_step.Case(TINY, "ours", length=8, batch=4)


def options(tmp_path, *more):
    return train_step.parse(["--repeats", "1", "--output", str(tmp_path / "rows.json"), *more])


@pytest.mark.slow
def test_both_sides_train_the_same_and_the_rows_say_so(tmp_path, monkeypatch):
    chosen = options(tmp_path)
    with ExitStack() as stack:
        # Without dropout and at width 1, where importance has no say, the two must take the very same steps.
        specs = [train_step.spec(CASE, side, chosen, dropout=0.0) for side in ("paddlenlp", "ours")]
        sides = [stack.enter_context(turns.Side(spec)) for spec in specs]
        turns.in_turn(sides, train_step.order(TINY, (1.0,)), repeats=3, warmup=0)
        theirs, ours = (side.losses for side in sides)
        assert theirs == pytest.approx(ours, rel=1e-6)
        for side in sides:
            side.round(train_step.order(TINY))
        # Their hidden-state loss has the embeddings in it, which are almost equal; and heads are in another order.
        assert all(math.isfinite(side.losses[-1]) for side in sides)
        rows = [train_step.row("tiny", CASE, side, chosen) for side in sides]
    monkeypatch.setattr(train_step, "run_case", lambda *arguments: rows)
    assert train_step.main(["--only", "minilm-64-ours", "--output", str(tmp_path / "rows.json")]) == 0
    written = json.loads((tmp_path / "rows.json").read_text())
    assert [row["side"] for row in written] == ["paddlenlp", "ours"]
    for row in written:
        assert len(row["seconds_per_step"]) == 4
        assert row["samples_per_second"] > 0
        assert row["peak_memory_mb"] >= row["memory_before_training_mb"] > 50
        assert row["mean_padded_length"] == 8
        assert row["versions"]["paddlenlp"]


def test_a_corpus_of_tasks_has_every_sentence_once_and_no_part_of_another(tmp_path, capsys):
    import task_sentences

    (tmp_path / "SST-2").mkdir()
    phrases = ["a fine film", "fine film", "a fine", "a fine filmmaker", "dull", "not  dull at all", "a fine film"]
    rows = "".join(f"{phrase} \t1\n" for phrase in phrases)
    (tmp_path / "SST-2" / "train.tsv").write_text(f"sentence\tlabel\n{rows}")
    (tmp_path / "SST-2" / "dev.tsv").write_text("sentence\tlabel\nunseen\t0\n")
    words = ["--task_names", "SST-2", "--data_dir", str(tmp_path), "--output", str(tmp_path / "out" / "corpus.txt")]
    task_sentences.main(words)
    lines = (tmp_path / "out" / "corpus.txt").read_text().splitlines()
    assert sorted(lines) == ["a fine film", "a fine filmmaker", "not dull at all"]
    assert "3 sentences of 6 texts, 10 words" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("program", "words", "said"),
    [
        ("scaling", "--hidden 128", "--hidden: 128: must be a multiple of the 12 heads; try 120 or 132"),
        ("scaling", "--hidden 0", "--hidden: 0: must be a whole number above 0"),
        ("scaling", "--hidden 7", "try 12"),
        ("scaling", "--length 513", "--length 513: the models have positions for 512 tokens"),
        ("scaling", "--layers 6 -1", "--layers: -1: must be a whole number above 0"),
        ("scaling", "--batch 9 --processes 2", "--batch 9 must be a multiple of every one of --processes"),
        ("scaling", "--warmup -1", "--warmup: -1: must be a whole number, 0 or more"),
        ("train_step", "--repeats 0", "--repeats: 0: must be a whole number above 0"),
        ("gpu_onnx_files", "--output_dir o --shapes 12x768x12", "as 12x768x12x3072"),
        ("gpu_onnx_files", "--output_dir o --shapes 2x128x12x96", "must be a multiple of the 12 heads; try 120 or 132"),
        ("gpu_onnx_files", "--output_dir o --sub_models full", "full: must be w<width>_d<depth>"),
        ("gpu_onnx_files", "--output_dir o --sub_models w1.5", "w1.5: must be w<width>_d<depth>"),
        ("compare", "--ways a=b --repeats 0", "--repeats: 0: must be a whole number above 0"),
        ("early_exit", "--bundles b --batch_sizes 1 0", "--batch_sizes: 0: must be a whole number above 0"),
        ("instances", "--bundle b --input i --texts x", "--texts: x: must be a whole number above 0"),
    ],
)
def test_a_number_that_cannot_be_is_said_before_anything_is_measured(program, words, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        importlib.import_module(program).parse(words.split())
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("scaling", "--hidden 48 --length 512 --warmup 0 --layers 1"),
        ("gpu_onnx_files", "--output_dir o --shapes 2x48x4x96 --sub_models w1 w0.6667_d0.5"),
        ("train_step", "--repeats 1 --warmup 0"),
    ],
)
def test_what_can_be_measured_is(program, words):
    assert importlib.import_module(program).parse(words.split())


def test_a_table_of_runs_that_trained_other_sub_models_is_refused(tmp_path, capsys):
    import glue_table

    for name, widths in (("a", ["w1", "w0.5"]), ("b", ["w1", "w0.75"])):
        (tmp_path / name).mkdir()
        rows = [{"name": width} for width in widths]
        (tmp_path / name / "results.json").write_text(json.dumps({"last": rows, "teacher": {"score": 1.0}}))
    with pytest.raises(SystemExit) as stopped:
        glue_table.main([str(tmp_path / "a"), str(tmp_path / "b")])
    assert stopped.value.code == 2
    assert "b: trained other sub-models than" in capsys.readouterr().err

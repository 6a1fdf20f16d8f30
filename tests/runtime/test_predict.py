"""python -m ofa_bert predict: the input's columns and rows, in its format, with what the model says beside them."""

import contextlib
import csv
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from helpers.handmade_bundle import LABELS, make_bundle
from helpers.models import WORDS
from helpers.paths import ROOT
from ofa_bert import __main__ as program
from ofa_bert.bundle.manifest import open_bundle
from ofa_bert.data.table_files import read_table
from ofa_bert.runtime.predictor import Predictor

TEXTS = ["a good film", "dull , very dull", "they hated it", ""]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundle") / "b", columns=("sentence",))


@pytest.fixture(scope="module")
def right(bundle):
    """label, probability and all probabilities of TEXTS."""
    with Predictor(bundle, threads=1) as predictor:
        return predictor.predict(TEXTS)


def predict(bundle, source, output, *more):
    line = f"predict --bundle {bundle} --input {source} --output {output} --threads 1".split()
    return program.main([*line, *more])


def test_tsv(bundle, right, tmp_path, capsys):
    lines = ["id\tsentence", *(f'{number}\t "{text}"  ' for number, text in enumerate(TEXTS))]
    (tmp_path / "in.tsv").write_text("\ufeff" + "\r\n".join(lines) + "\r\n", encoding="utf-8")
    assert predict(bundle, tmp_path / "in.tsv", tmp_path / "new" / "out.tsv") == 0
    rows = [line.split("\t") for line in (tmp_path / "new" / "out.tsv").read_text().split("\n")]
    assert rows[0] == ["id", "sentence", "predicted_label", "probability"]
    assert rows[-1] == [""]
    with Predictor(bundle, threads=1) as predictor:
        quoted = predictor.predict([f'"{text}"' for text in TEXTS])  # a quote is text in a .tsv
    for row, number, text, item in zip(rows[1:], range(9), TEXTS, quoted):
        assert row == [str(number), f' "{text}"  ', item.label, str(round(item.probability, 6))]
    told = capsys.readouterr().out
    assert "4 rows written to" in told
    assert f"{tmp_path / 'in.tsv'}: tokens p50 " in told
    assert "of 4 rows" in told


def test_it_says_how_long_the_texts_are_and_how_many_were_cut(bundle, tmp_path, capsys):
    limit = open_bundle(bundle).manifest.max_seq_length
    texts = ["good", "film " * (limit - 2), "film " * (limit - 1), "film " * 500]
    (tmp_path / "in.tsv").write_text("\n".join(["sentence", *texts]) + "\n")
    assert predict(bundle, tmp_path / "in.tsv", tmp_path / "out.tsv", "--workers", "2") == 0
    wanted = f"tokens p50 {limit}, p95 502, max 502, special ones included; cut at {limit}: 2 (50 %) of 4 rows"
    assert wanted in capsys.readouterr().out


def test_csv_with_every_probability(bundle, right, tmp_path):
    with open(tmp_path / "in.csv", "w", newline="") as file:
        csv.writer(file).writerows([["sentence", "note"], *([text, 'a "b",\nc'] for text in TEXTS)])
    assert predict(bundle, tmp_path / "in.csv", tmp_path / "out.csv", "--all_probabilities") == 0
    with open(tmp_path / "out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "sentence",
        "note",
        "predicted_label",
        "probability",
        *(f"probability_{n}" for n in LABELS),
    ]
    assert [row["note"] for row in rows] == ['a "b",\nc'] * 4
    for row, item in zip(rows, right):
        assert row["predicted_label"] == item.label
        found = [float(row[f"probability_{name}"]) for name in LABELS]
        assert found == pytest.approx(item.probabilities, abs=1e-6)


def test_jsonl_keeps_keys_that_only_some_lines_have(bundle, right, tmp_path):
    records = [{"sentence": text} for text in TEXTS]
    records[2].update(more=[1, {"ü": None}])
    text = "\n\n".join(json.dumps(record) for record in records)
    (tmp_path / "in.jsonl").write_text(text)
    assert predict(bundle, tmp_path / "in.jsonl", tmp_path / "out.jsonl") == 0
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    for record, new, item in zip(records, found, right):
        more = {"predicted_label": item.label, "probability": round(item.probability, 6)}
        assert new == {**record, **more}
        assert list(new) == [*record, *more]


def test_columns_by_number_have_no_header_and_get_none(bundle, right, tmp_path):
    (tmp_path / "in.tsv").write_text("".join(f"x\t{text}\n" for text in TEXTS))
    assert predict(bundle, tmp_path / "in.tsv", tmp_path / "out.tsv", "--text_columns", "1") == 0
    rows = [line.split("\t") for line in (tmp_path / "out.tsv").read_text().splitlines()]
    assert [row[2] for row in rows] == [item.label for item in right]
    assert rows[0][:2] == ["x", TEXTS[0]]


def test_pairs_and_a_regression(tmp_path, capsys):
    bundle = make_bundle(tmp_path / "b", columns=("a", "b"), labels=[])
    (tmp_path / "in.tsv").write_text("a\tb\ngood\tbad\na film\tthe plot\n")
    assert predict(bundle, tmp_path / "in.tsv", tmp_path / "out.tsv") == 0
    with Predictor(bundle, threads=1) as predictor:
        values = [item.value for item in predictor.predict([("good", "bad"), ("a film", "the plot")])]
    lines = (tmp_path / "out.tsv").read_text().splitlines()
    assert lines[0] == "a\tb\tpredicted_value"
    assert [float(line.split("\t")[2]) for line in lines[1:]] == pytest.approx(values, abs=1e-6)


def test_workers_write_the_same_file(bundle, tmp_path):
    words = [" ".join(WORDS[start : start + 1 + start % 9]) for start in range(20)] * 20
    (tmp_path / "in.tsv").write_text("sentence\n" + "\n".join(words) + "\n")
    assert predict(bundle, tmp_path / "in.tsv", tmp_path / "one.tsv") == 0
    assert predict(bundle, tmp_path / "in.tsv", tmp_path / "two.tsv", "--workers", "2", "--batch_size", "8") == 0
    one, two = ((tmp_path / name).read_text() for name in ("one.tsv", "two.tsv"))
    assert one == two
    assert one.count("\n") == 401


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--output {there}/out.csv", "out.csv: must end in .tsv, as --input does"),
        ("--input {there}/in.txt", "in.txt: must end in .tsv, .csv, .jsonl"),
        ("--output {there}/in.tsv", "is the input file; name another one"),
        ("--workers -1", "--workers -1: must be at least 0"),
        ("--threads 0", "--threads 0: must be above 0"),
        ("--precision int3", "--precision int3: must be one of fp32, fp16, bf16, int8, int8-static"),
        ("--text_columns a b c", "--text_columns a b c: one or two columns"),
        ("--text_columns title", "in.tsv: no column 'title'; the file has 'sentence'"),
        ("--text_columns sentence sentence", "the model was trained on single texts"),
        ("--input {there}/none.tsv", "none.tsv: cannot read the file: No such file"),
        ("--input {there}/taken.tsv", "taken.tsv: has a column 'probability' already"),
        ("--input {there}/in.jsonl --output {there}/o.jsonl", "in.jsonl:2: column 'sentence' holds no text: 7"),
        ("--output {there}/file/out.tsv", "cannot be written to"),
        ("--bundle {there}", "no bundle, it has no manifest.json"),
        ("--backend paddle_inference", "holds no paddle model in fp32"),
        ("--device gpu --provider cpu", "contradicts"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(bundle, flags, message, tmp_path, capsys):
    (tmp_path / "in.tsv").write_text("sentence\ngood\n")
    (tmp_path / "taken.tsv").write_text("sentence\tprobability\ngood\t1\n")
    (tmp_path / "in.jsonl").write_text('{"sentence": "good"}\n{"sentence": 7}\n')
    (tmp_path / "in.txt").write_text("good")
    (tmp_path / "file").write_text("")
    before = sorted(tmp_path.iterdir())
    given = flags.format(there=tmp_path).split()
    assert predict(bundle, tmp_path / "in.tsv", tmp_path / "out.tsv", *given) in (1, 2)
    error = capsys.readouterr().err
    assert message in error
    assert error.count("error:") == 1
    assert "Traceback" not in error
    assert sorted(tmp_path.iterdir()) == before


def test_an_old_output_survives_a_failure(tmp_path, capsys):
    bundle = make_bundle(tmp_path / "b", columns=("sentence",), scale=1e38)
    (tmp_path / "in.tsv").write_text("sentence\n" + "a good film , not bad\n" * 3)
    (tmp_path / "out.tsv").write_text("old")
    assert predict(bundle, tmp_path / "in.tsv", tmp_path / "out.tsv") == 1
    assert "not finite" in capsys.readouterr().err
    assert (tmp_path / "out.tsv").read_text() == "old"


def test_trtexec(bundle, capsys):
    words = ["trtexec", "--bundle", str(bundle), "--precision", "fp32", "--batch", "1", "8", "40"]
    assert program.main([*words, "--tensorrt", "10"]) == 0
    line = capsys.readouterr().out.strip()
    assert f"--onnx={bundle}/model.onnx" in line
    assert "--stronglyTyped" in line.split()
    assert "--maxShapes=input_ids:40x16,token_type_ids:40x16" in line
    for flags, message in (
        ([], "holds no onnx model in fp16"),
        (["--precision", "int8"], "--precision int8: TensorRT has no operators"),
        (["--precision", "bf16"], "--precision bf16: must be one of fp32, fp16, int8-static"),
        (["--length", "1", "8", "64"], "--length 64: the bundle was exported for up to 16 tokens"),
        (["--batch", "1"], "--batch 1: give least, best and most"),
        (["--precision", "int8-static"], "holds no onnx model in int8-static"),
    ):
        assert program.main(["trtexec", "--bundle", str(bundle), *flags]) == 2
        assert message in capsys.readouterr().err


def command(bundle, source, output, *more):
    line = [sys.executable, "-m", "ofa_bert", "predict", "--bundle", bundle, "--input", source, "--output", output]
    return list(map(str, [*line, *more]))


def test_the_command_does_not_load_paddle(bundle, tmp_path):
    (tmp_path / "in.tsv").write_text("sentence\ngood film\n")
    for package in ("paddle", "paddlenlp", "paddleslim"):
        (tmp_path / "fake" / package).mkdir(parents=True)
        (tmp_path / "fake" / package / "__init__.py").write_text("raise SystemExit('imported')")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path / 'fake'}:{ROOT}"}
    line = command(bundle, tmp_path / "in.tsv", tmp_path / "out.tsv", "--workers", "1", "--threads", "1")
    done = subprocess.run(line, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "1 rows written" in done.stdout
    assert "imported" not in done.stderr


def test_ctrl_c_ends_everything_and_writes_nothing(bundle, tmp_path):
    (tmp_path / "in.tsv").write_text("sentence\n" + "a good film , not bad\n" * 100_000)
    line = command(bundle, tmp_path / "in.tsv", tmp_path / "out.tsv", *"--workers 2 --threads 1 --batch_size 1".split())
    screen, terminal = pty.openpty()  # which a bar is drawn on
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    process = subprocess.Popen(
        line,
        stderr=terminal,
        cwd=ROOT,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    os.close(terminal)
    seen = b""
    while b"/100000" not in seen.replace(b" 0/", b""):  # the bar moves: the workers work
        seen += os.read(screen, 4096)
    children = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    os.killpg(process.pid, signal.SIGINT)
    rest = b""
    with contextlib.suppress(OSError):  # what a terminal says when nobody writes to it any more
        while True:
            rest += os.read(screen, 4096)
    os.close(screen)
    assert process.wait(20) == 130
    assert b"error: interrupted\r\n" in rest
    assert b"Traceback" not in seen + rest
    assert len(children) == 2
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in children):
        assert time.monotonic() < deadline, "workers were left behind"
        time.sleep(0.05)
    assert [path.name for path in tmp_path.iterdir()] == ["in.tsv"]


# The output is the table that was read


@pytest.mark.parametrize(
    ("name", "content", "texts"),
    [
        ("x.tsv", "sentence\ngood\n\n\nbad\n", ["good", "", "", "bad"]),
        ("x.csv", 'sentence\ngood\n""\n\nbad\n', ["good", "", "", "bad"]),
        ("x.tsv", "id\tsentence\r1\tgood\r2\tbad\r", ["good", "bad"]),
        ("x.tsv", "sentence\tid\ngood\rfilm\t1\n", ["good\rfilm"]),
        ("x.csv", 'sentence,id\n"good\rfilm",1\n"a\r\nb","2,\r"\n', ["good\rfilm", "a\r\nb"]),
        ("x.csv", "sentence;id\ngood, very;1\n", ["good, very"]),
        ("x.jsonl", '{"sentence": "good"}\n\n{"sentence": "bad", "n": 1E2, "big": 1234567890.12345678901}', None),
        ("x.jsonl", r'{"sentence": "good \ud83d", "author": "kim \ud83d", "at": {"\udc00": ["\ud83d"]}}', None),
        ("x.csv", "sentence,long\ngood," + 200_000 * "x" + "\n", ["good"]),
    ],
)
def test_every_cell_comes_back(bundle, tmp_path, name, content, texts):
    source, output = tmp_path / name, tmp_path / f"out{Path(name).suffix}"
    source.write_text(content, newline="")
    assert predict(bundle, source, output) == 0
    before, after = read_table(source), read_table(output)
    assert after.header[: len(before.header)] == before.header
    assert [values[: len(before.header)] for _, values in after.rows] == [values for _, values in before.rows]
    if texts:
        place = before.column("sentence")
        assert [values[place] for _, values in after.rows] == texts
    if name == "x.jsonl":
        for line, written in zip(content.split("\n\n"), output.read_text().splitlines()):
            assert written.startswith(line[:-1])
    with Predictor(bundle, threads=1) as predictor:
        right = predictor.predict([values[before.column("sentence")].strip() for _, values in before.rows])
    assert [values[after.column("predicted_label")] for _, values in after.rows] == [item.label for item in right]


NAMES = {
    "tab": "a\tb",
    "line feed": "a\nb",
    "carriage return": "a\rb",
    "half of a pair": "a\ud83d",
    "quotes": 'a,"b";',
    "mark": "\ufeffa",
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".jsonl"])
def test_labels_of_any_characters(tmp_path, name, suffix, capsys, monkeypatch):
    labels = [NAMES[name], f"{NAMES[name]} too", "plain"]
    bundle = make_bundle(tmp_path / "b", columns=("sentence",), labels=labels)
    source, output = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    source.write_text({".jsonl": '{"sentence": "good"}\n'}.get(suffix, "sentence\ngood\nbad\n"))
    if suffix == ".tsv" and any(mark in NAMES[name] for mark in "\t\n\r"):
        monkeypatch.setattr(Predictor, "predict", None)  # refused before the model runs
        assert predict(bundle, source, output, "--all_probabilities") == 2
        assert "which .tsv cannot hold; use .csv or .jsonl" in capsys.readouterr().err
        assert not output.exists()
        return
    assert predict(bundle, source, output, "--all_probabilities") == 0
    written = read_table(output)
    whole = [label.replace("\ud83d", "\ufffd") for label in labels]
    assert written.header == ("sentence", "predicted_label", "probability", *(f"probability_{n}" for n in whole))
    assert {values[1] for _, values in written.rows} <= set(whole)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "in.jsonl",
            '{"sentence": "a"}\n{"sentence": "b", "predicted_label": "mine"}\n',
            "in.jsonl:2: has a column 'predicted_label' already",
        ),
        ("in.jsonl", '{"sentence": "a"}\n{"sentence": "b"\n', "in.jsonl:2: not JSON"),
        ("in.csv", "sentence,probability\na,1\n", "in.csv: has a column 'probability' already"),
        ("in.tsv", "".join(f"{c}\0" for c in "sentence\ngood\n"), "in.tsv: is UTF-16"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_model_runs(
    bundle, tmp_path, name, content, message, capsys, monkeypatch
):
    monkeypatch.setattr(Predictor, "predict", None)
    (tmp_path / name).write_text(content)
    assert predict(bundle, tmp_path / name, tmp_path / f"out{Path(name).suffix}") == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["x" * 250 + ".tsv", "/".join(["y" * 200] * 30) + "/o.tsv", "p.tsv"])
def test_an_output_that_cannot_be_a_file_is_refused_before_the_model_runs(bundle, tmp_path, name, capsys, monkeypatch):
    monkeypatch.setattr(Predictor, "predict", None)
    os.mkfifo(tmp_path / "p.tsv")
    (tmp_path / "in.tsv").write_text("sentence\ngood\n")
    assert predict(bundle, tmp_path / "in.tsv", tmp_path / name) in (1, 2)
    assert capsys.readouterr().err.count("error:") == 1


def test_the_input_may_change_while_the_model_runs(bundle, tmp_path, monkeypatch):
    (tmp_path / "in.jsonl").write_text('{"sentence": "good"}\n{"sentence": "bad"}\n')
    computed = Predictor.predict

    def meanwhile(self, *args, **kwargs):
        (tmp_path / "in.jsonl").write_text('{"sentence": "other"}\n')
        return computed(self, *args, **kwargs)

    monkeypatch.setattr(Predictor, "predict", meanwhile)
    assert predict(bundle, tmp_path / "in.jsonl", tmp_path / "out.jsonl") == 0
    found = [json.loads(line)["sentence"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert found == ["good", "bad"]


def test_half_of_a_pair_is_one_text_for_the_predictor_and_for_files(bundle):
    with Predictor(bundle, threads=1) as predictor:
        half, whole = predictor.predict(["good \ud83d film", "good \ufffd film"])
    assert half == whole

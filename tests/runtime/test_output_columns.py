"""predict with its columns chosen one by one, and with files without a header: EasyNLP's habits."""

import csv
import json

import pytest

from helpers.handmade_bundle import LABELS, make_bundle
from ofa_bert import __main__ as program
from ofa_bert.cli.parser import parse
from ofa_bert.data.table_files import read_table
from ofa_bert.errors import UserError
from ofa_bert.runtime.jobs import PredictJob
from ofa_bert.runtime.predictor import Predictor

TEXTS = ["a good film", "dull , very dull", "they hated it"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundle") / "b", columns=("sentence",))


@pytest.fixture(scope="module")
def right(bundle):
    with Predictor(bundle, threads=1) as predictor:
        return predictor.predict(TEXTS), predictor.logits(TEXTS)


def predict(bundle, source, output, *more):
    return program.main(
        ["predict", "--bundle", str(bundle), "--input", str(source), "--output", str(output), "--threads", "1", *more]
    )


SCHEMA = ["--input_schema", "label:str:1,id:str:1,sent1:str:1", "--first_sequence", "sent1"]
EVERY = ["--output_columns", "predictions", "probabilities", "logits"]


def without_header(path, separator="\t"):
    quoted = [f'"{text}"' if separator in text else text for text in TEXTS]
    path.write_text("".join(separator.join((str(n % 2), f"id{n}", text)) + "\n" for n, text in enumerate(quoted)))
    return path


def test_columns_are_written_as_asked_for_and_of_the_input_what_is_appended(bundle, right, tmp_path):
    source = without_header(tmp_path / "in.tsv")
    assert predict(bundle, source, tmp_path / "out.tsv", *SCHEMA, *EVERY, "--append_columns", "label") == 0
    table = read_table(tmp_path / "out.tsv", has_header=False)
    assert len(table.rows) == 3
    for number, ((_, cells), answer, logits) in enumerate(zip(table.rows, *right)):
        label, prediction, probabilities, raw = cells
        assert label == str(number % 2)
        assert prediction == answer.label
        assert list(map(float, probabilities.split("|"))) == pytest.approx(answer.probabilities, abs=1e-6)
        assert list(map(float, raw.split("|"))) == pytest.approx(logits.tolist(), abs=1e-5)


def test_csv_and_the_usual_columns_beside_some_of_the_input(bundle, right, tmp_path):
    source = without_header(tmp_path / "in.csv", ",")
    more = [*SCHEMA, "--append_columns", "id", "sent1"]
    assert predict(bundle, source, tmp_path / "out.csv", *more) == 0
    with open(tmp_path / "out.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert [row[:2] for row in rows] == [[f"id{n}", text] for n, text in enumerate(TEXTS)]
    assert [row[2] for row in rows] == [answer.label for answer in right[0]]


def test_a_table_with_a_header_and_jsonl(bundle, right, tmp_path):
    (tmp_path / "in.tsv").write_text("sentence\tid\n" + "".join(f"{text}\t{n}\n" for n, text in enumerate(TEXTS)))
    assert predict(bundle, tmp_path / "in.tsv", tmp_path / "out.tsv", "--output_columns", "predictions") == 0
    assert read_table(tmp_path / "out.tsv").header == ("predictions",)
    lines = [{"id": n, "sentence": text, "more": [n]} for n, text in enumerate(TEXTS)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert predict(bundle, tmp_path / "in.jsonl", tmp_path / "out.jsonl", *EVERY, "--append_columns", "more") == 0
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [list(line) for line in found] == [["more", "predictions", "probabilities", "logits"]] * 3
    assert [line["more"] for line in found] == [[0], [1], [2]]
    assert [line["probabilities"] for line in found] == [
        pytest.approx(answer.probabilities, abs=1e-6) for answer in right[0]
    ]


def test_a_number_has_logits_and_no_probabilities(tmp_path, capsys):
    numbers = make_bundle(tmp_path / "numbers", labels=[])
    (tmp_path / "in.tsv").write_text("text\n" + "\n".join(TEXTS) + "\n")
    assert predict(numbers, tmp_path / "in.tsv", tmp_path / "out.tsv", "--output_columns", "predictions", "logits") == 0
    table = read_table(tmp_path / "out.tsv")
    assert all(float(a) == pytest.approx(float(b)) for _, (a, b) in table.rows)
    assert predict(numbers, tmp_path / "in.tsv", tmp_path / "out2.tsv", "--output_columns", "probabilities") == 2
    assert "predicts a number" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--output_columns", "label"], "--output_columns"),
        (["--output_columns", "predictions", "predictions"], "--output_columns predictions: given twice"),
        (["--output_columns", "exit_layer"], "exit_layer: needs --exit_threshold, --geep_threshold or --exit_drop"),
        (["--output_columns", "predictions", "--all_probabilities"], "--all_probabilities: with --output_columns"),
        ([*SCHEMA, "--text_columns", "2"], "leave --text_columns out"),
        ([*SCHEMA, "--append_columns", "who"], "'who': --input_schema has label, id, sent1"),
        (["--text_columns", "2", "--append_columns", "7"], "no column '7'"),
        (["--first_sequence", "sent1"], "names a column of --input_schema"),
        (["--geep_threshold", "1.5"], "--geep_threshold 1.5"),
        (["--geep_threshold", "0.5", "--exit_threshold", "0.1"], "exclude each other"),
        (["--exit_drop", "0.01", "--exit_threshold", "policy"], "exclude each other"),
        (["--exit_drop", "2"], "--exit_drop 2"),
    ],
)
def test_mistakes_are_one_line(bundle, tmp_path, capsys, more, said):
    source = without_header(tmp_path / "in.tsv")
    assert predict(bundle, source, tmp_path / "out.tsv", *more) == 2
    error = capsys.readouterr().err.strip()
    assert said in error, error
    assert "Traceback" not in error
    assert not (tmp_path / "out.tsv").exists()


def test_the_width_of_the_file_is_that_of_the_schema(bundle, tmp_path, capsys):
    source = without_header(tmp_path / "in.tsv")
    more = ["--input_schema", "label:str:1,sent1:str:1", "--first_sequence", "sent1"]
    assert predict(bundle, source, tmp_path / "out.tsv", *more) == 2
    assert "has 3 columns, --input_schema names 2" in capsys.readouterr().err


def test_geep_threshold_is_a_threshold_of_the_normalised_entropy():
    words = ["--bundle", "b", "--input", "a.tsv", "--output", "o.tsv"]
    job = parse(PredictJob, [*words, "--geep_threshold", "0.3"], "")
    assert (job.threshold, job.criterion, job.early) == (0.3, "normalised", True)
    job = parse(PredictJob, [*words, "--exit_threshold", "policy"], "")
    assert (job.threshold, job.criterion, job.early) == ("policy", None, True)
    job = parse(PredictJob, words, "")
    assert (job.threshold, job.criterion, job.early) == (None, None, False)


def test_without_exits_a_threshold_is_told_to_be_left_out(bundle, tmp_path, capsys):
    source = without_header(tmp_path / "in.tsv")
    for more in (["--geep_threshold", "0.3"], ["--exit_drop", "0.01"]):
        assert predict(bundle, source, tmp_path / "out.tsv", *SCHEMA, *more) == 2
        assert "has no early exits" in capsys.readouterr().err


@pytest.mark.parametrize("drop", [True, "0.1", 0, 1.5, float("nan")])
def test_a_drop_that_is_no_share_is_one_line(bundle, drop):
    with pytest.raises(UserError, match="exit_drop .*must be a number above 0 and below 1"):
        Predictor(bundle, exit_drop=drop)
    with pytest.raises(UserError, match="leave exit_threshold"):
        Predictor(bundle, exit_drop=0.1, exit_threshold="policy")


def test_labels_are_those_of_the_bundle(right):
    assert {answer.label for answer in right[0]} <= set(LABELS)

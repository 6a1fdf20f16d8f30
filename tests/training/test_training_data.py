"""What trainings say of their data, and one file of data from the finetuning to the search."""

import json

import pytest

import run_glue
import run_glue_ofa
from helpers.data_files import write_sentiment_tsv
from ofa_bert.data.source import DataSource
from ofa_bert.data.table_files import read_table
from ofa_bert.models.record import ModelRecord
from ofa_bert.search.job import SupernetSource
from ofa_bert.search.setup import load_supernet

RUN = "--device cpu --batch_size 16 --max_steps 2 --save_steps 2 --max_seq_length 8 --dev_share 0.25".split()


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "own.tsv"
    write_sentiment_tsv(path, 80, seed=5)
    return path


def record_of(best):
    file = best / "ofa_config.json"
    return ModelRecord.from_json(json.loads(file.read_text()), str(file))


def test_one_file_gives_every_command_the_same_development_data(own, tiny_bert_dir, tmp_path, capsys):
    options = [*RUN, "--train_file", str(own), "--text_columns", "sentence"]
    teacher, supernet = tmp_path / "teacher", tmp_path / "supernet"
    words = ["--model_name_or_path", str(tiny_bert_dir), "--output_dir", str(teacher), *options]
    assert run_glue.main(words) == 0
    said = capsys.readouterr().err
    more = ["--seed", "7", "--width_mult_list", "1.0", "0.5", "--held_out_share", "0.2"]
    assert (
        run_glue_ofa.main(["--model_name_or_path", str(teacher), "--output_dir", str(supernet), *options, *more]) == 0
    )

    record = record_of(supernet / "best")
    datasets = DataSource.recorded(record.settings("supernet")).load(known=record.task)
    found = load_supernet(SupernetSource(model=str(supernet)), tmp_path / "cache")
    assert found.datasets.dev == datasets.dev
    assert found.datasets.train == datasets.train
    assert (len(datasets.train), len(datasets.dev["dev"])) == (60, 20)
    assert record.held_out.count == len(found.held_out) == 12

    counts = [sum(example.label for example in part) for part in (datasets.train, datasets.dev["dev"])]
    assert f"custom: train 60 rows: 0 {60 - counts[0]}, 1 {counts[0]}\n" in said
    assert f"custom: dev 20 rows: 0 {20 - counts[1]}, 1 {counts[1]}\n" in said
    lengths = sorted(len(row[1][0].split()) + 2 for row in read_table(own).rows)
    assert f"max {lengths[-1]}, special ones included; cut at 8: " in said
    (warning,) = [line for line in said.splitlines() if "of the training rows are cut" in line]
    assert f"are cut at --max_seq_length 8; --max_seq_length {lengths[-1]} would cut none" in warning

"""A supernet that begins as one finetuned model and is taught by another."""

import json
import shutil

import numpy as np
import pytest

import run_glue
import run_glue_ofa
from helpers.directories import DISTIL_OPTIONS
from ofa_bert.files.weights import read_weights
from ofa_bert.models.directories import load_model
from ofa_bert.training.supernet.teacher import teacher_of


@pytest.fixture(scope="module")
def beginner(models, glue_dir, tmp_path_factory):
    """A model of the teacher's shape that has learned next to nothing."""
    output = tmp_path_factory.mktemp("beginner") / "beginner"
    run = [*DISTIL_OPTIONS, "--data_dir", str(glue_dir), "--model_name_or_path", str(models / "teacher")]
    run += "--max_steps 3 --save_steps 3 --learning_rate 2e-2 --warmup_steps 0 --batch_size 4".split()
    assert run_glue.main([*run, "--output_dir", str(output)]) == 0
    return output


def trained(start, output, glue_dir, *more):
    run = "--task_name SST-2 --device cpu --max_seq_length 32 --batch_size 16 --width_mult_list 1.0 0.5".split()
    run += ["--data_dir", str(glue_dir), "--model_name_or_path", str(start), "--output_dir", str(output), *more]
    return run_glue_ofa.main(run)


def test_another_model_teaches(models, beginner, glue_dir, tmp_path):
    still = "--max_steps 1 --save_steps 1 --learning_rate 1e-12 --weight_decay 0".split()
    assert trained(beginner, tmp_path / "taught", glue_dir, "--teacher", str(models / "teacher"), *still) == 0
    assert trained(models / "teacher", tmp_path / "own", glue_dir, *still) == 0
    taught, own = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("taught", "own"))
    assert taught["teacher"] == own["teacher"]  # the differences are from the named model
    table = "bert.embeddings.word_embeddings.weight"
    weights = read_weights(tmp_path / "taught" / "last" / "model.safetensors")
    assert np.allclose(weights[table], read_weights(beginner / "best" / "model.safetensors")[table], atol=1e-6)
    model, _, record = load_model(str(tmp_path / "taught" / "best"), "bert")
    _, where = teacher_of(None, str(tmp_path / "taught" / "best"), record, model, record.task)
    assert where == str(models / "teacher" / "best")  # who polishes a sub-model of it asks the same one


def test_what_cannot_teach(models, beginner, glue_dir, tmp_path, capsys):
    assert trained(beginner, tmp_path / "run", glue_dir, "--teacher", str(models / "nothing")) == 2
    assert "nothing" in capsys.readouterr().err
    narrow = tmp_path / "narrow"
    run = [*DISTIL_OPTIONS, "--data_dir", str(glue_dir), "--model_name_or_path", str(models / "narrow")]
    assert run_glue.main([*run, "--max_steps", "1", "--save_steps", "1", "--output_dir", str(narrow)]) == 0
    assert trained(beginner, tmp_path / "run", glue_dir, "--teacher", str(narrow)) == 2
    assert "another shape than the supernet" in capsys.readouterr().err


def test_a_teacher_that_reads_other_ids(models, beginner, glue_dir, tmp_path, capsys):
    """Of the same size, so that nothing but its answers would show it."""
    other = shutil.copytree(models / "teacher" / "best", tmp_path / "other")
    words = (other / "vocab.txt").read_text(encoding="utf-8").split("\n")
    words[-3:-1] = words[-3:-1][::-1]
    (other / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    (other / "tokenizer.json").unlink(missing_ok=True)
    assert trained(beginner, tmp_path / "run", glue_dir, "--teacher", str(other)) == 2
    assert "has another vocabulary than the teacher" in capsys.readouterr().err

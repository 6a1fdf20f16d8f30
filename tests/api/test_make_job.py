"""A job from options by name: what is given is what it has, and what is wrong is told at once."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ofa_bert import (
    DistilJob,
    EvaluateJob,
    ExportJob,
    FinetuneJob,
    LoopSettings,
    SearchJob,
    SupernetJob,
    UserError,
    make_job,
)
from ofa_bert.cli.parser import parse

NEEDED = {"task_name": "demo", "model_name_or_path": "m", "output_dir": "o"}


def test_it_is_the_job_that_the_command_line_makes():
    words = "--task_name demo --model_name_or_path m --output_dir o --width_mult_list 1.0 0.5 --batch_size 4 --resume"
    own = make_job(SupernetJob, **NEEDED, width_mult_list=[1, 0.5], batch_size=4, resume=True)
    assert own == parse(SupernetJob, words.split(), "")
    assert own.width_mult_list == (1.0, 0.5)
    assert {type(value) for value in own.width_mult_list} == {float}


def test_defaults_are_those_of_the_whole_job():
    """FinetuneJob's loop saves more often than LoopSettings says by itself."""
    made = make_job(FinetuneJob, **NEEDED, device="cpu")
    assert made.loop == LoopSettings(save_steps=100, device="cpu")
    assert make_job(LoopSettings, device="cpu") == replace(made.loop, save_steps=500)


def test_paths_and_numbers_of_numpy_are_taken():
    made = make_job(
        FinetuneJob, task_name="demo", model_name_or_path=Path("m"), output_dir=Path("o"), batch_size=np.int64(4)
    )
    assert (made.model.model_name_or_path, made.output_dir) == ("m", "o")
    assert type(made.loop.batch_size) is int
    assert make_job(EvaluateJob, bundle=Path("b"), file="f", labels=["bad", "good"]).data.labels == ("bad", "good")
    assert make_job(EvaluateJob, bundle="b", file="f", labels="good").data.labels == ("good",)


def test_the_name_of_a_sub_model_stands_for_its_width_and_depth():
    options = {"model_name_or_path": "m", "sub_model_output_dir": "o"}
    choice = make_job(ExportJob, **options, width_mult="w0.6667_d0.5").choice
    assert (choice.width_mult, choice.depth_mult) == (0.6667, 0.5)
    with pytest.raises(UserError, match="another option says otherwise; leave one of them out"):
        make_job(ExportJob, **options, width_mult="w0.6667_d0.5", depth_mult=1.0)


def test_words_of_this_machine_are_resolved():
    assert make_job(FinetuneJob, **NEEDED, device="cuda").loop.device == "gpu"
    assert make_job(FinetuneJob, **NEEDED).loop.device in ("cpu", "gpu")


def test_none_is_taken_where_it_is_the_default():
    assert make_job(ExportJob, model_name_or_path="m", sub_model_output_dir="o", n_gpu=None).n_gpu is None


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        (FinetuneJob, {"bach_size": 3}, "`bach_size`: FinetuneJob has no such option; did you mean `batch_size`?"),
        (FinetuneJob, {"loop": LoopSettings()}, "`loop`: is a group of FinetuneJob; give its options by their names"),
        (FinetuneJob, {"zzz": 1}, "`zzz`: FinetuneJob has no such option"),
        (FinetuneJob, {"batch_size": 0}, "`batch_size` 0: must be above 0"),
        (FinetuneJob, {"batch_size": 2.5}, "`batch_size` 2.5: must be a whole number"),
        (FinetuneJob, {"batch_size": True}, "`batch_size` True: must be a whole number"),
        (FinetuneJob, {"batch_size": None}, "`batch_size` None: must be a whole number"),
        (FinetuneJob, {"learning_rate": "1e-3"}, "`learning_rate` '1e-3': must be a number"),
        (FinetuneJob, {"learning_rate": float("nan")}, "`learning_rate` nan: must be a number"),
        (FinetuneJob, {"resume": 1}, "`resume` 1: must be True or False"),
        (FinetuneJob, {"output_dir": b"o"}, "`output_dir` b'o': must be a text"),
        (FinetuneJob, {"output_dir": ["o"]}, "`output_dir` ['o']: must be a text, one alone"),
        (FinetuneJob, {"device": "tpu"}, "`device` tpu: must be one of auto, gpu, cuda, cpu, xpu"),
        (SupernetJob, {"width_mult_list": [1.0, 2.0]}, "`width_mult_list` 2.0: must be above 0 and at most 1"),
        (SupernetJob, {"width_mult_list": [1.0, "x"]}, "`width_mult_list` 'x': must be a number"),
    ],
)
def test_what_is_wrong_with_an_option_is_told(kind, options, words):
    with pytest.raises(UserError) as told:
        make_job(kind, **{**NEEDED, **options})
    assert words in str(told.value)
    assert "\n" not in str(told.value)


def test_everything_wrong_is_told_at_once():
    with pytest.raises(UserError) as told:
        make_job(DistilJob, task_name="demo", students="2,4,32,64", batch_size="8")
    said = str(told.value)
    for words in ("did you mean `student`?", "`batch_size` '8'", "`teacher` is required", "`output_dir` is required"):
        assert words in said


def test_options_that_do_not_go_together_are_told():
    with pytest.raises(UserError, match="say what is wanted: a budget"):
        make_job(SearchJob, model="m", output_dir="o")


@pytest.mark.parametrize("kind", [dict, "FinetuneJob", LoopSettings(), None])
def test_only_a_kind_of_job_can_be_made(kind):
    with pytest.raises(UserError, match="is no kind of job; give one such as FinetuneJob"):
        make_job(kind)

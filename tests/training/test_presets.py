"""--recipe: what a preset sets, what overrides it, and what is said and recorded of it. Needs no Paddle."""

import json
import logging

import pytest

from ofa_bert import UserError, make_job
from ofa_bert.cli.parser import parse
from ofa_bert.options import arguments, options_of, problems_of, to_json, values_of
from ofa_bert.training.exits.jobs import SUPERNET_OPTIONS
from ofa_bert.training.presets import DISTIL, SUPERNET, recipe_record
from ofa_bert.training.students.jobs import DistilJob
from ofa_bert.training.supernet.job import SupernetJob

KINDS = {
    SupernetJob: (SUPERNET, "--model_name_or_path M --task_name demo --output_dir O --device cpu"),
    DistilJob: (DISTIL, "--teacher T --student S --task_name demo --output_dir O --device cpu"),
}
EACH = [(kind, name) for kind, (recipes, _) in KINDS.items() for name in recipes]


def job_of(kind, more=""):
    return parse(kind, f"{KINDS[kind][1]} {more}".split(), "")


@pytest.mark.parametrize(("kind", "name"), EACH)
def test_a_preset_sets_its_options_and_no_other(kind, name):
    recipes = KINDS[kind][0]
    plain, preset = values_of(job_of(kind)), values_of(job_of(kind, f"--recipe {name}"))
    assert set(recipes[name]) <= set(plain)
    changed = {option: value for option, value in preset.items() if value != plain[option]}
    assert changed.pop("recipe") == name
    assert changed.items() <= recipes[name].items()
    assert all(preset[option] == value for option, value in recipes[name].items())
    assert problems_of(job_of(kind, f"--recipe {name}")) == []


@pytest.mark.parametrize(("kind", "name"), EACH)
def test_a_preset_gives_nothing_that_a_flag_cannot_take_back(kind, name):
    kinds = {item.name: item.kind for item in options_of(kind)}
    assert not [option for option in KINDS[kind][0][name] if kinds[option] is bool]
    assert None not in KINDS[kind][0][name].values()


def test_without_a_recipe_the_defaults_stay():
    job = job_of(SupernetJob)
    assert job.recipe is None
    assert (job.loop.num_train_epochs, job.layer_choice, job.stages, job.sandwich) == (3.0, "recorded", "joint", -1)
    assert (job.augmentation.augment, job.depth_mult_list, job.supernet_dropout) == (0.0, (1.0,), None)
    assert job_of(DistilJob).augmentation.augment == 0.0


def test_a_flag_that_is_given_counts_instead_wherever_it_stands():
    for line in (
        "--recipe strong --num_train_epochs 3 --augment 0",
        "--augment 0 --num_train_epochs 3 --recipe strong",
    ):
        job = job_of(SupernetJob, line)
        assert (job.loop.num_train_epochs, job.augmentation.augment, job.layer_choice) == (3.0, 0.0, "trial")
    job = make_job(
        SupernetJob, recipe="strong", lambda_rep=0.5, task_name="demo", model_name_or_path="M", output_dir="O"
    )
    assert (job.lambda_rep, job.sandwich, job.loop.num_train_epochs) == (0.5, 1, 20.0)


def test_what_a_preset_gave_beside_another_flag_is_no_mistake_of_the_user():
    job = job_of(SupernetJob, "--recipe strong --stages joint")  # the preset's width_stage_share has no use now
    assert job.stages == "joint"
    with pytest.raises(UserError, match="--width_stage_share: is about --stages"):
        job_of(SupernetJob, "--recipe strong --stages joint --width_stage_share 0.3")
    with pytest.raises(UserError, match="--stages width,width_depth: needs depths below 1"):
        job_of(SupernetJob, "--recipe strong --depth_mult_list 1.0")
    with pytest.raises(UserError, match="--recipe best: must be one of quick, strong"):
        job_of(SupernetJob, "--recipe best")


@pytest.mark.parametrize(
    "line", ["--recipe strong", "--recipe strong --num_train_epochs 3 --augment 0", "--sandwich 1"]
)
@pytest.mark.parametrize("defaults", [True, False])
def test_the_printed_command_line_makes_the_same_job(line, defaults):
    job = job_of(SupernetJob, line)
    words = arguments(job, defaults=defaults)
    assert parse(SupernetJob, [*words, *([] if "--device" in words else ["--device", "cpu"])], "") == job
    if not defaults and line == "--recipe strong":
        assert "--num_train_epochs" not in words


def test_log_and_record_say_what_was_set_and_what_instead(caplog):
    job = job_of(SupernetJob, "--recipe strong --num_train_epochs 3")
    with caplog.at_level(logging.INFO, "ofa_bert"):
        logging.getLogger("ofa_bert").propagate = True
        found = recipe_record(job.recipe, SUPERNET, job)["recipe"]
    assert found["name"] == "strong"
    assert found["given_instead"] == {"num_train_epochs": 3.0}
    assert found["set"]["depth_mult_list"] == [1.0, 0.5]
    assert "num_train_epochs" not in found["set"]
    assert json.loads(json.dumps(found)) == found
    assert "recipe strong: `batch_size` 32, `depth_mult_list` 1 0.5" in caplog.text
    assert "given instead: `num_train_epochs` 3" in caplog.text
    assert recipe_record(None, SUPERNET, job_of(SupernetJob)) == {}
    assert to_json(job)["recipe"] == "strong"


def test_help_says_what_each_sets(capsys):
    with pytest.raises(SystemExit):
        job_of(SupernetJob, "--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "strong: --num_train_epochs 20, --batch_size 32, --depth_mult_list 1 0.5" in text
    assert "quick: --num_train_epochs 4" in text


def test_exits_refuse_a_recipe_by_name():
    assert "recipe" in SUPERNET_OPTIONS

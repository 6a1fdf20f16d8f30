"""No flag is ignored in silence: every field of a command's configuration is read by that command's code.

By the source alone, as `helpers.option_reads` follows it. Checking a value (`problems`) and writing it beside a result
(`to_json`) are no use of it.
"""

import ast
import dataclasses
import importlib

import pytest

from helpers import option_reads
from helpers.paths import ROOT
from ofa_bert.cli.commands import registry as registry_of_commands
from ofa_bert.cli.parser import parse
from ofa_bert.errors import UserError
from ofa_bert.options import options_of, unused
from ofa_bert.search.costs import registry

COMMANDS = {
    "add_digests": "bundle.add_digests.AddDigestsJob",
    "bench": "bench.job.BenchJob",
    "demo": "recipes.jobs.DemoJob",
    "doctor": "doctor.job.DoctorJob",
    "distil": "training.students.jobs.DistilJob",
    "engine": "engines.job.EngineJob",
    "evaluate": "recipes.evaluate_job.EvaluateJob",
    "exits": "training.exits.jobs.ExitChoiceJob",
    "export": "export.job.ExportJob",
    "export_serving": "serving.job.ServingJob",
    "finetune": "training.settings.FinetuneJob",
    "latency": "latency.job.LatencyJob",
    "predict": "runtime.jobs.PredictJob",
    "pretrain": "training.pretraining.job.PretrainJob",
    "pretrain_elastic": "training.pretraining.elastic_job.ElasticJob",
    "prune": "training.students.jobs.PruneJob",
    "recipe": "recipes.jobs.RecipeJob",
    "report": "report.job.ReportJob",
    "search": "search.job.SearchJob",
    "simulate": "load.job.SimulateJob",
    "supernet": "training.supernet.job.SupernetJob",
    "train_exits": "training.exits.jobs.ExitTrainingJob",
    "trtexec": "runtime.jobs.TrtexecJob",
    "tune": "training.tuning.job.TuneJob",
    "vocabulary": "export.job.VocabularyJob",
}
# What `Budgets.limits` hands over, the limit of every cost.
LIMITS = {cost.limit for cost in registry.every()}


def class_of(name):
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(f"ofa_bert.{module}"), attribute)


def unread(command, planted=()):
    found = option_reads.unread(command, class_of(COMMANDS[command]), planted)
    # `Budgets` hands over the limits by the names that the costs have.
    return [name for name in found if name not in {f"Wanted.{limit}" for limit in LIMITS}]


def test_every_command_is_listed():
    files = {path.stem for path in (ROOT / "ofa_bert" / "cli" / "commands").glob("*.py")} - {"__init__", "registry"}
    assert files == set(COMMANDS)
    assert set(registry_of_commands.COMMANDS) == files - {
        "train_exits",
        "pretrain_elastic",
    }  # supernet --exits, pretrain --elastic


@pytest.mark.parametrize("command", COMMANDS)
def test_every_flag_is_read_by_its_command(command):
    assert unread(command) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_the_check_finds_a_flag_that_nothing_reads(command):
    """Whatever the job or the group it is planted in, also under a name that others have and that the command reads."""
    job = class_of(COMMANDS[command])
    names = {name for each in COMMANDS for _, name in option_reads.fields_of(class_of(COMMANDS[each]))}
    for cls in {job, *(owner for owner, _ in option_reads.fields_of(job))}:
        own = {field.name for field in dataclasses.fields(cls)}
        planted = [(cls, name) for name in sorted({*names, "forgotten"} - own) if not hasattr(cls, name)]
        assert len(planted) > 100
        assert unread(command, planted) == sorted(f"{cls.__name__}.{name}" for _, name in planted)


def test_the_check_finds_an_option_whose_last_use_is_taken_away(monkeypatch):
    """Its name stays read of another job, and in what is only checked."""
    place = option_reads.Place("ofa_bert.training.supernet.train", "train_supernet")
    for function in ast.walk(option_reads.definition(place)[1]):
        for node in ast.walk(function):
            if isinstance(node, ast.Attribute) and node.attr in ("lambda_rep", "supernet_dropout"):
                monkeypatch.setattr(node, "attr", "model")
    monkeypatch.setattr(option_reads, "reads", option_reads.reads.__wrapped__)
    assert unread("supernet") == ["SupernetJob.lambda_rep", "SupernetJob.supernet_dropout"]


SEARCH = ["--model", "m", "--output_dir", "o", "--device", "cpu"]


def value_of(item):
    """A value that differs from the default, as words of a command line."""
    if item.kind is bool:
        return []
    if item.choices:
        return [next(choice for choice in item.choices if choice != item.default)]
    return ["0.7" if "most" in item.ranges else "7"]


@pytest.mark.parametrize("kind", ["nsga2", "fptas", "from_scratch"])
def test_a_search_reads_or_refuses_every_flag(kind):
    """Each kind of search against the fields that its own code reads; the others have to be refused."""
    from ofa_bert.search.job import _FPTAS, _FROM_SCRATCH, _NSGA2, _OF_SUPERNET, SearchJob

    refused = {
        "nsga2": {*_FPTAS, "teacher", "learning_rate", "batch_size"},
        "fptas": {*_NSGA2, *_FROM_SCRATCH, "exits"},
        "from_scratch": {*_NSGA2, *_OF_SUPERNET, "exits"},
    }[kind]
    base = {
        "nsga2": ["--max_params", "1e6"],
        "fptas": ["--algorithm", "fptas"],
        "from_scratch": ["--algorithm", "fptas", "--from_scratch"],
    }[kind]
    for item in options_of(SearchJob):
        if item.name in refused and f"--{item.name}" not in base:
            with pytest.raises(UserError, match=f"--{item.name}: |--{item.name} .*: "):
                parse(SearchJob, [*SEARCH, *base, f"--{item.name}", *value_of(item)], "")
    assert parse(SearchJob, [*SEARCH, *base], "")


def test_unused_flags_are_those_that_differ_from_their_defaults():
    config = parse(class_of(COMMANDS["search"]), [*SEARCH, "--max_params", "1e6", "--trials", "300"], "")
    assert unused(config, ("trials", "seed", "max_params"), "no") == ["`max_params`: no"]


BASE = {
    "export": ["--model_name_or_path", "m", "--sub_model_output_dir", "o"],
    "export_serving": ["--bundles", "b", "--output_dir", "o"],
    "pretrain": ["--teacher", "t", "--shape", "4,8,1024,768", "--corpus", "c", "--output_dir", "o"],
    "pretrain_elastic": ["--elastic", "--model_name_or_path", "m", "--corpus", "c", "--output_dir", "o"],
    "recipe": ["--teacher", "t", "--student", "s", "--task_name", "demo", "--output_dir", "o"],
    "search": [*SEARCH, "--max_params", "1e6"],
    "supernet": ["--model_name_or_path", "m", "--task_name", "demo", "--output_dir", "o"],
    "train_exits": ["--model_name_or_path", "m", "--task_name", "demo", "--output_dir", "o"],
    "tune": ["--model_name_or_path", "m", "--task_name", "demo", "--output_dir", "o"],
}


@pytest.mark.parametrize(
    ("command", "flags", "words"),
    [
        ("export", "--label_column l", "--label_column: describes --train_file"),
        ("export", "--calibration_sentences 8", "--calibration_sentences: is about --precision int8-static"),
        ("export_serving", "--engines fastdeploy --precision fp16", "--precision: is of the model that Triton serves"),
        ("pretrain", "--kd_weight 0 --temperature 3", "--temperature: is about distillation"),
        ("pretrain", "--teacher_learning_rate 1", "--teacher_learning_rate: is about --teacher_steps"),
        ("pretrain_elastic", "--relation_weight 0 --relation_heads 4", "--relation_heads: is about relations"),
        ("pretrain_elastic", "--relation_weight 0 --state_weight 0", "leaves no loss"),
        ("pretrain_elastic", "--depth_mult_list 0.5", "--depth_mult_list 0.5: needs 1.0 and a depth below it"),
        ("pretrain_elastic", "--depth_mult_list 1.0", "--depth_mult_list 1: needs 1.0 and a depth below it"),
        ("recipe", "--skip prune --again_epochs 2", "--again_epochs: has no use with --skip prune"),
        ("recipe", "--pretrain_epochs 2", "--pretrain_epochs: needs --corpus"),
        ("search", "--data_dir d", "--data_dir: needs --task_name"),
        ("search", "--text_columns a", "--text_columns: needs --task_name"),
        ("supernet", "--width_stage_share 0.3", "--width_stage_share: is about --stages"),
        ("train_exits", "--exits geep --exit_weights uniform", "--exit_weights: is about --exits joint"),
        ("train_exits", "--exits joint --exit_cache_mib 1", "--exit_cache_mib: is about --exits deebert"),
        ("tune", "--learning_rate 1", "--learning_rate: is what tune tries; give --learning_rates"),
        ("tune", "--batch_size 4", "--batch_size: is what tune tries; give --batch_sizes"),
        ("tune", "--warmup_steps 4", "--warmup_steps: is what tune tries; give --warmups"),
    ],
)
def test_a_flag_without_a_use_beside_the_others_is_refused(command, flags, words):
    with pytest.raises(UserError) as found:
        parse(class_of(COMMANDS[command]), [*BASE[command], *flags.split()], "")
    assert words in str(found.value)

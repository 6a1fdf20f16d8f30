"""No flag is ignored in silence: every field of a command's configuration is read by that command's code.

By the source alone: of the modules that a command imports, however deep, the reads of a job's options.
Checking a value (`problems`) and writing it beside a result (`to_json`) are no use of it.
"""

import ast
import dataclasses
import importlib
from functools import cache

import pytest

from helpers.paths import ROOT
from ofa_bert.cli.commands import registry as registry_of_commands
from ofa_bert.cli.parser import parse
from ofa_bert.errors import UserError
from ofa_bert.options import option, options_of, unused
from ofa_bert.search.costs import registry

COMMANDS = {
    "add_digests": "bundle.add_digests.AddDigestsJob",
    "bench": "bench.job.BenchJob",
    "demo": "recipes.jobs.DemoJob",
    "distil": "training.students.jobs.DistilJob",
    "evaluate": "recipes.evaluate_job.EvaluateJob",
    "exits": "training.exits.jobs.ExitChoiceJob",
    "export": "export.job.ExportJob",
    "export_serving": "serving.job.ServingJob",
    "finetune": "training.settings.FinetuneJob",
    "latency": "latency.job.LatencyJob",
    "predict": "runtime.jobs.PredictJob",
    "pretrain": "training.pretraining.job.PretrainJob",
    "prune": "training.students.jobs.PruneJob",
    "recipe": "recipes.jobs.RecipeJob",
    "search": "search.job.SearchJob",
    "supernet": "training.supernet.job.SupernetJob",
    "train_exits": "training.exits.jobs.ExitTrainingJob",
    "trtexec": "runtime.jobs.TrtexecJob",
    "tune": "training.tune_job.TuneJob",
}
# What `Budgets.limits` hands over, the limit of every cost.
LIMITS = {cost.limit for cost in registry.every()}
# What a job or one of its groups is called where it is used, besides the names of the groups themselves.
NAMES = {
    "job",
    "settings",
    "self",
    "loops",
    "how",
    "scratch",
    "choice",
    "adam",
    "elastic",
    "tuning",
    "cut",
    "base",
    "source",
}


def source_of(module):
    base = ROOT / module.replace(".", "/")
    path = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    return path if path.is_file() else None


@cache
def tree_of(module):
    return ast.parse(source_of(module).read_text("utf-8"))


@cache
def imported(module):
    """The modules of this project that a module imports anywhere in it."""
    found = set()
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(name for name in found if name.startswith("ofa_bert") and source_of(name))


def closure(module):
    found, waiting = set(), [module]
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            waiting += imported(each)
    return found


def checks(function):
    return "problems" in function.name


@cache
def reads(module, groups):
    """Names of the options that a module reads of a job or of one of its groups."""
    found = set()
    functions = [n for n in ast.walk(tree_of(module)) if isinstance(n, ast.FunctionDef) and not checks(n)]
    for function in functions:
        by_name = False
        for node in ast.walk(function):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                owner = node.value
                if (isinstance(owner, ast.Name) and owner.id in NAMES | groups) or (
                    isinstance(owner, ast.Attribute) and owner.attr in NAMES | groups
                ):
                    found.add(node.attr)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                by_name |= (
                    node.func.id == "getattr" and len(node.args) > 1 and not isinstance(node.args[1], ast.Constant)
                )
        if by_name:  # getattr(job, name) for the names that stand in the same function
            found |= {n.value for n in ast.walk(function) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return frozenset(found)


def class_of(name):
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(f"ofa_bert.{module}"), attribute)


def unread(command):
    options = options_of(class_of(COMMANDS[command]))
    groups = frozenset(name for item in options for name in item.path)
    read = set().union(*(reads(module, groups) for module in closure(f"ofa_bert.cli.commands.{command}")))
    return sorted({item.name for item in options} - read - (LIMITS if "limits" in read else set()))


def test_every_command_is_listed():
    files = {path.stem for path in (ROOT / "ofa_bert" / "cli" / "commands").glob("*.py")} - {"__init__", "registry"}
    assert files == set(COMMANDS)
    assert set(registry_of_commands.COMMANDS) == files - {"finetune", "supernet", "train_exits", "export"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_flag_is_read_by_its_command(command):
    assert unread(command) == []


def test_the_check_finds_a_flag_that_nothing_reads(monkeypatch):
    cls = class_of(COMMANDS["trtexec"])
    more = dataclasses.make_dataclass(
        "More", [("forgotten", int, option("x", 1))], bases=(cls,), frozen=True, kw_only=True
    )
    monkeypatch.setitem(globals(), "class_of", lambda name: more)
    assert unread("trtexec") == ["forgotten"]


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

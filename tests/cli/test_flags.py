"""No flag is ignored in silence: every field of a command's configuration is read by that command's code.

By the source alone: of the modules that a command imports, however deep, the reads of a configuration's fields.
Checking a value (`problems`) and writing it beside a result (`to_json`) are no use of it.
"""

import ast
import dataclasses
import importlib
from functools import cache

import pytest

from helpers.paths import ROOT
from ofa_bert.cli.parser import parse
from ofa_bert.data.config import DataConfig
from ofa_bert.errors import UserError
from ofa_bert.options import option, unused, whole
from ofa_bert.search.costs import registry

COMMANDS = {
    "add_digests": "bundle.add_digests.AddDigestsConfig",
    "bench": "bench.config.BenchConfig",
    "demo": "recipes.config.DemoConfig",
    "distil": "training.students.config.DistilConfig",
    "exits": "training.exits.config.ExitChoiceConfig",
    "export": "export.config.ExportConfig",
    "export_serving": "serving.config.ServingConfig",
    "finetune": "training.config.FinetuneConfig",
    "latency": "latency.config.LatencyConfig",
    "predict": "runtime.config.PredictConfig",
    "pretrain": "training.pretraining.config.PretrainConfig",
    "prune": "training.students.config.PruneConfig",
    "recipe": "recipes.config.RecipeConfig",
    "search": "search.config.SearchConfig",
    "supernet": "training.supernet.config.OfaConfig",
    "train_exits": "training.exits.config.ExitTrainConfig",
    "trtexec": "runtime.config.TrtexecConfig",
    "tune": "training.config.TuneConfig",
}
# What `DataConfig.data_arguments` hands over, all of its fields by name.
DATA = {field.name for field in dataclasses.fields(DataConfig)}
# What `Budgets.limits` hands over, the limit of every cost.
LIMITS = {cost.limit for cost in registry.every()}
# What a configuration is called where it is used.
NAMES = {"config", "job", "settings", "self", "elastic", "tuning", "cut"}


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
def reads(module):
    """Names of the fields that a module reads of a configuration."""
    found = set()
    functions = [n for n in ast.walk(tree_of(module)) if isinstance(n, ast.FunctionDef) and not checks(n)]
    for function in functions:
        by_name = False
        for node in ast.walk(function):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                owner = node.value
                if (isinstance(owner, ast.Name) and owner.id in NAMES) or (
                    isinstance(owner, ast.Attribute) and owner.attr in NAMES
                ):
                    found.add(node.attr)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                by_name |= (
                    node.func.id == "getattr" and len(node.args) > 1 and not isinstance(node.args[1], ast.Constant)
                )
        if by_name:  # getattr(config, name) for the names that stand in the same function
            found |= {n.value for n in ast.walk(function) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return frozenset(found)


def class_of(name):
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(f"ofa_bert.{module}"), attribute)


def unread(command):
    cls = class_of(COMMANDS[command])
    fields = {field.name for field in dataclasses.fields(cls)}
    read = set().union(*(reads(module) for module in closure(f"ofa_bert.cli.commands.{command}")))
    return sorted(
        fields - read - (DATA if "data_arguments" in read else set()) - (LIMITS if "limits" in read else set())
    )


def test_every_command_is_listed():
    files = {path.stem for path in (ROOT / "ofa_bert" / "cli" / "commands").glob("*.py")} - {"__init__"}
    assert files == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_flag_is_read_by_its_command(command):
    assert unread(command) == []


def test_the_check_finds_a_flag_that_nothing_reads(monkeypatch):
    cls = class_of(COMMANDS["trtexec"])
    more = dataclasses.make_dataclass("More", [("forgotten", int, option("x", 1, whole))], bases=(cls,), frozen=True)
    monkeypatch.setitem(globals(), "class_of", lambda name: more)
    assert unread("trtexec") == ["forgotten"]


SEARCH = ["--model", "m", "--output_dir", "o", "--device", "cpu"]


def value_of(field):
    """A value that differs from the default, as words of a command line."""
    if field.metadata["kind"] is bool:
        return []
    if field.metadata["choices"]:
        return [next(choice for choice in field.metadata["choices"] if choice != field.default)]
    return ["7"]


@pytest.mark.parametrize("kind", ["nsga2", "fptas", "from_scratch"])
def test_a_search_reads_or_refuses_every_flag(kind):
    """Each kind of search against the fields that its own code reads; the others have to be refused."""
    from ofa_bert.search.config import _FPTAS, _FROM_SCRATCH, _NSGA2, _OF_SUPERNET, SearchConfig

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
    for field in dataclasses.fields(SearchConfig):
        if field.name in refused and f"--{field.name}" not in base:
            with pytest.raises(UserError, match=f"--{field.name}: |--{field.name} .*: "):
                parse(SearchConfig, [*SEARCH, *base, f"--{field.name}", *value_of(field)], "")
    assert parse(SearchConfig, [*SEARCH, *base], "")


def test_unused_flags_are_those_that_differ_from_their_defaults():
    config = parse(class_of(COMMANDS["search"]), [*SEARCH, "--max_params", "1e6", "--trials", "300"], "")
    assert unused(config, ("trials", "seed", "max_params"), "no") == ["--max_params: no"]


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

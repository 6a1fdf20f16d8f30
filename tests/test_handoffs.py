"""What travels between packages is values: no flags, no configurations. By the source alone.

That no record or manifest is read by key: bundle/test_typed_reads.py.
"""

import ast
import importlib
import re
from functools import cache

from helpers.paths import ROOT
from ofa_bert.options import options_of
from ofa_bert.search.job import SearchJob

PACKAGE = ROOT / "ofa_bert"


@cache
def files():
    """Path below the package -> its tree."""
    return {
        str(path.relative_to(PACKAGE)): ast.parse(path.read_text("utf-8")) for path in sorted(PACKAGE.rglob("*.py"))
    }


# Command lines of other programs, for a reader of what was exported.
OTHERS = {"serving/readme.py"}


def below_cli():
    return {
        name: tree for name, tree in files().items() if not name.startswith(("cli/", "__main__")) and name not in OTHERS
    }


def options_of_all_commands():
    found = set()
    for name, tree in files().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name.endswith("Job") and not name.startswith("bench/peers"):
                module = importlib.import_module("ofa_bert." + name.removesuffix(".py").replace("/", "."))
                if hasattr(getattr(module, node.name), "__dataclass_fields__"):
                    found |= {item.name for item in options_of(getattr(module, node.name))}
    return found


def flags_in(text, options):
    return [name for name in re.findall(r"(?<![\w-])--([a-z][a-z0-9_]*)(?![\w=-])", text) if name in options]


def test_nothing_below_the_command_line_speaks_in_flags():
    options = options_of_all_commands()
    assert {"batch_size", "width_mult_list", "bundle", "max_params"} <= options
    found = [
        f"{name}:{node.lineno}: {flags_in(node.value, options)}"
        for name, tree in below_cli().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and flags_in(node.value, options)
    ]
    assert found == []


def test_the_search_for_flags_finds_them():
    assert flags_in("give --batch_size 8 or --onnx=x, --no_such", {"batch_size", "onnx"}) == ["batch_size"]


def test_there_are_jobs_and_values_but_no_configurations():
    """SubModelConfig is the word for a sub-model, PaddleConfig describes PaddleNLP's own; neither holds settings."""
    named = {
        node.name
        for tree in files().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.name.endswith("Config") and not node.name.startswith("_")
    }
    assert named == {"SubModelConfig", "PaddleConfig"}


def functions_taking(annotation, start):
    """Names of the functions in files that begin so which have a parameter of this annotation."""
    found = []
    for name, tree in files().items():
        for node in ast.walk(tree) if name.startswith(start) else ():
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                if any(each.annotation and annotation in ast.unparse(each.annotation) for each in given):
                    found.append(node.name)
    return found


def test_a_search_is_asked_for_its_command_line_once():
    """Either algorithm's entry takes the job apart; nothing below it asks for it again."""
    assert sorted(functions_taking(SearchJob.__name__, "search/")) == ["search_fptas", "search_sub_models"]
